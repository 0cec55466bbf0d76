"""Parts of a plan: some values of its axes, or a share for one of several machines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Self, final

from ablations.runs.cell import Cell
from ablations.runs.plan import Only, Plan
from unet.refusal import Refusal, require_choice
from unet.spec import read_value


@final
@dataclass(frozen=True)
class Shard:
    """The `part`-th of `parts` about equal parts of a plan, the same on every machine."""

    part: int = 1
    parts: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """From "2/8"; raises `Refusal` for anything else."""
        numbers = re.fullmatch(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})", text, re.ASCII)
        if not numbers or int(numbers[1]) > int(numbers[2]):
            raise Refusal(f"shard {text!r} is not I/N with I from 1 to N, as in 2/8")
        return cls(int(numbers[1]), int(numbers[2]))

    def has(self, key: str) -> bool:
        """Whether a cell is in this part: its key leaves the remainder."""
        return int(key, 16) % self.parts == self.part - 1


def read_only(texts: Sequence[str], plan: Plan) -> Only:
    """From ["skip=concat,none", "depth=2"]; raises `Refusal` for what `plan` does not have.

    A list is written as in the plan: "up_keeps_channels=[0],[]".
    """
    only: dict[str, frozenset[str]] = {}
    for text in texts:
        axis, _, values = text.partition("=")
        require_choice("axis", axis, plan.axes)
        wanted = [value.strip() for value in _OUTSIDE.split(values)]
        known = {_written(value): value for value in plan.axes[axis]}
        for value in wanted:
            kept = {str(each) for each in known.values() if _is_written(value, each)}
            if not kept:
                require_choice(f"{axis} of plan {plan.name}", value, known)
            only[axis] = only.get(axis, frozenset()) | kept
    return only


_OUTSIDE: Final = re.compile(r",(?![^\[(]*[\])])")
"""Commas that are in no list."""


def _written(value: object) -> str:
    """A value of an axis as one writes it in a plan, without quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _is_written(text: str, value: object) -> bool:
    """Whether `text` stands for a value: as a plan or a table writes it, or a number like it."""
    read = read_value(text)
    alike = isinstance(read, bool) is isinstance(value, bool) and read == value
    return alike or text in (_written(value), str(value))


@final
@dataclass(frozen=True)
class Selection:
    """The cells of a plan that have some axis values and are in one shard."""

    only: Only = field(default_factory=dict)
    shard: Shard = Shard()

    def cells(self, plan: Plan) -> Iterator[Cell]:
        """Its cells, in the plan's order."""
        cells = plan.cells(self.only)
        if self.shard.parts == 1:
            return cells
        return (cell for cell in cells if self.shard.has(cell.key))


EVERYTHING: Final = Selection()
