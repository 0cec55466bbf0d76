"""Looks a store over, and takes out what cannot be read so that the rest can be used."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from ablations.files import replace_file
from ablations.records import Record
from ablations.store import Store
from unet.refusal import Refusal


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
    Store.open(path).close()  # Or it is none of ours.
    found = Findings()
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        for key, body in _rows(connection, found):
            try:
                record = Record.read(str(body), "it")
            except Refusal as problem:
                found.damaged[str(key)] = str(problem)
                continue
            if record.key == key:
                found.sound += 1
            else:
                found.damaged[str(key)] = f"it is the record of {record.key}"
        found.file += _complaints(connection)
    return found


def _complaints(connection: sqlite3.Connection) -> Iterator[str]:
    """What SQLite finds wrong with the file."""
    try:
        lines = [str(line) for (line,) in connection.execute("PRAGMA integrity_check(10)")]
    except sqlite3.DatabaseError as problem:
        lines = [str(problem)]
    yield from (line for line in lines if line != "ok")


def _rows(connection: sqlite3.Connection, found: Findings) -> Iterator[tuple[object, object]]:
    """Every row that can be read: from both ends, where the middle is damaged."""
    seen = set()
    for order in ("ASC", "DESC"):
        try:
            for key, body in connection.execute(
                f"SELECT key, body FROM records ORDER BY key {order}"  # noqa: S608  # two words of ours
            ):
                if key not in seen:
                    seen.add(key)
                    yield key, body
        except sqlite3.DatabaseError as problem:
            if str(problem) not in found.file:
                found.file.append(str(problem))
        else:
            return


def mend(path: Path) -> Findings:
    """Take damaged records out into `quarantine.jsonl` beside, or write a damaged file anew.

    A file that SQLite itself finds damaged is kept under another name. What was taken out is
    run again by the next `run`.
    """
    found = examine(path)
    if found.healthy:
        return found
    rows: list[tuple[object, object]] = []
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        rows += _rows(connection, Findings())
    aside = path.with_name("quarantine.jsonl")
    kept = aside.read_text() if aside.exists() else ""
    lines = [json.dumps({"key": key, "body": body}) for key, body in rows if key in found.damaged]
    replace_file(aside, "".join([kept, *(f"{line}\n" for line in lines)]).encode())
    with Store.open(path) as store:
        plan = store.plan
    if not found.file:
        with Store.create(path, plan) as store, store.writing() as connection:
            connection.executemany(
                "DELETE FROM records WHERE key = ?", [(key,) for key in found.damaged]
            )
        return found
    fresh = path.with_name("rescued.db")
    fresh.unlink(missing_ok=True)
    with Store.create(fresh, plan) as store:
        store.add_all(
            [Record.read(str(body), "it") for key, body in rows if key not in found.damaged]
        )
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(path.with_name(f"{path.name}.damaged{suffix}"))
    fresh.rename(path)
    return found
