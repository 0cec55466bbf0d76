"""What earlier versions wrote is read, what later ones wrote is refused with the way out."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from ablations.reporting.exports import export, read_export
from ablations.reporting.report import write_report
from ablations.reporting.results import Results
from ablations.running.sweep import STORE, tally
from ablations.runs.records import SCHEMA, SCHEMAS
from ablations.storage.database import connect, upgrade
from ablations.storage.doctor import examine
from ablations.storage.merge import merge
from ablations.storage.store import Store
from tests.samples import ROOT
from unet import Refusal

PAST = ROOT / "tests" / "past"
STORES = {schema: PAST / f"store_{schema}.db" for schema in SCHEMAS if schema != SCHEMA}
EXPORTS = sorted(PAST.glob("export_*.jsonl"))


@pytest.mark.parametrize("schema", STORES)
def test_a_store_of_the_past_is_read_as_it_is(tmp_path: Path, schema: int) -> None:
    """Its report is written, and no byte of it changes."""
    path = tmp_path / STORE
    shutil.copy(STORES[schema], path)
    with Store.open(path) as store:
        assert (tally(store).stored, len(list(store.attempts()))) == (4, 0 if schema == 1 else 4)
        assert write_report(Results.of(store.plan, store.records()), tmp_path / "out")
    assert examine(path).healthy
    assert path.read_bytes() == STORES[schema].read_bytes()


@pytest.mark.parametrize("schema", STORES)
def test_a_store_of_the_past_can_be_written_to(tmp_path: Path, schema: int) -> None:
    """It is brought up to the present, and keeps what it holds; so it can be merged."""
    path = tmp_path / STORE
    shutil.copy(STORES[schema], path)
    with Store.open(path) as old:
        plan, records = old.plan, list(old.records())
    with Store.create(path, plan) as store:
        assert list(store.records()) == records
        store.add_history(store.attempts())
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA,)
    assert merge([path, STORES[schema]], tmp_path / "all.db").known == len(records)


def test_a_store_of_the_past_is_brought_up_once_whoever_comes_first(tmp_path: Path) -> None:
    """Several processes may open it at the same time."""
    path = tmp_path / STORE
    shutil.copy(STORES[1], path)
    with closing(connect(path)) as first, closing(connect(path)) as second:
        first.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(1) as thread:
            late = thread.submit(_upgraded_late, path)
            while not late.running():
                time.sleep(0.01)
            time.sleep(0.2)  # by now it has seen the old number, and waits
            first.execute("COMMIT")
            upgrade(path, second)
            late.result()
    with Store.open(path) as store:
        assert len(list(store.records())) == 4


def _upgraded_late(path: Path) -> None:
    with closing(connect(path)) as connection:
        upgrade(path, connection)


@pytest.mark.parametrize("path", EXPORTS, ids=lambda path: path.name)
def test_an_export_of_the_past_is_read(path: Path, tmp_path: Path) -> None:
    """And is the same when it is written again, but for its number."""
    plan, records = read_export(path)
    assert len(records) == 4
    with Store.create(tmp_path / STORE, plan) as store:
        store.add_all(records)
        export(store, tmp_path / "again.jsonl")
    head, *lines = (tmp_path / "again.jsonl").read_text().splitlines()
    old_head, *old_lines = path.read_text().splitlines()
    assert json.loads(head) == {"schema": SCHEMA, **json.loads(old_head)}
    assert lines == old_lines


def test_an_export_of_a_later_version_is_refused(tmp_path: Path) -> None:
    """In one line, with which version is to be used."""
    path = tmp_path / "later.jsonl"
    path.write_text('{"schema": 99, "plan": "p", "source": ""}\n{"colour": 3}\n')
    with pytest.raises(Refusal, match=r"of schema 99, and .* reads up to 3: use the version that"):
        read_export(path)


def test_a_strange_table_in_a_store_of_the_past_changes_nothing(tmp_path: Path) -> None:
    """It is refused before anything is brought up to the present."""
    path = tmp_path / STORE
    shutil.copy(STORES[1], path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE more (x)")
    before = path.read_bytes()
    with Store.open(STORES[1]) as store:
        plan = store.plan
    for reading in (lambda: Store.open(path), lambda: Store.create(path, plan)):
        with pytest.raises(Refusal, match="its tables are not those of a store"):
            reading()
    assert path.read_bytes() == before


def test_every_schema_of_the_past_has_its_examples() -> None:
    """A number that is raised leaves a store and an export of the one before it."""
    assert all(path.is_file() for path in STORES.values())
    # The first was never exported.
    assert {path.name for path in EXPORTS} == {f"export_{s}.jsonl" for s in STORES if s > 1}
