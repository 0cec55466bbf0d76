"""Each factor averaged over all others: a table for the page, and its rows for the CSV."""

from __future__ import annotations

from typing import Final

import pandas as pd

from ablations.judgement.metrics import METRICS
from ablations.judgement.statistics import Interval
from ablations.reporting.conditions import scoring
from ablations.reporting.results import Results
from ablations.reporting.wording import difference, spanned
from ablations.tables import as_markdown, code

FIRST_LEVEL: Final = "the factor's first"


def factor_rows(results: Results) -> pd.DataFrame:
    """One row a level: seeds, scores and the paired difference to the factor's first level."""
    rows = []
    for comparison, levels in results.levels.items():
        for level in levels:
            row: dict[str, object] = {"factor": comparison.label, "level": level.value}
            row["seeds"] = len(level.by_seed)
            for metric, interval in level.scores.items():
                row |= _interval_columns(metric, interval)
            above = f"{results.plan.headline} above {FIRST_LEVEL}"
            row |= _interval_columns(above, level.above(levels[0]))
            rows.append(row)
    return pd.DataFrame(rows)


def _interval_columns(name: str, interval: Interval) -> dict[str, object]:
    return {name: interval.mean, f"{name} low": interval.low, f"{name} high": interval.high}


def factor_table(results: Results) -> str:
    """One row a level."""
    headline, names = results.plan.headline, results.headlines
    digits = METRICS[headline].digits
    rows = [
        {
            "factor": comparison.label,
            "level": code(level.value),
            "seeds": str(len(level.by_seed)),
            **{name: spanned(level.scores[name], METRICS[name].digits) for name in names},
            f"{headline} above {FIRST_LEVEL}": (
                "-" if level is levels[0] else difference(level.above(levels[0]), digits)
            ),
        }
        for comparison, levels in results.levels.items()
        for level in levels
    ]
    return as_markdown(rows) if rows else "No axis of the plan has two values."


def factor_caption(results: Results) -> str:
    """The conditions of the factor table."""
    return (
        f"Mean and 95 % interval (Student's t) over the {len(results.whole_seeds)} seeds with "
        "which every variant was trained. A seed's value is the mean over all variants at that "
        "level; differences are paired, seed by seed. " + scoring(results)
    )
