"""Where cells run: persistent worker processes on this machine."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Final, final

from pebble import ProcessExpired, ProcessPool

from ablations.cell import Cell
from ablations.hardware import Group, Hardware, find_hardware, groups
from ablations.records import Record
from unet.refusal import Refusal, printable, shortened

if TYPE_CHECKING:
    from ablations.train import Trainer

PARENT_CHECK_SECONDS: Final = 1.0
RUN_SECONDS: Final = 6 * 3600.0
"""What a run may take, if nothing else is said."""


@final
@dataclass(frozen=True)
class Crashed:
    """A cell that left no record: its worker died, raised, or took too long."""

    cell: Cell
    reason: str


@final
@dataclass(frozen=True)
class Workers:
    """`count` processes of one torch thread each, on `device` ("auto", "cpu" or "cuda").

    One thread in each of several processes beats several threads in one for nets of this
    size, and a process that dies takes no other cell with it, nor one that is stopped because
    it took more than `seconds` for what it was given. On a GPU they share the device,
    and each trains several seeds of a variant at once.
    """

    count: int
    device: str = "auto"
    seconds: float = RUN_SECONDS

    def run(
        self, cells: Iterable[Cell], claim: Callable[[Cell], bool] = lambda _: True
    ) -> Generator[Record | Crashed]:
        """What becomes of each cell, as they end. Closing the iterator stops the workers.

        A cell is claimed when its turn comes, and left out if it cannot be.

        Cells that failed together are tried once more, each alone on the device: what does not
        fit beside others may fit then, and one cell takes no other with it. Raises `Refusal`
        for the device "cuda" where there is none.
        """
        alone: list[Group] = []
        with _started(self.count) as pool:
            hardware = _find_hardware(pool, self.device)
            waiting = claimed(groups(cells, hardware, self.count), claim)
            # One group ahead for each worker keeps all of them busy and memory bounded.
            for group, result in _results(pool, self.device, waiting, 2 * self.count, self.seconds):
                if hardware.device == "cuda" and isinstance(result, str):
                    alone += [(cell,) for cell in group]
                else:
                    yield from _outcomes(group, result)
        if alone:
            with _started(1) as pool:
                for group, result in _results(pool, self.device, iter(alone), 1, self.seconds):
                    yield from _outcomes(group, result)


def claimed(waiting: Iterator[Group], claim: Callable[[Cell], bool]) -> Iterator[Group]:
    """The groups without the cells that cannot be claimed, one after the other."""
    for group in waiting:
        if held := tuple(cell for cell in group if claim(cell)):
            yield held


def _find_hardware(pool: ProcessPool, device: str) -> Hardware:
    """What a worker finds; to look for it here would take the import of torch."""
    try:
        return pool.schedule(find_hardware, args=(device,)).result()
    except (ProcessExpired, ImportError, OSError) as problem:
        raise Refusal(f"no worker could be started: {_in_one_line(problem)}") from None


def _results(
    pool: ProcessPool, device: str, waiting: Iterator[Group], most: int, seconds: float
) -> Iterator[tuple[Group, list[Record] | str]]:
    """Each group's records, or why there are none, as they end; at most so many are under way."""
    running: dict[futures.Future[list[Record]], Group] = {}
    while True:
        for group in islice(waiting, most - len(running)):
            running[pool.schedule(_run, args=(group, device), timeout=seconds)] = group
        if not running:
            return
        done, _ = futures.wait(running, return_when=futures.FIRST_COMPLETED)
        for future in done:
            problem = future.exception()
            yield running.pop(future), _in_one_line(problem) if problem else future.result()


@contextmanager
def _started(workers: int) -> Iterator[ProcessPool]:
    """A pool of worker processes; leaving by an exception stops them."""
    with _interrupts_held():
        pool = ProcessPool(
            max_workers=workers,
            initializer=_start_worker,
            initargs=(os.getpid(),),
            # Forking a process that has threads, as torch's has, can deadlock.
            context=multiprocessing.get_context("spawn"),
        )
        # Asking whether it is active starts the pool's threads, which must be in here.
        started = pool.active
    assert started, "a new pool is active"
    try:
        yield pool
    except BaseException:
        pool.stop()  # type: ignore[no-untyped-call]  # pebble leaves it untyped
        raise
    else:
        pool.close()  # type: ignore[no-untyped-call]
    finally:
        pool.join()


def _outcomes(group: Group, result: list[Record] | str) -> Iterable[Record | Crashed]:
    return [Crashed(cell, result) for cell in group] if isinstance(result, str) else result


def _in_one_line(problem: BaseException) -> str:
    try:
        text = str(problem).split("\n", maxsplit=1)[0]
    except Exception:  # noqa: BLE001  # an error whose text is an error
        text = "it cannot be told"
    return shortened(printable(f"{type(problem).__name__}: {text}"))


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back; threads and processes started meanwhile never hear of it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(parent: int) -> None:
    """Make this process a worker: one thread, deaf to Ctrl-C, gone when its parent is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
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


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    os._exit(1)


def _run(cells: Group, device: str) -> list[Record]:
    return _trainer(device).run(cells)


@cache
def _trainer(device: str) -> Trainer:
    from ablations.train import Trainer

    return Trainer(find_hardware(device))
