"""Sweeps of up to a million cells that only sleep, through the real store, engine and report.

python -m tests.endurance.scale [CELLS ...]
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from ablations.files import replace_file
from ablations.pages.endurance import Command, Scale
from ablations.running.sweep import STORE
from ablations.storage.store import Store
from tests.endurance import drive, sleeper
from tests.endurance.scene import machine
from tests.samples import ROOT

RECORD: Final = ROOT / "reports" / "records" / "scale.json"
SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)
WORKERS: Final = 4
TENS: Final = {
    "base_channels": [4, 5, 6, 7, 8, 9, 10, 11, 12, 13],
    "training.steps": [100, 200, 300, 400, 500, 600, 700, 800, 900, 1000],
    "training.learning_rate": [n / 1000 for n in range(1, 11)],
    "dropout": [n / 20 for n in range(10)],
}
"""Axes of ten values each."""


def plan_of(cells: int) -> str:
    """A plan of so many cells, a power of ten from 1,000 on, with at most 10,000 variants."""
    count = min(len(TENS), len(str(cells)) - 2)
    axes = "\n".join(f"{axis} = {values}" for axis, values in list(TENS.items())[:count])
    fixed = {"base_channels": "[spec]", "training.steps": "[training]"}
    assert set(fixed) <= set(list(TENS)[:count]), "the least plan has both"
    rate = "" if count > 2 else "learning_rate = 0.001"
    return f"""question = "How far does it go?"
seeds = {cells // 10**count}
[axes]
{axes}
[spec]
depth = 1
[task]
name = "labels"
size = 36
scored = 20
noise = 0.1
[training]
batch = 2
test_images = 5
{rate}
"""


def measured(words: list[str]) -> Command:
    """Seconds of a command, and the most memory that its own process had, in MB."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_command, args=(words, there))
    start = time.perf_counter()
    process.start()
    there.close()
    memory = here.recv()
    process.join()
    assert process.exitcode == 0, words
    return Command(seconds=round(time.perf_counter() - start, 1), megabytes=round(memory))


def _command(words: list[str], result: Connection) -> None:
    sys.argv = ["ablations", *words]
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    try:
        drive.main()
    finally:
        result.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def of_size(cells: int, folder: Path) -> Scale:
    """What a sweep of so many cells takes, from the plan to the report and beyond."""
    plan, out = folder / "scale.toml", folder / "sweep"
    plan.write_text(plan_of(cells))
    at, store = str(out), str(out / STORE)
    commands = {
        "plan": ["plan", str(plan)],
        "run": ["run", str(plan), "--out", at, "--workers", str(WORKERS)],
        "run again": ["run", str(plan), "--out", at, "--workers", str(WORKERS)],
        "status": ["status", at],
        "report": ["report", at],
        "export": ["export", at, "--to", str(folder / "runs.jsonl")],
        "merge": ["merge", store, "--into", str(folder / "merged.db")],
        "doctor": ["doctor", at],
    }
    found = {name: measured(words) for name, words in commands.items()}
    with Store.open(out / STORE) as kept:
        assert len(kept.keys()) == cells
        done = sum(attempt.outcome == "done" for attempt in kept.attempts())
    return Scale(
        machine=machine(),
        workers=WORKERS,
        cells=cells,
        lost=cells - done,
        store_megabytes=round((out / STORE).stat().st_size / 1e6, 1),
        commands=found,
    )


def main() -> None:
    """Write the record."""
    os.environ[sleeper.SECONDS] = "0"
    rows = []
    for cells in map(int, sys.argv[1:] or SIZES):
        with tempfile.TemporaryDirectory() as scratch:
            rows.append(of_size(cells, Path(scratch)))
        print(rows[-1].model_dump_json(), file=sys.stderr, flush=True)
    text = TypeAdapter(list[Scale]).dump_json(rows, indent=1)
    replace_file(RECORD, text + b"\n")


if __name__ == "__main__":
    main()
