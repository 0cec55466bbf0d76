"""Records to a report: Markdown for people, CSV for machines, one figure.

A report is a pure function of the plan and its records: the same records give the same bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from ablations.files import replace_file
from ablations.judgement import tuning
from ablations.judgement.metrics import METRICS
from ablations.reporting import along
from ablations.reporting.budgets import Course, caption, courses, sentences, table
from ablations.reporting.cell_table import cell_caption, cell_table, stability
from ablations.reporting.conditions import conditions, held_equal
from ablations.reporting.factor_table import factor_caption, factor_rows, factor_table
from ablations.reporting.figures import differences, side_by_side
from ablations.reporting.findings import evidence
from ablations.reporting.limits import limits
from ablations.reporting.metric_tables import metric_tables
from ablations.reporting.pictured import pictured_variants
from ablations.reporting.results import OVERLAP, Results
from ablations.reporting.verdicts import (
    effect_rows,
    findings,
    interactions_table,
    main_effects_caption,
    main_effects_table,
)
from ablations.runs.plan import Plan
from ablations.tables import as_csv, inline, sentence
from unet.refusal import Refusal

_TEMPLATES: Final = Environment(
    loader=PackageLoader("ablations"),
    autoescape=False,  # noqa: S701  # Markdown, not HTML
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    undefined=StrictUndefined,
)
_TEMPLATES.filters |= {"inline": inline, "sentence": sentence}


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
    found, ways = courses(results), along.along(results)
    if found:
        curves = [course.curve for course in found]
        files[f"figures/{name}_budget.png"] = differences(
            curves, metric=results.plan.headline, over="training steps"
        )
    if ways:
        files[f"figures/{name}_along.png"] = differences(
            ways, metric=OVERLAP, over="percent of the run"
        )
    page = _TEMPLATES.get_template("report.md.j2").render(
        plan=results.plan,
        results=results,
        missing=results.planned - len(results.runs),
        findings=list(findings(results)),
        limits=list(limits(results)),
        trials=results.trials,
        evidence=evidence,
        factor_table=factor_table(results),
        factor_caption=factor_caption(results),
        main_effects=main_effects_table(results),
        main_effects_caption=main_effects_caption(results),
        interactions=interactions_table(results),
        metric=METRICS[results.plan.headline],
        metric_tables=list(metric_tables(results)),
        budget=_budget(found),
        along=ways and {"table": along.table(ways), "caption": along.caption(results)},
        tuning=_tuning(results),
        cell_table=cell_table(results),
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
