"""Counts how often each method errs or is right, over thousands of experiments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from ablations.judgement.contrasts import Design, contrasts
from ablations.judgement.power import seeds_needed
from ablations.judgement.statistics import (
    ALPHA,
    Array,
    bootstrap_bounds,
    equivalence_p,
    holm,
    mean_interval,
    sign_flip_p,
)
from ablations.pages.promises import MARGIN, Count
from tests.calibration.noises import NOISES
from tests.calibration.traps import bca_bounds, block_p, percentile_bounds

SEEDS: Final = (5, 6, 8, 10, 12, 15, 20)

EFFECTS: Final = (0.5, 1.0, 2.0)
"""In standard deviations of the difference."""

PLANNED: Final = (0.6, 0.8, 1.0, 1.5, 2.0)
"""Effects for which the number of seeds is asked first."""

BLOCK: Final = 20
"""Experiments resampled at once: more do not fit into a processor's cache."""

RESAMPLED: Final = 2
"""The bootstrap is tried on one experiment in so many, and its rivals on half of those."""

LEVELS: Final = {"factor": ("a", "b", "c")}

CELLS: Final = 4
"""Variants that share a level, in the experiments on seeds with slopes."""


def simulate(repetitions: int) -> Iterator[Count]:
    """Every count of the calibration, each over so many experiments."""
    for name in NOISES:
        for seeds in SEEDS:
            yield from counts_of_noise(name, seeds, repetitions)
    for name in ("normal", "outliers"):
        for seeds in SEEDS:
            yield from counts_of_families(name, seeds, repetitions)
    for seeds in SEEDS:
        yield from counts_of_slopes(seeds, repetitions)
    for effect in PLANNED:
        yield count_as_planned(effect, repetitions)


def counts_of_noise(name: str, seeds: int, repetitions: int) -> Iterator[Count]:
    """Of two variants that differ by 0 and more, for one noise and number of seeds."""
    rng = np.random.default_rng([1, list(NOISES).index(name), seeds])
    noise = NOISES[name].draw(rng, (repetitions, seeds))

    def count(measure: str, right: Array, effect: float = 0) -> Count:
        hits, of = int(np.sum(right)), len(right)
        return Count(measure=measure, condition=name, effect=effect, seeds=seeds, hits=hits, of=of)

    intervals = [mean_interval(each) for each in noise]
    low, high = (np.array([getattr(each, end) for each in intervals]) for end in ("low", "high"))
    for effect in (0, *EFFECTS):
        yield count("sign-flip test", _rejects(noise + effect), effect)
        yield count("t test", (low + effect > 0) | (high + effect < 0), effect)
    yield count("t interval", _covers(low, high))
    some, fewer = noise[::RESAMPLED], noise[:: 2 * RESAMPLED]
    yield count("studentised bootstrap", _covers(*_in_blocks(bootstrap_bounds, some)))
    yield count("percentile bootstrap", _covers(*_in_blocks(percentile_bounds, fewer)))
    yield count("BCa bootstrap", _covers(*_in_blocks(bca_bounds, fewer)))
    # A margin has two sides, and skewed noise errs more at one of them.
    sides = [equivalence_p(noise + side, MARGIN) <= ALPHA for side in (MARGIN, -MARGIN)]
    yield count("equivalence test", max(sides, key=np.sum))


def counts_of_families(name: str, seeds: int, repetitions: int) -> Iterator[Count]:
    """Of three variants, all equal or one apart: how often an equal pair is claimed to differ."""
    rng = np.random.default_rng([2, list(NOISES).index(name), seeds])
    scores = NOISES[name].draw(rng, (repetitions, seeds, 3))
    for condition, apart, equal in (("none differs", 0, (0, 1, 2)), ("one differs", 5, (0,))):
        raw, adjusted = 0, 0
        for each in scores + np.array([0, 0, apart]):
            p = [sign_flip_p(contrast.by_seed) for contrast in contrasts(Design(each, LEVELS))]
            raw += min(p[pair] for pair in equal) <= ALPHA
            adjusted += min(holm(p)[pair] for pair in equal) <= ALPHA
        for measure, hits in (("with Holm", adjusted), ("without Holm", raw)):
            yield Count(
                measure=measure,
                condition=f"{name}, {condition}",
                effect=0,
                seeds=seeds,
                hits=hits,
                of=repetitions,
            )


def counts_of_slopes(seeds: int, repetitions: int) -> Iterator[Count]:
    """Of a factor without effect on average, where seeds do or do not respond to it each in a way.

    A seed's response has the standard deviation of a single run.
    """
    rng = np.random.default_rng([3, seeds])
    for condition, slope in (("no slopes", 0.0), ("slopes", 1.0)):
        scores = rng.normal(size=(repetitions, seeds, 2, CELLS))
        scores += 2 * rng.normal(size=(repetitions, seeds, 1, 1))
        response = rng.normal(size=(repetitions, seeds, 1, 1)) * np.array([[-0.5], [0.5]])
        scores += slope * response
        means = scores.mean(axis=3)
        found = {
            "one contrast a seed": _rejects(means[:, :, 1] - means[:, :, 0]),
            "seed blocks": block_p(scores, random_intercepts=False) <= ALPHA,
            "random intercepts": block_p(scores, random_intercepts=True) <= ALPHA,
        }
        for measure, claimed in found.items():
            hits = int(np.sum(claimed))
            yield Count(
                measure=measure,
                condition=condition,
                effect=0,
                seeds=seeds,
                hits=hits,
                of=repetitions,
            )


def count_as_planned(effect: float, repetitions: int) -> Count:
    """How often an effect is seen with as many seeds as are said to be needed."""
    seeds = seeds_needed(effect, 1)
    noise = np.random.default_rng([4, seeds]).normal(size=(repetitions, seeds))
    return Count(
        measure="planned",
        condition="normal",
        effect=effect,
        seeds=seeds,
        hits=int(_rejects(noise + effect).sum()),
        of=repetitions,
    )


def _rejects(samples: Array) -> Array:
    return np.array([sign_flip_p(each) <= ALPHA for each in samples])


def _covers(low: Array, high: Array) -> Array:
    covered: Array = (low <= 0) & (high >= 0)
    return covered


def _in_blocks(bounds: Callable[[Array], tuple[Array, Array]], samples: Array) -> Sequence[Array]:
    parts = [bounds(samples[i : i + BLOCK]) for i in range(0, len(samples), BLOCK)]
    return np.concatenate(parts, axis=1)
