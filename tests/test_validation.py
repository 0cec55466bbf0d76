"""A net is looked at along its run, on images of their own, and trains on as if it were not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ablations.running.estimate import Work
from ablations.runs.cell import Cell, Training
from ablations.runs.measures import PROBES
from ablations.runs.plan import Plan
from ablations.runs.records import Record
from ablations.storage.plan_file import read_plan
from ablations.training.hardware import find_hardware
from ablations.training.learner import Learner, draw
from ablations.training.train import Trainer
from ablations.training.validation import count_validation_images
from tests.conftest import train
from tests.samples import TINY
from unet import Refusal

CPU = find_hardware("cpu")


def watched(cell: Cell, **settings: object) -> Cell:
    """The same run, looked at."""
    values = {**cell.training.model_dump(), **settings}
    return replace(cell, training=Training.model_validate(values))


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    """Two seeds of a net with dropout and batch norm, which both know training from evaluation."""
    source = TINY.replace("dropout_levels = 0", "dropout_levels = 1").replace(
        "steps = 3", "steps = 7"
    )
    return [
        cell for cell in read_plan(source, name="p", file="p").cells() if cell.spec.skip == "none"
    ]


def test_looking_changes_nothing(cells: list[Cell]) -> None:
    """Losses, counts and pictures are those of a run without, to the bit."""
    for cell in cells:
        plain, seen = train(cell), train(watched(cell, validation_images=5, evaluations=7))
        assert (seen.counts, seen.losses, seen.example) == (
            plain.counts,
            plain.losses,
            plain.example,
        )
        assert len(seen.curve) == 7
        assert not plain.curve


def test_a_curve_is_what_shorter_looks_see(cells: list[Cell]) -> None:
    """However often one looks, the same steps show the same; the last is the end."""
    often = train(watched(cells[0], validation_images=40, evaluations=7))
    thrice = train(watched(cells[0], validation_images=40, evaluations=3))
    once = train(watched(cells[0], validation_images=40))
    assert [each.step for each in thrice.curve] == [3, 5, 7]
    assert [each.step for each in once.curve] == [7]
    by_step = {each.step: each for each in often.curve}
    assert thrice.curve == tuple(by_step[step] for step in (3, 5, 7))
    assert once.curve == thrice.curve[-1:]
    assert by_step[1] != by_step[7]


def test_seeds_side_by_side_keep_their_own_curves(tiny: Plan) -> None:
    """As if alone."""
    pair = [
        watched(c, validation_images=3, evaluations=2)
        for c in tiny.cells()
        if c.spec.skip == "none"
    ]
    together = Trainer(CPU).run(pair)
    assert [record.curve for record in together] == [train(cell).curve for cell in pair]
    assert together[0].curve != together[1].curve


def test_validation_images_are_others(tiny: Plan) -> None:
    """Neither those of training nor those of the test."""
    cell = next(tiny.cells())
    images = [draw(cell, CPU, split, 0, 2).image for split in ("train", "test", "validation")]
    assert not any(torch.equal(images[i], images[k]) for i, k in ((0, 1), (0, 2), (1, 2)))


def test_every_pixel_is_counted_once(tiny: Plan) -> None:
    """Over several batches; and the net is in training before and after."""
    cell = watched(next(tiny.cells()), validation_images=70)
    learner = Learner(cell, CPU)
    learner.begin(cell)
    counts = count_validation_images(learner.net, cell, CPU)
    assert learner.net.training
    right, _, missed = counts.T
    assert (right + missed).sum() == 70 * 20**2


def test_a_diverged_run_has_no_curve(tiny: Plan) -> None:
    """As it has no counts."""
    cell = watched(next(tiny.cells()), validation_images=2, learning_rate=1e38, steps=12)
    record = train(cell)
    assert record.outcome == "diverged"
    assert not record.curve
    assert Record.read(record.model_dump_json(), "here") == record


def test_a_record_keeps_its_curve(tiny: Plan) -> None:
    """Through a file and back; one with other steps or classes is none."""
    record = train(watched(next(tiny.cells()), validation_images=2, evaluations=3))
    assert Record.read(record.model_dump_json(), "here") == record
    with pytest.raises(Refusal, match=r"evaluations are not those after steps \[1, 2, 3\]"):
        Record.read(record.model_copy(update={"curve": record.curve[1:]}).model_dump_json(), "here")
    cut = record.curve[0].model_copy(update={"counts": record.curve[0].counts[1:]})
    update = {"curve": (cut, *record.curve[1:])}
    with pytest.raises(Refusal, match="has not the task's classes"):
        Record.read(record.model_copy(update=update).model_dump_json(), "here")


@pytest.mark.parametrize(("steps", "times"), [(10, 3), (7, 7), (300, 10), (5, 1)])
def test_evaluations_are_evenly_spaced(tiny: Plan, steps: int, times: int) -> None:
    """So many, and the last at the end."""
    cell = watched(next(tiny.cells()), steps=steps, validation_images=1, evaluations=times)
    at = cell.training.evaluated_at
    assert len(at) == times
    assert at[-1] == steps
    gaps = np.diff([0, *at])
    assert gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("evaluations = 2", "without validation images there is nothing to evaluate on"),
        ("validation_images = 3\nevaluations = 4", "a run of 3 steps has no more evaluations"),
        ("validation_images = -1", "greater than or equal to 0"),
    ],
)
def test_evaluations_that_cannot_be(settings: str, message: str) -> None:
    """One line that says so."""
    source = TINY.replace("batch = 2", f"batch = 2\n{settings}")
    with pytest.raises(Refusal, match=message) as caught:
        read_plan(source, name="p", file="p.toml")
    assert str(caught.value).startswith("p.toml:")


def test_looking_is_work(tiny: Plan) -> None:
    """An estimate counts each image as often as it is looked at; those are only counted."""
    source = TINY.replace("batch = 2", "batch = 2\nvalidation_images = 4\nevaluations = 3")
    assert Work.of(tiny, {}).test_images == 2 * 5
    assert Work.of(read_plan(source, name="p", file="p"), {}).test_images == 2 * (
        5 + 3 * 4 / (1 + PROBES)
    )
