"""How many seeds an effect needs to be seen."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
import scipy  # each of its parts is imported when it is first asked for

from ablations.judgement.statistics import ALPHA, EXACT, LEVEL, Array, smallest_p
from unet.refusal import Refusal

POWER: Final = 0.8
"""How often an effect of the size asked for is to be seen."""

MOST_SEEDS: Final = 10_000
"""Beyond so many nobody would go."""

TAILS: Final = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
"""Of an interval: what lies above its upper and above its lower bound."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SeedsNeeded:
    """How many seeds a pilot asks for, with what the bounds of its standard deviation ask for.

    `low` and `high` belong to the 95 % interval of `sd`, and few pilot seeds know little of it;
    None is more than 10,000.
    """

    seeds: int
    low: int | None
    high: int | None
    sd: float
    sd_low: float
    sd_high: float
    pilot: int


def power(effect: float, sd: float, n: int, alpha: float = ALPHA) -> float:
    """How often a two-sided paired t test at `alpha` sees a true mean of `effect`, and its sign.

    For n >= 2 normal contrasts whose standard deviation over seeds is `sd`, by the noncentral t
    distribution.
    """
    bound = scipy.stats.t.isf(alpha / 2, n - 1)
    return float(scipy.stats.nct.sf(bound, n - 1, abs(effect) / sd * math.sqrt(n)))


def reachable_alpha(n: int, alpha: float) -> float:
    """The largest error rate of the sign-flip test up to `alpha`: its p values are a grid."""
    return alpha if n > EXACT else math.floor(alpha * 2 ** (n - 1)) / 2 ** (n - 1)


def flips_power(effect: float, sd: float, n: int, alpha: float = ALPHA) -> float:
    """How often the sign-flip test at `alpha` sees a true mean of `effect`, for normal contrasts.

    Where a single flip on each side reaches `alpha`, exactly: all seeds must lie on one side.
    Otherwise as often as the t test at the error rate that the flips can reach: right to 3 points
    in 100 for one contrast, and up to 9 too many where a large family leaves only two flips or so.
    """
    reached = reachable_alpha(n, alpha)
    if reached == 0 or sd == 0:
        return float(reached > 0)
    if reached == smallest_p(n):
        return float(scipy.stats.norm.cdf(abs(effect) / sd)) ** n
    return power(effect, sd, n, reached)


def seeds_needed(effect: float, sd: float, *, family: int = 1, wanted: float = POWER) -> int:
    """The fewest seeds with which the sign-flip test sees a true mean of `effect` that often.

    At a `family`th of 5 %, Holm's first and strictest step, by `flips_power`. Raises `Refusal` for
    an effect of 0, or one that asks for over 10,000 seeds.
    """
    if not abs(effect) > 0:
        raise Refusal(f"effect {effect}: no number of seeds shows that; give a size to look for")
    n = _fewest(effect, sd, family, wanted)
    if n is None:
        raise Refusal(
            f"effect {effect:g}: too small for {MOST_SEEDS} seeds at sd {sd:g}; ask for more"
        )
    return n


def seeds_from_pilot(pilot: Sequence[float] | Array, effect: float, family: int = 1) -> SeedsNeeded:
    """How many seeds `effect` needs if the contrast scatters as in a pilot, one number a seed.

    Numbers that are not finite are left out. Raises `Refusal` for fewer than two others, and like
    `seeds_needed`.
    """
    values = np.asarray(pilot, dtype=np.float64)
    values = values[np.isfinite(values)]
    if len(values) < 2:
        raise Refusal(
            f"pilot of {len(values)} whole seeds: their scatter needs 2 or more; run more"
        )
    free, sd = len(values) - 1, float(values.std(ddof=1))
    low, high = (sd * math.sqrt(free / float(scipy.stats.chi2.isf(tail, free))) for tail in TAILS)
    return SeedsNeeded(
        seeds=seeds_needed(effect, sd, family=family),
        low=_fewest(effect, low, family, POWER),
        high=_fewest(effect, high, family, POWER),
        sd=sd,
        sd_low=low,
        sd_high=high,
        pilot=len(values),
    )


def _fewest(effect: float, sd: float, family: int, wanted: float) -> int | None:
    def seen(n: int) -> bool:
        return flips_power(effect, sd, n, ALPHA / family) >= wanted

    # More seeds never see less, so that halving finds the fewest.
    n = 2 + bisect_left(range(2, MOST_SEEDS + 1), True, key=seen)
    return n if n <= MOST_SEEDS else None
