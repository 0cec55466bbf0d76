"""Records to a table of numbers, one row a run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from ablations.judgement.metrics import METRICS, Stored, iou, macro
from ablations.judgement.tuning import SEEN
from ablations.reporting.pictured import pictured_variants
from ablations.runs.cell import Cell, training_macs
from ablations.runs.plan import Plan
from ablations.runs.records import Record
from ablations.tasks.shapes import TASKS
from unet.memory import memory
from unet.spec import UNetSpec

_ROW: Final = np.dtype(
    [
        ("place", np.int64),
        ("environment", np.int64),
        ("diverged", np.bool_),
        *((name, np.float64) for name in (*METRICS, "lowest class")),
        ("steps", np.int64),
        ("base channels", np.int64),
        ("parameters", np.int64),
        ("macs", np.int64),
        ("memory", np.int64),
        ("training macs", np.float64),
        ("seconds", np.float64),
    ]
)
"""What is kept of a record; its axis values and its seed follow from its place in the plan."""


def read_runs(plan: Plan, records: Iterable[Record]) -> tuple[pd.DataFrame, tuple[Record, ...]]:
    """The runs of `plan`'s own cells, in its order, and the records whose example a figure shows.

    They are read one by one, and of each a row of numbers is kept: a million records need
    no more memory than their table. Records of other cells are left out.
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
            yield place, environment, *_numbers(record, cell), *_seen(record, cell, len(names))

    names = looks(plan)
    table = np.fromiter(rows(), dtype=[*_ROW.descr, *((name, np.float64) for name in names)])
    table.sort(order="place")
    return _as_frame(table, plan, list(environments)), tuple(pictured)


def looks(plan: Plan) -> list[str]:
    """The columns that have the IoU on the validation images, in the order of the looks at them.

    The last, at the end of the run, is what is chosen by. None if there are no such images.
    """
    first = plan.cell(next(plan.variants()), seed=0)
    count = len(first.training.evaluated_at)
    return [f"{SEEN} {look} of {count}" for look in range(1, count)] + [SEEN] * bool(count)


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
            "seed": plan.first_seed + seeds,
            "outcome": outcomes,
            **{name: table[name] for name in (table.dtype.names or ())[3:]},
            "environment": pd.Categorical.from_codes(
                table["environment"], pd.Index(list(map(str, environments)))
            ),
        }
    )


def _described(environment: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in environment.items())


def scores(record: Record) -> dict[str, float]:
    """Every metric of one record; nan for a diverged run."""
    if record.counts is None:
        return dict.fromkeys(METRICS, math.nan)
    stored = Stored.of(record)
    return {name: metric.of(stored) for name, metric in METRICS.items()}


def _seen(record: Record, cell: Cell, count: int) -> list[float]:
    """The IoU at each of `count` looks at the validation images; nan for a diverged run."""
    scored = len(TASKS[cell.task.name].scored_classes)
    counts = (np.asarray(look.counts, dtype=np.int64) for look in record.curve)
    return [macro(iou(each[-scored:])) for each in counts] or [math.nan] * count


def lowest_class(record: Record) -> float:
    """The IoU of the scored class that came out worst."""
    if record.counts is None:
        return math.nan
    stored = Stored.of(record)
    return float(np.nanmin(iou(stored.counts.sum(axis=0)[-stored.scored :])))
