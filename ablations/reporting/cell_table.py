"""Each cell, and whether its runs are stable: what factors average over."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Final

import pandas as pd

from ablations.judgement.metrics import METRICS
from ablations.judgement.statistics import Interval
from ablations.reporting.conditions import scoring
from ablations.reporting.results import OVERLAP, Results
from ablations.reporting.wording import known, spanned
from ablations.tables import as_markdown, code

LOST: Final = 0.5
"""A run in which some class has a lower IoU than this has lost that class."""

UNSTABLE: Final = 0.05
"""A cell whose IoU scatters over the seeds with a larger standard deviation is marked."""

MOST_ROWS: Final = 200
"""Rows of a table on the page: the whole of a larger one is in the CSV."""


def cell_table(results: Results) -> str:
    """One row a cell; of too many the best and the worst."""
    cells = _shown_cells(results.compared_cells, results.plan.headline)
    shown = cells.to_dict("records")
    return as_markdown([_cell_row(results, cell) for cell in shown])


def _shown_cells(cells: pd.DataFrame, metric: str) -> pd.DataFrame:
    """All of them, or of too many the best and the worst, best first."""
    if len(cells) <= MOST_ROWS:
        return cells
    ascending = not METRICS[metric].higher_is_better
    ranked = cells.sort_values(metric, ascending=ascending, kind="stable", na_position="last")
    return pd.concat([ranked.head(MOST_ROWS // 2), ranked.tail(MOST_ROWS // 2)])


def _cell_row(results: Results, cell: Mapping[Hashable, Any]) -> dict[str, str]:
    diverged = f" (+{cell['diverged']} diverged)" if cell["diverged"] else ""
    unstable = " (unstable)" if cell[f"{OVERLAP} sd"] > UNSTABLE else ""
    lost = " (lost)" if cell[f"{OVERLAP} lowest class"] < LOST else ""
    intervals = {
        metric: Interval(cell[metric], cell[f"{metric} low"], cell[f"{metric} high"], cell["seeds"])
        for metric in results.headlines
    }
    return {
        **{axis: code(cell[axis]) for axis in results.plan.axes},
        "seeds": f"{cell['seeds']}{diverged}",
        **{name: spanned(each, METRICS[name].digits) for name, each in intervals.items()},
        f"{OVERLAP}, sd over seeds": f"{known(cell[f'{OVERLAP} sd'])}{unstable}",
        f"{OVERLAP}, lowest run": known(cell[f"{OVERLAP} lowest"]),
        f"{OVERLAP}, lowest class": known(cell[f"{OVERLAP} lowest class"]) + lost,
        **_solved(results, cell),
        "parameters": f"{cell['parameters']:,}",
        "MACs": f"{cell['macs'] / 1e6:,.1f} M",
        "maps": f"{cell['memory'] / 1e6:,.1f} MB",
        "training MACs": f"{cell['training macs'] / 1e12:,.3f} T",
        f"{OVERLAP} per training TMAC": known(cell[f"{OVERLAP} per training TMAC"]),
        "seconds per run": f"{cell['seconds']:.1f}",
    }


def _solved(results: Results, cell: Mapping[Hashable, Any]) -> dict[str, str]:
    """What was solved for, if anything was: else it stands under the conditions."""
    if not results.plan.solved:
        return {}
    return {"steps": f"{cell['steps']:,}", "base channels": f"{cell['base channels']:,}"}


def cell_caption(results: Results) -> str:
    """The conditions of the cell table."""
    cut = (
        f"Of {len(results.compared_cells):,} cells the {MOST_ROWS // 2} with the highest and the "
        f"{MOST_ROWS // 2} with the lowest {results.plan.headline}, the best first: chosen for "
        "being extreme, they would come out less so in new runs. All are in "
        f"`{results.plan.name}_cells.csv`. "
        if len(results.compared_cells) > MOST_ROWS
        else ""
    )
    return (
        f"{cut}Mean and 95 % interval (Student's t) over the seeds of each cell; marked: a "
        f"standard deviation above {UNSTABLE:.2f} (unstable), a class with an {OVERLAP} below "
        f"{LOST:.1f} in some run (lost). "
        + scoring(results)
        + " MACs are multiply-adds of the convolutions in one forward pass of one image, in "
        "millions; one is two FLOPs. Maps are the feature maps that a training step keeps, in "
        "float32 for each image of a batch. Training MACs are those of all steps, forward and "
        f"backward, in millions of millions; {OVERLAP} per training TMAC is high for what is "
        "cheap, and says which is better only where costs are alike. Seconds are the median "
        "wall time of training and testing, which other work on the same machine lengthens."
    )


def stability(results: Results) -> str:
    """How far the runs of one cell scatter, and which cells scatter too far."""
    spread = results.compared_cells[f"{OVERLAP} sd"].dropna()
    diverged = int(results.compared_cells["diverged"].sum())
    lost = int((results.compared["lowest class"] < LOST).sum())
    failures = (
        f"{diverged} of {len(results.compared)} runs diverged; {lost} lost a class (an {OVERLAP} "
        f"below {LOST:.1f} for one of the classes), which drags their cell's mean down and its "
        "intervals out."
    )
    if spread.empty:
        return f"{failures} No cell has two seeds yet, so nothing can be said of their scatter."
    unstable = int((spread > UNSTABLE).sum())
    return (
        f"{failures} The standard deviation of a cell's {OVERLAP} over its seeds is "
        f"{spread.median():.3f} in the median and {spread.max():.3f} at most; {unstable} of "
        f"{len(spread)} cells lie above {UNSTABLE:.2f} and are marked unstable. The lowest single "
        f"run scored {results.compared_cells[f'{OVERLAP} lowest'].min():.3f}."
    )
