"""Well-known methods that err with few seeds, kept to show by how much."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import special, stats

from ablations.judgement.statistics import LEVEL, RESAMPLES, Array

TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)


def percentile_bounds(samples: Array) -> tuple[Array, Array]:
    """The percentile bootstrap's interval of the mean of each row of (samples, n)."""
    means = _resampled_means(samples)
    low, high = np.quantile(means, TAILS, axis=1)
    return low, high


def bca_bounds(samples: Array) -> tuple[Array, Array]:
    """The bias-corrected and accelerated one; nan where all of a row is equal."""
    means = np.sort(_resampled_means(samples), axis=1)
    centre = samples.mean(axis=1, keepdims=True)
    left_out = centre - (samples - centre) / (samples.shape[1] - 1)
    away = left_out.mean(axis=1, keepdims=True) - left_out
    with np.errstate(divide="ignore", invalid="ignore"):
        acceleration = (away**3).sum(axis=1) / (6 * (away**2).sum(axis=1) ** 1.5)
    share = ((means < centre).mean(axis=1) + (means <= centre).mean(axis=1)) / 2
    bias = special.ndtri(share)
    bounds = []
    for tail in TAILS:
        z = bias + special.ndtri(tail)
        rank = special.ndtr(bias + z / (1 - acceleration * z)) * (RESAMPLES - 1)
        known = np.nan_to_num(np.rint(rank)).astype(int)
        found = np.take_along_axis(means, known[:, None], axis=1)[:, 0]
        bounds.append(np.where(np.isnan(rank), np.nan, found))
    return bounds[0], bounds[1]


def _resampled_means(samples: Array) -> Array:
    n = samples.shape[1]
    means: Array = samples @ _drawn(n) / n
    return means


@lru_cache(maxsize=32)
def _drawn(n: int) -> Array:
    drawn = np.random.default_rng(n).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    return drawn.T.astype(np.float64)


def block_p(scores: Array, *, random_intercepts: bool) -> Array:
    """The p of a difference between two levels, from (samples, seeds, 2, cells of a level).

    By a regression with a block for each seed and a t test of its residuals; or by a mixed model
    with a random intercept for each seed, fitted by REML and tested by z, as is usual. In a
    balanced design both have closed forms: the estimate is the same, and where seeds differ by
    less than chance would have it the mixed model gives them no variance.
    """
    _, seeds, _, cells = scores.shape
    grand = scores.mean(axis=(1, 2, 3))
    level = scores.mean(axis=(1, 3))
    block = scores.mean(axis=(2, 3))
    between = 2 * cells * ((block - grand[:, None]) ** 2).sum(axis=1)
    effect = seeds * cells * ((level - grand[:, None]) ** 2).sum(axis=1)
    total = ((scores - grand[:, None, None, None]) ** 2).sum(axis=(1, 2, 3))
    free = 2 * seeds * cells - seeds - 1
    rest = total - between - effect
    within = rest / free
    if random_intercepts:
        pooled = (rest + between) / (free + seeds - 1)
        within = np.where(between / (seeds - 1) > within, within, pooled)
    ratio = (level[:, 1] - level[:, 0]) / np.sqrt(within * 2 / (seeds * cells))
    p: Array
    if random_intercepts:
        p = 2 * special.ndtr(-np.abs(ratio))
    else:
        p = 2 * stats.t.sf(np.abs(ratio), free)
    return p
