"""Tables of what sentences are not about: every other metric, level by level."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from ablations.judgement.metrics import METRICS
from ablations.reporting.results import Level, Results
from ablations.reporting.wording import with_half
from ablations.runs.measures import PROBED
from ablations.tables import as_markdown, code

TITLES: Final[Mapping[str, str]] = {
    "border": "Where the errors are",
    "further": "Further measures",
}
"""The sections of `METRICS` that have a table of their own."""


def metric_tables(results: Results) -> Iterator[dict[str, str]]:
    """The `title`, `table` and `caption` of each section that has figures and a factor."""
    for section, title in TITLES.items():
        names = [name for name in results.measured if METRICS[name].section == section]
        if names and results.levels:
            yield {
                "title": title,
                "table": _table(results, names),
                "caption": _caption(results, names),
            }


def _table(results: Results, names: list[str]) -> str:
    return as_markdown(
        [
            {
                "factor": comparison.label,
                "level": code(level.value),
                "seeds": str(len(level.by_seed)),
                **{name: _cell(level, name) for name in names},
            }
            for comparison, levels in results.levels.items()
            for level in levels
        ]
    )


def _cell(level: Level, name: str) -> str:
    """`0.812 ± 0.010`, with the number of seeds where some have no such figure."""
    interval = level.scores[name]
    fewer = f" (n {interval.n})" if interval.n < len(level.by_seed) else ""
    return with_half(interval, METRICS[name].digits) + fewer


def _caption(results: Results, names: list[str]) -> str:
    told = "; ".join(f"{METRICS[name].summary} ({_direction(name)} is better)" for name in names)
    return (
        "Mean and half of the 95 % interval (Student's t) over the seeds with which every "
        "variant was trained, averaged over all other factors; a seed lacks a figure if one of its "
        f"variants does. {told}. Of all test images of a run, but checkerboards and what changes "
        f"between tiles of the first {PROBED}. Each cell's: `{results.plan.name}_cells.csv`."
    )


def _direction(name: str) -> str:
    return "higher" if METRICS[name].higher_is_better else "lower"
