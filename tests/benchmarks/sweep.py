"""Whole sweeps, from the command's start to the report, against other ways to train their cells.

python -m tests.benchmarks.sweep
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from ablations.reporting.run_table import scores
from ablations.running.sweep import STORE
from ablations.storage.store import Store
from ablations.training.hardware import find_hardware, usable_cores
from tests.benchmarks.timing import tell

ROUNDS: Final = 5
"""One turn that a neighbour disturbs must not move the median far."""
VARIANTS: Final = 4
PLAN: Final = """
question = "How fast?"
seeds = 2

[axes]
padding = ["valid", "zeros"]
upsampling = ["transposed", "bilinear"]

[spec]
depth = 2
base_channels = 16
norm = "batch"
dropout_levels = 0
skip = "concat"

[task]
name = "labels"
size = 88
scored = 48
noise = 0.1

[training]
steps = 100
batch = 4
learning_rate = 5e-3
test_images = 128
"""

OTHERS: Final = {
    # Module of tests.benchmarks: what it is, what it needs, and how many seeds it is given.
    "tutorial": ("the tutorial's way", None, 6),
    "lightning_way": ("Lightning", "lightning", 2),
    "monai_way": ("MONAI's trainer", "ignite", 2),
}


def sweep(plan: Path, folder: Path) -> tuple[float, float, dict[str, float]]:
    """Seconds of `ablations run`, those of its workers' training and testing, and every IoU."""
    start = time.perf_counter()
    command = ["-m", "ablations", "run", str(plan), "--out", str(folder)]
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    seconds = time.perf_counter() - start
    with Store.open(folder / STORE) as store:
        records = list(store.records())
    busy = sum(record.train_seconds + record.test_seconds for record in records)
    return seconds, busy / usable_cores(), {r.key: scores(r)["IoU"] for r in records}


def other(module: str, plan: Path, cells: int) -> tuple[float, float, dict[str, float]]:
    """The same of another way, which has one process."""
    start = time.perf_counter()
    command = ["-m", f"tests.benchmarks.{module}", str(plan), str(cells)]
    run = subprocess.run([sys.executable, *command], check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    lines = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    busy = sum(line["seconds"] for line in lines)
    return seconds, busy, {line["key"]: line["iou"] for line in lines}


def main() -> None:
    """Tell how many times as fast a sweep is, and how its scores differ."""
    for module, (name, needs, seeds) in OTHERS.items():
        if needs and importlib.util.find_spec(needs) is None:
            continue
        cells = VARIANTS * seeds
        with tempfile.TemporaryDirectory() as scratch:
            plan = Path(scratch) / "speed.toml"
            # Theirs trains in float32 whatever a plan says.
            precision = f'precision = "{find_hardware("cpu").precision}"\n'
            plan.write_text(PLAN.replace("seeds = 2", f"seeds = {seeds}") + precision)
            whole, busy = [], []
            for turn in range(ROUNDS):
                ours, our_busy, our_scores = sweep(plan, Path(scratch) / str(turn))
                theirs, their_busy, their_scores = other(module, plan, cells)
                whole.append((ours, theirs))
                busy.append((our_busy, their_busy))
        assert our_scores.keys() == their_scores.keys()
        tell("speedup", f"{cells} cells, the whole command", name, whole)
        tell("speedup", f"{cells} cells, training and testing only", name, busy)
        pairs = [(our_scores[key], their_scores[key]) for key in our_scores]
        tell("difference", f"IoU of {cells} cells", name, pairs)


if __name__ == "__main__":
    main()
