"""The store keeps what it has acknowledged, and refuses what it cannot understand."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import subprocess
import sys
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from ablations.reporting.exports import export, read_export
from ablations.runs.plan import Plan
from ablations.runs.records import Picture, Record
from ablations.storage.leases import Leases
from ablations.storage.plan_file import read_plan
from ablations.storage.store import Store
from tests.samples import TINY
from unet import Refusal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store may be made."""
    return tmp_path / "new" / "sweep.db"


def test_records_come_back_as_they_went_in(
    path: Path, tiny: Plan, tiny_records: list[Record]
) -> None:
    """Through a file, in another connection, sorted by key; a second copy changes nothing."""
    with Store.create(path, tiny) as store:
        for record in [*tiny_records, *tiny_records]:
            store.add(record)
    with Store.open(path) as store:
        assert list(store.records()) == sorted(tiny_records, key=lambda record: record.key)
        assert store.keys() == {record.key for record in tiny_records}
        assert store.plan.identity == tiny.identity


def test_a_record_survives_kill_9(path: Path, tiny: Plan, tiny_records: list[Record]) -> None:
    """Once `add` has returned, the writer may die in the middle of the next one."""
    script = (
        "import sys, os, signal; from pathlib import Path\n"
        "from ablations.runs.records import Record\n"
        "from ablations.storage.store import Store\n"
        "store = Store.create(Path(sys.argv[1]), Store.open(Path(sys.argv[1])).plan)\n"
        "store.add(Record.read(sys.argv[2], 'argv'))\n"
        "store._connection.execute('BEGIN IMMEDIATE')\n"
        "store._connection.execute('DELETE FROM records')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    Store.create(path, tiny).__exit__()
    killed = subprocess.run(
        [sys.executable, "-c", script, str(path), tiny_records[0].model_dump_json()], check=False
    )
    assert killed.returncode == -9
    with Store.open(path) as store:
        assert list(store.records()) == [tiny_records[0]]


def test_creating_twice_is_opening(path: Path, tiny: Plan, tiny_records: list[Record]) -> None:
    """The same plan finds its records again, even with other comments and another name."""
    with Store.create(path, tiny) as store:
        store.add(tiny_records[0])
    again = read_plan("# a comment\n" + TINY, name="other", file="f")
    with Store.create(path, again) as store:
        assert len(store.keys()) == 1


def test_another_plan_is_refused(path: Path, tiny: Plan) -> None:
    """Two plans' records never mix in one store."""
    Store.create(path, tiny).__exit__()
    before = path.read_bytes()
    other = dataclasses.replace(tiny, seeds=3)
    with pytest.raises(Refusal, match="differs: seeds 2 -> 3; add --extend"):
        Store.create(path, other)
    assert path.read_bytes() == before
    other = read_plan(TINY.replace("seeds = 2", "seeds = 3"), name="tiny", file="f")
    Store.create(path, other, extend=True).close()
    with Store.open(path) as store:
        assert store.plan.seeds == 3


def test_a_reader_needs_no_writable_folder(
    path: Path, tiny: Plan, tiny_records: list[Record]
) -> None:
    """As on a medium that is mounted for reading."""
    with Store.create(path, tiny) as store:
        store.add(tiny_records[0])
    path.parent.chmod(0o500)
    try:
        with Store.open(path) as store:
            assert list(store.records()) == [tiny_records[0]]
            with pytest.raises(Refusal, match="readonly"):
                store.add(tiny_records[1])
    finally:
        path.parent.chmod(0o700)


def test_a_log_on_a_read_only_medium_is_told(
    path: Path, tmp_path: Path, tiny: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed run left cannot be read there; the way out is named."""
    with Store.create(path, tiny):
        copy = tmp_path / "copy"
        copy.mkdir()
        for name in (path.name, f"{path.name}-wal"):
            (copy / name).write_bytes((path.parent / name).read_bytes())
    Store.open(copy / path.name).close()
    (copy / f"{path.name}-shm").unlink(missing_ok=True)
    assert (copy / f"{path.name}-wal").stat().st_size
    monkeypatch.setattr("ablations.storage.database.os.access", lambda *_: False)
    with pytest.raises(Refusal, match="copy the folder to where it can be written"):
        Store.open(copy / path.name)


def test_a_store_of_another_version_is_refused_and_left_alone(path: Path, tiny: Plan) -> None:
    """Neither migrated silently nor overwritten."""
    Store.create(path, tiny).__exit__()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(Refusal, match=r"of schema 99, and .* reads up to 3: use the version"):
        Store.create(path, tiny)
    assert path.read_bytes() == before


def test_a_foreign_file_is_refused_and_left_alone(path: Path, tiny: Plan) -> None:
    """A text file, or somebody else's database."""
    path.parent.mkdir()
    path.write_text("my diary, " * 100)
    with pytest.raises(Refusal, match="file is not a database"):
        Store.create(path, tiny)
    assert path.read_text().startswith("my diary")
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE diary (day TEXT)")
    connection.close()
    with pytest.raises(Refusal, match="no store of records; choose another --out"):
        Store.create(path, tiny)


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM plan",
        "UPDATE plan SET source = x'00'",
    ],
)
def test_a_store_without_a_plan_is_damaged(path: Path, tiny: Plan, damage: str) -> None:
    """Said so, with what can be done about it."""
    Store.create(path, tiny).__exit__()
    with sqlite3.connect(path) as connection:
        connection.execute(damage)
    connection.close()
    with pytest.raises(Refusal, match="damaged: it names no plan; put a copy in its place"):
        Store.open(path)


def test_a_truncated_store_is_damaged(path: Path, tiny: Plan) -> None:
    """Nobody is told that nothing is lost."""
    Store.create(path, tiny).__exit__()
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(Refusal, match=r"sweep.db: damaged or no store: .*; put a copy"):
        Store.open(path)


def test_a_missing_store_is_refused(path: Path) -> None:
    """Reading never makes a file."""
    with pytest.raises(Refusal, match="no such store"):
        Store.open(path)
    assert not path.exists()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, tiny: Plan) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").touch()
    with pytest.raises(Refusal, match="mend this and run the same line again"):
        Store.create(tmp_path / "file" / "sweep.db", tiny)


def test_a_full_disk_is_refused_and_loses_nothing(
    path: Path, tiny: Plan, tiny_records: list[Record]
) -> None:
    """SQLite's own limit on pages stands in for the disk's."""
    with Store.create(path, tiny) as store:
        store.add(tiny_records[2])
        (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
        store._connection.execute(f"PRAGMA max_page_count={pages}")
        others = (
            tiny_records[0].model_copy(update={"key": f"{number:032x}"}) for number in range(100)
        )
        with pytest.raises(Refusal, match=r"sweep.db: database or disk is full"):
            deque(map(store.add, others), maxlen=0)
    with Store.open(path) as store:
        kept = store.keys()
    assert tiny_records[2].key in kept


def test_two_makers_of_one_store_agree(path: Path, tiny: Plan) -> None:
    """Whoever comes second finds the tables made."""
    from ablations.storage.database import initialise

    with Store.create(path, tiny), sqlite3.connect(path, isolation_level=None) as second:
        initialise(second, tiny)
        assert second.execute("SELECT count(*) FROM plan").fetchone() == (1,)
    second.close()


def test_an_export_is_read_back(
    tmp_path: Path, path: Path, tiny: Plan, tiny_records: list[Record]
) -> None:
    """Plan and records, as text that does not depend on the order in which they were added."""
    texts = []
    for number, records in enumerate((tiny_records, tiny_records[::-1])):
        with Store.create(path.with_name(f"{number}.db"), tiny) as store:
            for record in records:
                store.add(record)
            assert export(store, tmp_path / "records.jsonl") == 4
        texts.append((tmp_path / "records.jsonl").read_bytes())
    assert texts[0] == texts[1]
    plan, records = read_export(tmp_path / "records.jsonl")
    assert plan.identity == tiny.identity
    assert sorted(records, key=str) == sorted(tiny_records, key=str)


def test_an_export_with_a_run_twice_is_refused(
    tmp_path: Path, tiny: Plan, tiny_records: list[Record]
) -> None:
    """It would count twice."""
    with Store.create(tmp_path / "sweep.db", tiny) as store:
        store.add_all(tiny_records)
        export(store, tmp_path / "runs.jsonl")
    lines = (tmp_path / "runs.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "runs.jsonl").write_text("".join([*lines, lines[1]]))
    with pytest.raises(Refusal, match=r"runs.jsonl:6: run [0-9a-f]{32} is there twice"):
        read_export(tmp_path / "runs.jsonl")


@pytest.mark.parametrize("content", ["", "no json", "[]", '{"plan": 1}', '{"plan": "p"}'])
def test_a_file_that_is_no_export(tmp_path: Path, content: str) -> None:
    """Refused by its first line."""
    path = tmp_path / "x.jsonl"
    path.write_text(content)
    with pytest.raises(Refusal, match="line 1 names no plan"):
        read_export(path)
    with pytest.raises(Refusal, match="No such file"):
        read_export(tmp_path / "none.jsonl")


def test_a_malformed_record_is_named(
    tmp_path: Path, tiny: Plan, tiny_records: list[Record]
) -> None:
    """By its line and by what is wrong with it."""
    head = json.dumps({"plan": "tiny", "source": tiny.source})
    good = tiny_records[0].model_dump_json()
    path = tmp_path / "x.jsonl"
    for body, message in (
        (good[:-20], "x.jsonl:2: malformed record: the whole: Invalid JSON"),
        (good.replace('"outcome":"done"', '"outcome":"fine"'), "malformed record: outcome"),
        (good.replace('"seed":0', '"seed":7'), "key .* is not that of its cell"),
        (good.replace('"depth":1', '"depth":0'), "cell is malformed: depth 0"),
    ):
        path.write_text(f"{head}\n{body}\n")
        with pytest.raises(Refusal, match=message):
            read_export(path)


def test_pictures_are_text_and_back() -> None:
    """Any shape of bytes; what is no picture is refused, however large it claims to be."""
    pixels = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    np.testing.assert_array_equal(Picture.of(pixels).pixels(), pixels)
    good = Picture.of(pixels)
    for broken in (
        Picture(shape=(4, 5, 4), data=good.data),
        Picture(shape=(4, 5, 3), data="?"),
        Picture(shape=(4, 5, 3), data="AAAA"),
        Picture(shape=(2**20, 2**20), data=good.data),
    ):
        with pytest.raises(Refusal, match="picture is malformed"):
            broken.pixels()


def test_an_export_may_hold_any_character(
    tmp_path: Path, tiny: Plan, tiny_records: list[Record]
) -> None:
    """Some that Python takes for ends of lines stand in a machine's name."""
    odd = tiny_records[0].model_copy(update={"environment": {"device": "a\u2028b\x85c\x1c\n"}})
    with Store.create(tmp_path / "sweep.db", tiny) as store:
        store.add(odd)
        export(store, tmp_path / "odd.jsonl")
    assert read_export(tmp_path / "odd.jsonl")[1] == [odd]


def test_an_export_nested_without_end_is_none(tmp_path: Path) -> None:
    """One line, as for any other file."""
    path = tmp_path / "deep.jsonl"
    path.write_text("[" * 100_000)
    with pytest.raises(Refusal, match="line 1 names no plan"):
        read_export(path)


def test_history_from_outside_starts_nothing(
    tmp_path: Path, tiny: Plan, tiny_records: list[Record]
) -> None:
    """Attempts of other kinds than ours are no history, and keep nobody from a cell."""
    path, key = tmp_path / "sweep.db", tiny_records[0].key
    Store.create(path, tiny).close()
    connection = sqlite3.connect(path)
    insert = (
        "INSERT INTO attempts (key, owner, began, deadline, ended, outcome) "
        "VALUES (?, ?, ?, ?, ?, ?)"
    )
    odd = "a\x1b"
    with connection:
        connection.execute(insert, (key, odd, odd, odd, 1.0, odd))
        connection.execute(insert, (key, odd, odd, odd, None, None))
    connection.close()
    with Store.open(path) as store:
        (running,) = store.attempts()
        assert (running.owner, running.began, running.outcome) == (0, 0.0, None)
        with Store.create(tmp_path / "other.db", tiny) as other:
            other.add_history(store.attempts())
            assert list(other.attempts()) == []
    with Store.create(path, tiny) as store, Leases(store) as leases:
        assert leases.claim(key)
