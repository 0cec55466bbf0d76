"""Records to a report: Markdown for people, CSV for machines, one figure.

A report is a pure function of the plan and its records: the same records give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from ablations.files import replace_file
from ablations.judgement import tuning
from ablations.judgement.comparisons import budgets
from ablations.judgement.metrics import METRICS
from ablations.judgement.statistics import Interval
from ablations.reporting.budgets import Course, caption, courses, sentences, table
from ablations.reporting.conditions import conditions, held_equal
from ablations.reporting.figures import over_the_budget, side_by_side
from ablations.reporting.findings import evidence
from ablations.reporting.metric_tables import metric_tables
from ablations.reporting.results import OVERLAP, Results, pictured_variants
from ablations.reporting.verdicts import (
    chance,
    effect_rows,
    findings,
    interactions_table,
    main_effects_caption,
    main_effects_table,
)
from ablations.runs.plan import Plan
from ablations.tables import as_csv, as_markdown, inline
from ablations.tasks.shapes import TASKS, Task
from unet.refusal import Refusal

LOST: Final = 0.5
"""A run in which some class has a lower IoU than this has lost that class."""

FIRST_LEVEL: Final = "the factor's first"

UNSTABLE: Final = 0.05
"""A cell whose IoU scatters over the seeds with a larger standard deviation is marked."""

MOST_ROWS: Final = 200
"""Rows of a table on the page: the whole of a larger one is in the CSV."""

_TEMPLATES: Final = Environment(
    loader=PackageLoader("ablations"),
    autoescape=False,  # noqa: S701  # Markdown, not HTML
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    undefined=StrictUndefined,
)
_TEMPLATES.filters["inline"] = inline


def write_report(results: Results, folder: Path) -> list[Path]:
    """Write the report of `results` into `folder`; returns the files, the page to read first."""
    name = results.plan.name
    contents = render(results)
    for file, content in contents.items():
        replace_file(folder / file, content)
    return [folder / f"{name}.md", *(folder / file for file in contents if file != f"{name}.md")]


def render(results: Results) -> dict[str, bytes]:
    """The report's files by their path within the folder."""
    name = results.plan.name
    if results.runs.empty:
        raise Refusal(f"plan {name}: no run is stored yet, so there is nothing to report")
    files = {
        f"{name}_cells.csv": as_csv(results.cells),
        f"{name}_factors.csv": as_csv(factor_rows(results)),
        f"{name}_effects.csv": as_csv(effect_rows(results)),
    }
    figure = side_by_side(results)
    if figure is not None:
        files[f"figures/{name}.png"] = figure
    found = courses(results)
    if found:
        files[f"figures/{name}_budget.png"] = over_the_budget(found)
    page = _TEMPLATES.get_template("report.md.j2").render(
        plan=results.plan,
        results=results,
        missing=results.planned - len(results.runs),
        findings=list(findings(results)),
        limits=list(limits(results)),
        trials=results.trials,
        evidence=evidence,
        factor_table=_factor_table(results),
        factor_caption=factor_caption(results),
        main_effects=main_effects_table(results),
        main_effects_caption=main_effects_caption(results),
        interactions=interactions_table(results),
        metric=METRICS[results.plan.headline],
        metric_tables=list(metric_tables(results)),
        budget=_budget(found),
        tuning=_tuning(results),
        cell_table=_cell_table(results),
        cell_caption=cell_caption(results),
        stability=stability(results),
        shown_part=_shown_part(results.plan),
        figure=f"figures/{name}.png" if figure is not None else None,
        equal=list(held_equal(results.plan)),
        conditions=list(conditions(results)),
    )
    return {f"{name}.md": page.encode(), **files}


def _budget(found: list[Course]) -> dict[str, object] | None:
    """What the page says of effects over the training budget, if it varies."""
    if not found:
        return None
    return {"sentences": sentences(found), "table": table(found), "caption": caption(found)}


def _shown_part(plan: Plan) -> str:
    """How many variants the figure has, where it has not all."""
    shown = sum(1 for _ in pictured_variants(plan))
    return f" It has the first {shown} of {plan.variant_count} variants." * (
        shown < plan.variant_count
    )


def _tuning(results: Results) -> dict[str, object] | None:
    """What the page says of what each variant chose, if an axis is tuned."""
    found, tuned = results.choices, results.plan.tuned
    if not tuned or not found:
        return None
    diverged = int((results.runs["outcome"] == "diverged").sum())
    values = [str(value) for value in results.plan.axes[tuned]]
    return {
        "sentences": tuning.sentences(found, tuned, diverged),
        "table": tuning.table(found, list(results.axes), values),
        "axis": tuned,
    }


def limits(results: Results) -> Iterator[str]:
    """What a reader must not conclude."""
    if len(results.environments) > 1:
        yield (
            f"What the machine did: the runs were made in {len(results.environments)} environments "
            "(see Conditions), whose arithmetic or versions may differ; where one level's runs are "
            "from one and another's from another, a difference may come from that."
        )
    yield (
        f"How it would be on other images: there is one task, {_task(results).summary}, and "
        "it was made, not photographed."
    )
    yield _budget_in_words(results)
    yield chance(results)
    if "padding" in results.factors and results.plan.task.border == "context":
        yield (
            "What padding does at the border of an image: the scored window lies inside it, where "
            "padding hardly reaches. Nets of different padding also differ in where their poolings "
            "lie and in how much of the image their training (and batch norm) sees; a gap may "
            "come from there."
        )
    yield (
        'That two variants are equal: "cannot be told apart" means that the difference is '
        "smaller than these seeds can see, as far as its interval reaches."
    )
    held = (
        "where one of parameters and multiply-adds is held equal, the other is not"
        if results.plan.solved
        else "variants differ in parameters and multiply-adds too"
    )
    yield (
        f"The choice alone: {held} (last columns "
        "below), and a factor's row averages over all other factors, which may hide that it "
        "helps with one and hurts with another."
    )


def _budget_in_words(results: Results) -> str:
    varied = budgets(results.axes)
    if len(varied) > 1:
        return (
            "Which variant is best in the end: what is said of a factor is said of "
            f"{varied[-1]} steps, the largest of {len(varied)} budgets. One that learns more "
            "slowly could still catch up; how differences change with the budget is told below."
        )
    steps = _varied_or_fixed(results, "training.steps")
    so_many = f"{steps} steps" + (", or what equals them" if results.plan.solved else "")
    return (
        f"Which variant is best in the end: every net was trained for {so_many}. One that "
        "learns more slowly could still catch up."
    )


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


def _shown_metrics(results: Results) -> list[str]:
    """The headline metric and those of overlap."""
    overlaps = (name for name, metric in METRICS.items() if metric.section == "overlap")
    return list(dict.fromkeys([results.plan.headline, *overlaps]))


def _factor_table(results: Results) -> str:
    headline, names = results.plan.headline, _shown_metrics(results)
    digits = METRICS[headline].digits
    rows = [
        {
            "factor": comparison.label,
            "level": f"`{level.value}`",
            "seeds": str(len(level.by_seed)),
            **{name: _spanned(level.scores[name], METRICS[name].digits) for name in names},
            f"{headline} above {FIRST_LEVEL}": (
                "-" if level is levels[0] else _spanned(level.above(levels[0]), digits, sign="+")
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
        "level; differences are paired, seed by seed. " + _scoring(results)
    )


def _cell_table(results: Results) -> str:
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
        for metric in _shown_metrics(results)
    }
    return {
        **{axis: f"`{cell[axis]}`" for axis in results.plan.axes},
        "seeds": f"{cell['seeds']}{diverged}",
        **{name: _spanned(each, METRICS[name].digits) for name, each in intervals.items()},
        f"{OVERLAP}, sd over seeds": f"{_number(cell[f'{OVERLAP} sd'])}{unstable}",
        f"{OVERLAP}, lowest run": _number(cell[f"{OVERLAP} lowest"]),
        f"{OVERLAP}, lowest class": _number(cell[f"{OVERLAP} lowest class"]) + lost,
        **_solved(results, cell),
        "parameters": f"{cell['parameters']:,}",
        "MACs": f"{cell['macs'] / 1e6:,.1f} M",
        "maps": f"{cell['memory'] / 1e6:,.1f} MB",
        "training MACs": f"{cell['training macs'] / 1e12:,.3f} T",
        f"{OVERLAP} per training TMAC": _number(cell[f"{OVERLAP} per training TMAC"]),
        "seconds per run": f"{cell['seconds']:.1f}",
    }


def _solved(results: Results, cell: Mapping[Hashable, Any]) -> dict[str, str]:
    """What was solved for, if anything was: else it stands under the conditions."""
    if not results.plan.solved:
        return {}
    return {"steps": f"{cell['steps']:,}", "base channels": f"{cell['base_channels']:,}"}


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
        + _scoring(results)
        + " MACs are multiply-adds of the convolutions in one forward pass of one image, in "
        "millions; one is two FLOPs. Maps are the feature maps that a training step keeps, in "
        "float32 for each image of a batch. Training MACs are those of all steps, forward and "
        f"backward, in millions of millions; {OVERLAP} per training TMAC is high for what is "
        "cheap, and says which is better only where costs are alike. Seconds are the median "
        "wall time of training and testing, which other work on the same machine lengthens."
    )


def _scoring(results: Results) -> str:
    size = _varied_or_fixed(results, "task.size")
    weights = (
        " and starts from the same weights wherever shapes allow"
        if "init" not in results.factors
        else ""
    )
    return (
        f"A seed decides the training images, the initial weights and the test images. For each "
        f"seed every variant sees the same {size} x {size} images in the same order{weights}; "
        f"every variant is supervised and scored on the same pixels, {_window(results)}. "
        f"{_looks(results)}Scores are over all "
        f"{_varied_or_fixed(results, 'training.test_images')} test images of a run together, "
        "class by class, then averaged over the "
        f"classes {', '.join(_task(results).scored_classes)}."
    )


def _looks(results: Results) -> str:
    """What is not the same for the levels of an axis that varies how images look."""
    dials = [f"`{axis}`" for axis in results.factors if axis.startswith("task.")]
    if not dials:
        return ""
    return (
        f"But the levels of {' and '.join(dials)} are not scored on the same images: a seed's "
        "objects are the same and in the same places, and look different. "
    )


def _window(results: Results) -> str:
    """Which pixels are scored, and how a net without padding comes to see around them."""
    task, unpadded = results.plan.task, "valid" in results.plan.values("padding")
    if task.border == "mirrored":
        rim = ", which a net without padding sees extended by mirroring" if unpadded else ""
        return f"all of the image{rim}"
    covered = ", all that a net without padding covers" if unpadded else ""
    return f"the central {task.scored} x {task.scored}{covered}"


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


def _task(results: Results) -> Task:
    return TASKS[results.plan.task.name]


def _varied_or_fixed(results: Results, axis: str) -> str:
    """The value that all cells share, or the values of the axis."""
    return " or ".join(map(str, results.plan.values(axis)))


def _spanned(interval: Interval, digits: int, sign: str = "") -> str:
    """`0.803 [0.801, 0.806]`, as far as it is known; `sign` "+" shows a plus."""
    mean = _number(interval.mean, digits, sign)
    if math.isnan(interval.low):
        return mean
    low, high = (_number(bound, digits, sign) for bound in (interval.low, interval.high))
    return f"{mean} [{low}, {high}]"


def _number(value: float, digits: int = 3, sign: str = "") -> str:
    return "-" if math.isnan(value) else f"{value:{sign}.{digits}f}"
