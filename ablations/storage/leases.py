"""Who runs which cell: leases that end by themselves, and the history of every attempt."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import BinaryIO, Final, Self, final

from ablations.runs.records import Record
from ablations.storage.attempts import MOST_ATTEMPTS
from ablations.storage.database import refusing
from ablations.storage.store import Store
from unet.refusal import Refusal

try:
    import fcntl
except ImportError:  # Windows: leases then end by their deadline only
    fcntl = None  # type: ignore[assignment]

LEASE_SECONDS: Final = 60.0
"""How long a lease lasts if its holder does not renew it."""


@final
class Leases:
    """The cells that this process holds in a store.

    A cell has at most one running attempt. The attempt's number is a fencing token: a record is
    kept only while its attempt is running, so whoever was taken for dead and comes back adds
    nothing. A holder is known to be dead when the lock that it has on the file beside the store
    is free, and taken for dead when its deadline has passed. Use as a context manager.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._clock = time.time
        self._owner = random.getrandbits(62)
        self._tokens: dict[str, int] = {}
        self._stopped = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        path = self._store.path.parent / "leases.lock"
        with refusing(path):
            self._lock_file: BinaryIO = path.open("ab")
        self._lock(self._owner)
        self._heart.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopped.set()
        self._heart.join()
        with self._store.writing() as connection:
            connection.execute(
                "UPDATE attempts SET ended = ?, outcome = 'returned' "
                "WHERE owner = ? AND outcome IS NULL",
                (self._clock(), self._owner),
            )
        self._lock_file.close()

    def claim(self, keys: Sequence[str]) -> list[str]:
        """Those of the cells that this process now holds: nobody else does, and they are open."""
        with self._store.writing() as connection:
            claimed = {key: token for key in keys if (token := self._claim(connection, key))}
        self._tokens |= claimed
        return list(claimed)

    def _claim(self, connection: sqlite3.Connection, key: str) -> int | None:
        """The token of a new attempt at a cell, if there may be one."""
        now = self._clock()
        if connection.execute("SELECT 1 FROM records WHERE key = ?", (key,)).fetchone():
            return None
        running = connection.execute(
            "SELECT token, CAST(owner AS INTEGER), CAST(deadline AS REAL) FROM attempts "
            "WHERE key = ? AND outcome IS NULL",
            (key,),
        ).fetchone()
        if running:
            token, owner, deadline = running
            if now < deadline and not self._is_dead(owner):
                return None
            self._end(connection, token, "lost")
        if is_given_up(connection, key):
            return None
        return connection.execute(
            "INSERT INTO attempts (key, owner, began, deadline) VALUES (?, ?, ?, ?)",
            (key, self._owner, now, now + LEASE_SECONDS),
        ).lastrowid

    def complete(self, records: Sequence[Record]) -> list[Record]:
        """Keep the records of cells that were claimed, but those whose lease was lost meanwhile.

        Returns those that were kept.
        """
        kept = []
        with self._store.writing() as connection:
            for record in records:
                token = self._tokens[record.key]
                if not _is_running(connection, token):
                    continue
                new = connection.execute(
                    "INSERT OR IGNORE INTO records VALUES (?, ?)",
                    (record.key, record.model_dump_json()),
                ).rowcount
                # A merge may have brought the record meanwhile.
                self._end(connection, token, "done" if new else "returned")
                kept += [record] * new
        for record in records:
            del self._tokens[record.key]
        return kept

    def fail(self, key: str, reason: str, *, blameless: bool = False) -> None:
        """Say that a cell that was claimed has left no record; one that is blameless may go on."""
        with self._store.writing() as connection:
            outcome = "returned" if blameless else "failed"
            self._end(connection, self._tokens.pop(key), outcome, reason)

    def _end(
        self, connection: sqlite3.Connection, token: int, outcome: str, reason: str = ""
    ) -> None:
        """End an attempt, if it still runs."""
        connection.execute(
            "UPDATE attempts SET ended = ?, outcome = ?, reason = ? "
            "WHERE token = ? AND outcome IS NULL",
            (self._clock(), outcome, reason, token),
        )

    def _beat(self) -> None:
        """Renew this process's leases now and then, in a thread and connection of their own."""
        with suppress(Refusal), Store.create(self._store.path, self._store.plan) as store:
            while not self._stopped.wait(LEASE_SECONDS / 4):
                # A disk that is full for a moment is no reason to stop training.
                with suppress(Refusal), store.writing() as connection:
                    connection.execute(
                        "UPDATE attempts SET deadline = ? WHERE owner = ? AND outcome IS NULL",
                        (self._clock() + LEASE_SECONDS, self._owner),
                    )

    def _lock(self, owner: int) -> None:
        if fcntl:
            fcntl.lockf(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, owner)

    def _is_dead(self, owner: int) -> bool:
        """Whether a holder's lock is free: the system frees it however its process ends."""
        if not fcntl or owner == self._owner:
            return False
        try:
            self._lock(owner)
        except OSError:
            return False
        fcntl.lockf(self._lock_file, fcntl.LOCK_UN, 1, owner)
        return True


def _is_running(connection: sqlite3.Connection, token: int) -> bool:
    query = "SELECT 1 FROM attempts WHERE token = ? AND outcome IS NULL"
    return connection.execute(query, (token,)).fetchone() is not None


def is_given_up(connection: sqlite3.Connection, key: str) -> bool:
    """Whether a cell failed too often since it was asked for; that its driver died blames none."""
    query = "SELECT count(*) FROM attempts WHERE key = ? AND outcome = 'failed'"
    return int(connection.execute(query, (key,)).fetchone()[0]) >= MOST_ATTEMPTS
