"""What a plan would take: its multiply-adds are counted, its time is tried out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Final, Self, final

import numpy as np
import numpy.typing as npt

from ablations.running.engines import Crashed
from ablations.running.processes import Workers
from ablations.runs.cell import Cell, Training
from ablations.runs.measures import PROBED, PROBES
from ablations.runs.plan import Only, Plan
from ablations.runs.records import Record
from unet.refusal import Refusal

TRIAL_MACS: Final = 10**11
"""Multiply-adds of a trial: a second or two on one core."""

MOST_STEPS: Final = 64
"""Of a trial."""

HISTORY_BYTES: Final = 300
"""What the store keeps of a run beside its record: its attempt, and the indexes of both."""

Values = tuple[object, ...]


@final
@dataclass(frozen=True, kw_only=True)
class Work:
    """What is to be computed, exactly.

    `macs` holds the multiply-adds of one forward pass of one image for each of `variants`. Each is
    trained for its `steps` of `batch` images and tested for as long as a trial of `test_images`
    takes, over all looks of the task and trainings that it stands for and all seeds together.
    """

    variants: list[Values]
    macs: npt.NDArray[np.int64]
    steps: npt.NDArray[np.int64]
    batch: int
    test_images: float
    cells: int
    seeds: int

    @classmethod
    def of(cls, plan: Plan, only: Only) -> Self:
        """Of a plan, or some of its axes' values.

        Specs, looks and trainings are counted, not cells, unless a training is solved for its spec.
        """
        variants = list(plan.variants(only) if plan.solved else plan.variants_of("spec", only))
        cells = [plan.cell(values, 0) for values in variants]
        looks = 1 if plan.solved else sum(1 for _ in plan.variants_of("task", only))
        trainings = [plan.cell(v, 0).training for v in plan.variants_of("training", only)]
        if plan.solved:
            steps, trainings = [cell.training.steps for cell in cells], trainings[:1]
        else:
            steps = [sum(each.steps for each in trainings)] * len(cells)
        return cls(
            variants=variants,
            macs=np.array([cell.forward_macs for cell in cells], np.int64),
            steps=plan.seeds * looks * np.array(steps, np.int64),
            batch=trainings[0].batch,
            test_images=plan.seeds * looks * sum(_as_in_a_trial(each) for each in trainings),
            cells=plan.seeds * len(variants) * looks * len(trainings),
            seeds=plan.seeds,
        )

    @cached_property
    def training_macs(self) -> int:
        """A backward pass computes two products of the forward's size."""
        return (
            3
            * self.batch
            * sum(int(m) * int(s) for m, s in zip(self.macs, self.steps, strict=True))
        )

    @property
    def sample(self) -> list[int]:
        """The cheapest, the median and the dearest spec, as far as they differ: indices."""
        order = np.argsort(self.macs, kind="stable")
        places = {0, len(order) // 2, len(order) - 1}
        return list({int(self.macs[i]): int(i) for i in order[sorted(places)]}.values())


@final
@dataclass(frozen=True)
class Estimate:
    """About what a plan takes: seconds in all workers side by side, bytes of its store."""

    seconds: float
    bytes: int


def estimate(plan: Plan, work: Work, workers: Workers) -> Estimate:
    """Train a cheap, a middling and a dear net for a few steps, in all workers at once.

    The seconds of the others follow from their multiply-adds. Raises `Refusal` if a trial
    crashes.
    """
    pairs = [_trials(plan.cell(work.variants[place], seed=0)) for place in work.sample]
    # What a process does once, such as importing the optimiser, is no part of a step.
    first = _shortened(pairs[0][0], steps=1, test_images=2)
    found = _run(chain([first], *pairs), workers)
    step, test = [], []
    for short, long in pairs:
        less, more = found[short.variant], found[long.variant]
        step.append(_more("train_seconds", less, more) / (long.training.steps - 1))
        test.append(_more("test_seconds", less, more) / (long.training.test_images - 1))
    macs, known = np.log(work.macs), np.log(work.macs[work.sample])
    seconds = (np.exp(np.interp(macs, known, np.log(step))) * work.steps).sum()
    seconds += np.exp(np.interp(macs, known, np.log(test))).sum() * work.test_images
    size = _bytes(work, found[first.variant])
    return Estimate(float(seconds) / workers.count, size)


def _bytes(work: Work, records: list[Record]) -> int:
    """Of the store: the first seed of each variant keeps pictures."""
    whole = max(len(record.model_dump_json()) for record in records)
    plain = min(len(r.model_copy(update={"example": None}).model_dump_json()) for r in records)
    return work.cells * (plain + HISTORY_BYTES) + work.cells // work.seeds * (whole - plain)


def _trials(cell: Cell) -> tuple[Cell, Cell]:
    """A run of one step, and one of so many that what they differ by can be measured."""
    macs = cell.forward_macs
    steps = min(MOST_STEPS, TRIAL_MACS // (3 * macs * cell.training.batch))
    tests = min(PROBED - 2, TRIAL_MACS // macs)
    return _shortened(cell, 1, 1), _shortened(cell, 2 + steps, 2 + tests)


def _as_in_a_trial(training: Training) -> float:
    """How many test images of a trial, all of which are probed, take as long as a run's scoring."""
    probed = min(training.test_images, PROBED)
    return probed + (training.scored_images - probed) / (1 + PROBES)


def _shortened(cell: Cell, steps: int, test_images: int) -> Cell:
    others = {"validation_images": 0, "evaluations": 0}
    changed = {"steps": steps, "test_images": test_images, **others}
    return replace(cell, training=cell.training.model_copy(update=changed))


def _run(trials: Iterable[Cell], workers: Workers) -> Mapping[str, list[Record]]:
    """The records of each trial, by variant: as many seeds of each as there are workers."""
    cells = (replace(trial, seed=seed) for trial in trials for seed in range(workers.count))
    found: dict[str, list[Record]] = {}
    for outcome in chain.from_iterable(workers.run(cells)):
        if isinstance(outcome, Crashed):
            raise Refusal(f"a trial of the plan crashed: {outcome.reason}")
        found.setdefault(outcome.parsed_cell().variant, []).append(outcome)
    return found


def _more(name: str, less: list[Record], more: list[Record]) -> float:
    """By how many seconds two trials differ, each in the median of its workers."""
    short, long = (np.median([getattr(record, name) for record in each]) for each in (less, more))
    # A clock that ticks in milliseconds may see no difference.
    return max(float(long - short), 1e-3)
