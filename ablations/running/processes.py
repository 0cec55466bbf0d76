"""Persistent worker processes on this machine."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from concurrent import futures
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Final, TypeVar, final

from pebble import CONSTS, ProcessExpired, ProcessPool

from ablations.running.engines import (
    RUN_SECONDS,
    Claim,
    Ended,
    Make,
    Outcome,
    Runner,
    Take,
    Team,
    in_one_line,
    keep_freed_memory,
    outcomes,
    took_too_long,
    trainer,
)
from ablations.runs.cell import Cell
from ablations.runs.records import Record
from ablations.training.hardware import Group, Hardware
from unet.lifeline import end_with_parent
from unet.refusal import Refusal, Unable

T = TypeVar("T")

# Workers do not heed SIGTERM, with which pebble asks them first, and have nothing to put away.
CONSTS.term_timeout = 0.1

MOST_BROKEN: Final = 3
"""Pools in a row all of whose processes die before they begin anything."""

SHORT_SECONDS: Final = 2.0
"""A wait for the next group to end that nobody minds."""

HEARING_SECONDS: Final = 1.0
"""So late at most a signal is heard."""

FAILED: Final = 70
"""The exit code of a process that ended with its run."""


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
    make: Make = trainer

    def run(self, cells: Iterable[Cell], claim: Claim = list) -> Generator[list[Outcome]]:
        """As `Engine.run`. Raises `Refusal` for the device "cuda" where there is none."""
        return outcomes(self._started, cells, claim)

    @contextmanager
    def _started(self, alone: bool) -> Iterator[Team]:
        count = 1 if alone else self.count
        with tempfile.TemporaryDirectory() as last_words, ExitStack() as pools:
            yield _Processes(self, count, pools, Path(last_words))


@final
class _Processes:
    """The team of a pool of processes, which leave in `last_words` why they ended."""

    def __init__(self, workers: Workers, sharers: int, pools: ExitStack, last_words: Path) -> None:
        self.sharers = sharers
        self._workers = workers
        self._pools = pools
        self._last_words = last_words
        self._pool = pools.enter_context(_pool_of(workers, sharers))
        self._broken = 0

    @cached_property
    def hardware(self) -> Hardware:
        """What a worker finds; to look for it here would take the import of torch."""
        args = (self._workers.make, self._workers.device)
        while True:
            future: futures.Future[Hardware] = self._scheduled(_hardware, args)
            try:
                _first_to_end(self._pool, [future])
                return future.result()
            except futures.BrokenExecutor:
                self._begin_anew()
            except (ProcessExpired, ImportError, OSError) as problem:
                raise Refusal(f"no worker could be started: {in_one_line(problem)}") from None

    def results(self, take: Take) -> Iterator[list[Ended]]:
        """Short groups are handed out one ahead for each worker, to keep all of them busy."""
        running: dict[futures.Future[list[Record]], Group] = {}
        ahead = 0
        while True:
            for group in take(self.sharers + ahead - len(running)):
                running[self._begun(group)] = group
            if not running:
                return
            began = time.monotonic()
            done = _first_to_end(self._pool, running)
            # What is handed out is run, even if the sweep is drained in the meantime.
            ahead = self.sharers if time.monotonic() - began < SHORT_SECONDS else 0
            ended = [(running.pop(future), future) for future in done]
            broken = [group for group, future in ended if _is_broken(future)]
            if broken:
                # Its groups have not been run, and wait for another pool.
                self._begin_anew()
                running = {self._begun(group): group for group in (*broken, *running.values())}
            yield [(g, self._result(future)) for g, future in ended if not _is_broken(future)]

    def _begin_anew(self) -> None:
        """A new pool: all processes of the old one had died before they began anything."""
        self._broken += 1
        if self._broken > MOST_BROKEN:
            raise Unable("no worker could be started: all died at once; is there enough memory?")
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool = self._pools.enter_context(_pool_of(self._workers, self.sharers))

    def _begun(self, group: Group) -> futures.Future[list[Record]]:
        workers = self._workers
        args = (workers.make, workers.device, group, self._last_words)
        return self._scheduled(_run, args, timeout=workers.seconds)

    def _scheduled(
        self, work: Callable[..., T], args: tuple[object, ...], timeout: float | None = None
    ) -> futures.Future[T]:
        try:
            return self._pool.schedule(work, args=args, timeout=timeout)
        except RuntimeError:
            if self._pool.active:
                raise
            # It broke a moment ago.
            future = futures.Future[T]()
            future.set_exception(futures.BrokenExecutor())
            return future

    def _result(self, future: futures.Future[list[Record]]) -> list[Record] | str:
        self._broken = 0
        problem = future.exception()
        if isinstance(problem, ProcessExpired):
            return self._why_it_ended(problem)
        if isinstance(problem, TimeoutError):
            return took_too_long(self._workers.seconds)
        return in_one_line(problem) if problem else future.result()

    def _why_it_ended(self, problem: ProcessExpired) -> str:
        code, words = problem.exitcode, self._last_words / str(problem.pid)
        if code == FAILED and words.exists():
            return words.read_text(encoding="utf-8")
        if -code in set(signal.Signals):
            return f"its process was ended by {signal.Signals(-code).name}"
        return f"its process ended with exit code {code}"


def _first_to_end(
    pool: ProcessPool, running: Collection[futures.Future[T]]
) -> set[futures.Future[T]]:
    """Waits for at least one of them; a pool that broke as it was given work forgets that."""
    while True:
        works = pool.active
        # Ctrl-C in the moment in which a wait begins does not end it, and is heard after it.
        done, waiting = futures.wait(running, HEARING_SECONDS, futures.FIRST_COMPLETED)
        if done:
            return done
        for future in () if works else waiting:
            future.set_exception(futures.BrokenExecutor())


def _is_broken(future: futures.Future[list[Record]]) -> bool:
    return isinstance(future.exception(), futures.BrokenExecutor)


@contextmanager
def _pool_of(workers: Workers, count: int) -> Iterator[ProcessPool]:
    """A pool of `count` worker processes; leaving by an exception stops them."""
    # What starts in them with numpy: threads that have nothing to do but keep cores from others.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with _interrupts_held():
        pool = ProcessPool(
            max_workers=count,
            initializer=_start_worker,
            initargs=(os.getpid(), workers.make, workers.device),
            # Forking a process that has threads, as torch's has, can deadlock.
            context=multiprocessing.get_context("spawn"),
        )
        try:
            # Asking whether it is active starts the pool's threads, which must be in here.
            started = pool.active
        except (futures.BrokenExecutor, OSError) as problem:
            said = in_one_line(problem.__cause__ or problem)
            raise Unable(f"no worker could be started: {said}") from None
    assert started, "a new pool is active"
    try:
        yield pool
    except BaseException:
        pool.stop()  # type: ignore[no-untyped-call]  # pebble leaves it untyped
        raise
    else:
        # One that broke would wait for the work that it forgot.
        if pool.active:
            pool.close()  # type: ignore[no-untyped-call]
    finally:
        pool.join()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold back what a terminal sends; threads and processes started meanwhile never hear of it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(parent: int, make: Make, device: str) -> None:
    """Make this process a worker: deaf to what asks its parent to end, and gone with it."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    end_with_parent(parent)
    # To take a process with torch in it apart takes a fifth of a second, for which all would wait.
    atexit.register(os._exit, 0)
    keep_freed_memory()
    # All of them import at once what takes seconds, not each when its first cell comes. What is
    # wrong shows again then, and is told.
    with suppress(Exception):
        _made(make, device)


def _hardware(make: Make, device: str) -> Hardware:
    return _made(make, device).hardware


def _run(make: Make, device: str, cells: Group, last_words: Path) -> list[Record]:
    """Run cells; a process in which a run failed ends with it.

    What is left of it may spoil the next run: memory that nobody frees, or a GPU's context, in
    which nothing works after one fault.
    """
    try:
        return _made(make, device).run(cells)
    except Exception as problem:  # noqa: BLE001  # whatever it is, it is told
        (last_words / str(os.getpid())).write_text(in_one_line(problem), encoding="utf-8")
        os._exit(FAILED)


@cache
def _made(make: Make, device: str) -> Runner:
    return make(device)
