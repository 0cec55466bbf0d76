"""Cells that sleep in place of training, and leave records that follow from their keys."""

from __future__ import annotations

import os
import time
from typing import Final

from ablations.cell import Cell
from ablations.hardware import Group, Hardware
from ablations.records import Record
from ablations.shapes import TASKS

SECONDS: Final = "SLEEPER_SECONDS"
"""The variable that says how long a cell sleeps."""


def find_hardware(_device: str) -> Hardware:
    """A machine that can do nothing else."""
    return Hardware("cpu", "a sleeper", "float32")


def run(cells: Group, _device: str) -> list[Record]:
    """Sleep for a while; then a record for each cell."""
    time.sleep(float(os.environ.get(SECONDS, "0")))
    return [record_of(cell) for cell in cells]


def record_of(cell: Cell) -> Record:
    """The same on every machine: scores that depend on the key, and no clock."""
    digits = [int(cell.key[place : place + 4], 16) for place in range(0, 24, 4)]
    classes = len(TASKS[cell.task.name].classes)
    return Record(
        key=cell.key,
        cell=cell.as_data(),
        outcome="done",
        bands=(0,),
        counts=(tuple((9000 + digits[k % 6] % 997, 700, 300) for k in range(classes)),),
        losses=(1.0, 0.5),
        parameters=digits[0],
        macs=digits[1],
        train_seconds=1.0,
        test_seconds=0.5,
        environment={"device": "a sleeper"},
    )
