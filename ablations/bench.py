"""Measures speed on this machine: runs the benchmarks of a checkout and keeps what they found."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from ablations.files import replace_file
from ablations.hardware import find_hardware, usable_cores
from ablations.performance import BENCHMARKS, Comparison, Measurements, read_measurements
from unet.refusal import Refusal

RECORD = "performance.json"


def measure(folder: Path, names: list[str], say: Callable[[str], None]) -> Path:
    """Run the benchmarks `names`, each in a process of its own; returns the record's file.

    What the file holds of other benchmarks stays. Raises `Refusal` where there are none to
    run, and for one that fails.
    """
    if importlib.util.find_spec("tests.benchmarks") is None:
        raise Refusal("the benchmarks are no part of the installed package: run in a checkout")
    path = folder / "records" / RECORD
    found: list[Comparison] = []
    if path.exists():
        old = read_measurements(path).comparisons
        found += [comparison for comparison in old if comparison.benchmark not in names]
    for name in names:
        say(f"{name}: {BENCHMARKS[name].title}")
        found += _comparisons(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    measured = Measurements(machine=_machine(), comparisons=tuple(found))
    replace_file(path, (measured.model_dump_json(indent=1) + "\n").encode())
    return path


def _comparisons(name: str) -> Iterator[Comparison]:
    command = [sys.executable, "-m", f"tests.benchmarks.{name}"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # a table's names
    if run.returncode:
        last = run.stderr.strip().splitlines()[-1:] or ["no message"]
        raise Refusal(f"benchmark {name!r} failed: {last[0]}")
    for line in run.stdout.splitlines():
        yield Comparison.model_validate_json(json.dumps({"benchmark": name, **json.loads(line)}))


def _machine() -> dict[str, str]:
    import torch

    hardware = find_hardware("cpu")
    return {
        "processor": hardware.name,
        "cores": str(usable_cores()),
        "precision": hardware.precision,
        "torch": torch.__version__,
    }
