"""Numbers as text, as far as they are known."""

from __future__ import annotations

import math

from ablations.judgement.effects import Effect
from ablations.judgement.statistics import Interval


def spanned(interval: Interval, digits: int, sign: str = "") -> str:
    """`0.803 [0.801, 0.806]`; with a `sign` of "+" every number has one."""
    mean = known(interval.mean, digits, sign)
    return mean if math.isnan(interval.low) else f"{mean} {bounds(interval, digits, sign)}"


def difference(interval: Interval, digits: int) -> str:
    """`+0.090 [+0.085, +0.096]`."""
    return spanned(interval, digits, "+")


def bounds(interval: Interval, digits: int, sign: str = "") -> str:
    """`[0.801, 0.806]`."""
    if math.isnan(interval.low):
        return "-"
    return f"[{interval.low:{sign}.{digits}f}, {interval.high:{sign}.{digits}f}]"


def with_half(interval: Interval, digits: int) -> str:
    """`0.803 ± 0.003`: a mean with half of its interval."""
    half = interval.high - interval.mean
    mean = known(interval.mean, digits)
    return mean if math.isnan(half) else f"{mean} ± {half:.{digits}f}"


def known(value: float, digits: int = 3, sign: str = "") -> str:
    """`0.803`."""
    return "-" if math.isnan(value) else f"{value:{sign}.{digits}f}"


def share(value: float) -> str:
    """`80%`."""
    return "-" if math.isnan(value) else f"{value:.0%}"


def seeds(effect: Effect) -> str:
    """`8`, or `7 (1 left out)` where a run is missing or diverged."""
    out = f" ({effect.left_out} left out)" if effect.left_out else ""
    return f"{effect.interval.n}{out}"


def probability(p: float) -> str:
    """`0.016`: to three decimals, as far as they say something."""
    if math.isnan(p):
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"
