"""Whole sweeps on a GPU, with their records and reports in a folder.

python -m tests.benchmarks.gpu_sweep DIR
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

from ablations.reporting.exports import export
from ablations.running.processes import Workers
from ablations.running.sweep import STORE, Sweep
from ablations.storage.plan_file import load_plan
from ablations.storage.store import Store
from ablations.training.hardware import find_hardware
from tests.benchmarks.timing import seconds_of, tell

WORKERS = (1, 2, 4)


def main() -> None:
    """Tell the seconds of each plan, from the first worker's start to the last record."""
    folder = Path(sys.argv[1])
    for name, all_workers in (("quick", WORKERS), ("shapes", WORKERS[-1:])):
        plan = load_plan(name, precision=find_hardware("cuda").precision)
        for workers in all_workers:
            with (
                tempfile.TemporaryDirectory() as scratch,
                Store.create(Path(scratch) / STORE, plan) as store,
            ):
                run = Sweep(store, Workers(workers, "cuda")).run()
                seconds = seconds_of(partial(list, run))
                records = list(store.records())
                busy = sum(record.train_seconds + record.test_seconds for record in records)
                export(store, folder / "records" / f"{name}.jsonl")
            what = f"{len(records)} runs of {name}, {workers} workers"
            tell("seconds", f"{what}, start-up included", "", [(seconds, 1)])
            tell("seconds", f"{what}, training and testing", "", [(busy / workers, 1)])


if __name__ == "__main__":
    main()
