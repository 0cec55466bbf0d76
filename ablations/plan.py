"""A plan: every combination of axis values with every seed, cell by cell as it is asked for."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Final, final

from ablations.cell import Cell, TaskSettings, Training
from ablations.claims import Claim
from ablations.shapes import TASKS
from unet.refusal import shown
from unet.spec import PAPER, SPEC_FIELDS, UNetSpec, spec_with

AXES: Final[tuple[str, ...]] = (
    *(name for name in SPEC_FIELDS if name not in ("in_channels", "num_classes")),
    "training.steps",
    "training.learning_rate",
)
"""What a plan may vary. Channels follow from the task; and the task, the batch and the test
images are no axes, since variants are compared on the same images in the same order."""

HEADLINE: Final = "IoU"
"""The metric that a plan is about unless it names another."""

Only = Mapping[str, Collection[str]]
"""A part of a grid: for some axes, the values to keep, as text."""

_KEPT: Final = 4096
"""Specs and trainings that are kept ready: a sweep meets the same ones again with every seed."""


@final
@dataclass(frozen=True, kw_only=True)
class Plan:
    """A grid of cells: every combination of the axes' values, each with every seed.

    Sentences and effects are about the metric `headline`. A difference of at most `margin` in it
    does not matter to who made the plan; 0 if every difference does. `claims` were made before the
    first run.
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

    @property
    def identity(self) -> object:
        """What decides which cells there are and what is said of them; not the file's comments."""
        told = self.question, self.headline, self.margin, self.claims
        return self.seeds, dict(self.axes), self.settings, told

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
        """Those that differ in their axes of `group` ("spec" or "training") only.

        The other axes have their first value, or the first that is to be kept.
        """
        others = [axis for axis in self.axes if group_and_name(axis)[0] != group]
        firsts = next(self.variants(only))
        fixed = {a: {str(v)} for a, v in zip(self.axes, firsts, strict=True) if a in others}
        return self.variants({**only, **fixed})

    def cells(self, only: Only = MappingProxyType({})) -> Iterator[Cell]:
        """Every cell, all variants of one seed before the next seed; or those of a part."""
        for seed in range(self.seeds):
            for values in self.variants(only):
                yield self.cell(values, seed)

    def cell(self, values: Sequence[object], seed: int) -> Cell:
        """The cell of one variant; raises `Refusal` for one that cannot be."""
        chosen = dict(zip(self.axes, values, strict=True))
        return Cell(
            spec=self._spec(*(chosen[axis] for axis in self._axes_of("spec"))),
            task=self.task,
            training=self._training(*(chosen[axis] for axis in self._axes_of("training"))),
            seed=seed,
        )

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
        place = cell.seed
        for level, places in zip(self.levels(cell), self._places, strict=True):
            if level not in places:
                return None
            place = place * len(places) + places[level]
        ours = cell.seed < self.seeds and self.cell(self.levels(cell), cell.seed) == cell
        return place if ours else None

    def values(self, axis: str) -> tuple[object, ...]:
        """An axis' values, or the one value that all cells share."""
        return self.axes.get(axis) or (self.cell(next(self.variants()), seed=0).value(axis),)

    def levels(self, cell: Cell) -> tuple[object, ...]:
        """The axis values of one of this plan's cells."""
        return tuple(cell.value(axis) for axis in self.axes)

    @cached_property
    def _axes_by_group(self) -> dict[str, tuple[str, ...]]:
        return {
            group: tuple(axis for axis in self.axes if group_and_name(axis)[0] == group)
            for group in self.settings
        }

    @cached_property
    def _places(self) -> list[dict[object, int]]:
        return [{value: n for n, value in enumerate(values)} for values in self.axes.values()]

    @cached_property
    def task(self) -> TaskSettings:
        """What all cells are trained and scored on."""
        return TaskSettings.model_validate(self.settings["task"])

    @cached_property
    def _spec(self) -> Callable[..., UNetSpec]:
        """From the values of the axes that vary the spec."""
        shown = TASKS[self.task.name]
        channels = {"in_channels": shown.in_channels, "num_classes": len(shown.classes)}

        def build(*values: object) -> UNetSpec:
            return spec_with(PAPER, {**self._with_axes("spec", values), **channels})

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
    if old.seeds != new.seeds:
        yield f"seeds {old.seeds} -> {new.seeds}"
    for name in ("question", "headline", "margin"):
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
