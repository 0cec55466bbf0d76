"""Where cells run: what every engine shares, from the cells that wait to what becomes of each."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from mmap import PAGESIZE
from typing import Final, Protocol, final

from pydantic import ValidationError

from ablations.runs.cell import Cell
from ablations.runs.records import Record
from ablations.training.hardware import Group, Hardware, find_hardware, groups
from unet.refusal import printable, shortened

RUN_SECONDS: Final = 6 * 3600.0
"""What a run may take, if nothing else is said."""


@final
@dataclass(frozen=True)
class Crashed:
    """A cell that left no record: its worker died, raised, or took too long."""

    cell: Cell
    reason: str


Outcome = Record | Crashed

Claim = Callable[[list[Cell]], list[Cell]]
"""Asks for cells, and returns those that are now ours to run."""

Ended = tuple[Group, list[Record] | str]
"""A group that was run, with its records, or why there are none, in one line."""

Take = Callable[[int], list[Group]]
"""The next groups to run, so many or as many as are left."""


class Engine(Protocol):
    """Runs cells somewhere."""

    def run(self, cells: Iterable[Cell], claim: Claim = ...) -> Generator[list[Outcome]]:
        """What becomes of the cells: those together that ended together.

        Closing the iterator stops the workers. A cell is claimed when its turn comes, and left
        out if it cannot be.
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
    """The runner that trains, in one thread: there are as many workers as cores."""
    import torch

    from ablations.training.train import Trainer

    torch.set_num_threads(1)
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

    def results(self, take: Take) -> Iterator[list[Ended]]:
        """What becomes of the groups, as they end."""
        ...


def outcomes(
    start: Callable[[bool], AbstractContextManager[Team]], cells: Iterable[Cell], claim: Claim
) -> Generator[list[Outcome]]:
    """What becomes of the cells, with the teams that `start` starts.

    Cells that failed together are tried once more, each alone on the device, by the team of
    `start(True)`: what does not fit beside others may fit then, and one cell takes no other
    with it.
    """
    alone: list[Group] = []
    with start(False) as team:
        waiting = groups(cells, team.hardware, team.sharers)
        for ended in team.results(partial(taken, waiting, claim)):
            again = [e for e in ended if team.hardware.device == "cuda" and isinstance(e[1], str)]
            alone += [(cell,) for group, _ in again for cell in group]
            yield _outcomes(each for each in ended if each not in again)
    if alone:
        with start(True) as team:
            for ended in team.results(partial(taken, iter(alone), list)):
                yield _outcomes(ended)


def taken(waiting: Iterator[Group], claim: Claim, count: int) -> list[Group]:
    """The next `count` groups, or as many as are left, without cells that cannot be claimed."""
    found: list[Group] = []
    while len(found) < count and (some := list(islice(waiting, count - len(found)))):
        held = {cell.key for cell in claim([cell for group in some for cell in group])}
        kept = (tuple(cell for cell in group if cell.key in held) for group in some)
        found += [group for group in kept if group]
    return found


def _outcomes(ended: Iterable[Ended]) -> list[Outcome]:
    found: list[Outcome] = []
    for group, result in ended:
        found += [Crashed(cell, result) for cell in group] if isinstance(result, str) else result
    return found


def in_one_line(problem: BaseException) -> str:
    """Its class and the first line of what it says."""
    try:
        said = str(problem).split("\n", maxsplit=1)[0]
        if isinstance(problem, ValidationError):
            error = problem.errors()[0]
            said = f"{problem.title}: {'.'.join(map(str, error['loc']))}: {error['msg']}"
    except Exception:  # noqa: BLE001  # an error whose text is an error
        said = "it cannot be told"
    name = type(problem).__name__
    return shortened(printable(f"{name}: {said}" if said else name))


def took_too_long(seconds: float) -> str:
    """Why a run was stopped."""
    return f"TimeoutError: took more than {seconds:g} s"


def keep_freed_memory() -> None:
    """Have glibc keep large blocks for the next step, in pages of 2 MiB where the system has them.

    New ones cost a page fault each 4 KiB, and small pages a search whenever a map is gone through.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    # Not a byte of it is touched, and what is freed here stays with the process.
    start = libc.malloc(HEAP)
    if start:
        first = -(-start // PAGESIZE) * PAGESIZE
        libc.madvise(first, start + HEAP - first, MADV_HUGEPAGE)
        libc.free(start)


HEAP: Final = 2**30
"""Bytes of address space, of which a process takes what it touches."""

# The numbers are those of glibc's malloc.h and of Linux.
M_TRIM_THRESHOLD: Final = -1
M_MMAP_MAX: Final = -4
MADV_HUGEPAGE: Final = 14
