"""What grows with what: a step with size, width and depth; a sweep with workers and cells.

python -m tests.benchmarks.scaling
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch

from ablations.cell import Cell
from ablations.engines import Workers, keep_freed_memory
from ablations.hardware import find_hardware, usable_cores
from ablations.learner import Learner
from ablations.plan import read_plan
from ablations.store import Store
from ablations.sweep import STORE, run_missing
from tests.benchmarks.ceiling import STEPS, cell_of
from tests.benchmarks.sweep import PLAN
from tests.benchmarks.timing import in_turns, seconds_of, tell
from unet import UNetSpec

ROUNDS: Final = 5
SMALL: Final = UNetSpec(1, 5, base_channels=16, depth=2, norm="batch", dropout_levels=0)
GROWN: Final = {
    "a side of 168": (SMALL, 168, 48, 4),
    "a side of 328": (SMALL, 328, 48, 4),
    "base width 32": (replace(SMALL, base_channels=32), 88, 48, 4),
    "base width 64": (replace(SMALL, base_channels=64), 88, 48, 4),
    "depth 3": (replace(SMALL, depth=3), 92, 4, 4),
    "batch 16": (SMALL, 88, 48, 16),
}


def steps_of(cell: Cell) -> Callable[[], None]:
    """A call that trains a few steps."""
    learner = Learner(cell, find_hardware("cpu"))

    def train() -> None:
        learner.begin(cell)
        for _ in range(STEPS):
            learner.step()

    return train


def sweep_seconds(cells: int, workers: int) -> float:
    """From the first worker's start to the last record."""
    short = PLAN.replace("steps = 100", "steps = 20").replace("seeds = 2", f"seeds = {cells // 4}")
    plan = read_plan(short, name="scaling", file="scaling.toml")
    with (
        tempfile.TemporaryDirectory() as scratch,
        Store.create(Path(scratch) / STORE, plan) as store,
    ):
        return seconds_of(lambda: list(run_missing(store, Workers(workers, "cpu"))))


def main() -> None:
    """Tell every ratio of time over that of multiply-adds, or of cells."""
    keep_freed_memory()
    torch.set_num_threads(1)
    small = cell_of(SMALL, 88, 48, 4)
    for name, settings in GROWN.items():
        grown = cell_of(*settings)
        macs = grown.training_macs / small.training_macs
        pairs = [
            (large / least, macs)
            for least, large in in_turns(steps_of(small), steps_of(grown), ROUNDS)
        ]
        against = f"base 16, depth 2, 88 x 88, batch 4: {macs:.1f} times the multiply-adds"
        tell("ratio", f"a step with {name}", against, pairs)
    cores = usable_cores()
    pairs = [(sweep_seconds(16, 1), sweep_seconds(16, cores)) for _ in range(2)]
    tell("ratio", "seconds of a sweep of 16 short cells, one worker", f"{cores} workers", pairs)
    pairs = [(sweep_seconds(32, cores) / 4, sweep_seconds(8, cores)) for _ in range(2)]
    tell("ratio", "a quarter of the seconds of 32 short cells", "those of 8", pairs)


if __name__ == "__main__":
    main()
