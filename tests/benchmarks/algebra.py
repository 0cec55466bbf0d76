"""What a spec's sizes and costs take: by the algebra, on torch's meta device, and by a real net.

python -m tests.benchmarks.algebra
"""

from __future__ import annotations

import itertools
import time
from typing import Final

import numpy as np
import torch

from tests.benchmarks.timing import seconds_of, tell
from unet import UNet, UNetSpec
from unet.algebra import cost, size_table
from unet.paddings import PADDINGS
from unet.skips import SKIPS
from unet.upsampling import UPSAMPLINGS

SPECS: Final = [
    UNetSpec(padding=padding, skip=skip, upsampling=upsampling, depth=depth)
    for padding, skip, upsampling, depth in itertools.product(
        PADDINGS, SKIPS, UPSAMPLINGS, range(1, 6)
    )
]
LARGEST: Final = 600
ROUNDS: Final = 9


def answer() -> tuple[int, int]:
    """How many cases there are, and how many are legal; each case gets its own answer."""
    cases = legal = 0
    for spec in SPECS:
        runs = size_table(spec, LARGEST) > 0
        both = np.logical_and.outer(runs, runs)
        cases += both.size
        legal += int(np.count_nonzero(both))
    return cases, legal


def unseen(round_number: int) -> list[tuple[UNetSpec, int, int]]:
    """Specs that were never asked about, with an input size that is legal for all of them."""
    return [
        (UNetSpec(base_channels=8 + round_number, padding="zeros", skip=skip, depth=depth), 64, 96)
        for skip, depth in itertools.product(SKIPS, (1, 2, 3, 4))
    ]


def by_algebra(cases: list[tuple[UNetSpec, int, int]]) -> list[int]:
    """Parameters of every case, which come with all else."""
    return [cost(*case).parameters for case in cases]


def by_net(cases: list[tuple[UNetSpec, int, int]], device: str) -> list[int]:
    """Parameters of every case, once the net has run."""
    counts = []
    for spec, height, width in cases:
        with torch.device(device), torch.no_grad():
            net = UNet(spec)
            net(torch.zeros(1, spec.in_channels, height, width))
        counts.append(sum(parameter.numel() for parameter in net.parameters()))
    return counts


def main() -> None:
    """Print how long a hundred million cases take, and tell how the algebra compares."""
    for name, device in (("a forward pass on the meta device", "meta"), ("a real one", "cpu")):
        pairs = []
        for round_number in range(ROUNDS):
            # Of other widths for either device: an answer is kept for the next who asks.
            cases = unseen(round_number + (0 if device == "meta" else ROUNDS))
            ours = seconds_of(lambda cases=cases: by_algebra(cases))
            theirs = seconds_of(lambda cases=cases, device=device: by_net(cases, device))
            pairs.append((ours, theirs))
        tell("speedup", "size, parameters and multiply-adds of a new spec", name, pairs)
    start = time.perf_counter()
    cases, _ = answer()
    whole = time.perf_counter() - start
    one = seconds_of(lambda: by_net([(UNetSpec(base_channels=8, depth=2), 100, 100)], "cpu"))
    tell(
        "speedup",
        "whether a size is legal, a hundred million at once, each",
        "a real forward pass",
        [(whole / cases, one)],
    )


if __name__ == "__main__":
    main()
