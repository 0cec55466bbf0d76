"""From a plan file to a plan, or the line that is wrong in it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, Field, ValidationError

from ablations.runs.cell import STRICT, Precision, TaskSettings, Training
from ablations.runs.claims import Claim, Line
from ablations.runs.plan import AXES, HEADLINE, Plan, group_and_name
from ablations.storage.lines import Lines
from ablations.storage.soundness import require_countable, require_judgeable, require_runnable
from unet.algebra import size_law
from unet.refusal import Refusal, did_you_mean, shown

LONGEST: Final = 20_000
"""Characters of a plan file: more than any needs. Python's TOML takes seconds for as many dots."""

NAME_BYTES: Final = 200
"""Of a plan's name in UTF-8: files are named after it, and no file system takes more than 255."""


class PlanFile(BaseModel):
    """The literal content of a plan file, before its values are put together."""

    model_config = STRICT

    question: Line
    seeds: int = Field(ge=1, le=1_000_000)
    first_seed: int = Field(default=0, ge=0, le=2**53)
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


def load_plan(name: str, seeds: int | None = None, precision: Precision | None = None) -> Plan:
    """A shipped plan by its name, or any plan by the path of its file.

    `seeds` and `precision` take the place of the plan's own, if they are given.

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
            f"{did_you_mean(name, shipped)}"
        ) from None
    if seeds is not None:
        # A store keeps the text of its plan, which must be of the plan that is run.
        source = re.sub(r"(?m)^seeds\b.*", f"seeds = {seeds}", source, count=1)
    if precision is not None:
        source = _with_precision(
            source, precision, read_plan(source, name=path.stem, file=str(path))
        )
    plan = read_plan(source, name=path.stem, file=str(path))
    if precision is not None and plan.values(PRECISION) != (precision,):
        raise Refusal(f"{path}: no line is [training], so --precision {precision} changes nothing")
    if seeds not in (None, plan.seeds):
        raise Refusal(f"{path}: no line begins with `seeds = `, so --seeds {seeds} changes nothing")
    return plan


PRECISION: Final = "training.precision"


def _with_precision(source: str, precision: Precision, plan: Plan) -> str:
    """The text of a plan with a line for the precision, unless it comes to that already.

    Raises `Refusal` if it says something else: nobody's lines are taken out.
    """
    if plan.values(PRECISION) == (precision,):
        return source
    if PRECISION in plan.axes:
        raise Refusal(f"{PRECISION} is an axis of the plan: use --only {PRECISION}={precision}")
    if "precision" in plan.settings["training"]:
        raise Refusal(f"the plan's [training] fixes precision: change it there to {precision}")
    line = f'precision = "{precision}"'
    return re.sub(r"(?m)^\[training\].*", rf"\g<0>\n{line}", source, count=1)


def read_plan(source: str, *, name: str, file: str) -> Plan:
    """The plan that `source` (TOML) describes; `file` is what errors call it."""
    lines = Lines(source, file)
    if len(source) > LONGEST:
        raise Refusal(f"{file}: longer than the {LONGEST} characters of any plan")
    try:
        written = tomllib.loads(source)
    except (ValueError, RecursionError) as problem:
        raise Refusal(f"{file}: not TOML: {problem}") from None
    _require_keys(written, lines)
    try:
        content = PlanFile.model_validate(written)
    except ValidationError as problem:
        raise lines.complaint(problem, PlanFile, ()) from None
    _require_name(name, file)
    for fixed in ("in_channels", "num_classes"):
        if fixed in content.spec:
            raise lines.refusal(("spec", fixed), f"{fixed} follows from the task: leave it out")
    task = {**content.task}
    task.setdefault("scored", task.get("size"))
    settings = {"spec": content.spec, "task": task, "training": content.training}
    plan = Plan(
        name=name,
        question=content.question,
        seeds=content.seeds,
        first_seed=content.first_seed,
        margin=content.margin,
        headline=content.headline,
        axes=dict(_read_axes(content.axes, settings, lines)),
        settings=settings,
        claims=tuple(content.claims),
        tuned=content.tuned,
        source=source,
    )
    require_countable(plan, lines)
    if "scored" not in content.task:
        covered = {**task, "scored": _covered_by_all(plan)}
        plan = replace(plan, settings={**settings, "task": covered})
    require_runnable(plan, lines)
    plan = replace(plan, axes=dict(_as_cells_have_them(plan)))
    for axis, values in plan.axes.items():
        _require_distinct(axis, values, lines)
    require_judgeable(plan, lines)
    return plan


GROUPS: Final[Mapping[str, type[BaseModel]]] = {
    "": PlanFile,
    "task": TaskSettings,
    "training": Training,
}
"""The tables of a plan that have required keys; without a name, what stands above all tables."""

NOT_ASKED: Final = ("task.scored", *filter(None, GROUPS))
"""Keys that are not asked for: what is found out, and tables, whose own keys are."""


def _require_keys(written: Mapping[str, Any], lines: Lines) -> None:
    """Refuse a key that there is not, or else all those at once that are missing."""
    axes = written.get("axes")
    given = {key for key, _ in _flattened(axes)} if isinstance(axes, dict) else set()
    missing = []
    for group, model in GROUPS.items():
        table = written.get(group, {}) if group else written
        if not isinstance(table, dict):
            continue  # it is told below, with its place
        prefix = (group,) if group else ()
        for name in table:
            if name not in model.model_fields:
                raise lines.unknown((*prefix, name), model.model_fields)
        for name, field in model.model_fields.items():
            key = ".".join((*prefix, name))
            known = name in table or key in given or key in NOT_ASKED
            missing += [key] * (field.is_required() and not known)
    if missing:
        raise lines.refusal((), f"missing: {', '.join(missing)}; give each a value")


def _covered_by_all(plan: Plan) -> object:
    """The side of the central window that the output of every net covers.

    Of a plan that has no such nets it is the image's, and what is wrong is told with its place.
    """
    task = plan.settings["task"]
    try:
        cells = [plan.cell(values, seed=0) for values in plan.variants_of("spec")]
    except (ValidationError, Refusal):
        return task["size"]
    if cells[0].task.border == "mirrored":
        return task["size"]
    return max(1, cells[0].task.size - max(size_law(cell.spec).margin for cell in cells))


def _require_name(name: str, file: str) -> None:
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise Refusal(
            f"{file}: plan name {shown(name)}: use letters, digits, '_', '-' and '.' only"
        )
    if (size := len(name.encode())) > NAME_BYTES:
        raise Refusal(
            f"{file}: plan name {shown(name)}: {size} bytes in UTF-8, and {NAME_BYTES} is the most"
        )


def _as_cells_have_them(plan: Plan) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Each axis with its values as they are in cells: TOML's 0 is a learning rate's 0.0."""
    firsts = next(plan.variants())
    for place, (axis, values) in enumerate(plan.axes.items()):
        rows = ((*firsts[:place], value, *firsts[place + 1 :]) for value in values)
        yield axis, tuple(plan.cell(row, seed=0).value(axis) for row in rows)


def _read_axes(
    content: Mapping[str, Any], settings: Mapping[str, Mapping[str, object]], lines: Lines
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
            known = f"legal axes are {', '.join(AXES)}{did_you_mean(axis, AXES)}"
            raise lines.refusal(path, f"unknown axis {shown(axis)}; {known}")
        if not isinstance(values, list) or not values or not all(map(_is_plain, values)):
            raise lines.refusal(path, f"axis {axis} = {shown(values)} is not a list of values")
        _require_distinct(axis, values, lines)
        if name in settings[group]:
            raise lines.refusal(path, f"{axis} is an axis, but [{group}] fixes {name} as well")
        yield axis, tuple(tuple(value) if isinstance(value, list) else value for value in values)


def _require_distinct(axis: str, values: Sequence[object], lines: Lines) -> None:
    """Refuse a value that is there twice: as it is written, or as cells have it."""
    if any(values.index(value) != place for place, value in enumerate(values)):
        path = ("axes", *axis.split("."))
        raise lines.refusal(path, f"axis {axis} = {shown(list(values))} names a value twice")


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
