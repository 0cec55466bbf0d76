"""The one exception that a user's mistake raises, and how a command line shows it."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager


class Refusal(ValueError):  # noqa: N818  # the user erred, and nothing in the code did
    """A mistake in what the user asked for, not in the code.

    Its text is one line that names the thing, the value and the way out; the command lines
    print it as it stands and exit with code 2. `field` names the field that is to blame, for a
    caller who knows where the user wrote it.
    """

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


def require_choice(thing: str, value: object, legal: Collection[str]) -> None:
    """Refuse a `value` that is not one of the `legal` names of a choice table."""
    if not isinstance(value, str) or value not in legal:
        raise Refusal(f"{thing} {value!r} is not one of {', '.join(legal)}", field=thing)


@contextmanager
def refusals_shown() -> Iterator[None]:
    """Turn a `Refusal` into one line on stderr and exit code 2; a closed pipe into silence."""
    try:
        yield
    except Refusal as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        raise SystemExit(2) from None
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; keep the interpreter's last flush quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
