"""What a run can do to the process that it is in, and to what that process is given next."""

from __future__ import annotations

import ctypes
import math
import os
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, final

from ablations.runs.cell import Cell
from ablations.runs.records import Record
from tests.endurance.sleeper import Sleeper, record_of

FAULT: Final = "FAULTY_FAULT"
"""The variable that names one of `FAULTS`; nothing is wrong if it is not set."""

VERSION: Final = "FAULTY_VERSION"
"""The version of the program that records name, if it is set."""

EVERY: Final = 90
"""About one cell in so many is faulty."""

ROOM: Final = 2**27
"""Bytes that a process may take beyond what it has when its memory begins to fill up."""


def is_faulty(cell: Cell) -> bool:
    """The same cells on every attempt."""
    return int(cell.key, 16) % EVERY == 0


def segfault(_cell: Cell) -> None:
    """Read where nothing is."""
    ctypes.string_at(0)


def leave(_cell: Cell) -> None:
    """End the process as if all were well."""
    os._exit(0)


def fail(cell: Cell) -> None:
    """Raise, in several lines."""
    raise RuntimeError(f"seed {cell.seed}\nand more")


def hang(_cell: Cell) -> None:
    """Never return."""
    time.sleep(3600)


def fill_memory(_cell: Cell) -> None:
    """Ask for more than there is."""
    _limit_memory()
    bytearray(2 * ROOM)


_KEPT: Final[list[bytearray]] = []


def leak(_cell: Cell) -> None:
    """Keep what was asked for, until nothing is left, also for who comes next."""
    _limit_memory()
    while True:
        _KEPT.append(bytearray(2**20))


def _limit_memory() -> None:
    """Before the system kills what it likes on a real machine."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


def return_nan(cell: Cell) -> None:
    """Leave a record that nobody could read."""
    Record.model_validate(record_of(cell).model_dump() | {"train_seconds": math.nan})


FAULTS: Final[Mapping[str, Callable[[Cell], None]]] = {
    "segfault": segfault,
    "leave": leave,
    "fail": fail,
    "hang": hang,
    "fill_memory": fill_memory,
    "leak": leak,
    "return_nan": return_nan,
}


@final
class Faulty:
    """Sleeps in place of training, and does what `FAULT` says to some cells."""

    def __init__(self, device: str) -> None:
        self._sleeper = Sleeper(device)
        self.hardware = self._sleeper.hardware

    def run(self, cells: Sequence[Cell]) -> list[Record]:
        """Sleep, or worse; records of the version that `VERSION` says."""
        if fault := os.environ.get(FAULT):
            for cell in filter(is_faulty, cells):
                FAULTS[fault](cell)
            # What has no memory left fails here, whatever it runs.
            bytearray(2**22)
        records = self._sleeper.run(cells)
        if version := os.environ.get(VERSION):
            return [_made_by(record, version) for record in records]
        return records


def _made_by(record: Record, version: str) -> Record:
    made = {**record.environment, "unet-ablations": version}
    return record.model_copy(update={"environment": made})
