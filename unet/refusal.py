"""The one exception that a user's mistake raises, and how text from outside is shown."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Final, NoReturn, TextIO

LONGEST: Final = 900
"""Characters of a refusal, whatever a user wrote: more than anybody reads."""


UNREAD: Final = 141
"""The exit code that shells give to a command whose reader has gone: it says nothing of a net."""


def printable(text: str) -> str:
    r"""`text` for a terminal: characters that would steer it, or hide in it, become escapes.

    Those are control characters, ends of lines, marks that turn the direction of writing, halves
    of surrogate pairs and every space but the plain one.

    >>> print(printable("red\x1b[31m" + chr(0x202E)))
    red\x1b[31m\u202e
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shortened(text: str, most: int = LONGEST) -> str:
    """`text` without its middle where it is too long: the thing and the way out stand at its ends.

    >>> shortened("0123456789", most=9)
    '01 ... 89'
    """
    if len(text) <= most:
        return text
    half = (most - 5) // 2
    return f"{text[:half]} ... {text[-half:]}"


def shown(value: object) -> str:
    """A value as a refusal shows it: its repr, in one line, and no longer than is read.

    >>> shown(16**9999)
    'a value too large to show: int'
    """
    try:
        return shortened(printable(repr(value)), 200)
    except (ValueError, RecursionError):
        # More digits than Python turns into text, or more nesting.
        return f"a value too large to show: {type(value).__name__}"


def say(*lines: str, file: TextIO | None = None) -> None:
    """Print lines for people, whatever the names and messages in them hold."""
    for line in lines:
        print(printable(line), file=file or sys.stdout)


class Refusal(ValueError):  # noqa: N818  # the user erred, and nothing in the code did
    """A mistake in what the user asked for, not in the code.

    Its text is one printable line that names the thing, the value and the way out; the command
    lines print it as it stands and exit with code 2. `field` names the field that is to blame, for
    a caller who knows where the user wrote it.
    """

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(shortened(printable(message)))
        self.field = field


class Unable(Refusal):
    """What the system refuses, such as room on a disk: no mistake in what was asked."""


def refusal_of(problem: OSError, message: str) -> Refusal:
    """A mistake where a path leads through a file or to a folder, else what the system refuses."""
    mistaken = isinstance(problem, NotADirectoryError | IsADirectoryError | FileExistsError)
    return Refusal(message) if mistaken else Unable(message)


def require_choice(thing: str, value: object, legal: Collection[str]) -> None:
    """Refuse a `value` that is not one of the `legal` names of a choice table."""
    if not isinstance(value, str) or value not in legal:
        known = ", ".join(legal)
        raise Refusal(
            f"{thing} {shown(value)} is not one of {known}{did_you_mean(value, legal)}", field=thing
        )


def did_you_mean(value: object, legal: Collection[str]) -> str:
    """The end of a line that names the legal name next to a mistyped one, if any is near.

    >>> did_you_mean("reflekt", ["valid", "zeros", "reflect"])
    "; did you mean 'reflect'?"
    """
    text = str(value)[:LONGEST].lower() if isinstance(value, str) else ""
    names = {name.lower(): name for name in legal}
    near = get_close_matches(text, names, n=1) or [
        # An abbreviation of half the length is near nothing.
        name
        for name in names
        if len(text) > 1 and name.startswith(text)
    ]
    return f"; did you mean {names[near[0]]!r}?" if near else ""


def require_folder() -> None:
    """Refuse to begin in a folder that was removed: libraries that load torch end the process."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise Refusal("the current folder was removed: go to one that is there") from None


UNABLE: Final = 3
"""The exit code of a command that the system, and no mistake of its user's, kept from its work."""


@contextmanager
def refusals_shown() -> Iterator[None]:
    """Turn what ends a command early into one line on stderr and an exit code.

    A `Refusal` is 2; what the system refuses, such as room on a disk, is `UNABLE`; that whoever
    read our output has gone, as `head` does, is `UNREAD` and silence.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What the terminal's alphabet lacks is no reason to fail.
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        except SystemExit as left:
            # typer has made 1 of it, which would be the code of a defective net.
            if isinstance(left.__context__, BrokenPipeError):
                raise left.__context__ from None
            raise
        finally:
            if sys.stdout:  # a command may be started without one
                sys.stdout.flush()
    except Refusal as refusal:
        _end(UNABLE if isinstance(refusal, Unable) else 2, f"error: {refusal}")
    except BrokenPipeError:
        _end(UNREAD)
    except OSError as problem:
        place = f"{problem.filename}: " if problem.filename else ""
        _end(UNABLE, f"error: {printable(f'{place}{problem.strerror or problem}')}")
    except MemoryError:
        _end(UNABLE, "error: there is not enough memory")


def _end(code: int, line: str = "") -> NoReturn:
    """End the command, and say why if anybody can still be told."""
    if line and sys.stderr:
        with suppress(OSError):
            print(line, file=sys.stderr, flush=True)
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            # What cannot be written now must not be tried again when Python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    raise SystemExit(code) from None
