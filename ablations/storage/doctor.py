"""Looks a store over, and takes out what cannot be read so that the rest can be used."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import Final, final

from ablations.files import replace_file
from ablations.runs.plan import Plan
from ablations.runs.records import Record
from ablations.storage.database import connect_to_read
from ablations.storage.store import AT_ONCE, Store
from unet.exchange import to_json
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
    """A connection for reading; what is no damage but in the way of reading is refused."""
    try:
        with closing(connect_to_read(path)) as connection:
            connection.text_factory = bytes
            yield connection
    except sqlite3.OperationalError as problem:
        raise Refusal(f"{path}: {problem}; mend this and run the same line again") from None


def _complaints(connection: sqlite3.Connection) -> Iterator[str]:
    """What SQLite finds wrong with the file."""
    try:
        lines = [_told(line) for (line,) in connection.execute("PRAGMA integrity_check(10)")]
    except _DAMAGE as problem:
        _require_damage(problem)
        lines = [str(problem)]
    yield from (line for line in lines if line != "ok")


ALL: Final = "SELECT key, body, typeof(key) || typeof(body) = 'texttext' FROM records ORDER BY key"
LOWEST: Final = (
    "SELECT key, body, typeof(key) || typeof(body) = 'texttext' FROM records "
    "WHERE key > ? AND key < ? ORDER BY key ASC LIMIT 1"
)
HIGHEST: Final = (
    "SELECT key, body, typeof(key) || typeof(body) = 'texttext' FROM records "
    "WHERE key > ? AND key < ? ORDER BY key DESC LIMIT 1"
)
DEEPEST: Final = 3
"""Digits of a key by which rows are looked for around a damaged page: a page holds several."""


def _rows(connection: sqlite3.Connection, found: Findings) -> Iterator[Row]:
    """Every row that can be read."""
    seen: set[bytes] = set()
    damage: list[str] = []
    for row in _until_damage(connection, ALL, (), damage):
        seen.add(row.key)
        yield row
    if damage:
        found.file += damage
        for row in _around_damage(connection, ""):
            if row.key not in seen:
                seen.add(row.key)
                yield row


def _around_damage(connection: sqlite3.Connection, prefix: str) -> Iterator[Row]:
    """The rows that are on no damaged page, from both ends of ever smaller ranges of keys."""
    for digit in "0123456789abcdef":
        part, damage = prefix + digit, list[str]()
        low, high = part, f"{part}g"
        for row in _one_by_one(connection, LOWEST, low, high, damage):
            low = row.name
            yield row
        if damage:
            yield from _one_by_one(connection, HIGHEST, low, high, damage)
        if damage and len(part) < DEEPEST:
            yield from _around_damage(connection, part)


def _one_by_one(
    connection: sqlite3.Connection, query: str, low: str, high: str, damage: list[str]
) -> Iterator[Row]:
    """The rows between two keys, from one end to the first that cannot be read.

    Each is asked for by itself: who reads ahead meets the damage before he has told of the row
    that lies beside it.
    """
    while rows := list(_until_damage(connection, query, (low, high), damage)):
        yield rows[0]
        # A damaged key may lie anywhere.
        if not low < rows[0].name < high:
            return
        low, high = (rows[0].name, high) if query == LOWEST else (low, rows[0].name)


def _until_damage(
    connection: sqlite3.Connection, query: str, bounds: tuple[str, ...], damage: list[str]
) -> Iterator[Row]:
    """The rows of a query, up to the first that cannot be read; `damage` is told why."""
    try:
        yield from map(_row, connection.execute(query, bounds))
    except _DAMAGE as problem:
        _require_damage(problem)
        damage.append(str(problem))


_DAMAGE: Final = (sqlite3.DatabaseError, UnicodeDecodeError)


def _require_damage(problem: Exception) -> None:
    """Hand on what is in the way of reading and is no damage, such as a lock."""
    if isinstance(problem, sqlite3.OperationalError):
        raise problem


def _row(each: tuple[object, object, object]) -> Row:
    key, body, is_text = each
    return Row(_as_bytes(key), _as_bytes(body), bool(is_text))


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
    lines = [to_json({"key": row.name, "body": _told(row.body)}) for row in damaged]
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
        _rescue_history(path, store)
    _put_in_place(fresh, path)


def _rescue_history(path: Path, store: Store) -> None:
    """Add what can be read of a damaged file's history, a part at a time."""
    # The number may be damaged too; more attempts than bytes there cannot be.
    with Store.open(path) as damaged:
        for first in range(1, min(damaged.last_attempt, path.stat().st_size) + 1, AT_ONCE):
            last = first + AT_ONCE - 1
            try:
                store.add_history(damaged.attempts(first, last))
            except Refusal:
                for token in range(first, last + 1):
                    with suppress(Refusal):
                        store.add_history(damaged.attempts(token, token))


def _put_in_place(fresh: Path, path: Path) -> None:
    """Keep the damaged file beside under a name that is free, and put another one in its place."""
    names = (path.with_name(f"{path.name}.damaged{n or ''}") for n in count())
    aside = next(name for name in names if not name.exists())
    os.link(path, aside)
    for suffix in ("-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(f"{aside}{suffix}")
    fresh.replace(path)
