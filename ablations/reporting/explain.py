"""From a number in a table back to the run: what a record holds, and where it appears."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from ablations.judgement.comparisons import budgets
from ablations.judgement.metrics import METRICS, dice, iou
from ablations.reporting.exports import read_export
from ablations.reporting.results import Results
from ablations.reporting.run_table import looks, scores
from ablations.running.sweep import STORE
from ablations.runs.plan import BUDGET, Plan
from ablations.runs.records import Record
from ablations.storage.store import Store
from ablations.tasks.shapes import TASKS
from unet.refusal import Refusal, shown
from unet.spec import PAPER


def find(key: str, folder: Path) -> list[tuple[Record, Results]]:
    """The record whose key begins with `key`, and all results of its plan; or of each of its plans.

    `folder` is that of a sweep, or one of reports with their records: two plans may share a cell,
    which each of them has run. Raises `Refusal` if there is no such record, or if there are
    several such keys.
    """
    found = []
    for plan, records in _sweeps(folder):
        mine = [record for record in records if record.key.startswith(key)]
        found += [(record, Results.of(plan, records)) for record in mine]
    if not found:
        raise Refusal(
            f"{folder}: no record's key begins with {shown(key)}; give more of it or less"
        )
    keys = {record.key for record, _ in found}
    if len(keys) > 1:
        raise Refusal(f"{folder}: {len(keys)} keys begin with {shown(key)}; give more of it")
    return found


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
    precision = record.environment.get("precision", cell.training.precision)
    yield f"  training: {_listed({**cell.training.model_dump(), 'precision': precision})}"
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
        yield f"  {plan.name}.md: what each variant chose, which was another {plan.tuned}"
        return
    if cell.seed in results.whole_seeds:
        mine = (each for each in results.comparisons if each.has(levels))
        rows = ", ".join(f"{each.label} {levels[each.factor]}" for each in mine)
        yield f"  {plan.name}_factors.csv: the rows {rows}"
    place = cell.seed - plan.first_seed
    for contrast, _ in results.effects:
        if contrast.uses(levels) and np.isfinite(contrast.by_seed[place]):
            yield f"  {plan.name}_effects.csv: {contrast.label}"
    yield from _curves(results, levels)
    for trial in results.trials:
        for prediction, contrast in zip(trial.claim.predictions, trial.contrasts, strict=True):
            if contrast.uses(levels) and np.isfinite(contrast.by_seed[place]):
                told = f"{prediction.contrast}, {prediction.metric}"
                yield f"  {plan.name}.md, findings.md and .csv: claim {trial.claim.number}: {told}"
    if any(record.key == each.key for each in results.pictured):
        yield f"  figures/{plan.name}.png"


def _curves(results: Results, levels: Mapping[str, str]) -> Iterator[str]:
    """The tables and figures of differences over something that grows."""
    name = results.plan.name
    if len(budgets(results.axes)) > 1:
        at = f"at {levels[BUDGET]} steps"
        yield f"  {name}.md, over the training budget, and figures/{name}_budget.png: {at}"
    compared = any(each.has(levels) for each in results.comparisons if each.factor != BUDGET)
    if len(looks(results.plan)) > 1 and compared:
        yield f"  {name}.md, along the runs, and figures/{name}_along.png"


def _is_chosen(levels: Mapping[str, str], results: Results) -> bool:
    """Whether comparisons are about a run with these levels, of a plan with a tuned axis."""
    variant = tuple(levels[axis] for axis in results.axes)
    tuned = levels[str(results.plan.tuned)]
    return any((each.variant, each.value) == (variant, tuned) for each in results.choices)
