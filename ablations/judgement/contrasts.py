"""From scores of a factorial design to contrasts, one number a seed, in families."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, permutations, product
from typing import Final, Literal, Self, final

import numpy as np

from ablations.judgement.statistics import Array

Kind = Literal["main effect", "simple effect", "interaction", "level"]

BETWEEN: Final[Mapping[Kind, str]] = {
    "main effect": "",
    "simple effect": " at ",
    "interaction": " x ",
    "level": " at ",
}
"""What stands between the factors in a contrast's label."""

MOST_LEVELS: Final = 8
"""The levels of a factor with more are compared with its first only, and at no other factor's."""

DECIMALS: Final = 12
"""Of a contrast: what is equal but for the rounding of its sums is equal."""

Held = tuple[tuple[str, str], ...]
"""Axes that are looked at in one of their levels only, each with that level."""


@final
@dataclass(frozen=True, eq=False)
class Design:
    """Scores of a factorial design, or of the part of one in which some axes are `held`.

    `scores` is (seeds, levels of the first axis, of the second, ...), nan where a run failed or
    diverged; `axes` names the levels.
    """

    scores: Array
    axes: Mapping[str, Sequence[str]]
    held: Held = ()

    def at(self, held: Held) -> Self:
        """The part in which the axes of `held` have these levels."""
        part = self
        for axis, level in held:
            place, levels = list(part.axes).index(axis), list(part.axes[axis])
            scores = np.take(part.scores, levels.index(level), axis=1 + place)
            others = {name: values for name, values in part.axes.items() if name != axis}
            part = replace(part, scores=scores, axes=others, held=(*part.held, (axis, level)))
        return part


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Contrast:
    """One question to the seeds: two levels of a factor, alone or with those of another.

    `levels` has those of each of `factors`: the reference and the other, or the single one that is
    compared with 0, or at which a simple effect is looked at. `by_seed` is (seeds,), nan where a
    needed score is missing. `held` is that of its design.
    """

    kind: Kind
    factors: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    by_seed: Array
    held: Held = ()

    @property
    def label(self) -> str:
        """Such as `padding: zeros - valid at skip: none`."""
        parts = zip(self.factors, self.levels, strict=True)
        told = BETWEEN[self.kind].join(f"{f}: {' - '.join(pair[::-1])}" for f, pair in parts)
        return told + "".join(f" where {axis}: {level}" for axis, level in self.held)

    def uses(self, levels: Mapping[str, str]) -> bool:
        """Whether it is made of runs with these levels, among others."""
        pairs = zip(self.factors, self.levels, strict=True)
        held = all(levels[axis] == level for axis, level in self.held)
        return held and all(levels[factor] in wanted for factor, wanted in pairs)

    @property
    def family(self) -> tuple[object, ...]:
        """What it is judged together with: a kind of contrast of the same factors.

        "Does padding matter?" is one question with one chance of 5 % to err, and a factor that a
        plan also varies does not make it harder to answer. A plan with several families may err
        in each.
        """
        return self.kind, self.factors, *self.held


def contrasts(design: Design) -> list[Contrast]:
    """Every main effect, simple effect and two-way interaction, averaged over the other factors.

    A contrast that needs a missing score does without the seed. An axis of one level asks nothing.
    """
    scores, axes = design.scores, design.axes
    assert scores.shape[1:] == tuple(map(len, axes.values()))
    factors = [axis for axis, levels in axes.items() if 1 < len(levels) <= MOST_LEVELS]
    found = (
        *(each for axis in axes for each in main_effects(design, axis)),
        *(each for pair in permutations(factors, 2) for each in _simple(scores, axes, pair)),
        *(each for pair in combinations(factors, 2) for each in _interactions(scores, axes, pair)),
    )
    return [replace(each, held=design.held) for each in found]


def levels_alone(design: Design) -> Iterator[Contrast]:
    """Every level against 0, averaged over the other factors, and at each level of another."""
    axes = design.axes
    few = [axis for axis, levels in axes.items() if len(levels) <= MOST_LEVELS]
    for factors in (*((axis,) for axis in axes), *permutations(few, 2)):
        means = np.moveaxis(_means(design.scores, axes, factors), 0, -1)
        for place in product(*(range(len(axes[factor])) for factor in factors)):
            yield Contrast(
                kind="level",
                factors=factors,
                levels=tuple((axes[f][k],) for f, k in zip(factors, place, strict=True)),
                by_seed=_rounded(means[place]),
                held=design.held,
            )


def main_effects(design: Design, factor: str) -> Iterator[Contrast]:
    """Each level of a factor with those before it, or of many levels with the first only."""
    axes = design.axes
    means = _means(design.scores, axes, (factor,))
    first, *others = enumerate(axes[factor])
    few = len(others) < MOST_LEVELS
    pairs = combinations((first, *others), 2) if few else ((first, other) for other in others)
    for (i, low), (j, high) in pairs:
        yield Contrast(
            kind="main effect",
            factors=(factor,),
            levels=((low, high),),
            by_seed=_rounded(means[:, j] - means[:, i]),
            held=design.held,
        )


def _simple(
    scores: Array, axes: Mapping[str, Sequence[str]], factors: tuple[str, str]
) -> Iterator[Contrast]:
    """Of the first factor, at each level of the second."""
    means = _means(scores, axes, factors)
    for k, at in enumerate(axes[factors[1]]):
        for (i, low), (j, high) in combinations(enumerate(axes[factors[0]]), 2):
            yield Contrast(
                kind="simple effect",
                factors=factors,
                levels=((low, high), (at,)),
                by_seed=_rounded(means[:, j, k] - means[:, i, k]),
            )


def _interactions(
    scores: Array, axes: Mapping[str, Sequence[str]], factors: tuple[str, str]
) -> Iterator[Contrast]:
    """How far the effect of one pair of levels depends on a pair of the other factor's."""
    means = _means(scores, axes, factors)
    one, other = (list(combinations(enumerate(axes[factor]), 2)) for factor in factors)
    for (i, low), (j, high) in one:
        for (k, first), (m, second) in other:
            effect = means[:, j] - means[:, i]
            yield Contrast(
                kind="interaction",
                factors=factors,
                levels=((low, high), (first, second)),
                by_seed=_rounded(effect[:, m] - effect[:, k]),
            )


def _means(scores: Array, axes: Mapping[str, Sequence[str]], kept: tuple[str, ...]) -> Array:
    """(seeds, levels of each kept factor in this order), averaged over all other axes."""
    places = [1 + list(axes).index(factor) for factor in kept]
    others = tuple(set(range(1, scores.ndim)) - set(places))
    front = np.moveaxis(scores, places, range(1, 1 + len(kept)))
    return front.mean(axis=tuple(range(1 + len(kept), scores.ndim))) if others else front


def _rounded(values: Array) -> Array:
    rounded: Array = np.round(values, DECIMALS)
    return rounded
