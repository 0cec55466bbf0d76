"""Records as tables: one row a run, one row a cell, one row a level of each factor."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self, final

import numpy as np
import pandas as pd

from ablations.judgement.comparisons import Comparison, asked, comparisons
from ablations.judgement.contrasts import Contrast, Design
from ablations.judgement.effects import Effect, judged
from ablations.judgement.metrics import METRICS
from ablations.judgement.statistics import Interval, half_width, mean_interval, paired_difference
from ablations.judgement.trials import Trial
from ablations.judgement.tuning import SEEN, Choice, choices
from ablations.reporting.run_table import read_runs
from ablations.runs.plan import Plan
from ablations.runs.records import Record

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
        runs, pictured = read_runs(plan, records)
        return cls(plan, runs, pictured)

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
        by_variant = self.runs.groupby(names, observed=True)
        done = self.runs[self.runs["outcome"] == "done"].groupby(names, observed=True)
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
        for name in ("steps", "base channels", *costs):
            table[name] = by_variant[name].first()
        table[f"{OVERLAP} per training TMAC"] = table[OVERLAP] / table["training macs"] * 1e12
        table["seconds"] = by_variant["seconds"].median()
        if self.plan.tuned:
            table[SEEN] = by_variant[SEEN].mean()
        return table.reset_index()

    @property
    def headlines(self) -> list[str]:
        """The headline metric and those of overlap."""
        overlaps = (name for name, metric in METRICS.items() if metric.section == "overlap")
        return list(dict.fromkeys([self.plan.headline, *overlaps]))

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
        places = runs["seed"].to_numpy() - self.plan.first_seed
        table[(places, *codes)] = runs[metric].to_numpy()
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
