"""Measures speed on this machine: runs the benchmarks of a checkout and keeps what they found."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ablations.files import replace_file
from ablations.pages.performance import BENCHMARKS, Comparison, Measurements, read_measurements
from ablations.training.hardware import Hardware, find_hardware, usable_cores
from unet.exchange import to_json
from unet.refusal import Refusal

RECORD = "performance.json"


def measure(folder: Path, names: Sequence[str], device: str, say: Callable[[str], None]) -> Path:
    """Run the benchmarks `names`, each in a process of its own; returns the record's file.

    No name stands for all of the device's. What the file holds of this machine's other
    benchmarks stays.
    Raises `Refusal` where there are none to run, and for one that fails.
    """
    hardware = find_hardware(device)
    names = names or [name for name, kind in BENCHMARKS.items() if kind.device == hardware.device]
    if not Path("tests/benchmarks").is_dir():
        raise Refusal("no tests/benchmarks here: run `bench` in the folder of a checkout")
    path = folder / "records" / RECORD
    path.parent.mkdir(parents=True, exist_ok=True)
    machine, found = _machine(hardware), []
    if path.exists():
        old = read_measurements(path)
        if old.machine == machine:
            found += [each for each in old.comparisons if each.benchmark not in names]
    for name in names:
        say(f"{name}: {BENCHMARKS[name].title}")
        found += _comparisons(name, folder)
        # After each, so that a failure of the next one loses nothing.
        measured = Measurements(
            command=f"python -m ablations bench --device {hardware.device}",
            machine=machine,
            comparisons=tuple(found),
        )
        replace_file(path, (measured.model_dump_json(indent=1) + "\n").encode())
    return path


def _comparisons(name: str, folder: Path) -> Iterator[Comparison]:
    command = [sys.executable, "-m", f"tests.benchmarks.{name}", str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # a table's names
    if run.returncode:
        last = run.stderr.strip().splitlines()[-1:] or ["no message"]
        raise Refusal(f"benchmark {name!r} failed: {last[0]}")
    for line in run.stdout.splitlines():
        yield Comparison.model_validate_json(to_json({"benchmark": name, **json.loads(line)}))


def _machine(hardware: Hardware) -> dict[str, str]:
    import torch

    return {
        "device": hardware.name,
        "cores": str(usable_cores()),
        "precision": hardware.precision,
        "torch": torch.__version__,
    }
