"""What grows with what: a step with size, width and depth; a sweep with workers and cells.

python -m tests.benchmarks.scaling
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch

from ablations.running.engines import keep_freed_memory
from ablations.running.processes import Workers
from ablations.running.sweep import STORE, Sweep
from ablations.storage.plan_file import read_plan
from ablations.storage.store import Store
from ablations.training.hardware import find_hardware, usable_cores
from ablations.training.learner import Stack
from tests.benchmarks.ceiling import NARROW, cell_of
from tests.benchmarks.sweep import PLAN
from tests.benchmarks.timing import seconds_of, tell

ROUNDS: Final = 5
SMALL: Final = replace(NARROW, depth=2)
GROWN: Final = {
    "a side of 168": (SMALL, 168, 48, 4),
    "a side of 328": (SMALL, 328, 48, 4),
    "base width 32": (replace(SMALL, base_channels=32), 88, 48, 4),
    "base width 64": (replace(SMALL, base_channels=64), 88, 48, 4),
    "depth 3": (replace(SMALL, depth=3), 92, 4, 4),
    "batch 16": (SMALL, 88, 48, 16),
}


def seconds_of_steps(stack: Stack) -> float:
    """Time of all its steps, the drawing of images included."""
    stack.begin([stack.learners[0].cell])
    return seconds_of(stack.run)


def sweep_seconds(cells: int, workers: int) -> float:
    """From the first worker's start to the last record."""
    short = PLAN.replace("steps = 100", "steps = 20").replace("seeds = 2", f"seeds = {cells // 4}")
    plan = read_plan(short, name="scaling", file="scaling.toml")
    with (
        tempfile.TemporaryDirectory() as scratch,
        Store.create(Path(scratch) / STORE, plan) as store,
    ):
        return seconds_of(lambda: list(Sweep(store, Workers(workers, "cpu")).run()))


def main() -> None:
    """Tell every ratio of time over that of multiply-adds, or of cells."""
    keep_freed_memory()
    torch.set_num_threads(1)
    hardware, cell = find_hardware("cpu"), cell_of(SMALL, 88, 48, 4)
    small = Stack([cell], hardware)
    for name, settings in GROWN.items():
        large = cell_of(*settings)
        macs, grown = large.training_macs / cell.training_macs, Stack([large], hardware)
        seconds = [(seconds_of_steps(small), seconds_of_steps(grown)) for _ in range(ROUNDS + 1)]
        # The first round warms up.
        pairs = [(more / less, macs) for less, more in seconds[1:]]
        against = f"base 16, depth 2, 88 x 88, batch 4: {macs:.1f} times the multiply-adds"
        tell("ratio", f"a step with {name}", against, pairs)
    cores = usable_cores()
    pairs = [(sweep_seconds(16, 1), sweep_seconds(16, cores)) for _ in range(2)]
    tell("ratio", "seconds of a sweep of 16 short cells, one worker", f"{cores} workers", pairs)
    pairs = [(sweep_seconds(32, cores) / 4, sweep_seconds(8, cores)) for _ in range(2)]
    tell("ratio", "a quarter of the seconds of 32 short cells", "those of 8", pairs)


if __name__ == "__main__":
    main()
