"""From a contrast, one number a seed, to intervals, exact p values and standardised effects.

A contrast is the difference between two variants that share their seeds, or a difference of such
differences: an array (n,) of what each seed says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, final

import numpy as np
import numpy.typing as npt
import scipy  # each of its parts is imported when it is first asked for

Array = npt.NDArray[np.float64]

LEVEL = 0.95
"""The confidence level of every interval."""

ALPHA: Final = 0.05
"""How often a family of contrasts may claim what is not so."""

EXACT: Final = 30
"""Up to so many seeds every flip of signs is counted, beyond it a sample of them."""

FLIPS: Final = 19_999
"""How many flips are drawn where they are too many to count: a p of 0.05 is then 0.0015 off."""

RESAMPLES: Final = 10_000
"""Of the bootstrap: each tail's 2.5 % are then off by 0.16 points (one standard error)."""

ROUNDING: Final = 1e-12
"""What sums may differ by, as a share of their terms, and still be ties."""


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

    def __neg__(self) -> Interval:
        """That of the opposite difference."""
        return Interval(-self.mean, -self.high, -self.low, self.n)

    def excludes_zero(self) -> bool:
        """Whether 0 lies outside; never so for unknown bounds."""
        return self.low > 0 or self.high < 0


def mean_interval(values: Sequence[float] | Array) -> Interval:
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
    quantile = scipy.special.stdtrit(np.asarray(n) - 1, (1 + LEVEL) / 2)
    half: Array = quantile * np.asarray(deviation) / np.sqrt(n)
    return half


def paired_difference(values: Sequence[float], reference: Sequence[float]) -> Interval:
    """The interval of values[i] - reference[i], where i is the seed that both share."""
    return mean_interval([a - b for a, b in zip(values, reference, strict=True)])


def bootstrap_interval(values: Array) -> Interval:
    """The studentised bootstrap's interval of the mean, the same at every call.

    Infinite where a tail of the resamples is of one value only, as with few distinct values.
    """
    if len(values) < 2:
        return mean_interval(values)
    low, high = bootstrap_bounds(values[None])
    return Interval(float(values.mean()), float(low[0]), float(high[0]), len(values))


def bootstrap_bounds(samples: Array) -> tuple[Array, Array]:
    """The bounds of `bootstrap_interval` for each row of (samples, n >= 2).

    Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 12.5.
    """
    n = samples.shape[1]
    means = samples.mean(axis=1)
    # Sorted, and with every resample's mirror image, so that neither the seeds' order nor the
    # contrast's sign changes anything.
    centred = np.sort(samples - means[:, None], axis=1)
    times = _resamples(n)
    shifts = centred @ times / n
    variances = np.maximum(centred**2 @ times / n - shifts**2, 0) * n / (n - 1)
    spread = centred.std(axis=1, ddof=1)
    # A resample of one value only has no spread but for rounding, and no bounded t.
    variances[variances <= ROUNDING * spread[:, None] ** 2] = 0
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = shifts / np.sqrt(variances)
        # A resample of nothing but the mean is in the middle.
        ratios = np.where(np.isnan(ratios), 0, ratios)
        tail = round(RESAMPLES * (1 - LEVEL) / 2)
        ranked = np.partition(ratios, [tail - 1, RESAMPLES - tail], axis=1)
        below, above = (spread * ranked[:, k] for k in (RESAMPLES - tail, tail - 1))
    varied = spread > 0
    return np.where(varied, means - below, means), np.where(varied, means - above, means)


@lru_cache(maxsize=32)
def _resamples(n: int) -> Array:
    """How often each of n values is drawn, (n, RESAMPLES): half of them drawn, half mirrored."""
    drawn = np.random.default_rng(n).multinomial(n, np.full(n, 1 / n), size=RESAMPLES // 2)
    return np.concatenate([drawn, drawn[:, ::-1]]).T.astype(np.float64)


def sign_flip_p(values: Array) -> float:
    """How often the mean is as far from 0 if every seed's sign is as likely to be the other.

    Exact at any number of seeds if the contrast is symmetric about 0, as it is when two variants
    are exchangeable, whatever their seeds' noise. Two-sided. Every one of the 2^n flips counts, up
    to 30 seeds; beyond, a sample that holds what was observed.
    """
    observed = abs(float(values.sum())) - ROUNDING * float(np.abs(values).sum())
    if observed <= 0:
        return 1.0
    if len(values) > EXACT:
        signs = np.random.default_rng(0).choice((-1.0, 1.0), size=(FLIPS, len(values)))
        return (1 + int(np.sum(np.abs(signs @ values) >= observed))) / (FLIPS + 1)
    # The sums of all flips are those of one half's and the other's: only the halves' are listed.
    middle = len(values) // 2
    one, other = (_flips(len(half)) @ half for half in (values[:middle], values[middle:]))
    below = int(np.searchsorted(np.sort(one), observed - other).sum())
    return 2 * (1 - below / 2.0 ** len(values))


@lru_cache(maxsize=32)
def _flips(n: int) -> Array:
    """Every choice of n signs, (2^n, n)."""
    return np.where(np.arange(2**n)[:, None] >> np.arange(n) & 1, -1.0, 1.0)


def smallest_p(n: int) -> float:
    """The least that the sign-flip test can say with n seeds: all of them on one side."""
    return min(1.0, 2 / 2**n) if n <= EXACT else 1 / (FLIPS + 1)


def holm(p: Sequence[float]) -> list[float]:
    """Each p of a family, raised so that one false claim or more at 0.05 comes in 5 % at most.

    Holm, A simple sequentially rejective multiple test procedure (1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    steps = np.asarray(p, dtype=np.float64)[order] * (len(p) - np.arange(len(p)))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return [float(each) for each in adjusted]


def equivalence_p(samples: Array, margin: float) -> Array:
    """The p of two one-sided t tests that the mean is within +-margin, along the last axis.

    At most 0.05 where the 90 % t interval lies within (Schuirmann 1987); 1 for under two seeds.
    """
    n = samples.shape[-1]
    if n < 2:
        return np.ones(samples.shape[:-1])
    room = margin - np.abs(samples.mean(axis=-1))
    error = samples.std(axis=-1, ddof=1) / math.sqrt(n)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(error > 0, room / error, np.where(room > 0, np.inf, -np.inf))
    p: Array = scipy.special.stdtr(n - 1, -ratio)
    return p


def hedges_g(values: Array) -> float:
    """Mean over standard deviation, less its bias (Hedges 1981); nan for fewer than three seeds."""
    free = len(values) - 1
    if free < 2 or not np.ptp(values):
        return math.nan
    bias = math.exp(scipy.special.gammaln(free / 2) - scipy.special.gammaln((free - 1) / 2))
    return float(values.mean() / values.std(ddof=1) * bias * math.sqrt(2 / free))


def improvement(values: Array) -> Interval:
    """The share of values above 0, ties counting half, with the exact interval for it.

    Clopper and Pearson's (1934): ties count as below 0 for its lower bound, as above for its upper.
    """
    n = len(values)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    above, not_below = int(np.sum(values > 0)), int(np.sum(values >= 0))
    tail = (1 - LEVEL) / 2
    low = scipy.special.betaincinv(above, n - above + 1, tail) if above else 0.0
    high = (
        scipy.special.betaincinv(not_below + 1, n - not_below, 1 - tail) if not_below < n else 1.0
    )
    return Interval((above + not_below) / (2 * n), float(low), float(high), n)
