"""Records as tables: one row a run, one row a cell, one row a level of each factor."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self, final

import numpy as np
import numpy.typing as npt
import pandas as pd

from ablations.contrasts import Contrast, contrasts
from ablations.effects import Effect, judged
from ablations.metrics import METRICS, Counts, macro
from ablations.plan import Plan
from ablations.records import Record
from ablations.shapes import TASKS
from ablations.statistics import Array, Interval, half_width, mean_interval, paired_difference

HEADLINE: Final = "IoU"
"""The metric that sentences are about."""


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
      the headline metric of the class that came out worst, and costs.
    - `environments`: what the records were made with, each with the number of its records.
    - `pictured`: the records whose example the figure shows.
    """

    plan: Plan
    runs: pd.DataFrame
    environments: list[tuple[str, int]]
    pictured: tuple[Record, ...]

    @classmethod
    def of(cls, plan: Plan, records: Iterable[Record]) -> Self:
        """The records of `plan`'s own cells; others are left out.

        They are read one by one, and of each a row of numbers is kept: a million records need
        no more memory than their table.
        """
        made_with: Counter[str] = Counter()
        pictured: list[Record] = []
        wanted = set(pictured_variants(plan))

        def rows() -> Iterator[tuple[object, ...]]:
            for record in records:
                place = plan.place(record.parsed_cell())
                if place is None:
                    continue
                made_with[_described(record.environment)] += 1
                if record.example is not None and place % plan.variant_count in wanted:
                    pictured.append(record)
                yield _row(record, place)

        table = np.fromiter(rows(), dtype=_ROW)
        table.sort(order="place")
        return cls(plan, _as_frame(table, plan), sorted(made_with.items()), tuple(pictured))

    @cached_property
    def factors(self) -> list[str]:
        """The axes that have more than one value."""
        return [axis for axis, values in self.plan.axes.items() if len(values) > 1]

    @cached_property
    def planned(self) -> int:
        """How many cells the plan has."""
        return self.plan.seeds * self.plan.variant_count

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row a variant, in the plan's order: scores over its seeds, and costs."""
        names = list(self.plan.axes)
        by_variant = self.runs.groupby(names, sort=False, observed=True)
        done = self.runs[self.runs["outcome"] == "done"].groupby(names, sort=False, observed=True)
        table = pd.DataFrame(index=by_variant.size().index)
        table["seeds"] = done.size().reindex(table.index, fill_value=0)
        table["diverged"] = by_variant.size() - table["seeds"]
        for metric in METRICS:
            # A variant all of whose runs diverged is in none of these groups.
            mean, deviation = (
                each.reindex(table.index) for each in (done[metric].mean(), done[metric].std())
            )
            half = half_width(deviation, table["seeds"])
            table[metric] = mean
            table[f"{metric} low"], table[f"{metric} high"] = mean - half, mean + half
        table[f"{HEADLINE} sd"] = done[HEADLINE].std()
        table[f"{HEADLINE} lowest"] = done[HEADLINE].min()
        table[f"{HEADLINE} lowest class"] = done["lowest class"].min()
        for name in ("parameters", "macs"):
            table[name] = by_variant[name].first()
        table["seconds"] = by_variant["seconds"].median()
        return table.reset_index()

    @cached_property
    def whole_seeds(self) -> list[int]:
        """The seeds with which every variant of the plan was trained without diverging."""
        done = self.runs[self.runs["outcome"] == "done"]
        variants = self.planned // self.plan.seeds
        sizes = done.groupby("seed").size()
        return [int(seed) for seed in sizes.index[sizes == variants]]

    @cached_property
    def scores(self) -> Array:
        """The headline metric as (seeds, levels of the first axis, of the second, ...).

        nan where a run is missing or diverged.
        """
        sizes = [len(values) for values in self.plan.axes.values()]
        table = np.full((self.plan.seeds, *sizes), np.nan)
        codes = (self.runs[axis].cat.codes.to_numpy() for axis in self.plan.axes)
        table[(self.runs["seed"].to_numpy(), *codes)] = self.runs[HEADLINE].to_numpy()
        return table

    @cached_property
    def effects(self) -> list[tuple[Contrast, Effect]]:
        """Every main effect, simple effect and interaction on the headline metric, judged."""
        axes = {axis: [str(v) for v in values] for axis, values in self.plan.axes.items()}
        return judged(contrasts(self.scores, axes), self.plan.margin)

    @cached_property
    def levels(self) -> dict[str, list[Level]]:
        """Each factor's values, over the whole seeds only, so that every mean is balanced."""
        return {factor: list(self._levels(factor)) for factor in self.factors}

    def _levels(self, factor: str) -> Iterator[Level]:
        whole = self.runs[self.runs["seed"].isin(self.whole_seeds)]
        means = whole.groupby([factor, "seed"])[list(METRICS)].mean()
        for value in map(str, self.plan.axes[factor]):
            by_seed = means[means.index.get_level_values(factor) == value]
            yield Level(
                value,
                {metric: mean_interval(by_seed[metric].tolist()) for metric in METRICS},
                by_seed[HEADLINE].tolist(),
            )


_ROW: Final = np.dtype(
    [
        ("place", np.int64),
        ("diverged", np.bool_),
        *((name, np.float64) for name in (*METRICS, "lowest class")),
        ("parameters", np.int64),
        ("macs", np.int64),
        ("seconds", np.float64),
    ]
)
"""What is kept of a record; its axis values and its seed follow from its place in the plan."""


def _row(record: Record, place: int) -> tuple[object, ...]:
    seconds = record.train_seconds + record.test_seconds
    return (
        place,
        record.outcome == "diverged",
        *scores(record).values(),
        lowest_class(record),
        record.parameters,
        record.macs,
        seconds,
    )


def _as_frame(table: npt.NDArray[np.void], plan: Plan) -> pd.DataFrame:
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
            **{name: table[name] for name in (_ROW.names or ())[2:]},
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
    """Every metric of one record: the mean over the scored classes, all bands together."""
    if record.counts is None:
        return dict.fromkeys(METRICS, math.nan)
    return {name: macro(metric(_scored_counts(record))) for name, metric in METRICS.items()}


def lowest_class(record: Record) -> float:
    """The headline metric of the scored class that came out worst."""
    if record.counts is None:
        return math.nan
    return float(np.nanmin(METRICS[HEADLINE](_scored_counts(record))))


def _scored_counts(record: Record) -> Counts:
    """(scored classes, 3), all bands together."""
    task = TASKS[record.parsed_cell().task.name]
    counts = np.asarray(record.counts, dtype=np.int64).sum(axis=0)
    scored: Counts = counts[len(task.classes) - len(task.scored_classes) :]
    return scored
