"""The history of a cell: attempts at it, and how each may end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

MOST_ATTEMPTS: Final = 3
"""Failures after which a cell is given up until somebody asks for it again."""


@final
@dataclass(frozen=True)
class Attempt:
    """One line of the history: `outcome` is None while it runs, else one of `OUTCOMES`."""

    token: int
    key: str
    owner: int
    began: float
    ended: float | None
    outcome: str | None
    reason: str


OUTCOMES: Final = {
    "done": "left a record",
    "failed": "crashed, or took too long",
    "lost": "its holder died, or was not heard of in time",
    "returned": "given back when its holder was stopped, or when whatever was begun failed alike",
    "forgiven": "failed, and asked for again",
}
