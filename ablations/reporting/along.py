"""Differences along the runs: what the validation images showed on the way to the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from ablations.judgement.comparisons import Comparison, budgets
from ablations.judgement.contrasts import main_effects
from ablations.judgement.metrics import METRICS
from ablations.judgement.statistics import mean_interval
from ablations.reporting.curves import Curve, row
from ablations.reporting.results import OVERLAP, Results
from ablations.reporting.run_table import looks
from ablations.runs.plan import BUDGET
from ablations.tables import as_markdown

MOST_LOOKS: Final = 10
"""Columns of the table; of more looks along a run, so many are shown, evenly spaced."""


def along(results: Results) -> list[Curve]:
    """Of every level against its factor's first, by percents of the run.

    None if the plan looks at its validation images at the end only, or never.
    """
    names = looks(results.plan)
    if len(names) < 2:
        return []
    count = min(MOST_LOOKS, len(names))
    places = [-(-len(names) * part // count) for part in range(1, count + 1)]
    shown = {round(100 * place / len(names)): names[place - 1] for place in places}
    compared = (each for each in results.comparisons if each.factor != BUDGET)
    return [curve for each in compared for curve in _curves(results, shown, each)]


def _curves(results: Results, shown: dict[int, str], comparison: Comparison) -> Iterator[Curve]:
    first, *others = results.axes[comparison.factor]
    curves = {level: Curve(comparison.label, level, first, {}) for level in others}
    for percent, name in shown.items():
        design = results.design_on(name).at(comparison.held)
        for contrast in main_effects(design, comparison.factor):
            low, high = contrast.levels[0]
            if low == first:
                values = contrast.by_seed[~np.isnan(contrast.by_seed)]
                curves[high].points[percent] = mean_interval(values)
    yield from curves.values()


def table(found: list[Curve]) -> str:
    """One row a curve."""
    return as_markdown([row(curve, "{} % of the run", METRICS[OVERLAP].digits) for curve in found])


def caption(results: Results) -> str:
    """How to read their table and figure."""
    varied = budgets(results.axes)
    of = f" of {varied[-1]} steps" if len(varied) > 1 else ""
    images = results.plan.settings["training"]["validation_images"]
    return (
        f"Differences in {OVERLAP} on {images} validation images after so much of a run{of}, "
        "paired by seed, with Student's 95 % interval and the number of seeds. The learning rate "
        "falls to nearly 0 only towards the end, so that what a run showed on the way is not what "
        "a shorter one comes to; and looks at one run are no new evidence, so that no p is given."
    )
