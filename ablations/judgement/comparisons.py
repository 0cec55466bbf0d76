"""What of a factorial design is compared: at which budget, and at equal what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from ablations.judgement.contrasts import Contrast, Design, Held, contrasts
from ablations.runs.plan import BUDGET, EQUAL

_IN_WORDS: Final = {BUDGET: "at {} steps", EQUAL: "at equal {}"}


@final
@dataclass(frozen=True)
class Comparison:
    """The levels of one factor, averaged over all others but those that are `held`."""

    factor: str
    held: Held = ()

    @property
    def family(self) -> tuple[object, ...]:
        """That of its contrasts."""
        return "main effect", (self.factor,), *self.held

    @property
    def where(self) -> str:
        """Such as ` at 300 steps`, or nothing."""
        return in_words(self.held)

    @property
    def label(self) -> str:
        """Such as `skip at 300 steps`."""
        return self.factor + self.where

    def held_but(self, axis: str) -> Held:
        """What is held besides `axis`."""
        return tuple(pair for pair in self.held if pair[0] != axis)

    def has(self, levels: Mapping[str, str]) -> bool:
        """Whether a variant of these levels is part of it."""
        return all(levels[axis] == level for axis, level in self.held)


def in_words(held: Held) -> str:
    """What is held, to stand behind a factor: ` at equal macs at 300 steps`, or nothing."""
    return "".join(f" {_IN_WORDS[axis].format(level)}" for axis, level in held)


def comparisons(axes: Mapping[str, Sequence[str]]) -> Iterator[Comparison]:
    """Those that a reader is told of first.

    Where the training budget varies, a factor is compared at the largest: an average over budgets
    would mix what learns faster with what ends better. And it is compared once for each meaning of
    "equal", since an average over them has none.
    """
    for factor, levels in axes.items():
        if len(levels) < 2 or factor == EQUAL:
            continue
        for held in _equals(axes):
            yield Comparison(factor, (*held, *_largest_budget(axes, factor)))


def asked(design: Design) -> list[Contrast]:
    """Every contrast of the design as a whole, and of each part that is compared."""
    return [each for held in parts(design.axes) for each in contrasts(design.at(held))]


def parts(axes: Mapping[str, Sequence[str]]) -> list[Held]:
    """What is held in each part of a design that is looked at; in the first, the whole, nothing."""
    return list(dict.fromkeys(((), *(each.held for each in comparisons(axes)))))


def budgets(axes: Mapping[str, Sequence[str]]) -> list[str]:
    """The budgets that are compared, from the smallest; none or one if they do not vary."""
    return sorted(axes.get(BUDGET, ()), key=int)


def _largest_budget(axes: Mapping[str, Sequence[str]], factor: str) -> Held:
    varied = budgets(axes)
    return ((BUDGET, varied[-1]),) if len(varied) > 1 and factor != BUDGET else ()


def _equals(axes: Mapping[str, Sequence[str]]) -> list[Held]:
    levels = axes.get(EQUAL, ())
    return [((EQUAL, level),) for level in levels] if len(levels) > 1 else [()]
