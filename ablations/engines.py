"""Where cells run: what every engine shares, from the cells that wait to what becomes of each."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol, final

from ablations.cell import Cell
from ablations.hardware import Group, Hardware, find_hardware, groups
from ablations.records import Record

RUN_SECONDS: Final = 6 * 3600.0
"""What a run may take, if nothing else is said."""


@final
@dataclass(frozen=True)
class Crashed:
    """A cell that left no record: its worker died, raised, or took too long."""

    cell: Cell
    reason: str


Claim = Callable[[Cell], bool]
"""Whether a cell is now ours to run."""

Result = list[Record] | str
"""A group's records, or why there are none, in one line."""


class Engine(Protocol):
    """Runs cells somewhere."""

    def run(self, cells: Iterable[Cell], claim: Claim = ...) -> Generator[Record | Crashed]:
        """What becomes of each cell, as they end. Closing the iterator stops the workers.

        A cell is claimed when its turn comes, and left out if it cannot be.
        """
        ...


class Runner(Protocol):
    """What a worker process has at its heart: a `Trainer`, or a test's stand-in for it."""

    @property
    def hardware(self) -> Hardware:
        """Where it runs cells."""
        ...

    def run(self, cells: Sequence[Cell]) -> list[Record]:
        """Run cells that differ in their seed only, and leave a record of each."""
        ...


Make = Callable[[str], Runner]
"""Makes the runner for a device, in the worker: a function of a module, so that it has a name."""


def trainer(device: str) -> Runner:
    """The runner that trains."""
    from ablations.train import Trainer

    return Trainer(find_hardware(device))


class Team(Protocol):
    """Workers that have been started; `sharers` of them share a device."""

    @property
    def sharers(self) -> int:
        """How many workers share a device."""
        ...

    @property
    def hardware(self) -> Hardware:
        """What they run on."""
        ...

    def results(self, waiting: Iterator[Group]) -> Iterator[tuple[Group, Result]]:
        """What becomes of each group, as they end."""
        ...


def outcomes(
    start: Callable[[bool], AbstractContextManager[Team]], cells: Iterable[Cell], claim: Claim
) -> Generator[Record | Crashed]:
    """What becomes of each cell, with the teams that `start` starts.

    Cells that failed together are tried once more, each alone on the device, by the team of
    `start(True)`: what does not fit beside others may fit then, and one cell takes no other
    with it.
    """
    alone: list[Group] = []
    with start(False) as team:
        waiting = claimed(groups(cells, team.hardware, team.sharers), claim)
        for group, result in team.results(waiting):
            if team.hardware.device == "cuda" and isinstance(result, str):
                alone += [(cell,) for cell in group]
            else:
                yield from _outcomes(group, result)
    if alone:
        with start(True) as team:
            for group, result in team.results(iter(alone)):
                yield from _outcomes(group, result)


def claimed(waiting: Iterator[Group], claim: Claim) -> Iterator[Group]:
    """The groups without the cells that cannot be claimed, one after the other."""
    for group in waiting:
        if held := tuple(cell for cell in group if claim(cell)):
            yield held


def _outcomes(group: Group, result: Result) -> Iterable[Record | Crashed]:
    return [Crashed(cell, result) for cell in group] if isinstance(result, str) else result


def in_one_line(problem: BaseException) -> str:
    """Its class and the first line of what it says."""
    return f"{type(problem).__name__}: {problem}".split("\n", maxsplit=1)[0]


def settle() -> None:
    """Make this process work as a worker does: in one thread, with memory kept at hand."""
    keep_freed_memory()

    import torch

    torch.set_num_threads(1)


def keep_freed_memory() -> None:
    """Have glibc keep large blocks for the next step: new ones cost a page fault each 4 KiB."""
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


# The numbers are those of glibc's malloc.h.
M_TRIM_THRESHOLD: Final = -1
M_MMAP_MAX: Final = -4
