"""Run the cells of a plan that its store lacks."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import Final, Self, final

from ablations.cell import Cell
from ablations.engines import Crashed, Engine
from ablations.leases import Leases
from ablations.plan import Plan
from ablations.records import Record
from ablations.store import Store
from unet.refusal import Refusal

STORE: Final = "sweep.db"
"""The store's file in a sweep's folder."""

Outcome = Record | Crashed
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


@final
@dataclass(frozen=True)
class Shard:
    """The `part`-th of `parts` about equal parts of a plan, the same on every machine."""

    part: int = 1
    parts: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """From "2/8"; raises `Refusal` for anything else."""
        numbers = re.fullmatch(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})", text)
        if not numbers or int(numbers[1]) > int(numbers[2]):
            raise Refusal(f"shard {text!r} is not I/N with I from 1 to N, as in 2/8")
        return cls(int(numbers[1]), int(numbers[2]))

    def cells(self, plan: Plan) -> Iterator[Cell]:
        """Its cells, in the plan's order: those whose keys leave its remainder."""
        for cell in plan.cells():
            if int(cell.key, 16) % self.parts == self.part - 1:
                yield cell


def tally(store: Store, shard: Shard = Shard()) -> Tally:
    """How far the sweep in `store` is, or a part of it."""
    cells = stored = given_up = 0
    failed = store.given_up()
    for cell in shard.cells(store.plan):
        cells += 1
        stored += cell.key in store
        given_up += cell.key in failed
    return Tally(store.plan, cells, stored, given_up)


@final
class Sweep:
    """Brings a store's plan to its end.

    Once `drained` is set no more cells are begun, and those under way are brought to their end.
    """

    def __init__(self, store: Store, engine: Engine, shard: Shard = Shard()) -> None:
        self.store = store
        self.shard = shard
        self.drained = False
        self._engine = engine

    def run(self) -> Generator[Outcome]:
        """Run what is missing and not run by others; each record is on the disk when it comes.

        A cell that fails is tried again when all others have had their turn.
        """
        went_on = True
        with Leases(self.store) as leases:
            while went_on and not self.drained and any(missing_cells(self.store, self.shard)):
                went_on = False
                for outcome in self._each_once(leases):
                    went_on = True
                    yield outcome

    def _each_once(self, leases: Leases) -> Iterator[Outcome]:
        cells = takewhile(lambda _: not self.drained, missing_cells(self.store, self.shard))
        with closing(self._engine.run(cells, lambda cell: leases.claim(cell.key))) as outcomes:
            for outcome in outcomes:
                if isinstance(outcome, Crashed):
                    leases.fail(outcome.cell.key, outcome.reason)
                elif not leases.complete(outcome):
                    continue  # Another process took it over, and counts it.
                yield outcome


def missing_cells(store: Store, shard: Shard = Shard()) -> Iterator[Cell]:
    """The cells of the store's plan that have no record and are not given up, in its order."""
    given_up = store.given_up()
    for cell in shard.cells(store.plan):
        if cell.key not in store and cell.key not in given_up:
            yield cell


@final
@dataclass(frozen=True)
class Ended:
    """What came of a sweep: runs that left a record, cells whose last run crashed."""

    trained: int
    crashed: list[Crashed]
    stopped: bool


def brought_to_end(sweep: Sweep, watch: Watch) -> Ended:
    """Run a sweep; `watch` is shown each outcome and hands it on.

    A KeyboardInterrupt stops the workers; what was stored until then stays.
    """
    trained, crashed, stopped = 0, {}, False
    try:
        for outcome in watch(sweep.run(), tally(sweep.store, sweep.shard)):
            if isinstance(outcome, Crashed):
                crashed[outcome.cell.key] = outcome
            else:
                trained += 1
                crashed.pop(outcome.key, None)
    except KeyboardInterrupt:
        stopped = True
    return Ended(trained, list(crashed.values()), stopped or sweep.drained)


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
