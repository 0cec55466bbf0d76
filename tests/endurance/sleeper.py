"""Cells that sleep in place of training, and leave records that follow from their keys."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Final, final

from ablations.runs.cell import Cell
from ablations.runs.records import Evaluation, Record
from ablations.tasks.shapes import TASKS
from ablations.training.hardware import Hardware

SECONDS: Final = "SLEEPER_SECONDS"
"""The variable that says how long a cell sleeps."""


@final
class Sleeper:
    """Does in a worker's place what takes `SECONDS`, and nothing else."""

    hardware = Hardware("cpu", "a sleeper", "float32")

    def __init__(self, _device: str) -> None:
        self._seconds = float(os.environ.get(SECONDS, "0"))

    def run(self, cells: Sequence[Cell]) -> list[Record]:
        """Sleep for a while; then a record for each cell."""
        time.sleep(self._seconds)
        return [record_of(cell) for cell in cells]


def record_of(cell: Cell) -> Record:
    """The same on every machine: scores that depend on the key, and no clock."""
    digits = [int(cell.key[place : place + 4], 16) for place in range(0, 24, 4)]
    classes = len(TASKS[cell.task.name].classes)
    counts = tuple((9000 + digits[k % 6] % 997, 700, 300) for k in range(classes))
    seen = (Evaluation(step=step, counts=counts) for step in cell.training.evaluated_at)
    return Record(
        key=cell.key,
        cell=cell.as_data(),
        outcome="done",
        bands=(0,),
        counts=(counts,),
        curve=tuple(seen),
        losses=(1.0, 0.5),
        parameters=digits[0],
        macs=digits[1],
        train_seconds=1.0,
        test_seconds=0.5,
        environment={"device": "a sleeper"},
    )
