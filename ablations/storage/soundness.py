"""Whether a plan can be run and judged; if not, the line of its file that is to blame."""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

from ablations.runs.cell import Cell, TaskSettings, Training
from ablations.runs.plan import EQUAL, HEADLINE, Plan, group_and_name
from ablations.storage.lines import Lines, first_error
from unet.algebra import SizeLaw, size_law
from unet.refusal import Refusal, require_choice, shown

MOST_VARIANTS: Final = 1_000_000
MOST_CELLS: Final = 100_000_000
"""A plan with more of them is a slip of the pen, or would take days to count."""

MOST_SOLVED: Final = 10_000
"""Variants that are made equal one by one, and kept in a table."""


def require_runnable(plan: Plan, lines: Lines) -> None:
    """Refuse a plan with a cell that cannot be built, fed, scored or solved."""
    _require_equality(plan, lines)
    # A spec is possible or not whatever its training and the look of its images, and so are these.
    for group in plan.settings:
        for values in plan.variants_of(group):
            _require_possible(plan, values, lines)
    if plan.solved:
        _require_solvable(plan, lines)


def require_judgeable(plan: Plan, lines: Lines) -> None:
    """Refuse a plan about a metric, a choice or a claim of which nothing can be said."""
    _require_metric(plan, lines)
    _require_tunable(plan, lines)
    _require_testable(plan, lines)


def require_countable(plan: Plan, lines: Lines) -> None:
    """Refuse a plan of too many cells."""
    for count, most, thing in (
        (plan.variant_count, MOST_VARIANTS, "variants"),
        (plan.variant_count * plan.seeds, MOST_CELLS, "cells"),
    ):
        if count > most:
            raise lines.refusal(
                ("axes",),
                f"{count} {thing} are more than the {most} that a plan may have: split it",
            )


def _require_metric(plan: Plan, lines: Lines) -> None:
    """Only a plan that is about another metric has to wait until the table of them is there."""
    if plan.headline != HEADLINE:
        from ablations.judgement.metrics import METRICS

        try:
            require_choice("headline", plan.headline, METRICS)
        except Refusal as problem:
            raise lines.refusal(("headline",), str(problem)) from None


def _require_tunable(plan: Plan, lines: Lines) -> None:
    """Refuse an axis to be tuned of which nothing can be chosen, or for nobody."""
    if plan.tuned is None:
        return
    if len(plan.axes.get(plan.tuned, ())) < 2:
        fault = f"{plan.tuned} is no axis of several values: give some to choose from"
    elif len(plan.axes) < 2:
        fault = f"{plan.tuned} is the only axis: give the variants that are to choose"
    elif not plan.settings["training"].get("validation_images"):
        fault = f"{plan.tuned} is chosen on validation images: give validation_images in [training]"
    else:
        return
    raise lines.refusal(("tuned",), fault)


def _require_testable(plan: Plan, lines: Lines) -> None:
    """Only a plan that claims something has to wait until numpy and scipy are there."""
    if plan.claims:
        from ablations.judgement.trials import require_testable

        compared = {axis: values for axis, values in plan.axes.items() if axis != plan.tuned}
        try:
            require_testable(plan.claims, compared)
        except Refusal as problem:
            raise lines.refusal(("claims",), str(problem)) from None


def _require_equality(plan: Plan, lines: Lines) -> None:
    """Refuse what cannot be held equal, before anything is solved for."""
    if not plan.solved:
        return
    path = tuple(EQUAL.split("."))
    path = ("axes", *path) if EQUAL in plan.axes else path
    if plan.variant_count > MOST_SOLVED:
        raise lines.refusal(
            path,
            f"{plan.variant_count} variants are more than the {MOST_SOLVED} that can be made "
            "equal to the first: split the plan",
        )
    if "parameters" in plan.equalities and "base_channels" in plan.axes:
        raise lines.refusal(
            path,
            "equal parameters are reached by base_channels, which is an axis as well: "
            "fix it in [spec]",
        )
    varied = (axis for axis, values in plan.axes.items() if len(values) > 1)
    if not any(group_and_name(axis)[0] == "spec" for axis in varied):
        raise lines.refusal(path, "all variants have one spec and are equal: add an axis of [spec]")


def _require_solvable(plan: Plan, lines: Lines) -> None:
    """Refuse variants that come to one and the same run when they are made equal."""
    found: dict[str, tuple[object, ...]] = {}
    for values in plan.variants():
        _require_possible(plan, values, lines)
        cell = plan.cell(values, seed=0)
        twin = found.setdefault(cell.variant, values)
        if twin != values:
            raise lines.refusal(
                ("axes",),
                f"{', '.join(map(str, twin))} and {', '.join(map(str, values))} come to the same "
                f"run of {cell.training.steps} steps: leave one out",
            )


def _require_possible(plan: Plan, values: tuple[object, ...], lines: Lines) -> None:
    """Refuse a variant that cannot be built, fed or scored, on the line that is to blame."""

    def path_of(group: str, name: str) -> tuple[str, ...]:
        axis = name if group == "spec" else f"{group}.{name}"
        return ("axes", *axis.split(".")) if axis in plan.axes else (group, name)

    variant = ", ".join(
        f"{axis} {value if isinstance(value, str) else shown(value)}"
        for axis, value in zip(plan.axes, values, strict=True)
    )
    try:
        cell = plan.cell(values, seed=0)
    except ValidationError as problem:
        model, group = (
            (Training, "training") if problem.title == "Training" else (TaskSettings, "task")
        )
        path = path_of(group, str(first_error(problem)["loc"][0]))
        raise lines.complaint(problem, model, path) from None
    except Refusal as problem:
        raise lines.refusal(path_of("spec", problem.field), str(problem)) from None
    law, task = size_law(cell.spec), cell.task
    if fault := _fault_of_size(cell, law, variant):
        raise lines.refusal(path_of("task", "size"), fault)
    output = law.output(cell.input_size)
    if task.scored > output or (output - task.scored) % 2:
        raise lines.refusal(
            path_of("task", "scored"),
            f"scored {task.scored} cannot be centred in the output of {variant}: "
            f"give {output} or less by an even number",
        )


def _fault_of_size(cell: Cell, law: SizeLaw, variant: str) -> str | None:
    """Why the net cannot be given the task's images, with or without a mirrored rim."""
    size, rim = cell.task.size, cell.input_size - cell.task.size
    if not law.is_legal(cell.input_size):
        return f"size {size} is not legal for {variant}: {law.nearest_in_words(size)}"
    if rim % 2:
        return f"size {size} has no rim of equal width on all sides for {variant}: give an even one"
    if rim // 2 >= size:
        return (
            f"size {size} is too small to be mirrored {rim // 2} pixels deep for {variant}: "
            "give a larger one"
        )
    return None
