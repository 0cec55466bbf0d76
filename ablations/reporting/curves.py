"""Differences over something that grows, for tables and figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from ablations.judgement.statistics import Interval
from ablations.reporting.wording import difference
from ablations.tables import code


@final
@dataclass(frozen=True)
class Curve:
    """How far level `high` lies above level `low`; curves of one `factor` share a panel."""

    factor: str
    high: str
    low: str
    points: dict[int, Interval]


def row(curve: Curve, column: str, digits: int) -> dict[str, str]:
    """Of a table: each difference with its interval and its seeds.

    `column` is what a point's column is called, with {} for its number.
    """
    points = {
        column.format(x): f"{difference(interval, digits)}, n {interval.n}"
        for x, interval in curve.points.items()
    }
    return {
        "factor": curve.factor,
        "difference": f"{code(curve.high)} - {code(curve.low)}",
        **points,
    }
