"""Records as tables: one row a run, one row a cell, one row a level of each factor."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final, Self, final

import numpy as np
import numpy.typing as npt
import pandas as pd

from ablations.judgement.comparisons import Comparison, asked, comparisons
from ablations.judgement.contrasts import Contrast, Design
from ablations.judgement.effects import Effect, judged
from ablations.judgement.metrics import METRICS, Stored, iou, macro
from ablations.judgement.statistics import Interval, half_width, mean_interval, paired_difference
from ablations.judgement.trials import Trial
from ablations.judgement.tuning import SEEN, Choice, choices
from ablations.runs.cell import Cell, training_macs
from ablations.runs.plan import Plan
from ablations.runs.records import Record
from ablations.tasks.shapes import TASKS
from unet.memory import memory
from unet.spec import UNetSpec

OVERLAP: Final = "IoU"
"""The metric by whose scatter a cell is called unstable, and by which a class is lost."""


@final
@dataclass(frozen=True)
class Level:
    """One value of a factor: its scores averaged over all other factors, seed by seed.

    `by_seed` holds the headline metric of each whole seed.
    """

    value: str
    scores: dict[str, Interval]
    by_seed: list[float]

    def above(self, other: Level) -> Interval:
        """How far this level's headline metric lies above the other's, paired by seed."""
        return paired_difference(self.by_seed, other.by_seed)


@final
@dataclass(frozen=True)
class Results:
    """A plan and what its runs came to.

    - `runs`: one row a record, in the plan's order: axis values as text, seed, outcome, scores,
      the IoU of the class that came out worst, and costs.
    - `pictured`: the records whose example the figure shows.
    """

    plan: Plan
    runs: pd.DataFrame
    pictured: tuple[Record, ...]

    @classmethod
    def of(cls, plan: Plan, records: Iterable[Record]) -> Self:
        """The records of `plan`'s own cells; others are left out.

        They are read one by one, and of each a row of numbers is kept: a million records need
        no more memory than their table.
        """
        environments: dict[str, int] = {}
        pictured: list[Record] = []
        wanted = set(pictured_variants(plan))

        def rows() -> Iterator[tuple[object, ...]]:
            for record in records:
                cell = record.parsed_cell()
                place = plan.place(cell)
                if place is None:
                    continue
                made_with = _described(record.environment)
                environment = environments.setdefault(made_with, len(environments))
                if record.example is not None and place % plan.variant_count in wanted:
                    pictured.append(record)
                yield place, environment, *_numbers(record, cell)

        table = np.fromiter(rows(), dtype=_ROW)
        table.sort(order="place")
        return cls(plan, _as_frame(table, plan, list(environments)), tuple(pictured))

    @property
    def environments(self) -> list[tuple[str, int]]:
        """What the records were made with, each with the number of its records."""
        counts = self.runs["environment"].value_counts()
        return sorted((str(name), int(count)) for name, count in counts.items())

    @cached_property
    def factors(self) -> list[str]:
        """The axes that are compared and have more than one value."""
        return [axis for axis, values in self.axes.items() if len(values) > 1]

    @cached_property
    def planned(self) -> int:
        """How many cells the plan has."""
        return self.plan.seeds * self.plan.variant_count

    @cached_property
    def choices(self) -> list[Choice]:
        """What each variant chose of the tuned axis; nothing if none is tuned."""
        return choices(self.runs, self.plan.tuned, list(self.axes)) if self.plan.tuned else []

    @cached_property
    def compared(self) -> pd.DataFrame:
        """The runs that comparisons are about: of a tuned axis those that were chosen."""
        return self._chosen(self.runs)

    @property
    def compared_cells(self) -> pd.DataFrame:
        """The cells that comparisons are about."""
        return self._chosen(self.cells)

    def _chosen(self, table: pd.DataFrame) -> pd.DataFrame:
        if self.plan.tuned is None:
            return table
        chosen = {(*choice.variant, choice.value) for choice in self.choices}
        rows = zip(
            *(table[axis].astype(str) for axis in (*self.axes, self.plan.tuned)), strict=True
        )
        return table[[row in chosen for row in rows]]

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row a variant, in the plan's order: scores over its seeds, and costs."""
        names = list(self.plan.axes)
        by_variant = self.runs.groupby(names, sort=False, observed=True)
        done = self.runs[self.runs["outcome"] == "done"].groupby(names, sort=False, observed=True)
        table = pd.DataFrame(index=by_variant.size().index)
        table["seeds"] = done.size().reindex(table.index, fill_value=0)
        table["diverged"] = by_variant.size() - table["seeds"]
        table["environments"] = by_variant["environment"].nunique()
        for metric in self.measured:
            # A variant all of whose runs diverged is in none of these groups.
            mean, deviation, seeds = (
                each.reindex(table.index)
                for each in (done[metric].mean(), done[metric].std(), done[metric].count())
            )
            half = half_width(deviation, seeds.fillna(0))
            table[metric] = mean
            table[f"{metric} low"], table[f"{metric} high"] = mean - half, mean + half
        table[f"{OVERLAP} sd"] = done[OVERLAP].std()
        table[f"{OVERLAP} lowest"] = done[OVERLAP].min()
        table[f"{OVERLAP} lowest class"] = done["lowest class"].min()
        costs = "parameters", "macs", "memory", "training macs"
        for name in ("steps", "base_channels", *costs):
            table[name] = by_variant[name].first()
        table[f"{OVERLAP} per training TMAC"] = table[OVERLAP] / table["training macs"] * 1e12
        table["seconds"] = by_variant["seconds"].median()
        if self.plan.tuned:
            table[SEEN] = by_variant[SEEN].mean()
        return table.reset_index()

    @cached_property
    def measured(self) -> list[str]:
        """The metrics that some run has, and those that the report is about in any case."""
        return [
            name
            for name, metric in METRICS.items()
            if metric.section == "overlap"
            or name == self.plan.headline
            or self.runs[name].notna().any()
        ]

    @cached_property
    def whole_seeds(self) -> list[int]:
        """The seeds with which every variant of the plan was trained without diverging."""
        done = self.compared[self.compared["outcome"] == "done"]
        variants = math.prod(map(len, self.axes.values()))
        sizes = done.groupby("seed").size()
        return [int(seed) for seed in sizes.index[sizes == variants]]

    def design_on(self, metric: str) -> Design:
        """A metric of every seed and variant; nan where a run is missing or diverged."""
        runs, sizes = self.compared, map(len, self.axes.values())
        table = np.full((self.plan.seeds, *sizes), np.nan)
        codes = (runs[axis].cat.codes.to_numpy() for axis in self.axes)
        table[(runs["seed"].to_numpy(), *codes)] = runs[metric].to_numpy()
        return Design(table, self.axes)

    @cached_property
    def axes(self) -> dict[str, list[str]]:
        """The axes that are compared, with their levels as text: all but the tuned one."""
        return {
            axis: [str(value) for value in values]
            for axis, values in self.plan.axes.items()
            if axis != self.plan.tuned
        }

    @cached_property
    def effects(self) -> list[tuple[Contrast, Effect]]:
        """Every main effect, simple effect and interaction on the headline metric, judged."""
        return self.effects_on(self.plan.headline, self.plan.margin)

    def effects_on(self, metric: str, margin: float = 0) -> list[tuple[Contrast, Effect]]:
        """Every main effect, simple effect and interaction on a metric, judged."""
        return judged(asked(self.design_on(metric)), margin)

    @cached_property
    def trials(self) -> list[Trial]:
        """What came of every claim of the plan, by their numbers."""
        claims = sorted(self.plan.claims, key=lambda claim: claim.number)
        return [Trial.of(claim, self.design_on) for claim in claims]

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """What sentences and tables are about: each factor, where it is compared."""
        return list(comparisons(self.axes))

    @cached_property
    def levels(self) -> dict[Comparison, list[Level]]:
        """What each comparison compares, over the whole seeds, so that every mean is balanced."""
        return {each: list(self._levels(each)) for each in self.comparisons}

    def _levels(self, comparison: Comparison) -> Iterator[Level]:
        runs = self.compared[self.compared["seed"].isin(self.whole_seeds)]
        for axis, level in comparison.held:
            runs = runs[runs[axis] == level]
        groups = runs.groupby([comparison.factor, "seed"])[self.measured]
        # A mean over some of the variants would not be balanced.
        means = groups.mean().where(groups.count().eq(groups.size(), axis=0))
        for value in self.axes[comparison.factor]:
            by_seed = means[means.index.get_level_values(comparison.factor) == value]
            yield Level(
                value,
                {name: mean_interval(by_seed[name].dropna().tolist()) for name in self.measured},
                by_seed[self.plan.headline].tolist(),
            )


_ROW: Final = np.dtype(
    [
        ("place", np.int64),
        ("environment", np.int64),
        ("diverged", np.bool_),
        *((name, np.float64) for name in (*METRICS, "lowest class")),
        ("steps", np.int64),
        ("base_channels", np.int64),
        ("parameters", np.int64),
        ("macs", np.int64),
        ("memory", np.int64),
        ("training macs", np.float64),
        ("seconds", np.float64),
        (SEEN, np.float64),
    ]
)
"""What is kept of a record; its axis values and its seed follow from its place in the plan."""


def _numbers(record: Record, cell: Cell) -> tuple[object, ...]:
    seconds = record.train_seconds + record.test_seconds
    steps, batch = cell.training.steps, cell.training.batch
    return (
        record.outcome == "diverged",
        *scores(record).values(),
        lowest_class(record),
        steps,
        cell.spec.base_channels,
        record.parameters,
        record.macs,
        _map_bytes(cell.spec, cell.input_size),
        training_macs(record.macs, steps, batch),
        seconds,
        seen(record),
    )


@lru_cache(maxsize=4096)
def _map_bytes(spec: UNetSpec, size: int) -> int:
    """Of the feature maps of one image in training."""
    return memory(spec, size, size).training


def _as_frame(table: npt.NDArray[np.void], plan: Plan, environments: Sequence[str]) -> pd.DataFrame:
    seeds, variants = np.divmod(table["place"], plan.variant_count)
    sizes = [len(values) for values in plan.axes.values()]
    levels = zip(plan.axes.items(), np.unravel_index(variants, sizes), strict=True)
    outcomes = np.where(table["diverged"], "diverged", "done")
    return pd.DataFrame(
        {
            **{
                axis: pd.Categorical.from_codes(codes, pd.Index([str(v) for v in values]))
                for (axis, values), codes in levels
            },
            "seed": seeds,
            "outcome": outcomes,
            **{name: table[name] for name in (_ROW.names or ())[3:]},
            "environment": pd.Categorical.from_codes(
                table["environment"], pd.Index(list(map(str, environments)))
            ),
        }
    )


def _described(environment: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in environment.items())


MOST_PICTURED: Final = 12
"""Rows of a figure: more than a page can show help nobody."""


def pictured_rows(plan: Plan) -> tuple[str, list[tuple[tuple[str, ...], tuple[str, ...]]]]:
    """The factor that goes across a figure, and its rows: the values of the axes before and after.

    The skips go across if they are compared, else the last axis, as far as there is one that
    leaves the image as it is: a row shows one image.
    """
    axes = list(plan.axes)
    alike = [axis for axis in axes if not axis.startswith("task.")] or axes
    across = "skip" if "skip" in axes else alike[-1]
    place = axes.index(across)
    texts = [tuple(map(str, values)) for values in plan.axes.values()]
    rows = itertools.product(
        itertools.product(*texts[:place]), itertools.product(*texts[place + 1 :])
    )
    return across, list(itertools.islice(rows, MOST_PICTURED))


def pictured_variants(plan: Plan) -> Iterator[int]:
    """The variants that `pictured_rows` shows, by their place among `plan.variants()`."""
    across, rows = pictured_rows(plan)
    places = [
        {str(value): place for place, value in enumerate(values)} for values in plan.axes.values()
    ]
    sizes = [len(each) for each in places]
    for before, after in rows:
        for value in map(str, plan.axes[across]):
            texts = (*before, value, *after)
            codes = [each[text] for each, text in zip(places, texts, strict=True)]
            yield int(np.ravel_multi_index(codes, sizes))


def scores(record: Record) -> dict[str, float]:
    """Every metric of one record; nan for a diverged run."""
    if record.counts is None:
        return dict.fromkeys(METRICS, math.nan)
    stored = Stored.of(record)
    return {name: metric.of(stored) for name, metric in METRICS.items()}


def seen(record: Record) -> float:
    """The IoU on the validation images, at the end; nan where there were none."""
    if not record.curve:
        return math.nan
    counts = np.asarray(record.curve[-1].counts, dtype=np.int64)
    scored = len(TASKS[record.parsed_cell().task.name].scored_classes)
    return macro(iou(counts[-scored:]))


def lowest_class(record: Record) -> float:
    """The IoU of the scored class that came out worst."""
    if record.counts is None:
        return math.nan
    stored = Stored.of(record)
    return float(np.nanmin(iou(stored.counts.sum(axis=0)[-stored.scored :])))
