"""Everything that reads what others wrote, as functions of bytes, each with real inputs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, final

import numpy as np

from ablations.pages.calibration import calibration_files
from ablations.pages.conformance import conformance_files, read_conformance
from ablations.pages.endurance import (
    Endurance,
    Endured,
    Inputs,
    endurance_files,
    read_endurance,
    read_scale,
    scale_files,
)
from ablations.pages.first_touch import (
    Begun,
    FirstTouch,
    first_touch_files,
    read_first_touch,
)
from ablations.pages.kills import kill_files, read_kills, read_others
from ablations.pages.performance import performance_files, read_measurements
from ablations.pages.promises import read_calibration
from ablations.pages.sheets import read_sheets, sheet_files
from ablations.reporting.exports import export, read_export
from ablations.reporting.report import conditions
from ablations.reporting.results import Results
from ablations.running.sweep import STORE
from ablations.runs.measures import CONFIDENCE_UNIT, Changed, Checkerboard, Measures, Shifts
from ablations.runs.plan import Plan
from ablations.runs.records import Example, Picture, Record
from ablations.runs.selection import Selection, Shard, read_only
from ablations.storage.doctor import examine, mend
from ablations.storage.plan_file import load_plan, read_plan, shipped_plans
from ablations.storage.store import Store
from ablations.tables import as_csv
from tests.endurance.commands import REAL, read_a_command_line
from tests.endurance.sleeper import record_of
from tests.samples import ROOT, TINY
from unet import algebra
from unet.__main__ import read_claim, read_size, read_spec
from unet.claims import require_claims
from unet.memory import memory
from unet.refusal import Refusal
from unet.subject import read_target

RECORDS: Final = ROOT / "reports" / "records"

Read = Callable[[Path, bytes], object]


@final
@dataclass(frozen=True)
class Reader:
    """Reads bytes in a folder that `prepare` has made; `real` are good ones."""

    read: Read
    real: tuple[bytes, ...]


class BytesChangedError(AssertionError):
    """Somebody's store is not what it was."""


MEASURES: Final = Measures(
    boundary=((9, 7, 8, 6),) * 5,
    confidence=((5, 4 * CONFIDENCE_UNIT, 4),) * 3,
    start=Checkerboard(rows=1.0, columns=2.0, both=3.0, total=9.0),
    end=None,
    shifts=Shifts(**{name: Changed(pixels=9, changed=1) for name in Shifts.model_fields}),
)


def plan() -> Plan:
    """A plan of four cells."""
    return read_plan(TINY, name="tiny", file="tiny.toml")


def records() -> Iterator[Record]:
    """A record for each of its cells, one with pictures and measures, one diverged."""
    for place, cell in enumerate(plan().cells()):
        record = record_of(cell)
        if place == 0:
            task = cell.task
            image, mask = (Picture.of(np.zeros((n, n), np.uint8)) for n in (task.size, task.scored))
            shown = Example(image=image, mask=mask, prediction=mask)
            record = record.model_copy(update={"example": shown, "measures": MEASURES})
        if place == 1:
            record = record.model_copy(update={"outcome": "diverged", "counts": None})
        yield record


def prepare(folder: Path) -> None:
    """Make the store that must not change, in a folder of its own."""
    with Store.create(folder / "kept" / STORE, plan()) as store:
        store.add_all(records())


def digests(folder: Path) -> dict[str, str]:
    """What the files in a folder hold, but for SQLite's shared memory and empty logs."""
    files = [path for path in folder.iterdir() if path.suffix != ".db-shm" and path.stat().st_size]
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in files}


def unchanged(folder: Path, act: Callable[[], object]) -> None:
    """Hold an act to leave every byte in a folder; what it refuses, it refuses here too."""
    before = digests(folder)
    try:
        act()
    finally:
        after = digests(folder)
        if any(after.get(name) != digest for name, digest in before.items()):
            raise BytesChangedError(folder)


def read_a_plan(folder: Path, data: bytes) -> None:
    """As `run PLAN --out DIR` does, where DIR holds another plan."""
    path = folder / "plan.toml"
    path.write_bytes(data)

    def run() -> None:
        with Store.create(folder / "kept" / STORE, load_plan(str(path))):
            pass

    unchanged(folder / "kept", run)


def read_a_record(folder: Path, data: bytes) -> None:
    """A record, and the tables that are made of it."""
    del folder
    record = Record.read(data.decode(errors="surrogateescape"), "it")
    results = Results.of(plan(), [record])
    if not results.runs.empty:
        as_csv(results.runs)
        as_csv(results.cells)
        list(conditions(results))


def read_an_export(folder: Path, data: bytes) -> None:
    """Exported records."""
    path = folder / "export.jsonl"
    path.write_bytes(data)
    read_export(path)


def read_a_store(folder: Path, data: bytes) -> None:
    """Opening and examining change no byte; then everything that writes has its turn."""
    place = folder / "damaged"
    place.mkdir(exist_ok=True)
    for old in place.iterdir():
        old.unlink()
    path = place / STORE
    path.write_bytes(data)
    unchanged(place, lambda: examine(path))
    with suppress(Refusal), Store.open(path) as store:
        list(store.attempts())
        list(store.records())
    with suppress(Refusal):
        mend(path)
    with Store.create(path, plan()) as store:
        store.given_up()
        store.add_all(records())


def read_a_selection(folder: Path, data: bytes) -> None:
    """`--shard` and `--only`, a line each."""
    del folder
    shard, *only = data.decode(errors="surrogateescape").split("\n")
    list(Selection(read_only(only, plan()), Shard.parse(shard)).cells(plan()))


def read_a_target(folder: Path, data: bytes) -> None:
    """What `unet verify` is given."""
    del folder
    read_target(data.decode(errors="surrogateescape"))


def read_options(folder: Path, data: bytes) -> None:
    """--spec, --size and --claim in a line each, then one --set a line, and what they cost."""
    del folder
    lines = data.decode(errors="surrogateescape").split("\n")
    name, size, claim, *changes = [*lines, "", "", ""][: max(3, len(lines))]
    spec, sides = read_spec(name, changes), read_size(size)
    read_claim(claim)
    algebra.cost(spec, *sides)
    memory(spec, *sides)


def read_claims(folder: Path, data: bytes) -> None:
    """`--claim`, one a line."""
    del folder
    lines = data.decode(errors="surrogateescape").split("\n")
    require_claims(dict(map(read_claim, lines)))


def read_what_newcomers_met(folder: Path, data: bytes) -> None:
    """The record of first touches, and its page."""
    (folder / "first_touch.json").write_bytes(data)
    first_touch_files(read_first_touch(folder / "first_touch.json"))


def read_the_kill_matrix(folder: Path, data: bytes) -> None:
    """The record of the kill matrix, and its page."""
    (folder / "kills.json").write_bytes(data)
    kill_files(read_kills(folder / "kills.json"), read_others(RECORDS / "other_tools.json"))


def read_other_tools(folder: Path, data: bytes) -> None:
    """The record of other tools, and the page that it is part of."""
    (folder / "others.json").write_bytes(data)
    kill_files(read_kills(RECORDS / "kill_matrix.json"), read_others(folder / "others.json"))


def read_published_nets(folder: Path, data: bytes) -> None:
    """The record of published nets, and its page."""
    (folder / "conformance.json").write_bytes(data)
    conformance_files(read_conformance(folder / "conformance.json"))


def read_speed(folder: Path, data: bytes) -> None:
    """The record of measured speed, and its page."""
    (folder / "performance.json").write_bytes(data)
    performance_files(read_measurements(folder / "performance.json"))


def read_what_was_endured(folder: Path, data: bytes) -> None:
    """The record of the endurance session, and its page."""
    (folder / "endurance.json").write_bytes(data)
    endurance_files(read_endurance(folder / "endurance.json"))


def read_sizes(folder: Path, data: bytes) -> None:
    """The record of how far sweeps go, and its page."""
    (folder / "scale.json").write_bytes(data)
    scale_files(read_scale(folder / "scale.json"))


def read_error_rates(folder: Path, data: bytes) -> None:
    """The record of the calibration, and its page."""
    (folder / "calibration.json").write_bytes(data)
    calibration_files(read_calibration(folder / "calibration.json"))


def an_endurance() -> bytes:
    """A record of two faults, one of which destroys."""
    seen = {"times": 1, "acknowledged": 9, "lost": 1, "changed": 0, "counted_twice": 0}
    faults = (
        Endured(fault="a", how="b", destroys=True, same_report=True, told="c", **seen),
        Endured(fault="d", how="e", destroys=False, same_report=False, told="", **seen),
    )
    tried = Inputs(reader="f", tried=9, accepted=1, refused=8, tracebacks=0, bytes_changed=0)
    return (
        Endurance(machine="g", cells=9, faults=faults, inputs=(tried,)).model_dump_json().encode()
    )


def a_first_touch() -> bytes:
    """A record of a situation that held and of one that was not tried."""
    common = {"place": "wheel", "command": "c", "said": "s"}
    begun = (
        Begun(situation="a", code=0, holds=True, untried="", **common),
        Begun(situation="b", code=None, holds=False, untried="u", **common),
    )
    return FirstTouch(machine="m", begun=begun).model_dump_json().encode()


def read_samples(folder: Path, data: bytes) -> None:
    """The record of what each task looks like, and its page."""
    (folder / "tasks.json").write_bytes(data)
    sheet_files(read_sheets(folder / "tasks.json"))


def _short(name: str, rows: int) -> bytes:
    """A committed list with few of its rows: long ones hide what is changed in them."""
    return json.dumps(json.loads((RECORDS / f"{name}.json").read_bytes())[:rows]).encode()


def readers(folder: Path) -> dict[str, Reader]:
    """All readers by name; `folder` is one that `prepare` has made."""
    with Store.open(folder / "kept" / STORE) as store:
        export(store, folder / "real.jsonl")
    plans = [TINY.encode(), *(path.read_bytes() for path in shipped_plans().values())]
    targets = b"nets/mine.py:UNet(n_channels=3, kinds=['a', (1, 2.5)], k={'x': None})", b"a.b:C.d"
    options = b"paper\n572\npadding=valid\ndepth=3\nup_keeps_channels=[0]", b"tutorial\n16x32\na=b"
    return {
        "plan": Reader(read_a_plan, tuple(plans)),
        "record": Reader(
            read_a_record, tuple(record.model_dump_json().encode() for record in records())
        ),
        "export": Reader(read_an_export, ((folder / "real.jsonl").read_bytes(),)),
        "store": Reader(read_a_store, ((folder / "kept" / STORE).read_bytes(),)),
        "selection": Reader(read_a_selection, (b"1/1", b"2/8\nskip=none,concat\nskip=none")),
        "target": Reader(read_a_target, targets),
        "options": Reader(read_options, options),
        "claims": Reader(read_claims, (b"padding=valid\ndepth=4", b"unskipped=0,1\nkernel=3x3")),
        "command line": Reader(read_a_command_line, REAL),
        "kills": Reader(read_the_kill_matrix, (_short("kill_matrix", 999),)),
        "others": Reader(read_other_tools, (_short("other_tools", 999),)),
        "conformance": Reader(read_published_nets, (_short("conformance", 3),)),
        "endurance": Reader(read_what_was_endured, (an_endurance(),)),
        "first touch": Reader(read_what_newcomers_met, (a_first_touch(),)),
        "scale": Reader(read_sizes, (_short("scale", 2),)),
        "calibration": Reader(read_error_rates, ((RECORDS / "calibration.json").read_bytes(),)),
        "tasks": Reader(read_samples, (_short("tasks", 1),)),
        "performance": Reader(read_speed, ((RECORDS / "performance.json").read_bytes(),)),
    }
