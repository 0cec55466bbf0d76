"""Writes the record of the calibration: python -m tests.calibration (some ten minutes)."""

from __future__ import annotations

import sys
from typing import Final

import numpy as np
import scipy

from ablations.files import replace_file
from ablations.pages.promises import Calibration, NoiseKind
from tests.calibration.noises import NOISES
from tests.calibration.simulation import simulate
from tests.samples import ROOT

RECORD: Final = ROOT / "reports" / "records" / "calibration.json"

REPETITIONS: Final = 10_000


def main() -> None:
    """Simulate everything and keep the counts."""
    counts = []
    for count in simulate(REPETITIONS):
        counts.append(count)
        if sys.stderr.isatty():
            print(f"\r{len(counts)} counts", end="", file=sys.stderr)
    record = Calibration(
        command="python -m tests.calibration",
        versions={"numpy": np.__version__, "scipy": scipy.__version__},
        noises=tuple(
            NoiseKind(name=name, said=noise.said, symmetric=noise.symmetric, normal=noise.normal)
            for name, noise in NOISES.items()
        ),
        counts=tuple(counts),
    )
    replace_file(RECORD, (record.model_dump_json(indent=1) + "\n").encode())
    print(f"{RECORD}: {len(counts)} counts")


if __name__ == "__main__":
    main()
