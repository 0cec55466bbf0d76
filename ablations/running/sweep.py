"""Run the cells of a plan that its store lacks."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Final, final

from ablations.running.engines import Crashed, Engine, Outcome
from ablations.runs.cell import Cell
from ablations.runs.plan import Plan
from ablations.runs.records import Record
from ablations.runs.selection import EVERYTHING, Selection
from ablations.storage.leases import Leases
from ablations.storage.store import Store
from unet.refusal import Refusal, Unable

STORE: Final = "sweep.db"
"""The store's file in a sweep's folder."""

ALIKE: Final = 3
"""So many cells of different variants that fail in the same words, before any other, are enough."""

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
class AllFailAlike(Exception):  # noqa: N818  # it ends a sweep, and nothing in the code erred
    """Whatever was begun failed in the same words, so that all that is left would fail as well."""


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
        # Failures that wait until it is known whether every cell fails in their words.
        self._waiting: list[Crashed] = []
        self._differ = False

    def run(self) -> Generator[Outcome]:
        """Run what is missing and not run by others; each record is on the disk when it comes.

        A cell that fails is tried again when all others have had their turn. Raises `AllFailAlike`
        if the first cells do so, which costs none of them an attempt, and `Refusal` before the
        first cell if what is stored was trained otherwise.
        """
        self._require_one_precision()
        went_on = True
        with Leases(self.store) as leases:
            while went_on and not self.drained and any(missing_cells(self.store, self.selection)):
                went_on = False
                for outcome in self._each_once(leases):
                    went_on = True
                    yield outcome

    def _require_one_precision(self) -> None:
        """Refuse a store of a version that chose the precision itself, and wrote it in no key."""
        for record in islice(self.store.records(), 1):
            if not record.is_as_asked:
                made = record.environment["precision"]
                asked = record.parsed_cell().training.precision
                raise Refusal(
                    f"{self.store.path}: an earlier version trained its cells in {made}, where "
                    f"this one trains the same in {asked}: choose another --out"
                )

    def _each_once(self, leases: Leases) -> Iterator[Outcome]:
        def claim(cells: list[Cell]) -> list[Cell]:
            # What is under way when the store's file is taken away can still be saved.
            self.drained |= not self.store.is_in_place
            # Groups of seeds have been put together before, where several share a GPU.
            if self.drained:
                return []
            held = set(leases.claim([cell.key for cell in cells]))
            return [cell for cell in cells if cell.key in held]

        cells = takewhile(lambda _: not self.drained, missing_cells(self.store, self.selection))
        with closing(self._engine.run(cells, claim)) as batches:
            for ended in batches:
                crashed = [each for each in ended if isinstance(each, Crashed)]
                records = [each for each in ended if isinstance(each, Record)]
                alike = self._blame(crashed, leases, others=bool(records))
                yield from crashed
                if alike:
                    raise AllFailAlike
                # Another process may have taken one over, and counts it.
                yield from leases.complete(records)
        self._blame([], leases, others=True)

    def _blame(self, crashed: list[Crashed], leases: Leases, *, others: bool) -> bool:
        """Hold failures against their cells, once it is known that not all cells fail so.

        Returns whether all do, in which case nothing is held against any.
        """
        failed = [*self._waiting, *crashed]
        self._differ |= others or len({each.reason for each in failed}) > 1
        alike = not self._differ and self._is_enough(failed)
        if not self._differ and not alike:
            self._waiting = failed
            return False
        self._waiting = []
        for each in failed:
            leases.fail(each.cell.key, each.reason, blameless=alike)
        return alike

    def _is_enough(self, crashed: list[Crashed]) -> bool:
        """Whether they are of several variants, where there are several: one may be too large."""
        variants = sum(1 for _ in islice(self.store.plan.variants(self.selection.only), ALIKE))
        failed = {each.cell.variant for each in crashed}
        return len(crashed) >= ALIKE and len(failed) >= variants


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

    `before` counts the cells that were stored when it began; `alike` are the crashed ones whose
    failure ended it.
    """

    before: int
    trained: int
    crashed: list[Crashed]
    stopped: bool
    alike: int = 0


def brought_to_end(sweep: Sweep, watch: Watch) -> Ended:
    """Run a sweep; `watch` is shown each outcome and hands it on.

    A KeyboardInterrupt stops the workers; what was stored until then stays. Raises `Refusal` if
    the store's file was taken away meanwhile; all that it held is then in another file.
    """
    trained, crashed, stopped, alike = 0, {}, False, 0
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
    except AllFailAlike:
        alike = len(crashed)
    if not sweep.store.is_in_place:
        saved = sweep.store.save_beside()
        raise Unable(
            f"{sweep.store.path}: was moved, removed or replaced during the run; what it held is "
            f"in {saved}: put that in its place, or merge the two"
        )
    return Ended(start.stored, trained, list(crashed.values()), stopped or sweep.drained, alike)


@contextmanager
def heeding_signals(sweep: Sweep) -> Iterator[None]:
    """Meanwhile what asks this process to end drains the sweep, and a second time stops it.

    That is Ctrl-C, SIGTERM and, unless `nohup` has it ignored, a terminal that is closed.
    """

    def heard(_number: int, _frame: object) -> None:
        if sweep.drained:
            raise KeyboardInterrupt
        sweep.drained = True
        # What comes in the middle of a line that is being printed must not print itself.
        with suppress(OSError):  # the terminal is gone
            os.write(2, b"ending when the runs under way have ended; once more stops them\n")

    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = [signal.signal(number, heard) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
