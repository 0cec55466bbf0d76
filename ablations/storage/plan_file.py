"""From a plan file to a plan, or the line that is wrong in it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, Final, Literal, final, get_args

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails

from ablations.runs.cell import STRICT, Cell, TaskSettings, Training
from ablations.runs.claims import Claim, Line
from ablations.runs.plan import AXES, EQUAL, HEADLINE, Plan, group_and_name
from unet.algebra import SizeLaw, size_law
from unet.refusal import Refusal, require_choice, shown

LONGEST: Final = 20_000
"""Characters of a plan file: more than any needs. Python's TOML takes seconds for as many dots."""

MOST_VARIANTS: Final = 1_000_000
MOST_CELLS: Final = 100_000_000
"""A plan with more of them is a slip of the pen, or would take days to count."""

MOST_SOLVED: Final = 10_000
"""Variants that are made equal one by one, and kept in a table."""


class PlanFile(BaseModel):
    """The literal content of a plan file, before its values are put together."""

    model_config = STRICT

    question: Line
    seeds: int = Field(ge=1, le=1_000_000)
    headline: str = HEADLINE
    margin: float = Field(default=0.0, ge=0, le=1e6)
    claims: list[Claim] = Field(default_factory=list, max_length=20)
    tuned: Literal["training.learning_rate"] | None = None
    axes: dict[str, Any]
    spec: dict[str, Any] = Field(default_factory=dict)
    task: dict[str, Any]
    training: dict[str, Any]


def shipped_plans() -> dict[str, Path]:
    """The plans that come with the package, by name."""
    folder = Path(str(resources.files("ablations"))) / "plans"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_plan(name: str, seeds: int | None = None) -> Plan:
    """A shipped plan by its name, or any plan by the path of its file; with `seeds`, if given.

    Raises `Refusal`, with the file and the line, for anything that is not a plan.
    """
    shipped = shipped_plans()
    path = shipped.get(name, Path(name))
    try:
        with path.open(encoding="utf-8-sig") as file:
            source = file.read(LONGEST + 1)  # whatever the file is, as /dev/zero
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "not UTF-8 text"
        raise Refusal(
            f"plan {shown(name)}: {reason}; give a .toml file or one of {', '.join(shipped)}"
        ) from None
    if seeds is not None:
        # A store keeps the text of its plan, which must be of the plan that is run.
        source = re.sub(r"(?m)^seeds\b.*", f"seeds = {seeds}", source, count=1)
    plan = read_plan(source, name=path.stem, file=str(path))
    if seeds not in (None, plan.seeds):
        raise Refusal(f"{path}: no line begins with `seeds = `, so --seeds {seeds} changes nothing")
    return plan


def read_plan(source: str, *, name: str, file: str) -> Plan:
    """The plan that `source` (TOML) describes; `file` is what errors call it."""
    lines = _Lines(source, file)
    if len(source) > LONGEST:
        raise Refusal(f"{file}: longer than the {LONGEST} characters of any plan")
    try:
        content = PlanFile.model_validate(tomllib.loads(source))
    except ValidationError as problem:
        raise lines.complaint(problem, PlanFile, ()) from None
    except (ValueError, RecursionError) as problem:
        raise Refusal(f"{file}: not TOML: {problem}") from None
    if not re.fullmatch(r"\w[\w.-]{0,99}", name):
        raise Refusal(
            f"{file}: plan name {shown(name)}: use letters, digits, '_', '-' and '.' only"
        )
    for fixed in ("in_channels", "num_classes"):
        if fixed in content.spec:
            raise lines.refusal(("spec", fixed), f"{fixed} follows from the task: leave it out")
    settings = {"spec": content.spec, "task": content.task, "training": content.training}
    plan = Plan(
        name=name,
        question=content.question,
        seeds=content.seeds,
        margin=content.margin,
        headline=content.headline,
        axes=dict(_read_axes(content.axes, settings, lines)),
        settings=settings,
        claims=tuple(content.claims),
        tuned=content.tuned,
        source=source,
    )
    _require_countable(plan, lines)
    _require_equality(plan, lines)
    # A spec is possible or not whatever its training and the look of its images, and so are these.
    for group in settings:
        for values in plan.variants_of(group):
            _require_possible(plan, values, lines)
    if plan.solved:
        _require_solvable(plan, lines)
    plan = replace(plan, axes=dict(_as_cells_have_them(plan)))
    _require_metric(plan, lines)
    _require_tunable(plan, lines)
    _require_testable(plan, lines)
    return plan


def _require_countable(plan: Plan, lines: _Lines) -> None:
    for count, most, thing in (
        (plan.variant_count, MOST_VARIANTS, "variants"),
        (plan.variant_count * plan.seeds, MOST_CELLS, "cells"),
    ):
        if count > most:
            raise lines.refusal(
                ("axes",),
                f"{count} {thing} are more than the {most} that a plan may have: split it",
            )


def _require_metric(plan: Plan, lines: _Lines) -> None:
    """Only a plan that is about another metric has to wait until the table of them is there."""
    if plan.headline != HEADLINE:
        from ablations.judgement.metrics import METRICS

        try:
            require_choice("headline", plan.headline, METRICS)
        except Refusal as problem:
            raise lines.refusal(("headline",), str(problem)) from None


def _require_tunable(plan: Plan, lines: _Lines) -> None:
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


def _require_testable(plan: Plan, lines: _Lines) -> None:
    """Only a plan that claims something has to wait until numpy and scipy are there."""
    if plan.claims:
        from ablations.judgement.trials import require_testable

        compared = {axis: values for axis, values in plan.axes.items() if axis != plan.tuned}
        try:
            require_testable(plan.claims, compared)
        except Refusal as problem:
            raise lines.refusal(("claims",), str(problem)) from None


def _require_equality(plan: Plan, lines: _Lines) -> None:
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
    if not any(group_and_name(axis)[0] == "spec" for axis in plan.axes):
        raise lines.refusal(path, "all variants have one spec and are equal: add an axis of [spec]")


def _require_solvable(plan: Plan, lines: _Lines) -> None:
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


def _as_cells_have_them(plan: Plan) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Each axis with its values as they are in cells: TOML's 0 is a learning rate's 0.0."""
    firsts = next(plan.variants())
    for place, (axis, values) in enumerate(plan.axes.items()):
        rows = ((*firsts[:place], value, *firsts[place + 1 :]) for value in values)
        yield axis, tuple(plan.cell(row, seed=0).value(axis) for row in rows)


def _read_axes(
    content: Mapping[str, Any], settings: Mapping[str, Mapping[str, object]], lines: _Lines
) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Each axis with its values, once they are known to be distinct and nowhere else fixed."""
    pairs = list(_flattened(content))
    flat = dict(pairs)
    if len(flat) < len(pairs):
        raise lines.refusal(("axes",), f"one axis is given twice: {', '.join(p[0] for p in pairs)}")
    if not flat:
        raise lines.refusal(("axes",), f"no axis: give at least one of {', '.join(AXES)}")
    for axis, values in flat.items():
        group, name = group_and_name(axis)
        path = ("axes", *axis.split("."))
        if axis not in AXES:
            raise lines.refusal(
                path, f"unknown axis {shown(axis)}; legal axes are {', '.join(AXES)}"
            )
        if not isinstance(values, list) or not values or not all(map(_is_plain, values)):
            raise lines.refusal(path, f"axis {axis} = {shown(values)} is not a list of values")
        if any(values.index(value) != place for place, value in enumerate(values)):
            raise lines.refusal(path, f"axis {axis} = {shown(values)} names a value twice")
        if name in settings[group]:
            raise lines.refusal(path, f"{axis} is an axis, but [{group}] fixes {name} as well")
        yield axis, tuple(tuple(value) if isinstance(value, list) else value for value in values)


def _is_plain(value: object) -> bool:
    """Whether it can be a field of a spec: one thing, or a list of such."""
    inner = value if isinstance(value, list) else [value]
    return all(
        isinstance(each, str | float) or (isinstance(each, int) and abs(each) < 2**63)
        for each in inner
    )


def _flattened(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", deep) for inner, deep in value.items())
        else:
            yield name, value


def _require_possible(plan: Plan, values: tuple[object, ...], lines: _Lines) -> None:
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
        path = path_of(group, str(_first_error(problem)["loc"][0]))
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


@final
@dataclass(frozen=True)
class _Lines:
    """The lines of a plan file, to say where a mistake stands."""

    source: str
    file: str

    def refusal(self, path: Sequence[str], message: str) -> Refusal:
        return Refusal(f"{self.file}:{self.number(path)}: {message}")

    def complaint(
        self, problem: ValidationError, model: type[BaseModel], path: tuple[str, ...]
    ) -> Refusal:
        """One of pydantic's complaints in one line, with the legal keys where a key is wrong."""
        error = _first_error(problem)
        path = path or tuple(str(part) for part in error["loc"])
        name, keys = ".".join(path), ", ".join(_model_at(model, error["loc"][:-1]).model_fields)
        if error["type"] == "extra_forbidden":
            return self.refusal(path, f"unknown key {shown(name)}; legal keys are {keys}")
        if error["type"] == "missing":
            return self.refusal(path, f"{name!r} is missing; the keys are {keys}")
        said = error["msg"].removeprefix("Value error, ")
        return self.refusal(path, f"{name} = {shown(error['input'])}: {said[0].lower()}{said[1:]}")

    def number(self, path: Sequence[str]) -> int:
        """The line of the key `path`, or else of the table that it belongs in, or else 1."""
        best, most_shared = 1, 0
        table: tuple[str, ...] = ()
        for number, text in enumerate(self.source.splitlines(), start=1):
            if header := re.match(r"\s*\[{1,2}([^\[\]]+)\]", text):
                table = keys = _keys(header[1])
            elif assignment := re.match(r"""\s*([\w."'-]+)\s*=""", text):
                keys = (*table, *_keys(assignment[1]))
            else:
                continue
            shared = min(len(keys), len(path))
            if shared > most_shared and keys[:shared] == tuple(path[:shared]):
                best, most_shared = number, shared
        return best


def _first_error(problem: ValidationError) -> ErrorDetails:
    """The error to tell: a mistyped key is both unknown and missing, and unknown says more."""
    return min(problem.errors(), key=lambda error: error["type"] != "extra_forbidden")


def _model_at(model: type[BaseModel], path: Sequence[int | str]) -> type[BaseModel]:
    """The model of a part, as far as the path to it leads from model to model."""
    for name in path:
        field = model.model_fields.get(str(name))
        inner = get_args(field.annotation) if field else ()
        if inner and isinstance(inner[0], type) and issubclass(inner[0], BaseModel):
            model = inner[0]
    return model


def _keys(text: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in text.split("."))
