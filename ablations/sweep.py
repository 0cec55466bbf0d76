"""Run the cells of a plan that its store lacks."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from ablations.cell import Cell
from ablations.engines import Crashed, Workers
from ablations.plan import Plan
from ablations.store import Record, Store

STORE: Final = "sweep.db"
"""The store's file in a sweep's folder."""

Outcome = Record | Crashed
Watch = Callable[[Iterable[Outcome], "Tally"], Iterator[Outcome]]


@final
@dataclass(frozen=True)
class Tally:
    """How far a sweep is: `stored` of the plan's `cells` have a record."""

    plan: Plan
    cells: int
    stored: int


def tally(store: Store) -> Tally:
    """How far the sweep in `store` is."""
    cells = len(list(store.plan.cells()))
    return Tally(store.plan, cells, cells - len(missing_cells(store)))


def missing_cells(store: Store) -> list[Cell]:
    """The cells of the store's plan that have no record yet, in the plan's order."""
    done = store.keys()
    return [cell for cell in store.plan.cells() if cell.key not in done]


def run_missing(store: Store, workers: Workers) -> Generator[Outcome]:
    """Run what is missing; each record is on the disk before it is handed on."""
    cells = missing_cells(store)
    if not cells:
        return
    with closing(workers.run(cells)) as outcomes:
        for outcome in outcomes:
            if isinstance(outcome, Record):
                store.add(outcome)
            yield outcome


def run_plan(plan: Plan, folder: Path, workers: Workers, watch: Watch) -> tuple[int, list[Crashed]]:
    """Bring the sweep in `folder` to its end; `watch` is shown each outcome and hands it on.

    Returns how many runs ended with a record, and those that crashed. A KeyboardInterrupt
    stops the workers and goes on to the caller; what was stored until then stays.
    """
    with Store.create(folder / STORE, plan) as store:
        before = tally(store)
        outcomes = list(watch(run_missing(store, workers), before))
    crashed = [outcome for outcome in outcomes if isinstance(outcome, Crashed)]
    return len(outcomes) - len(crashed), crashed
