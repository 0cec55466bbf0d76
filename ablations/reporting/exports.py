"""Records as text and tables: written whole, and read again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Final

import pandas as pd

from ablations.files import replacing
from ablations.reporting.results import Results
from ablations.runs.plan import Plan
from ablations.runs.records import SCHEMA, Record, require_schema
from ablations.storage.plan_file import read_plan
from ablations.storage.store import Store
from ablations.tables import as_csv
from unet.exchange import to_json
from unet.refusal import Refusal


def _write_lines(store: Store, file: BinaryIO) -> int:
    header = to_json({"schema": SCHEMA, "plan": store.plan.name, "source": store.plan.source})
    file.write(f"{header}\n".encode())
    count = 0
    for count, record in enumerate(store.records(), start=1):  # noqa: B007  # the last is the count
        file.write(f"{record.model_dump_json()}\n".encode())
    return count


def _runs(store: Store) -> pd.DataFrame:
    """One row a run, with its key."""
    runs = Results.of(store.plan, store.records()).runs
    axes = store.plan.axes
    codes = zip(*(runs[axis].cat.codes for axis in axes), strict=True)
    variants = (
        [values[code] for values, code in zip(axes.values(), each, strict=True)] for each in codes
    )
    cells = (store.plan.cell(*each) for each in zip(variants, runs["seed"], strict=True))
    return runs.assign(key=[cell.key for cell in cells])


def _write_csv(store: Store, file: BinaryIO) -> int:
    runs = _runs(store)
    file.write(as_csv(runs))
    return len(runs)


def _write_parquet(store: Store, file: BinaryIO) -> int:
    runs = _runs(store)
    try:
        file.write(runs.to_parquet(index=False))
    except ImportError:
        raise Refusal("parquet needs pyarrow: python -m pip install pyarrow") from None
    return len(runs)


FORMATS: Final[Mapping[str, Callable[[Store, BinaryIO], int]]] = {
    ".jsonl": _write_lines,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
"""By the ending of a file's name: writes it, and returns how many records that is."""


def export(store: Store, path: Path) -> int:
    """Write a store's records to `path`, in the format that its ending names; returns how many.

    `.jsonl` has all that there is, a line for the plan and one for each record; the others are
    tables of the runs with their scores. Raises `Refusal` for another ending.
    """
    if path.suffix not in FORMATS:
        raise Refusal(f"{path}: no format ends in {path.suffix!r}; use {', '.join(FORMATS)}")
    with replacing(path) as file:
        return FORMATS[path.suffix](store, file)


def read_export(path: Path) -> tuple[Plan, list[Record]]:
    """The plan and the records that `export` wrote; raises `Refusal` for any other file."""
    try:
        # Other ends of lines than these may stand within a record.
        header, *bodies = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        head = json.loads(header)
        # Those of the first two had no number.
        require_schema(head.get("schema", 2), str(path))
        plan = read_plan(head["source"], name=head["plan"], file=f"the plan stored in {path}")
    except Refusal:
        raise
    except OSError as problem:
        raise Refusal(f"{path}: {problem.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Refusal(f"{path}: line 1 names no plan, so this is no export of records") from None
    records: dict[str, Record] = {}
    for number, body in enumerate(bodies, start=2):
        record = Record.read(body, f"{path}:{number}")
        if record.key in records:
            raise Refusal(f"{path}:{number}: run {record.key} is there twice; take one out")
        records[record.key] = record
    return plan, list(records.values())
