"""Profiles of hypothesis, and what several test files share."""

from __future__ import annotations

import os
from hashlib import sha256

import pytest
import torch
from hypothesis import HealthCheck, Phase, settings

from ablations.runs.cell import Cell
from ablations.runs.plan import Plan
from ablations.runs.records import Record
from ablations.storage.plan_file import read_plan
from ablations.training.hardware import find_hardware
from ablations.training.train import Trainer
from tests.samples import ROOT, TINY

# They need packages that only `nox -s bench` and `nox -s fuzz` install.
collect_ignore = [
    "benchmarks/lightning_way.py",
    "benchmarks/monai_way.py",
    "endurance/guided.py",
]

# numba keeps what it compiled in files that processes with other precisions may overwrite, and
# does not see that a loop of another file, which it has compiled into them, has changed.
LOOPS = sha256()
for path in sorted(ROOT.glob("ablations/**/compiled.py")) + sorted(
    ROOT.glob("ablations/training/kernels/*.py")
):
    LOOPS.update(path.read_bytes())
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "alone")
os.environ["NUMBA_CACHE_DIR"] = str(
    ROOT / ".pytest_cache" / "numba" / LOOPS.hexdigest()[:16] / WORKER
)

# As in a worker: sums over several threads round differently.
torch.set_num_threads(1)

# A deadline would make a busy machine look like a fault of ours.
COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("dev", max_examples=50, **COMMON)
settings.register_profile("ci", max_examples=50, derandomize=True, **COMMON)
settings.register_profile("nightly", max_examples=5000, **COMMON)
# A mutant is killed by the first failing example, however large.
settings.register_profile(
    "mutation", max_examples=50, derandomize=True, phases=[Phase.explicit, Phase.generate], **COMMON
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


@pytest.fixture(scope="session")
def tiny() -> Plan:
    """A plan of four cells that train in a moment."""
    return read_plan(TINY, name="tiny", file="tiny.toml")


@pytest.fixture(scope="session")
def tiny_records(tiny: Plan) -> list[Record]:
    """What the cells of `tiny` leave behind, really trained."""
    return [train(cell) for cell in tiny.cells()]


def train(cell: Cell) -> Record:
    """Train `cell` here, on the CPU."""
    return Trainer(find_hardware("cpu")).run([cell])[0]
