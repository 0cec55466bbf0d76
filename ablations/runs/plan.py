"""A plan: every combination of axis values with every seed, cell by cell as it is asked for."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Final, final

from ablations.runs.cell import Cell, TaskSettings, Training
from ablations.runs.claims import Claim
from ablations.runs.fairness import equalised
from ablations.tasks.shapes import TASKS
from unet.refusal import shown
from unet.spec import PAPER, SPEC_FIELDS, UNetSpec, spec_with

BUDGET: Final = "training.steps"
"""The axis over which an effect is a curve."""

EQUAL: Final = "training.equal"
"""The axis that says at equal what variants are compared: a question by itself, and no factor."""

AXES: Final[tuple[str, ...]] = (
    *(name for name in SPEC_FIELDS if name not in ("in_channels", "num_classes")),
    "task.noise",
    "task.contrast",
    "task.difficulty",
    "task.test_noise",
    "task.test_contrast",
    BUDGET,
    "training.learning_rate",
    "training.precision",
    EQUAL,
)
"""What a plan may vary. Channels follow from the task; and the task, its sizes, the batch and the
test images are no axes, since variants are compared on the same images in the same order. A task's
dials leave the objects where they are and change how they look."""

HEADLINE: Final = "IoU"
"""The metric that a plan is about unless it names another."""

Only = Mapping[str, Collection[str]]
"""A part of a grid: for some axes, the values to keep, as text."""

_KEPT: Final = 4096
"""Specs, tasks and trainings that are kept ready: a sweep meets them again with every seed."""


@final
@dataclass(frozen=True, kw_only=True)
class Plan:
    """A grid of cells: every combination of the axes' values, each with every seed.

    Sentences and effects are about the metric `headline`. A difference of at most `margin` in it
    does not matter to who made the plan; 0 if every difference does. `claims` were made before the
    first run. Of the axis that is `tuned` every variant is compared at its own best. Seeds count
    up from `first_seed`, so that a second plan can ask the same of new ones.
    """

    name: str
    question: str
    seeds: int
    margin: float
    headline: str = HEADLINE
    axes: Mapping[str, tuple[object, ...]]
    settings: Mapping[str, Mapping[str, object]]
    claims: tuple[Claim, ...] = ()
    source: str = field(repr=False)
    tuned: str | None = None
    first_seed: int = 0

    @property
    def identity(self) -> object:
        """What decides which cells there are and what is said of them; not the file's comments."""
        told = self.question, self.headline, self.margin, self.claims, self.tuned
        return self.every_seed, dict(self.axes), self.settings, told

    @property
    def every_seed(self) -> range:
        """Those that every variant is trained with."""
        return range(self.first_seed, self.first_seed + self.seeds)

    @property
    def variant_count(self) -> int:
        """How many combinations of axis values there are."""
        return math.prod(map(len, self.axes.values()))

    def variants(self, only: Only = MappingProxyType({})) -> Iterator[tuple[object, ...]]:
        """Every combination of axis values, the last axis fastest; or those of a part."""
        return itertools.product(
            *(
                values if axis not in only else [v for v in values if str(v) in only[axis]]
                for axis, values in self.axes.items()
            )
        )

    def variants_of(
        self, group: str, only: Only = MappingProxyType({})
    ) -> Iterator[tuple[object, ...]]:
        """Those that differ in their axes of `group` ("spec", "task" or "training") only.

        The other axes have their first value, or the first that is to be kept.
        """
        others = [axis for axis in self.axes if group_and_name(axis)[0] != group]
        firsts = next(self.variants(only))
        fixed = {a: {str(v)} for a, v in zip(self.axes, firsts, strict=True) if a in others}
        return self.variants({**only, **fixed})

    def cells(self, only: Only = MappingProxyType({})) -> Iterator[Cell]:
        """Every cell, all variants of one seed before the next seed; or those of a part."""
        for seed in self.every_seed:
            for values in self.variants(only):
                yield self.cell(values, seed)

    def cell(self, values: Sequence[object], seed: int) -> Cell:
        """The cell of one variant; raises `Refusal` for one that cannot be."""
        chosen = dict(zip(self.axes, values, strict=True))
        cell = Cell(
            spec=self._spec(*(chosen[axis] for axis in self._axes_of("spec"))),
            task=self._task(*(chosen[axis] for axis in self._axes_of("task"))),
            training=self._training(*(chosen[axis] for axis in self._axes_of("training"))),
            seed=seed,
        )
        return equalised(cell, self._reference)

    def reference(self, values: Sequence[object]) -> tuple[object, ...]:
        """The variant that one is made equal to: of the first spec, and trained like it."""
        return tuple(
            self.axes[axis][0] if group_and_name(axis)[0] == "spec" else value
            for axis, value in zip(self.axes, values, strict=True)
        )

    @cached_property
    def equalities(self) -> tuple[object, ...]:
        """At equal what its variants are compared."""
        return self.axes.get(EQUAL, (self.settings["training"].get("equal", "steps"),))

    @property
    def solved(self) -> bool:
        """Whether steps or widths are solved for, so that they differ from the plan's own."""
        return any(each != "steps" for each in self.equalities)

    def _axes_of(self, group: str) -> tuple[str, ...]:
        return self._axes_by_group[group]

    def _with_axes(self, group: str, values: Sequence[object]) -> dict[str, object]:
        """The settings of a group, those that its axes vary among them."""
        names = (group_and_name(axis)[1] for axis in self._axes_of(group))
        return {**self.settings[group], **dict(zip(names, values, strict=True))}

    def place(self, cell: Cell) -> int | None:
        """Where `cell` stands among `cells()`, without counting them; None if it is none of them.

        Its variant is the remainder by `variant_count`.
        """
        values = self._found(cell)
        if values is None or cell.seed not in self.every_seed:
            return None
        place = cell.seed - self.first_seed
        for level, places in zip(values, self._places, strict=True):
            if level not in places:
                return None
            place = place * len(places) + places[level]
        return place if self.cell(values, cell.seed) == cell else None

    def values(self, axis: str) -> tuple[object, ...]:
        """An axis' values, or the one value that all cells share."""
        return self.axes.get(axis) or (self.cell(next(self.variants()), seed=0).value(axis),)

    def levels(self, cell: Cell) -> tuple[object, ...]:
        """The axis values of one of this plan's cells."""
        values = self._found(cell)
        assert values is not None, "only a plan's own cells have levels"
        return values

    def _found(self, cell: Cell) -> tuple[object, ...] | None:
        """The values that a cell has, were it one of this plan's."""
        if self.solved:
            return self._solutions.get((cell.spec, cell.task, cell.training))
        return tuple(cell.value(axis) for axis in self.axes)

    @cached_property
    def _solutions(self) -> dict[object, tuple[object, ...]]:
        """Each variant by its net and training: a cell does not show what it was solved from."""
        cells = ((self.cell(values, seed=0), values) for values in self.variants())
        return {(cell.spec, cell.task, cell.training): values for cell, values in cells}

    @cached_property
    def _reference(self) -> UNetSpec:
        return self._spec(*(self.axes[axis][0] for axis in self._axes_of("spec")))

    @cached_property
    def _axes_by_group(self) -> dict[str, tuple[str, ...]]:
        return {
            group: tuple(axis for axis in self.axes if group_and_name(axis)[0] == group)
            for group in self.settings
        }

    @cached_property
    def _places(self) -> list[dict[object, int]]:
        return [{value: n for n, value in enumerate(values)} for values in self.axes.values()]

    @property
    def task(self) -> TaskSettings:
        """The first variant's; all cells share its name, its sizes and its border."""
        return self._task(*(self.axes[axis][0] for axis in self._axes_of("task")))

    @cached_property
    def _spec(self) -> Callable[..., UNetSpec]:
        """From the values of the axes that vary the spec."""
        shown = TASKS[self.task.name]
        channels = {"in_channels": shown.in_channels, "num_classes": len(shown.classes)}

        def build(*values: object) -> UNetSpec:
            return spec_with(PAPER, {**self._with_axes("spec", values), **channels})

        return lru_cache(_KEPT, typed=True)(build)

    @cached_property
    def _task(self) -> Callable[..., TaskSettings]:
        """From the values of the axes that vary the task."""

        def build(*values: object) -> TaskSettings:
            return TaskSettings.model_validate(self._with_axes("task", values))

        return lru_cache(_KEPT, typed=True)(build)

    @cached_property
    def _training(self) -> Callable[..., Training]:
        """From the values of the axes that vary the training."""

        def build(*values: object) -> Training:
            return Training.model_validate(self._with_axes("training", values))

        return lru_cache(_KEPT, typed=True)(build)


def group_and_name(axis: str) -> tuple[str, str]:
    """`training.steps` is in the table [training]; a bare name is in [spec]."""
    group, _, name = axis.rpartition(".")
    return group or "spec", name


def differences(old: Plan, new: Plan) -> Iterator[str]:
    """What is not the same in two plans, thing by thing."""
    for name in ("seeds", "first_seed", "question", "headline", "margin", "tuned"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield f"{name} {shown(before)} -> {shown(after)}"
    if old.claims != new.claims:
        yield "claims, which are to be made before the first run"
    for axis in {**old.axes, **new.axes}:
        before, after = old.axes.get(axis), new.axes.get(axis)
        if before != after:
            yield f"axis {axis} {_listed(before)} -> {_listed(after)}"
    for group in new.settings:
        before_all, after_all = old.settings[group], new.settings[group]
        for name in {**before_all, **after_all}:
            before_one, after_one = before_all.get(name), after_all.get(name)
            if before_one != after_one:
                yield f"{group}.{name} {before_one} -> {after_one}"


def _listed(values: tuple[object, ...] | None) -> str:
    return "none" if values is None else ", ".join(map(str, values))
