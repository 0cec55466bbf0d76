"""How long the algebra takes for 10^8 cases of (spec, height, width): `python -m` this file."""

from __future__ import annotations

import itertools
import time

import numpy as np

from unet import UNetSpec
from unet.algebra import size_table
from unet.paddings import PADDINGS
from unet.skips import SKIPS
from unet.upsampling import UPSAMPLINGS

SPECS = [
    UNetSpec(padding=padding, skip=skip, upsampling=upsampling, depth=depth)
    for padding, skip, upsampling, depth in itertools.product(
        PADDINGS, SKIPS, UPSAMPLINGS, range(1, 6)
    )
]
LARGEST = 600


def answer() -> tuple[int, int]:
    """How many cases there are, and how many are legal; each case gets its own answer."""
    cases = legal = 0
    for spec in SPECS:
        runs = size_table(spec, LARGEST) > 0
        both = np.logical_and.outer(runs, runs)
        cases += both.size
        legal += int(np.count_nonzero(both))
    return cases, legal


def main() -> None:
    """Print cases and the median of nine runs."""
    seconds = []
    for _ in range(9):
        start = time.perf_counter()
        cases, legal = answer()
        seconds.append(time.perf_counter() - start)
    print(f"{cases:,} cases, {legal:,} of them legal: {sorted(seconds)[4]:.3f} s")


if __name__ == "__main__":
    main()
