"""Looks a store over, and takes out what cannot be read so that the rest can be used."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, final

from ablations.files import replace_file
from ablations.plan import Plan
from ablations.records import Record
from ablations.store import AT_ONCE, Store
from unet.refusal import Refusal, printable


@final
@dataclass
class Findings:
    """What a store holds: sound records, damaged ones with the reason, and damage of the file."""

    sound: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
    file: list[str] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether there is nothing to mend."""
        return not self.damaged and not self.file


def examine(path: Path) -> Findings:
    """Read every record of the store at `path`; raises `Refusal` if it is no store at all."""
    return _examined(path)[0]


def _examined(path: Path) -> tuple[Findings, list[Row]]:
    """What there is to say of a store, and its damaged rows."""
    Store.open(path).close()  # Or it is none of ours.
    found, damaged = Findings(), []
    with _reading(path) as connection:
        for row in _rows(connection, found):
            said = _complaint(row)
            if said:
                damaged.append(row)
                found.damaged[row.name] = said
            else:
                found.sound += 1
        found.file += _complaints(connection)
    return found, damaged


@final
@dataclass(frozen=True)
class Row:
    """A row of the table of records as its bytes: damage may have made anything of it."""

    key: bytes
    body: bytes
    is_text: bool

    @property
    def name(self) -> str:
        """The key, as far as it is one."""
        return _told(self.key)


def _told(data: bytes) -> str:
    return data.decode(errors="backslashreplace")


def _complaint(row: Row) -> str:
    """What is wrong with a row; nothing if it is sound."""
    if not row.is_text:
        return f"{printable(row.name)}: it is not text"
    try:
        record = Record.read(_told(row.body), printable(row.name))
    except Refusal as problem:
        return str(problem)
    return (
        "" if record.key == row.name else f"{printable(row.name)}: it is the record of {record.key}"
    )


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        connection.text_factory = bytes
        yield connection


def _complaints(connection: sqlite3.Connection) -> Iterator[str]:
    """What SQLite finds wrong with the file."""
    try:
        lines = [_told(line) for (line,) in connection.execute("PRAGMA integrity_check(10)")]
    except (sqlite3.DatabaseError, UnicodeDecodeError) as problem:
        lines = [str(problem)]
    yield from (line for line in lines if line != "ok")


BOTH_WAYS: Final = (
    "SELECT key, body, typeof(key) || typeof(body) = 'texttext' FROM records ORDER BY key ASC",
    "SELECT key, body, typeof(key) || typeof(body) = 'texttext' FROM records ORDER BY key DESC",
)


def _rows(connection: sqlite3.Connection, found: Findings) -> Iterator[Row]:
    """Every row that can be read: from both ends, where the middle is damaged."""
    seen = set()
    for query in BOTH_WAYS:
        try:
            for key, body, is_text in connection.execute(query):
                row = Row(_as_bytes(key), _as_bytes(body), bool(is_text))
                if (row.key, row.is_text) not in seen:
                    seen.add((row.key, row.is_text))
                    yield row
        except (sqlite3.DatabaseError, UnicodeDecodeError) as problem:
            if str(problem) not in found.file:
                found.file.append(str(problem))
        else:
            return


def _as_bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def mend(path: Path) -> Findings:
    """Take damaged records out into `quarantine.jsonl` beside, or write a damaged file anew.

    A file that SQLite itself finds damaged is kept under another name. What was taken out is
    run again by the next `run`.
    """
    found, damaged = _examined(path)
    if found.healthy:
        return found
    aside = path.with_name("quarantine.jsonl")
    kept = aside.read_bytes() if aside.exists() else b""
    lines = [json.dumps({"key": row.name, "body": _told(row.body)}) for row in damaged]
    replace_file(aside, kept + "".join(f"{line}\n" for line in lines).encode())
    with Store.open(path) as store:
        plan = store.plan
    if found.file:
        _write_anew(path, plan)
        return found
    with Store.create(path, plan) as store, store.writing() as connection:
        for row in damaged:
            # A key that is no text is found as what it is, and one that is no UTF-8 as its bytes.
            connection.execute(
                "DELETE FROM records WHERE key = CAST(? AS TEXT) OR key = ?", (row.key, row.key)
            )
    return found


def _write_anew(path: Path, plan: Plan) -> None:
    """Put what can be read of a damaged file into a new one, and that in its place."""
    fresh = path.with_name("rescued.db")
    fresh.unlink(missing_ok=True)
    with Store.create(fresh, plan) as store, _reading(path) as connection:
        rows = (row for row in _rows(connection, Findings()) if not _complaint(row))
        sound = (Record.read(_told(row.body), row.name) for row in rows)
        while some := list(islice(sound, AT_ONCE)):
            store.add_all(some)
        # A history that cannot be read to its end says nothing about the records.
        with suppress(Refusal), Store.open(path) as damaged:
            store.add_history(damaged.attempts())
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(path.with_name(f"{path.name}.damaged{suffix}"))
    fresh.rename(path)
