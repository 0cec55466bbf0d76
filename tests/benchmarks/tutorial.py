"""A plan's cells, trained the way that most users would write it, after a well-known tutorial.

Images are painted one by one in numpy, batched by a DataLoader, and the same nets are trained in
plain float32 on all cores, one cell after the other. Images, order, loss and schedule are those
of `ablations run`, so that both must reach the same IoU.

    python -m tests.benchmarks.tutorial quick 18    # the first 18 cells of a plan
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader, Dataset

from ablations.runs.cell import Cell
from ablations.storage.plan_file import load_plan
from ablations.tasks.painters.randomness import grey_noise, random_bits, whole
from ablations.tasks.shapes import SPLITS, TASKS
from ablations.training.learner import pair_weights, segmentation_loss
from unet import UNet

Pixels = NDArray[np.bool_]


def between(number: int, least: int, most: int) -> int:
    """A whole number from `least` to `most`, from one of 32 random bits."""
    return least + (number * (most - least + 1) >> 32)


def covered(kind: int, down: NDArray[np.int64], right: NDArray[np.int64], reach: int) -> Pixels:
    """The pixels of a triangle, a circle, a square or a cross, in this order."""
    far, near = np.maximum(abs(down), abs(right)), np.minimum(abs(down), abs(right))
    if kind == 0:
        return (abs(down) <= reach) & (2 * abs(right) <= down + reach)
    if kind == 1:
        return down**2 + right**2 <= reach**2
    if kind == 2:
        return 9 * far <= 8 * reach
    return (far <= reach) & (3 * near <= reach)


def paint(numbers: list[int], size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The grey image and the label of every pixel, one object after the other."""
    rows, columns = np.mgrid[:size, :size]
    image = np.full((size, size), between(numbers[0], 50, 70))
    label = np.zeros((size, size), dtype=np.int64)
    border = size // 5
    for turn, place in enumerate(range(1, len(numbers), 4)):
        kind = turn % 4
        row, column, extent, shade = numbers[place : place + 4]
        inside = covered(
            kind,
            rows - between(row, border, size - 1 - border),
            columns - between(column, border, size - 1 - border),
            between(extent, size // 17, size // 8),
        )
        image[inside] = between(shade, 90 + 36 * kind, 110 + 36 * kind)
        label[inside] = kind + 1
    return image, label


class Shapes(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """The labelled images of one cell and split, painted when they are asked for."""

    def __init__(self, cell: Cell, split: str, count: int) -> None:
        self.cell, self.split, self.count = cell, split, count

    def __len__(self) -> int:
        """How many images there are."""
        return self.count

    def __getitem__(self, place: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Image (1, S, S) and label of the scored window."""
        task, index = self.cell.task, torch.tensor([place])
        stream = SPLITS[self.split]
        bits = random_bits(self.cell.seed, stream, index, TASKS["labels"].draws)
        image, label = paint(whole(bits)[0].tolist(), task.size)
        grey = torch.from_numpy(image).float() * (1 / 255)
        grey = grey + task.noise * grey_noise(self.cell.seed, stream, index, task.size)[0, 0]
        edge = (task.size - task.scored) // 2
        window = label[edge : edge + task.scored, edge : edge + task.scored]
        return grey[None], torch.from_numpy(window)


def middle(logits: torch.Tensor, scored: int) -> torch.Tensor:
    """The central window of the output."""
    edge = (logits.shape[-1] - scored) // 2
    return logits[:, :, edge : edge + scored, edge : edge + scored]


def start(cell: Cell) -> UNet:
    """The net with its starting weights."""
    torch.manual_seed(cell.seed)
    net = UNet(cell.spec)
    pair_weights(net, cell.seed)
    return net


def optimizer_of(net: UNet, cell: Cell) -> tuple[Optimizer, LRScheduler]:
    """Adam with a one-cycle learning rate."""
    settings = cell.training
    optimizer = torch.optim.Adam(net.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=settings.learning_rate,
        total_steps=settings.steps,
        cycle_momentum=False,
    )
    return optimizer, schedule


def train(cell: Cell) -> UNet:
    """Every step as it is usually written, with a look at the loss."""
    net, settings = start(cell), cell.training
    images = Shapes(cell, "train", settings.steps * settings.batch)
    optimizer, schedule = optimizer_of(net, cell)
    net.train()
    total = 0.0
    for image, label in DataLoader(images, batch_size=settings.batch):
        optimizer.zero_grad()
        loss = segmentation_loss(middle(net(image), cell.task.scored), label)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        total += loss.item()
    return net


def score(net: UNet, cell: Cell) -> float:
    """The mean IoU of the classes but the background, over all test images together."""
    images = Shapes(cell, "test", cell.training.test_images)
    net.eval()
    hits, union = np.zeros(CLASSES), np.zeros(CLASSES)
    with torch.no_grad():
        for image, label in DataLoader(images, batch_size=cell.training.batch):
            predicted = middle(net(image), cell.task.scored).argmax(1).numpy()
            for kind in range(CLASSES):
                ours, theirs = predicted == kind, label.numpy() == kind
                hits[kind] += (ours & theirs).sum()
                union[kind] += (ours | theirs).sum()
    return float((hits / union)[1:].mean())


CLASSES: Final = len(TASKS["labels"].classes)


def main(train: Callable[[Cell], UNet] = train) -> None:
    """Train the cells, and print the IoU and the seconds of each as a line of JSON."""
    plan = load_plan(sys.argv[1])
    for cell in itertools.islice(plan.cells(), int(sys.argv[2])):
        began = time.perf_counter()
        iou = score(train(cell), cell)
        seconds = time.perf_counter() - began
        print(json.dumps({"key": cell.key, "iou": iou, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
