"""A store whose file is taken away, or written over, while a sweep writes to it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ablations.running.engines import Outcome
from ablations.running.processes import Workers
from ablations.running.sweep import STORE, Sweep, Tally, brought_to_end
from ablations.runs.plan import Plan
from ablations.storage.plan_file import read_plan
from ablations.storage.store import Store
from tests.endurance.sleeper import Sleeper, record_of
from tests.samples import TINY
from unet import Refusal

NINE = read_plan(TINY.replace("seeds = 2", "seeds = 9"), name="tiny", file="tiny.toml")
"""A plan of eighteen cells."""


def removed(path: Path) -> None:
    """Rm."""
    path.unlink()


def moved(path: Path) -> None:
    """Mv, to elsewhere."""
    path.rename(path.with_name("elsewhere.db"))


def replaced(path: Path) -> None:
    """Mv, of another store, over it."""
    fresh = path.with_name("fresh.db")
    Store.create(fresh, read_plan(TINY, name="tiny", file="tiny.toml")).close()
    fresh.replace(path)


def gone_with_its_folder(path: Path) -> None:
    """Rm -r."""
    shutil.rmtree(path.parent)


@pytest.mark.parametrize("interrupted", [False, True])
@pytest.mark.parametrize("displace", [removed, moved, replaced, gone_with_its_folder])
def test_a_store_that_is_no_longer_there_ends_the_sweep(
    tmp_path: Path, displace: Callable[[Path], None], interrupted: bool
) -> None:
    """It says so, and what it had stored until then lies in a sound store beside."""
    folder = tmp_path / "sweep"
    seen: list[Outcome] = []

    def displace_at_the_first(outcomes: Iterable[Outcome], _start: Tally) -> Iterator[Outcome]:
        for outcome in outcomes:
            if not seen:
                displace(folder / STORE)
            seen.append(outcome)
            if interrupted:
                raise KeyboardInterrupt
            yield outcome

    with Store.create(folder / STORE, NINE) as store:
        sweep = Sweep(store, Workers(2, "cpu", make=Sleeper))
        with pytest.raises(Refusal, match=r"was moved, removed or replaced.*sweep\.saved\.db"):
            brought_to_end(sweep, displace_at_the_first)
    with Store.open(folder / "sweep.saved.db") as saved:
        kept = list(saved.records())
        assert 1 <= len(seen) <= len(kept) < 18, "what was under way is not there, or it went on"
        assert kept == sorted(map(record_of, (r.parsed_cell() for r in kept)), key=lambda r: r.key)
    if displace is replaced:
        # The old file's log was not read into the new one.
        with Store.open(folder / STORE) as other:
            assert other.keys() == set()


def test_what_is_lost_under_a_sweep_is_run_again(tmp_path: Path) -> None:
    """A copy of its beginning is written over the file: in the end every cell has a record."""
    path, early = tmp_path / STORE, tmp_path / "early.db"
    with Store.create(path, NINE) as store:
        store.copy(early)
        outcomes = Sweep(store, Workers(1, "cpu", make=Sleeper)).run()
        for _ in range(17):
            next(outcomes)
        with closing(sqlite3.connect(path)) as other:
            # What is still in the log would heal the file.
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
        path.write_bytes(early.read_bytes())
        assert len(list(outcomes)) >= 17
    with Store.open(path) as store:
        assert store.keys() == {cell.key for cell in NINE.cells()}


def test_a_live_store_is_copied_whole(tmp_path: Path, tiny: Plan) -> None:
    """What is in the log alone is in the copy, which needs no log."""
    with Store.create(tmp_path / STORE, tiny) as store:
        store.add_all(map(record_of, tiny.cells()))
        store.copy(tmp_path / "copies" / "copy.db")
        with Store.open(tmp_path / "copies" / "copy.db") as copy:
            assert list(copy.records()) == list(store.records())
        assert [path.name for path in (tmp_path / "copies").iterdir()] == ["copy.db"]
        with pytest.raises(Refusal, match=r"copy\.db: is there already"):
            store.copy(tmp_path / "copies" / "copy.db")
