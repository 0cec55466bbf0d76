"""What is damaged is named and taken out; the rest is used."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from ablations.runs.plan import Plan
from ablations.runs.records import Record
from ablations.storage.doctor import examine, mend
from ablations.storage.plan_file import read_plan
from ablations.storage.store import Store
from tests.endurance.sleeper import record_of
from tests.samples import TINY
from tests.test_merge import stored
from unet import Refusal


@pytest.fixture
def path(tmp_path: Path, tiny: Plan, tiny_records: list[Record]) -> Path:
    """A store of four records."""
    return stored(tmp_path / "sweep.db", tiny, tiny_records)


def spoil(path: Path, statement: str, *values: str) -> None:
    """Change the file past the program."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement, values)
    connection.close()


def test_a_sound_store_is_left_alone(path: Path) -> None:
    """Nothing is found, and mending does nothing."""
    before = path.read_bytes()
    assert examine(path).healthy
    assert mend(path).sound == 4
    assert path.read_bytes() == before
    assert not (path.parent / "quarantine.jsonl").exists()


def test_damaged_records_are_taken_out(path: Path, tiny_records: list[Record]) -> None:
    """One cut short, one under another's key: named, kept aside, and to be run again."""
    cut, wrong, *sound = sorted(tiny_records, key=lambda record: record.key)
    spoil(path, "UPDATE records SET body = substr(body, 1, 100) WHERE key = ?", cut.key)
    spoil(path, "UPDATE records SET body = ? WHERE key = ?", sound[0].model_dump_json(), wrong.key)
    with Store.open(path) as store, pytest.raises(Refusal, match=f"record {cut.key}"):
        list(store.records())
    found = examine(path)
    assert set(found.damaged) == {cut.key, wrong.key}
    assert found.sound == 2
    assert mend(path) == found
    with Store.open(path) as store:
        assert list(store.records()) == sound
        assert cut.key not in store
    lines = (path.parent / "quarantine.jsonl").read_text().splitlines()
    assert {json.loads(line)["key"] for line in lines} == {cut.key, wrong.key}
    assert mend(path).healthy


def test_a_damaged_file_is_written_anew(path: Path, tiny_records: list[Record]) -> None:
    """A page of zeros in the middle: what can be read is rescued, and the old file kept."""
    for copy in range(200):
        body = json.dumps({"filler": copy}) + " " * 3000
        spoil(path, "INSERT INTO records VALUES (?, ?)", f"{copy:032x}", body)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = bytes(4096)
    path.write_bytes(content)
    found = mend(path)
    assert found.file
    assert (path.parent / "sweep.db.damaged").exists()
    assert examine(path).healthy
    with Store.open(path) as store:
        kept = list(store.records())
    assert kept
    assert {record.key for record in kept} <= {record.key for record in tiny_records}
    assert found.sound == len(kept)


def test_rows_of_bytes_are_taken_out(path: Path) -> None:
    """A key or a body that is no text, or text that is no UTF-8, is named and kept aside."""
    spoil(path, "INSERT INTO records VALUES (x'00ff', x'6162')")
    spoil(path, "INSERT INTO records VALUES ('blob', x'00ff')")
    spoil(path, "INSERT INTO records VALUES (CAST(x'61ff' AS TEXT), '{}')")
    spoil(path, "INSERT INTO records VALUES ('half', CAST(x'ff' AS TEXT))")
    found = mend(path)
    assert sorted(found.damaged) == ["\0\\xff", "a\\xff", "blob", "half"]
    assert found.sound == 4
    assert mend(path).healthy
    lines = (path.parent / "quarantine.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines] == list(found.damaged)


def test_damage_that_sqlite_cannot_quote_is_told(path: Path) -> None:
    """Its message holds the damaged name, which is no text any more."""
    content = path.read_bytes()
    assert content.count(b"CREATE INDEX attempts_of") == 1
    path.write_bytes(
        content.replace(b"CREATE INDEX attempts_of", b"CREATE INDEX \xff\xfe\xfd of  ")
    )
    with pytest.raises(Refusal, match="damaged"):
        examine(path)


def test_a_strangers_file_is_no_patient(tmp_path: Path) -> None:
    """One line, and the file stays."""
    path = tmp_path / "sweep.db"
    path.write_text("my diary " * 1000)
    with pytest.raises(Refusal, match="not a database"):
        examine(path)
    with pytest.raises(Refusal, match="no such store"):
        examine(tmp_path / "none.db")


def test_what_lies_between_two_damaged_pages_is_rescued(tmp_path: Path) -> None:
    """Those on the pages are lost, and none beside; history and old files are kept."""
    source = TINY.replace("seeds = 2", "seeds = 60").replace("tiny", "many")
    plan = read_plan(source, name="many", file="many.toml")
    records = {cell.key: record_of(cell) for cell in plan.cells()}
    path = stored(tmp_path / "sweep.db", plan, list(records.values()))
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    content = bytearray(path.read_bytes())
    pages = [at for at in range(0, len(content), 4096) if content[at] in {10, 13} and at]
    bodies = [at for at in pages if content[at : at + 4096].count(b'"spec"') > 1]
    gone = set()
    for at in (bodies[0], bodies[-1]):
        page = bytes(content[at : at + 4096])
        gone |= {key for key in records if key.encode() in page}
        content[at : at + 4096] = bytes(range(256)) * 16
    path.write_bytes(content)
    assert 0 < len(gone) < 30
    mend(path)
    with Store.open(path) as store:
        kept = {record.key: record for record in store.records()}
        assert len(list(store.attempts())) == len(records)
    assert kept.items() <= records.items()
    assert records.keys() - kept.keys() <= gone
    assert (tmp_path / "sweep.db.damaged").exists()
    path.write_bytes(content)
    mend(path)
    assert (tmp_path / "sweep.db.damaged").read_bytes() == bytes(content)
    assert (tmp_path / "sweep.db.damaged1").exists()
