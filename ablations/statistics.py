"""From scores of several seeds to intervals and paired differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt
from scipy import stats

LEVEL = 0.95
"""The confidence level of every interval."""


@final
@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over `n` seeds with its 95 % interval; nan bounds for fewer than two seeds."""

    mean: float
    low: float
    high: float
    n: int

    def overlaps(self, other: Interval) -> bool:
        """Whether the two intervals share a value; unknown bounds count as overlap."""
        return not (self.low > other.high or self.high < other.low)

    def excludes_zero(self) -> bool:
        """Whether 0 lies outside; never so for unknown bounds."""
        return self.low > 0 or self.high < 0


def mean_interval(values: Sequence[float]) -> Interval:
    """Student's t interval of the mean of independent `values`, one for each seed.

    >>> interval = mean_interval([1.0, 2.0, 3.0])
    >>> round(interval.low, 3), interval.mean, round(interval.high, 3)
    (-0.484, 2.0, 4.484)
    """
    n = len(values)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(np.mean(values))
    if n == 1:
        return Interval(mean, math.nan, math.nan, 1)
    half = float(half_width(np.std(values, ddof=1), n))
    return Interval(mean, mean - half, mean + half, n)


def half_width(deviation: npt.ArrayLike, n: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Half of Student's t interval of a mean, from the standard deviation of its `n` values.

    Of any shape; nan for fewer than two values.
    """
    quantile = stats.t.ppf((1 + LEVEL) / 2, np.asarray(n) - 1)
    half: npt.NDArray[np.float64] = quantile * np.asarray(deviation) / np.sqrt(n)
    return half


def paired_difference(values: Sequence[float], reference: Sequence[float]) -> Interval:
    """The interval of values[i] - reference[i], where i is the seed that both share."""
    return mean_interval([a - b for a, b in zip(values, reference, strict=True)])
