"""Records as text and tables: written whole, and read again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from ablations.files import replace_file
from ablations.plan import Plan, read_plan
from ablations.records import Record
from ablations.results import Results
from ablations.store import Store
from ablations.tables import as_csv
from unet.refusal import Refusal


def _as_lines(store: Store) -> tuple[bytes, int]:
    header = json.dumps({"plan": store.plan.name, "source": store.plan.source})
    bodies = [record.model_dump_json() for record in store.records()]
    return "\n".join([header, *bodies, ""]).encode(), len(bodies)


def _as_csv(store: Store) -> tuple[bytes, int]:
    runs = Results.of(store.plan, store.records()).runs
    return as_csv(runs), len(runs)


def _as_parquet(store: Store) -> tuple[bytes, int]:
    runs = Results.of(store.plan, store.records()).runs
    try:
        return runs.to_parquet(index=False), len(runs)
    except ImportError:
        raise Refusal("parquet needs pyarrow: python -m pip install pyarrow") from None


FORMATS: Final[Mapping[str, Callable[[Store], tuple[bytes, int]]]] = {
    ".jsonl": _as_lines,
    ".csv": _as_csv,
    ".parquet": _as_parquet,
}
"""By the ending of a file's name: its content, and how many records that is."""


def export(store: Store, path: Path) -> int:
    """Write a store's records to `path`, in the format that its ending names; returns how many.

    `.jsonl` has all that there is, a line for the plan and one for each record; the others are
    tables of the runs with their scores. Raises `Refusal` for another ending.
    """
    if path.suffix not in FORMATS:
        raise Refusal(f"{path}: no format ends in {path.suffix!r}; use {', '.join(FORMATS)}")
    content, count = FORMATS[path.suffix](store)
    replace_file(path, content)
    return count


def read_export(path: Path) -> tuple[Plan, list[Record]]:
    """The plan and the records that `export` wrote; raises `Refusal` for any other file."""
    try:
        # Other ends of lines than these may stand within a record.
        header, *bodies = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        head = json.loads(header)
        plan = read_plan(head["source"], name=head["plan"], file=f"the plan stored in {path}")
    except Refusal:
        raise
    except OSError as problem:
        raise Refusal(f"{path}: {problem.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Refusal(f"{path}: line 1 names no plan, so this is no export of records") from None
    return plan, [
        Record.read(body, f"{path}:{number}") for number, body in enumerate(bodies, start=2)
    ]
