"""Records of runs, in one SQLite file that a crash cannot spoil."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final, Self, final

from ablations.files import require_one_host
from ablations.runs.plan import Plan, differences
from ablations.runs.records import Record
from ablations.storage.attempts import MOST_ATTEMPTS, OUTCOMES, Attempt
from ablations.storage.database import (
    connect,
    connect_to_read,
    copy_whole,
    identity,
    initialise,
    refusing,
    set_log,
    stored_plan,
    upgrade,
    upgraded,
)
from unet.refusal import Refusal

AT_ONCE: Final = 1000
"""Records that are kept in one transaction, where there are many: each waits for the disk."""


@final
class Store:
    """The records of one plan's cells in the file `path`.

    What `add` has returned from is on the disk for good: SQLite's write-ahead log with
    synchronous=FULL survives kill -9 and a power cut. Use as a context manager.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, plan: Plan) -> None:
        self.path = path
        self.plan = plan
        self._connection = connection
        self._file = identity(path)

    @classmethod
    def create(cls, path: Path, plan: Plan, *, extend: bool = False) -> Self:
        """The store at `path`, made for `plan` if there is none yet.

        If it holds another plan, `extend` puts `plan` in its place; records of cells that it
        does not have stay. Raises `Refusal` if it holds another plan, is no store, or cannot be
        written; and if it holds records, and what `plan` claims about them was not said before.
        """
        with refusing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            require_one_host(path.parent)
            connection = connect(path)
            if connection.execute("PRAGMA schema_version").fetchone() == (0,):
                set_log(connection)
                initialise(connection, plan)
            upgrade(path, connection)
            store = cls._checked(path, connection)
            # A copy of a store has none.
            set_log(connection)
            if plan.identity != store.plan.identity:
                late = plan.claims != store.plan.claims and bool(store.keys())
                if late or not extend:
                    store.close()
                    raise _late(path) if late else _another_plan(path, store.plan, plan)
                store.put_plan(plan)
            return store

    @classmethod
    def open(cls, path: Path) -> Self:
        """The store at `path`, for reading; raises `Refusal` if there is none."""
        with refusing(path):
            if path.parent.is_file():
                raise Refusal(f"{path.parent}: a file; give the folder that `run` wrote to")
            if not path.is_file():
                raise Refusal(
                    f"{path}: no such store; `ablations run PLAN --out {path.parent}` makes one"
                )
            return cls._checked(path, upgraded(path, connect_to_read(path)))

    @classmethod
    def _checked(cls, path: Path, connection: sqlite3.Connection) -> Self:
        try:
            return cls(path, connection, stored_plan(path, connection))
        except BaseException:
            connection.close()
            raise

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction that no other writer can come between; an exception undoes it."""
        with refusing(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # A full disk has undone it already, and to undo it twice would hide the reason.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @property
    def is_in_place(self) -> bool:
        """Whether the file at `path` is still the one that was opened."""
        return identity(self.path) == self._file

    def copy(self, path: Path) -> None:
        """Write all that the store holds at this moment, whoever writes to it, to a new file."""
        with refusing(self.path):
            copy_whole(self._connection, path)

    def save_beside(self) -> Path:
        """Write all that a displaced store holds to a file beside where it was."""
        with refusing(self.path):
            # Or whatever now has its name would be taken to have its log.
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        names = (self.path.with_name(f"{self.path.stem}.saved{n or ''}.db") for n in count())
        path = next(name for name in names if not name.exists())
        self.copy(path)
        return path

    def put_plan(self, plan: Plan) -> None:
        """Go on with another plan; records of cells that it does not have stay."""
        with self.writing() as connection:
            connection.execute("UPDATE plan SET name = ?, source = ?", (plan.name, plan.source))
        self.plan = plan

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def add(self, record: Record) -> None:
        """Keep `record` for good; one that is already there stays as it is."""
        self.add_all([record])

    def add_all(self, records: Iterable[Record]) -> None:
        """Keep several at once: all of them, or none if this is broken off."""
        with self.writing() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO records VALUES (?, ?)",
                [(record.key, record.model_dump_json()) for record in records],
            )

    def add_history(self, attempts: Iterable[Attempt]) -> None:
        """Keep the ended attempts of another store that are not here yet."""
        with self.writing() as connection:
            for each in attempts:
                if each.outcome is None:
                    continue
                known = connection.execute(
                    "SELECT 1 FROM attempts WHERE key = ? AND owner = ? AND began = ?",
                    (each.key, each.owner, each.began),
                )
                if known.fetchone() is None:
                    connection.execute(
                        "INSERT INTO attempts (key, owner, began, deadline, ended, outcome, reason)"
                        " VALUES (?, ?, ?, ?, ?, ?, ?)",
                        (each.key, each.owner, each.began, each.ended, each.ended, each.outcome,
                         each.reason),
                    )  # fmt: skip

    def get(self, key: str) -> Record | None:
        """The record of this key, if there is one."""
        with refusing(self.path):
            row = self._connection.execute("SELECT body FROM records WHERE key = ?", (key,))
            found = row.fetchone()
            return None if found is None else self._read(key, found[0])

    def _read(self, key: str, body: object) -> Record:
        record = Record.read(str(body), f"{self.path}, record {key}")
        if record.key != key:
            raise Refusal(f"{self.path}, record {key}: it is the record of {record.key}")
        return record

    def __contains__(self, key: str) -> bool:
        """Whether there is a record of this key."""
        with refusing(self.path):
            row = self._connection.execute("SELECT 1 FROM records WHERE key = ?", (key,))
            return row.fetchone() is not None

    def given_up(self) -> set[str]:
        """The keys of cells that have failed too often to be tried again unasked."""
        with refusing(self.path):
            rows = self._connection.execute(
                "SELECT key FROM attempts WHERE outcome = 'failed' GROUP BY key "
                "HAVING count(*) >= ?",
                (MOST_ATTEMPTS,),
            )
            return {key for (key,) in rows if key not in self}

    def forgive(self) -> None:
        """Let cells that were given up be tried again."""
        with self.writing() as connection:
            connection.execute("UPDATE attempts SET outcome = 'forgiven' WHERE outcome = 'failed'")

    @property
    def last_attempt(self) -> int:
        """The token of the newest attempt; 0 if there was none."""
        with refusing(self.path):
            query = "SELECT CAST(seq AS INTEGER) FROM sqlite_sequence WHERE name = 'attempts'"
            return int((self._connection.execute(query).fetchone() or (0,))[0])

    def attempts(self, first: int = 0, last: int = 2**63 - 1) -> Iterator[Attempt]:
        """The history, oldest first, with every outcome that there can be; or a part, by tokens."""
        with refusing(self.path):
            rows = self._connection.execute(
                "SELECT token, CAST(key AS TEXT), CAST(owner AS INTEGER), CAST(began AS REAL), "
                "CAST(ended AS REAL), CAST(outcome AS TEXT), CAST(reason AS TEXT) FROM attempts "
                "WHERE token BETWEEN ? AND ? ORDER BY token",
                (first, last),
            )
            for row in rows:
                attempt = Attempt(*row)
                if attempt.outcome in (None, *OUTCOMES):
                    yield attempt

    def keys(self) -> set[str]:
        """The keys of all records."""
        with refusing(self.path):
            return {key for (key,) in self._connection.execute("SELECT key FROM records")}

    def records(self) -> Iterator[Record]:
        """All records, by key."""
        with refusing(self.path):
            rows = self._connection.execute("SELECT key, body FROM records ORDER BY key")
            for key, body in rows:
                yield self._read(key, body)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _late(path: Path) -> Refusal:
    return Refusal(
        f"{path}: holds records, and your plan's claims are not those that were made before the "
        "first run: leave them as they are, or try them in another --out"
    )


def _another_plan(path: Path, stored: Plan, given: Plan) -> Refusal:
    return Refusal(
        f"{path}: holds the plan {stored.name!r}, and the {given.name!r} that you gave differs: "
        f"{'; '.join(differences(stored, given))}; add --extend to go on with it, or choose "
        "another --out"
    )
