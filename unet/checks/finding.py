"""What a check is, and what it says."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, final

from unet.examination import Examination

Status = Literal["pass", "warn", "fail", "skip"]


@final
@dataclass(frozen=True)
class Finding:
    """One thing that a check has to say: what was seen, and what was expected."""

    status: Status
    message: str
    evidence: dict[str, Any] = field(default_factory=dict)


@final
@dataclass(frozen=True, kw_only=True)
class Check:
    """A claim about any U-Net.

    `title` is what must hold; `harm` what it does to segmentations when it does not, and
    `cause` what usually brings it about. `run` yields findings; none means that it holds.
    """

    title: str
    harm: str
    cause: str
    run: Callable[[Examination], Iterator[Finding]]


def fail(message: str, **evidence: Any) -> Finding:
    """A defect."""
    return Finding("fail", message, evidence)


def warn(message: str, **evidence: Any) -> Finding:
    """Worth a remark, and perhaps meant."""
    return Finding("warn", message, evidence)


def skip(reason: str, **evidence: Any) -> Finding:
    """The check could not decide, for this reason."""
    return Finding("skip", reason, evidence)


def first_of(*looks: Iterator[Finding]) -> Iterator[Finding]:
    """The first finding that any of these has, in their order; what comes after it is not run."""
    return itertools.islice(itertools.chain(*looks), 1)


UNSTEADY: Final = "the same image gets other logits each time, so that nothing can be compared"
"""A reason that several checks have."""


def counted(number: int, what: str, verbs: tuple[str, str] = ("", "")) -> str:
    """As in `1 parameter is` and `2 parameters are`, or without a verb."""
    one, several = verbs
    words = f"{number} {what} {one}" if number == 1 else f"{number} {what}s {several}"
    return words.rstrip()


def in_words(sides: tuple[int, ...]) -> str:
    """As in 64 x 96."""
    return " x ".join(map(str, sides))
