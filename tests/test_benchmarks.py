"""What speed is measured against does the same work."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ablations.reporting.run_table import scores
from ablations.runs.cell import Cell
from ablations.storage.plan_file import load_plan
from ablations.tasks.shapes import TASKS
from ablations.training.hardware import find_hardware
from ablations.training.train import Trainer
from tests.benchmarks import generator, tutorial
from unet.skips import center_crop


@pytest.fixture
def cell() -> Cell:
    """One cell of the smallest plan, with noise."""
    return next(load_plan("smoke").cells())


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_tutorials_way_sees_the_same_images(cell: Cell, split: str) -> None:
    """Painted one by one or a batch at once, to the bit."""
    task = cell.task
    theirs = tutorial.Shapes(replace(cell, seed=3), split, 20)
    ours = TASKS["labels"].sample(
        seed=3, split=split, index=torch.arange(20), size=task.size, look=task.look(split)
    )
    target = center_crop(ours.target, task.scored, task.scored)
    for place in range(20):
        image, label = theirs[place]
        assert torch.equal(image, ours.image[place])
        assert torch.equal(label, target[place])


def test_the_tutorials_way_reaches_the_same_score(cell: Cell) -> None:
    """Same net, same start, same order, same schedule: the same IoU but for rounding."""
    record = Trainer(find_hardware("cpu")).run([cell])[0]
    theirs = tutorial.score(tutorial.train(cell), cell)
    assert theirs == pytest.approx(scores(record)["IoU"], abs=0.02)


def test_the_tutorials_generator_paints_the_same_objects() -> None:
    """Images and masks to the bit, one by one or a batch at once."""
    images, masks = generator.paint_one_by_one(generator.places(30, 96), 96)
    batch = TASKS["objects"].sample(seed=0, split="train", index=torch.arange(30), size=96)
    assert torch.equal(batch.image * 255, torch.from_numpy(images).float())
    assert torch.equal(batch.target.float(), torch.from_numpy(masks))
