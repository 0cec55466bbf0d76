"""Runners that fail in a worker, in place of a `Trainer`."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ablations.running.engines import Make, trainer
from ablations.runs.cell import Cell
from ablations.runs.records import Record
from ablations.training.hardware import Hardware
from tests.endurance.sleeper import record_of


class Trains:
    """Trains on the CPU, whatever it was asked for."""

    def __init__(self, _device: str) -> None:
        self._trainer = trainer("cpu")
        self.hardware = self._trainer.hardware

    def run(self, cells: Sequence[Cell]) -> list[Record]:
        """Train."""
        return self._trainer.run(cells)


class CannotStart(Trains):
    """As on a machine that is not fit."""

    def __init__(self, _device: str) -> None:
        raise RuntimeError("no driver")


class FailsTwice(Trains):
    """Seed 0 dies with one skip and raises with the other."""

    def run(self, cells: Sequence[Cell]) -> list[Record]:
        """Die, raise or train."""
        (cell,) = cells
        if cell.seed == 0 and cell.spec.skip == "concat":
            os.kill(os.getpid(), signal.SIGKILL)
        if cell.seed == 0:
            raise RuntimeError("no luck\nand more")
        return super().run(cells)


class Hangs:
    """Seed 0 never ends; the others are done at once, on however busy a machine."""

    hardware = Hardware("cpu", "a sleeper", "float32")

    def __init__(self, _device: str) -> None:
        pass

    def run(self, cells: Sequence[Cell]) -> list[Record]:
        """Sleep or not."""
        if cells[0].seed == 0:
            time.sleep(600)
        return [record_of(cell) for cell in cells]


class StuckInC(Hangs):
    """Never ends and never lets Python run; its number is left in the folder of `MARKS`."""

    def run(self, cells: Sequence[Cell]) -> list[Record]:
        """Sleep in C."""
        (Path(os.environ[MARKS]) / str(os.getpid())).touch()
        ctypes.PyDLL(None).sleep(600)
        return super().run(cells)


class FailsTogether(Trains):
    """On what is said to be a GPU of 80 GB two seeds do not fit, nor one of `none` alone."""

    def __init__(self, device: str) -> None:
        super().__init__(device)
        self.hardware = Hardware("cuda", "a GPU", "bfloat16", 80 * 10**9)

    def run(self, cells: Sequence[Cell]) -> list[Record]:
        """Raise or train."""
        if len(cells) > 1 or cells[0].spec.skip == "none":
            raise MemoryError("CUDA out of memory")
        return super().run(cells)


class HasNoRoom:
    """Nothing fits."""

    hardware = Hardware("cpu", "a sleeper", "float32")

    def __init__(self, _device: str) -> None:
        pass

    def run(self, cells: Sequence[Cell]) -> list[Record]:
        """Raise."""
        raise MemoryError(f"no room for {len(cells)}")


class HasNoRoomForNone(HasNoRoom):
    """A net without skips does not fit."""

    def run(self, cells: Sequence[Cell]) -> list[Record]:
        """Raise or be done."""
        return super().run(cells) if cells[0].spec.skip == "none" else [record_of(cells[0])]


MARKS: Final = "RUNNERS_MARKS"
"""The variable that names a folder in which processes that die at their start leave a mark."""


def dies_at_first(_parent: int, _make: Make, _device: str) -> None:
    """Start a worker that dies at once, four times; later ones live."""
    marks = Path(os.environ[MARKS])
    (marks / str(os.getpid())).touch()
    if len(list(marks.iterdir())) <= 4:
        os.kill(os.getpid(), signal.SIGKILL)


def dies_always(_parent: int, _make: Make, _device: str) -> None:
    """Start a worker that dies at once."""
    os.kill(os.getpid(), signal.SIGKILL)
