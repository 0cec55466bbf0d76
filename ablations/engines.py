"""Where cells run: persistent worker processes on this machine."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import platform
import signal
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Final, final

from pebble import ProcessPool

from ablations.cell import Cell
from ablations.store import Record
from unet.refusal import Refusal

PARENT_CHECK_SECONDS: Final = 1.0


def usable_cores() -> int:
    """The processors that this process may use: a container may have fewer than the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS and Windows have no affinity to ask for


@final
@dataclass(frozen=True)
class Crashed:
    """A cell whose worker died or raised; it has no record, and the next run tries it again."""

    cell: Cell
    reason: str


@final
@dataclass(frozen=True)
class Workers:
    """`count` processes of one torch thread each, on `device` ("auto", "cpu" or "cuda").

    One thread in each of several processes beats several threads in one for nets of this
    size, and a process that dies takes no other cell with it.
    """

    count: int
    device: str = "auto"

    def run(self, cells: Iterable[Cell]) -> Generator[Record | Crashed]:
        """What becomes of each cell, as they end. Closing the iterator stops the workers.

        Raises `Refusal` for the device "cuda" where there is none.
        """
        if self.device == "cuda":
            _require_gpu()
        waiting = iter(cells)
        running: dict[futures.Future[Record], Cell] = {}
        with _interrupts_held():
            pool = ProcessPool(
                max_workers=self.count,
                initializer=_start_worker,
                initargs=(os.getpid(),),
                # Forking a process that has threads, as torch's has, can deadlock.
                context=multiprocessing.get_context("spawn"),
            )
            # Asking whether it is active starts the pool's threads, which must be in here.
            started = pool.active
        assert started, "a new pool is active"
        try:
            while True:
                # One cell ahead for each worker keeps all of them busy and memory bounded.
                for cell in islice(waiting, 2 * self.count - len(running)):
                    running[pool.schedule(_run, args=(cell, self.device))] = cell
                if not running:
                    break
                done, _ = futures.wait(running, return_when=futures.FIRST_COMPLETED)
                for future in done:
                    yield _outcome(future, running.pop(future))
        except BaseException:
            pool.stop()  # type: ignore[no-untyped-call]  # pebble leaves it untyped
            raise
        else:
            pool.close()  # type: ignore[no-untyped-call]
        finally:
            pool.join()


def _outcome(future: futures.Future[Record], cell: Cell) -> Record | Crashed:
    problem = future.exception()
    if problem is None:
        return future.result()
    return Crashed(cell, f"{type(problem).__name__}: {problem}".split("\n", maxsplit=1)[0])


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


def _require_gpu() -> None:
    import torch

    if not torch.cuda.is_available():
        raise Refusal("device 'cuda': torch finds no GPU on this machine; use 'cpu' or 'auto'")


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


def _run(cell: Cell, device: str) -> Record:
    from ablations.train import find_hardware, run_cell

    return run_cell(cell, find_hardware(device))
