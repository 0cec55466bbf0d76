"""The first samples of each task in several looks: writes the record of their page.

`python -m tests.task_sheets` draws them anew (a moment); the page is made from the record, and a
test holds the record against what the tasks draw.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ablations.files import replace_file
from ablations.pages.sheets import Row, Sheet
from ablations.runs.records import Picture
from ablations.tasks.shapes import TASKS, Batch, Look
from tests.samples import ROOT

RECORD = ROOT / "reports" / "records" / "tasks.json"

SEED, COUNT, SIDE = 0, 3, 56

USUAL = Look(noise=0.1)
NOISY, FAINT = USUAL._replace(noise=0.3), USUAL._replace(contrast=0.5)
HARD = USUAL._replace(difficulty=0.5)


def drawn(task: str, look: Look) -> Batch:
    """The first samples of the test stream."""
    index = torch.arange(COUNT)
    return TASKS[task].sample(seed=SEED, split="test", index=index, size=SIDE, look=look)


def pictures(greys: torch.Tensor) -> tuple[Picture, ...]:
    """Of (N, S, S) whole numbers below 256."""
    return tuple(Picture.of(grey.numpy()) for grey in greys.to(torch.uint8))


def masks(task: str) -> tuple[Picture, ...]:
    """Class indices, or one bit for each class that may overlap."""
    target = drawn(task, USUAL).target
    if not TASKS[task].exclusive:
        target = (target.long() << torch.arange(target.shape[1])[:, None, None]).sum(dim=1)
    return pictures(target)


def rows(task: str) -> Iterator[Row]:
    """Its images, look by look."""
    for look in (USUAL, NOISY, HARD if TASKS[task].dial else FAINT):
        image = drawn(task, look).image[:, 0].clamp(0, 1) * 255
        yield Row(**look._asdict(), images=pictures(image.round()))


def sheets() -> list[Sheet]:
    """Of every task."""
    return [Sheet(task=t, seed=SEED, masks=masks(t), rows=tuple(rows(t))) for t in TASKS]


def main() -> None:
    """Write the record, one task a line."""
    lines = ",\n".join(sheet.model_dump_json() for sheet in sheets())
    replace_file(RECORD, f"[\n{lines}\n]\n".encode())
    print(f"{RECORD}: {len(TASKS)} tasks")


if __name__ == "__main__":
    main()
