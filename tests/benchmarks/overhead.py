"""The share of a sweep's time that goes neither into training nor into testing.

python -m tests.benchmarks.overhead
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ablations.running.sweep import STORE
from ablations.storage.store import Store
from ablations.training.hardware import find_hardware, usable_cores
from tests.benchmarks.timing import tell


def main() -> None:
    """Of the smallest plan, the everyday one, and one of ten minutes; run once each."""
    precise = ("--precision", find_hardware("cpu").precision)
    for plan, *more in (("smoke",), ("quick",), ("quick", "--seeds", "30")):
        with tempfile.TemporaryDirectory() as scratch:
            start = time.perf_counter()
            command = ["-m", "ablations", "run", plan, *more, *precise, "--out", scratch]
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            whole = (time.perf_counter() - start) * usable_cores()
            with Store.open(Path(scratch) / STORE) as store:
                records = list(store.records())
        busy = sum(record.train_seconds + record.test_seconds for record in records)
        tell(
            "share",
            f"all but training and testing, plan {plan}, {len(records)} cells",
            "the workers' time",
            [(whole - busy, whole)],
        )


if __name__ == "__main__":
    main()
