"""Run the cells of a plan that its store lacks."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import Final, final

from ablations.running.engines import Crashed, Engine, Outcome
from ablations.runs.cell import Cell
from ablations.runs.plan import Plan
from ablations.runs.records import Record
from ablations.runs.selection import EVERYTHING, Selection
from ablations.storage.leases import Leases
from ablations.storage.store import Store

STORE: Final = "sweep.db"
"""The store's file in a sweep's folder."""

Watch = Callable[[Iterable[Outcome], "Tally"], Iterator[Outcome]]


@final
@dataclass(frozen=True)
class Tally:
    """How far a sweep is: `stored` of the plan's `cells` have a record.

    Of the others, `given_up` have failed too often to be tried again unasked.
    """

    plan: Plan
    cells: int
    stored: int
    given_up: int

    @property
    def open(self) -> int:
        """Cells that are still to be run, or are being run."""
        return self.cells - self.stored - self.given_up


def tally(store: Store, selection: Selection = EVERYTHING) -> Tally:
    """How far the sweep in `store` is, or a part of it."""
    cells = stored = given_up = 0
    failed = store.given_up()
    for cell in selection.cells(store.plan):
        cells += 1
        stored += cell.key in store
        given_up += cell.key in failed
    return Tally(store.plan, cells, stored, given_up)


@final
class Sweep:
    """Brings a store's plan to its end.

    Once `drained` is set no more cells are begun, and those under way are brought to their end.
    """

    def __init__(self, store: Store, engine: Engine, selection: Selection = EVERYTHING) -> None:
        self.store = store
        self.selection = selection
        self.drained = False
        self._engine = engine

    def run(self) -> Generator[Outcome]:
        """Run what is missing and not run by others; each record is on the disk when it comes.

        A cell that fails is tried again when all others have had their turn.
        """
        went_on = True
        with Leases(self.store) as leases:
            while went_on and not self.drained and any(missing_cells(self.store, self.selection)):
                went_on = False
                for outcome in self._each_once(leases):
                    went_on = True
                    yield outcome

    def _each_once(self, leases: Leases) -> Iterator[Outcome]:
        def claim(cells: list[Cell]) -> list[Cell]:
            # Groups of seeds have been put together before, where several share a GPU.
            if self.drained:
                return []
            held = set(leases.claim([cell.key for cell in cells]))
            return [cell for cell in cells if cell.key in held]

        cells = takewhile(lambda _: not self.drained, missing_cells(self.store, self.selection))
        with closing(self._engine.run(cells, claim)) as batches:
            for ended in batches:
                crashed = [each for each in ended if isinstance(each, Crashed)]
                for each in crashed:
                    leases.fail(each.cell.key, each.reason)
                yield from crashed
                # Another process may have taken one over, and counts it.
                yield from leases.complete([each for each in ended if isinstance(each, Record)])


def missing_cells(store: Store, selection: Selection = EVERYTHING) -> Iterator[Cell]:
    """The cells of the store's plan that have no record and are not given up, in its order."""
    given_up = store.given_up()
    for cell in selection.cells(store.plan):
        if cell.key not in store and cell.key not in given_up:
            yield cell


@final
@dataclass(frozen=True)
class Ended:
    """What came of a sweep: runs that left a record, and cells whose last run crashed.

    `before` counts the cells that were stored when it began.
    """

    before: int
    trained: int
    crashed: list[Crashed]
    stopped: bool


def brought_to_end(sweep: Sweep, watch: Watch) -> Ended:
    """Run a sweep; `watch` is shown each outcome and hands it on.

    A KeyboardInterrupt stops the workers; what was stored until then stays.
    """
    trained, crashed, stopped = 0, {}, False
    start = tally(sweep.store, sweep.selection)
    try:
        for outcome in watch(sweep.run(), start):
            if isinstance(outcome, Crashed):
                crashed[outcome.cell.key] = outcome
            else:
                trained += 1
                crashed.pop(outcome.key, None)
    except KeyboardInterrupt:
        stopped = True
    return Ended(start.stored, trained, list(crashed.values()), stopped or sweep.drained)


@contextmanager
def heeding_signals(sweep: Sweep) -> Iterator[None]:
    """Meanwhile Ctrl-C and SIGTERM drain the sweep, and a second one stops it."""

    def heard(_number: int, _frame: object) -> None:
        if sweep.drained:
            raise KeyboardInterrupt
        sweep.drained = True
        # What comes in the middle of a line that is being printed must not print itself.
        os.write(2, b"ending when the runs under way have ended; once more stops them\n")

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, heard) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
