"""Records of runs, in one SQLite file that a crash cannot spoil."""

from __future__ import annotations

import base64
import json
import math
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, ValidationError

from ablations.cell import STRICT, Cell
from ablations.files import replace_file
from ablations.plan import Plan, read_plan
from unet.refusal import Refusal

APPLICATION: Final = 0x554E4554
"""Marks a SQLite file as ours: "UNET"."""

VERSION: Final = 1
"""Of the tables below; a file of another version is left as it is."""

_SCHEMA: Final = """
CREATE TABLE plan (name TEXT NOT NULL, source TEXT NOT NULL);
CREATE TABLE records (key TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
"""

_DAMAGED: Final = "put a copy in its place, or move it away and run again"

_LARGEST_PICTURE: Final = 2**24

Size = Annotated[int, Field(ge=1, le=_LARGEST_PICTURE)]


class Picture(BaseModel):
    """An 8-bit image as text: deflated and in base 64."""

    model_config = STRICT

    shape: tuple[Size, ...]
    data: str

    @classmethod
    def of(cls, pixels: npt.NDArray[np.uint8]) -> Self:
        """`pixels`, of any shape."""
        return cls(
            shape=pixels.shape, data=base64.b64encode(zlib.compress(pixels.tobytes(), 9)).decode()
        )

    def pixels(self) -> npt.NDArray[np.uint8]:
        """The image again; raises `Refusal` if the text is none."""
        count = math.prod(self.shape)
        try:
            if count > _LARGEST_PICTURE:
                raise ValueError(f"{count} pixels")
            raw = zlib.decompressobj().decompress(base64.b64decode(self.data, validate=True), count)
            return np.frombuffer(raw, dtype=np.uint8).reshape(self.shape)
        except (ValueError, zlib.error) as problem:
            raise Refusal(f"a record's picture is malformed: {problem}") from None


class Example(BaseModel):
    """One test image with its mask and what the net made of it.

    The image is (S, S) or (S, S, 3); mask and prediction, of the scored window, hold class
    indices where classes exclude each other, else one bit for each class.
    """

    model_config = STRICT

    image: Picture
    mask: Picture
    prediction: Picture


class Record(BaseModel):
    """What one cell's run left behind: counts and costs, from which every score derives.

    - `counts`: (bands, classes, 3), true positives, false positives and false negatives in
      pixels over all test images; band b holds the pixels whose distance to the edge of the
      scored window is in `bands[b]` up to below `bands[b + 1]`. None for a diverged run.
    - `losses`: the mean training loss over each tenth of the run.
    - `macs`: of one forward pass of one image. `*_seconds`: wall time.
    """

    model_config = STRICT

    key: str = Field(pattern="^[0-9a-f]{32}$")
    cell: dict[str, Any]
    outcome: Literal["done", "diverged"]
    bands: tuple[int, ...]
    counts: tuple[tuple[tuple[int, int, int], ...], ...] | None
    losses: tuple[float | None, ...]
    parameters: int
    macs: int
    train_seconds: float
    test_seconds: float
    environment: dict[str, str]
    example: Example | None = None

    @classmethod
    def read(cls, body: str, where: str) -> Self:
        """The record in the JSON text `body`; raises `Refusal` naming `where` if it is none."""
        try:
            record = cls.model_validate_json(body)
        except ValidationError as problem:
            error = problem.errors()[0]
            name = ".".join(map(str, error["loc"])) or "the whole"
            raise Refusal(f"{where}: malformed record: {name}: {error['msg']}") from None
        if record.parsed_cell().key != record.key:
            raise Refusal(f"{where}: malformed record: key {record.key} is not that of its cell")
        return record

    def parsed_cell(self) -> Cell:
        """The cell that was run."""
        return Cell.from_data(self.cell)


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

    @classmethod
    def create(cls, path: Path, plan: Plan) -> Self:
        """The store at `path`, made for `plan` if there is none yet.

        Raises `Refusal` if it holds another plan, is no store, or cannot be written.
        """
        with _refusing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, isolation_level=None)
            if connection.execute("PRAGMA schema_version").fetchone() == (0,):
                _initialise(connection, plan)
            return cls._checked(path, connection, expected=plan)

    @classmethod
    def open(cls, path: Path) -> Self:
        """The store at `path`, for reading; raises `Refusal` if there is none."""
        with _refusing(path):
            if not path.is_file():
                raise Refusal(
                    f"{path}: no such store; `ablations run PLAN --out {path.parent}` makes one"
                )
            return cls._checked(path, sqlite3.connect(path, isolation_level=None), expected=None)

    @classmethod
    def _checked(cls, path: Path, connection: sqlite3.Connection, expected: Plan | None) -> Self:
        try:
            return cls(path, connection, _stored_plan(path, connection, expected))
        except BaseException:
            connection.close()
            raise

    def add(self, record: Record) -> None:
        """Keep `record` for good; one that is already there stays as it is."""
        with _refusing(self.path):
            self._connection.execute(
                "INSERT OR IGNORE INTO records VALUES (?, ?)",
                (record.key, record.model_dump_json()),
            )

    def keys(self) -> set[str]:
        """The keys of all records."""
        with _refusing(self.path):
            return {key for (key,) in self._connection.execute("SELECT key FROM records")}

    def records(self) -> Iterator[Record]:
        """All records, by key."""
        with _refusing(self.path):
            rows = self._connection.execute("SELECT key, body FROM records ORDER BY key")
            for key, body in rows:
                yield Record.read(body, f"{self.path}, record {key}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._connection.close()


def _initialise(connection: sqlite3.Connection, plan: Plan) -> None:
    """Make the tables in one transaction, so that a crash leaves all of them or none."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute("PRAGMA schema_version").fetchone() != (0,):
        connection.execute("ROLLBACK")  # Another process came first; what it made is checked next.
        return
    for statement in _SCHEMA.strip().splitlines():
        connection.execute(statement)
    connection.execute("INSERT INTO plan VALUES (?, ?)", (plan.name, plan.source))
    connection.execute(f"PRAGMA application_id={APPLICATION}")
    connection.execute(f"PRAGMA user_version={VERSION}")
    connection.execute("COMMIT")


def _stored_plan(path: Path, connection: sqlite3.Connection, expected: Plan | None) -> Plan:
    """The plan of a store that is one of ours, of this version and of the `expected` plan."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION:
        raise Refusal(f"{path}: an SQLite file, but no store of records; choose another --out")
    if version != VERSION:
        raise Refusal(
            f"{path}: a store of version {version}, and this program reads version {VERSION}; "
            "use the program that wrote it, or another --out"
        )
    connection.execute("PRAGMA synchronous=FULL")
    row = connection.execute("SELECT name, source FROM plan").fetchone()
    if row is None or not all(isinstance(text, str) for text in row):
        raise Refusal(f"{path}: damaged: it names no plan; {_DAMAGED}")
    name, source = row
    plan = read_plan(source, name=name, file=f"the plan stored in {path}")
    if expected is not None and expected.identity != plan.identity:
        raise Refusal(
            f"{path}: holds the plan {name!r} with other content than the {expected.name!r} "
            "that you gave; choose another --out"
        )
    return plan


def export(store: Store, path: Path) -> int:
    """Write a store as text, a line for the plan and one for each record; returns their number."""
    header = json.dumps({"plan": store.plan.name, "source": store.plan.source})
    bodies = [record.model_dump_json() for record in store.records()]
    replace_file(path, "\n".join([header, *bodies, ""]).encode())
    return len(bodies)


def read_export(path: Path) -> tuple[Plan, list[Record]]:
    """The plan and the records that `export` wrote; raises `Refusal` for any other file."""
    try:
        header, *bodies = path.read_text(encoding="utf-8").splitlines()
        head = json.loads(header)
        plan = read_plan(head["source"], name=head["plan"], file=f"the plan stored in {path}")
    except Refusal:
        raise
    except OSError as problem:
        raise Refusal(f"{path}: {problem.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Refusal(f"{path}: line 1 names no plan, so this is no export of records") from None
    return plan, [
        Record.read(body, f"{path}:{number}") for number, body in enumerate(bodies, start=2)
    ]


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Turn what the disk or SQLite says into one line that names the file."""
    try:
        yield
    except sqlite3.DatabaseError as problem:
        if isinstance(problem, sqlite3.OperationalError):
            raise Refusal(
                f"{path}: {problem}; what is stored stays: mend this and run the same line again"
            ) from None
        raise Refusal(f"{path}: damaged or no store: {problem}; {_DAMAGED}") from None
    except OSError as problem:
        raise Refusal(
            f"{path}: {problem.strerror}; mend this and run the same line again"
        ) from None
