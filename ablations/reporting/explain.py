"""From a number in a table back to the run: what a record holds, and where it appears."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from ablations.judgement.contrasts import Contrast
from ablations.judgement.metrics import METRICS, dice, iou
from ablations.reporting.exports import read_export
from ablations.reporting.results import Results
from ablations.reporting.run_table import scores
from ablations.running.sweep import STORE
from ablations.runs.plan import Plan
from ablations.runs.records import Record
from ablations.storage.store import Store
from ablations.tasks.shapes import TASKS
from unet.refusal import Refusal, shown
from unet.spec import PAPER


def find(key: str, folder: Path) -> tuple[Record, Results]:
    """The record whose key begins with `key`, and all results of its plan.

    `folder` is that of a sweep, or one of reports with their records. Raises `Refusal` if there is
    no such record, or more than one.
    """
    found = []
    for plan, records in _sweeps(folder):
        mine = [record for record in records if record.key.startswith(key)]
        found += [(record, Results.of(plan, records)) for record in mine]
    if not found:
        raise Refusal(
            f"{folder}: no record's key begins with {shown(key)}; give more of it or less"
        )
    if len(found) > 1:
        raise Refusal(f"{folder}: {len(found)} keys begin with {shown(key)}; give more of it")
    return found[0]


def _sweeps(folder: Path) -> Iterator[tuple[Plan, list[Record]]]:
    exports = sorted((folder / "records").glob("*.jsonl"))
    if exports and not (folder / STORE).exists():
        for path in exports:
            yield read_export(path)
        return
    with Store.open(folder / STORE) as store:
        yield store.plan, list(store.records())


def told(record: Record, results: Results) -> Iterator[str]:
    """What the record holds, and the rows of the tables that its numbers are in, line by line."""
    cell, plan = record.parsed_cell(), results.plan
    yield f"run {record.key} of plan {plan.name}: {record.outcome}, seed {cell.seed}"
    spec = {name: value for name, value in vars(cell.spec).items() if value != getattr(PAPER, name)}
    yield f"  net: the paper's, but {_listed(spec)}"
    yield f"  task: {_listed(cell.task.model_dump())}"
    yield f"  training: {_listed(cell.training.model_dump())}"
    yield f"  made with: {_listed(record.environment)}"
    yield (
        f"  cost: {record.parameters:,} parameters, {record.macs:,} multiply-adds an image, "
        f"{record.train_seconds:.1f} s of training, {record.test_seconds:.1f} s of testing"
    )
    yield from _counts(record)
    yield "appears in"
    yield from _places(record, results)


def _listed(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _counts(record: Record) -> Iterator[str]:
    """Pixels of each class over all test images, and the scores that they make."""
    if record.counts is None:
        return
    counts = np.asarray(record.counts, dtype=np.int64).sum(axis=0)
    by_class = {"IoU": iou(counts), "Dice": dice(counts)}
    for place, name in enumerate(TASKS[record.parsed_cell().task.name].classes):
        right, wrong, missed = counts[place]
        told = ", ".join(f"{metric} {each[place]:.3f}" for metric, each in by_class.items())
        yield f"  {name}: {right:,} pixels right, {wrong:,} wrong, {missed:,} missed: {told}"
    for name, score in scores(record).items():
        if not np.isnan(score):
            yield f"  {name}: {score:.{METRICS[name].digits}f}"


def _places(record: Record, results: Results) -> Iterator[str]:
    cell, plan = record.parsed_cell(), results.plan
    if plan.place(cell) is None:
        yield "  nothing: the plan has changed, and has this cell no more"
        return
    levels = dict(zip(plan.axes, map(str, plan.levels(cell)), strict=True))
    yield f"  {plan.name}_cells.csv: the row {_listed(levels)}"
    if plan.tuned and not _is_chosen(levels, results):
        yield f"  no other: its variant is compared at another {plan.tuned}"
        return
    if cell.seed in results.whole_seeds:
        mine = (each for each in results.comparisons if each.has(levels))
        rows = ", ".join(f"{each.label} {levels[each.factor]}" for each in mine)
        yield f"  {plan.name}_factors.csv: the rows {rows}"
    used = [contrast for contrast, _ in results.effects if _uses(contrast, levels)]
    for contrast in used:
        if np.isfinite(contrast.by_seed[cell.seed]):
            yield f"  {plan.name}_effects.csv: {contrast.label}"
    if any(record.key == each.key for each in results.pictured):
        yield f"  figures/{plan.name}.png"


def _is_chosen(levels: Mapping[str, str], results: Results) -> bool:
    """Whether comparisons are about a run with these levels, of a plan with a tuned axis."""
    variant = tuple(levels[axis] for axis in results.axes)
    tuned = levels[str(results.plan.tuned)]
    return any((each.variant, each.value) == (variant, tuned) for each in results.choices)


def _uses(contrast: Contrast, levels: dict[str, str]) -> bool:
    """Whether a contrast is made of runs with these levels, among others."""
    pairs = zip(contrast.factors, contrast.levels, strict=True)
    held = all(levels[axis] == level for axis, level in contrast.held)
    return held and all(levels[factor] in wanted for factor, wanted in pairs)
