"""The SQLite file of a store: its tables, ways to connect to it, and what it says in one line."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from ablations.runs.plan import Plan
from ablations.runs.records import SCHEMA, SCHEMAS, require_schema
from ablations.storage.plan_file import read_plan
from unet.refusal import Refusal, Unable, refusal_of

APPLICATION: Final = 0x554E4554
"""Marks a SQLite file as ours: "UNET"."""

_SCHEMA: Final = """
CREATE TABLE plan (name TEXT NOT NULL, source TEXT NOT NULL);
CREATE TABLE records (key TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE attempts (token INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, \
owner INTEGER NOT NULL, began REAL NOT NULL, deadline REAL NOT NULL, ended REAL, outcome TEXT, \
reason TEXT NOT NULL DEFAULT '');
CREATE INDEX attempts_of ON attempts (key);
CREATE UNIQUE INDEX running ON attempts (key) WHERE outcome IS NULL;
"""
"""The plan, the records, and the history: at most one attempt at a cell runs at any time."""

_DAMAGED: Final = "put a copy in its place, or move it away and run again"


def connect(path: Path) -> sqlite3.Connection:
    """A connection that writes."""
    # Another writer holds the file for a moment only; a minute is more than it ever needs.
    connection = sqlite3.connect(path, isolation_level=None, timeout=60)
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that writes nothing, not even beside the file: its folder may be read-only."""
    address = f"{path.absolute().as_uri()}?mode=ro"
    log, index = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))
    logged = log.exists() and log.stat().st_size
    if not os.access(path.parent, os.W_OK):
        if not logged:
            address += "&immutable=1"
        elif not index.exists():
            raise Refusal(
                f"{path}: a log beside it is still to be put into it, and the folder is read-only; "
                "copy the folder to where it can be written, and read it there"
            )
    return sqlite3.connect(address, uri=True, isolation_level=None, timeout=60)


def identity(path: Path) -> tuple[int, int] | None:
    """What tells the file at `path` from any other that was or will be there; None without one."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def copy_whole(connection: sqlite3.Connection, path: Path) -> None:
    """Write the whole of an open database to a new file, whole or not at all.

    A file system's copy would lack the log, or meet a page that is half written.
    """
    if path.exists() or path.is_symlink():
        raise Refusal(f"{path}: is there already; choose another name, or move it away")
    with refusing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name[:99]}.") as folder:
            fresh = Path(folder) / "copy.db"
            with closing(sqlite3.connect(fresh)) as target:
                connection.backup(target)
                # The log's own mode is copied, and would leave files beside a copy that is read.
                target.execute("PRAGMA journal_mode=DELETE")
            fresh.replace(path)


def initialise(connection: sqlite3.Connection, plan: Plan) -> None:
    """Make the tables in one transaction, so that a crash leaves all of them or none."""
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute("PRAGMA schema_version").fetchone() != (0,):
        connection.execute("ROLLBACK")  # Another process came first; what it made is checked next.
        return
    for statement in _statements(SCHEMA):
        connection.execute(statement)
    connection.execute("INSERT INTO plan VALUES (?, ?)", (plan.name, plan.source))
    connection.execute(f"PRAGMA application_id={APPLICATION}")
    connection.execute(f"PRAGMA user_version={SCHEMA}")
    connection.execute("COMMIT")


def upgrade(path: Path, connection: sqlite3.Connection) -> None:
    """Bring the tables of an earlier schema up to ours, in one transaction."""
    application, schema = _numbers(connection)
    if application != APPLICATION or schema not in SCHEMAS or schema == SCHEMA:
        return
    _require_our_tables(path, connection, schema)
    connection.execute("BEGIN IMMEDIATE")
    # Another process may have come first.
    _, schema = _numbers(connection)
    for statement in _statements(SCHEMA)[len(_statements(schema)) :]:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version={SCHEMA}")
    connection.execute("COMMIT")


def upgraded(path: Path, connection: sqlite3.Connection) -> sqlite3.Connection:
    """A connection to read an earlier schema as if it were ours: its file stays as it is."""
    if _numbers(connection) != (APPLICATION, 1):
        return connection
    copy = sqlite3.connect(":memory:", isolation_level=None)
    with closing(connection):
        connection.backup(copy)
    upgrade(path, copy)
    return copy


def _statements(schema: int) -> list[str]:
    """Those that make the tables of a schema: the first one had no history."""
    return _SCHEMA.strip().splitlines()[: 2 if schema == 1 else None]


def _numbers(connection: sqlite3.Connection) -> tuple[int, int]:
    """The application that a file says to be of, and its schema."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    return application, schema


def set_log(connection: sqlite3.Connection) -> None:
    """Ask for a write-ahead log: this one statement does not wait while others ask for the same."""
    for _ in range(100):
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode=WAL")
            return
        time.sleep(0.05)
    connection.execute("PRAGMA journal_mode=WAL")


def stored_plan(path: Path, connection: sqlite3.Connection) -> Plan:
    """The plan of a store that is one of ours, and of a schema that this program can read."""
    application, schema = _numbers(connection)
    if application != APPLICATION:
        raise Refusal(f"{path}: an SQLite file, but no store of records; choose another --out")
    require_schema(schema, str(path))
    _require_our_tables(path, connection, schema)
    row = connection.execute("SELECT name, source FROM plan").fetchone()
    if row is None or not all(isinstance(text, str) for text in row):
        raise Refusal(f"{path}: damaged: it names no plan; {_DAMAGED}")
    name, source = row
    return read_plan(source, name=name, file=f"the plan stored in {path}")


def _require_our_tables(path: Path, connection: sqlite3.Connection, schema: int) -> None:
    """Refuse views and triggers: they would run a stranger's queries in place of ours."""
    found = connection.execute(
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL "
        "AND NOT (type = 'table' AND name LIKE 'sqlite!_%' ESCAPE '!')"
    )
    ours = sorted(statement.rstrip(";") for statement in _statements(schema))
    if sorted(str(sql) for (sql,) in found) != ours:
        raise Refusal(f"{path}: damaged: its tables are not those of a store; {_DAMAGED}")


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Turn what the disk or SQLite says into one line that names the file."""
    try:
        yield
    except sqlite3.DatabaseError as problem:
        if isinstance(problem, sqlite3.OperationalError):
            raise Unable(
                f"{path}: {problem}; what is stored stays: mend this and run the same line again"
            ) from None
        raise Refusal(f"{path}: damaged or no store: {problem}; {_DAMAGED}") from None
    except UnicodeDecodeError:
        # SQLite quotes what is damaged, and Python cannot read the quotation.
        raise Refusal(f"{path}: damaged: names in it are no text; {_DAMAGED}") from None
    except OSError as problem:
        message = f"{path}: {problem.strerror}; mend this and run the same line again"
        raise refusal_of(problem, message) from None
