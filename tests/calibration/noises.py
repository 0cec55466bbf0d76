"""What a difference between two variants scatters like over seeds, where nothing differs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, final

import numpy as np
from numpy.random import Generator

from ablations.judgement.statistics import Array
from ablations.reporting.exports import read_export
from ablations.reporting.results import Results
from tests.samples import ROOT

Shape = tuple[int, ...]


@final
@dataclass(frozen=True)
class Noise:
    """Differences of mean 0 and standard deviation 1, and what is true of them."""

    said: str
    draw: Callable[[Generator, Shape], Array]
    symmetric: bool = True
    normal: bool = False


def _lognormal(rng: Generator, shape: Shape) -> Array:
    return (rng.lognormal(size=shape) - math.exp(0.5)) / math.sqrt((math.e - 1) * math.e)


def _outliers(rng: Generator, shape: Shape) -> Array:
    wide = np.where(rng.random(shape) < 0.1, 10, 1)
    return rng.normal(size=shape) * wide / math.sqrt(0.9 + 0.1 * 100)


def _failures(rng: Generator, shape: Shape) -> Array:
    """A run's score: one in ten lies 10 standard deviations below the others."""
    return rng.normal(size=shape) - 10 * (rng.random(shape) < 0.1) + 1


def _scales(rng: Generator, shape: Shape) -> Array:
    return rng.normal(size=shape) * np.exp(0.75 * rng.normal(size=shape) - 0.75**2)


def _rounded(rng: Generator, shape: Shape) -> Array:
    rounded: Array = np.round(4 * rng.normal(size=shape)) / 4
    return rounded


def _between(one: Callable[[Generator, Shape], Array]) -> Callable[[Generator, Shape], Array]:
    """The difference of two runs with the same noise."""
    return lambda rng, shape: one(rng, shape) - one(rng, shape)


def _scaled(draw: Callable[[Generator, Shape], Array], sd: float) -> Callable[..., Array]:
    return lambda rng, shape: draw(rng, shape) / sd


def _exponential(rng: Generator, shape: Shape) -> Array:
    return rng.exponential(size=shape) - 1


def _failing_against_sound(rng: Generator, shape: Shape) -> Array:
    return _failures(rng, shape) - rng.normal(size=shape)


@cache
def _scatter() -> Array:
    """How far each run of the plan shapes lies from its variant's mean, in standard deviations.

    That is the mean of the same few runs, so that they lie a little nearer to it than to what it
    would be of many.
    """
    results = Results.of(*read_export(ROOT / "reports" / "records" / "shapes.jsonl"))
    scores = results.runs[results.plan.headline]
    of_variant = results.runs.groupby(list(results.axes), observed=True)[results.plan.headline]
    apart = (scores - of_variant.transform("mean")).dropna().to_numpy()
    return np.asarray(apart / apart.std())


def _training(rng: Generator, shape: Shape) -> Array:
    """A run's score, as far from its variant's mean as some run was that was really trained."""
    return rng.choice(_scatter(), size=shape)


NOISES: Final[Mapping[str, Noise]] = {
    "normal": Noise("normal", lambda rng, shape: rng.normal(size=shape), normal=True),
    "rounded": Noise("normal, rounded to quarters of its standard deviation", _rounded),
    "skewed": Noise("both variants exponential", _scaled(_between(_exponential), math.sqrt(2))),
    "very skewed": Noise("both variants lognormal", _scaled(_between(_lognormal), math.sqrt(2))),
    "outliers": Noise("one difference in ten is 10 times as wide", _outliers),
    "failures": Noise(
        "one run in ten of both variants is 10 sd too low",
        _scaled(_between(_failures), math.sqrt(2 * (1 + 100 * 0.09))),
    ),
    "own scales": Noise("each seed has a scale of its own, lognormal", _scales),
    "one skewed": Noise("one variant exponential, the other steady", _exponential, symmetric=False),
    "one very skewed": Noise(
        "one variant lognormal, the other steady", _lognormal, symmetric=False
    ),
    "one failing": Noise(
        "one run in ten of one variant only is 10 sd too low",
        _scaled(_failing_against_sound, math.sqrt(2 + 100 * 0.09)),
        symmetric=False,
    ),
    "real training": Noise(
        "two trainings of one net under two names, drawn from the 360 of the plan shapes",
        _scaled(_between(_training), math.sqrt(2)),
    ),
}
