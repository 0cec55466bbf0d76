"""Records as tables: one row a run, one row a cell, one row a level of each factor."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, final

import numpy as np
import pandas as pd

from ablations.metrics import METRICS, Counts, macro
from ablations.plan import Plan
from ablations.records import Record
from ablations.shapes import TASKS
from ablations.statistics import Interval, mean_interval, paired_difference

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
    """A plan and the records that there are of it."""

    plan: Plan
    records: tuple[Record, ...]

    @classmethod
    def of(cls, plan: Plan, records: Iterable[Record]) -> Results:
        """The records of `plan`'s own cells, in the plan's order; others are left out."""
        by_key = {record.key: record for record in records}
        found = (by_key.get(cell.key) for cell in plan.cells())
        return cls(plan, tuple(record for record in found if record is not None))

    @cached_property
    def factors(self) -> list[str]:
        """The axes that have more than one value."""
        return [axis for axis, values in self.plan.axes.items() if len(values) > 1]

    @cached_property
    def planned(self) -> int:
        """How many cells the plan has."""
        return self.plan.seeds * math.prod(map(len, self.plan.axes.values()))

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row a record: axis values as text, seed, outcome, scores and costs."""
        rows = []
        for record in self.records:
            cell = record.parsed_cell()
            levels = map(str, self.plan.levels(cell))
            rows.append(
                {
                    **dict(zip(self.plan.axes, levels, strict=True)),
                    "seed": cell.seed,
                    "outcome": record.outcome,
                    **scores(record),
                    "lowest class": lowest_class(record),
                    "parameters": record.parameters,
                    "macs": record.macs,
                    "seconds": record.train_seconds + record.test_seconds,
                }
            )
        return pd.DataFrame(rows)

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row a variant, in the plan's order: scores over its seeds, and costs."""
        rows = []
        for values, runs in self.runs.groupby(list(self.plan.axes), sort=False):
            done = runs[runs["outcome"] == "done"]
            row: dict[str, object] = dict(zip(self.plan.axes, values, strict=True))
            row |= {"seeds": len(done), "diverged": len(runs) - len(done)}
            for metric in METRICS:
                interval = mean_interval(done[metric].tolist())
                row |= {
                    metric: interval.mean,
                    f"{metric} low": interval.low,
                    f"{metric} high": interval.high,
                }
            row |= {
                f"{HEADLINE} sd": done[HEADLINE].std(),
                f"{HEADLINE} lowest": done[HEADLINE].min(),
                f"{HEADLINE} lowest class": done["lowest class"].min(),
                "parameters": runs["parameters"].iloc[0],
                "macs": runs["macs"].iloc[0],
                "seconds": runs["seconds"].median(),
            }
            rows.append(row)
        return pd.DataFrame(rows)

    @cached_property
    def whole_seeds(self) -> list[int]:
        """The seeds with which every variant of the plan was trained without diverging."""
        done = self.runs[self.runs["outcome"] == "done"]
        variants = self.planned // self.plan.seeds
        sizes = done.groupby("seed").size()
        return [int(seed) for seed in sizes.index[sizes == variants]]

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

    @cached_property
    def environments(self) -> list[tuple[str, int]]:
        """What the records were made with, each with the number of its records."""
        described = Counter(
            ", ".join(f"{name} {value}" for name, value in record.environment.items())
            for record in self.records
        )
        return sorted(described.items())


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
