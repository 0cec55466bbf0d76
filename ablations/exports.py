"""Records as text and tables: written whole, and read again."""

from __future__ import annotations

import json
from pathlib import Path

from ablations.files import replace_file
from ablations.plan import Plan, read_plan
from ablations.records import Record
from ablations.store import Store
from unet.refusal import Refusal


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
