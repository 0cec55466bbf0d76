"""What a GPU can do, and how near training and inference come to it.

python -m tests.benchmarks.gpu_ceiling
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

import torch

from ablations.runs.cell import Cell
from ablations.training.hardware import SIDE_BY_SIDE, Hardware, find_hardware, side_by_side
from ablations.training.learner import Learner, Stack, window_logits
from tests.benchmarks.ceiling import CELLS, PAPER, cell_of, convolution
from tests.benchmarks.timing import per_call, seconds_of, tell
from unet.algebra import cost

WHOLE: Final = replace(PAPER, dropout_levels=1)
SIDE: Final = 572
BATCH: Final = 8
CONVOLUTIONS: Final = ((64, 568), (128, 280), (256, 136), (512, 64), (1024, 28))
"""Channels and sides of the paper's net, in batches of four."""


def ceilings(hardware: Hardware) -> float:
    """Tell the fastest products and copies; returns multiply-adds a second of the fastest."""
    precision = getattr(torch, hardware.precision)
    one, other = (torch.randn(8192, 8192, device="cuda", dtype=precision) for _ in range(2))
    product = 8192**3 / per_call(lambda: one @ other)
    tell("rate", f"multiply-adds of an 8192^3 product in {hardware.precision}", "", [(product, 1)])
    large = torch.randn(2**29, device="cuda")
    copied = 2 * large.nbytes / per_call(large.clone)
    tell("rate", "bytes of a copy, read and written", "", [(copied, 1)])
    torch.backends.cudnn.benchmark = True
    best = 0.0
    for channels, side in CONVOLUTIONS:
        macs, call = convolution(channels, side, hardware)
        rate = macs / per_call(call)
        tell(
            "share",
            f"3x3 convolution, {channels} channels, {side} x {side}",
            "that product",
            [(rate, product)],
        )
        best = max(best, rate)
    return max(best, product)


def training(hardware: Hardware, ceiling: float) -> None:
    """Tell the rate of one net's steps, and of eight side by side where they are small."""
    for name, (spec, size, scored, batch) in CELLS.items():
        cell = cell_of(spec, size, scored, batch, steps=200)
        steps(f"{name}, one by one", [cell], hardware, ceiling)
        if side_by_side(cell, hardware.memory) == SIDE_BY_SIDE:
            seeds = [replace(cell, seed=seed) for seed in range(SIDE_BY_SIDE)]
            steps(f"{name}, {SIDE_BY_SIDE} side by side", seeds, hardware, ceiling)
    paper = cell_of(WHOLE, SIDE, 388, BATCH, steps=60)
    steps(f"the paper's net, {SIDE} x {SIDE}, batch {BATCH}", [paper], hardware, ceiling)


def steps(what: str, cells: list[Cell], hardware: Hardware, ceiling: float) -> None:
    """Tell images a second and the share of the ceiling, the drawing of the images included."""
    stack = Stack(cells, hardware)
    torch.backends.cudnn.benchmark = True

    def run() -> None:
        stack.run()
        torch.cuda.synchronize()

    for _ in range(2):  # The first one warms up.
        stack.begin(cells)
        torch.cuda.synchronize()
        seconds = seconds_of(run)
    settings = cells[0].training
    images = len(cells) * settings.steps * settings.batch
    tell("rate", f"images in training: {what}", "", [(images, seconds)])
    macs = sum(cell.training_macs for cell in cells)
    tell("share", f"training: {what}", FASTEST, [(macs / seconds, ceiling)])


def paper_as_written_and_compiled(hardware: Hardware, ceiling: float) -> None:
    """Tell the rates of the paper's net on one batch after the other, launched by Python."""
    cell = cell_of(WHOLE, SIDE, 388, BATCH, steps=60)
    macs = BATCH * cost(WHOLE, SIDE, SIDE).macs
    image = torch.rand(BATCH, 1, SIDE, SIDE, device="cuda")
    for name, prepared in {"as written": lambda run: run, "compiled": torch.compile}.items():
        learner = Learner(cell, hardware)
        learner.begin(cell)
        learner.draw(0)
        learner.net.features = prepared(learner.net.features)  # type: ignore[method-assign]
        # No more steps than were drawn.
        trained = per_call(learner.step, calls=min(10, learner.drawn_together - 1))
        learner.net.eval()
        with torch.inference_mode():
            inferred = per_call(partial(window_logits, learner.net, image, cell, hardware))
        for what, seconds, products in (("training", trained, 3), ("inference", inferred, 1)):
            net = f"{what}: the paper's net {name}, {SIDE} x {SIDE}, batch {BATCH}"
            tell("rate", f"images in {net}", "", [(BATCH, seconds)])
            tell("share", net, FASTEST, [(products * macs / seconds, ceiling)])


FASTEST: Final = "the fastest product or convolution"


def main() -> None:
    """Tell ceilings first, then how near to them nets come."""
    hardware = find_hardware("cuda")
    ceiling = ceilings(hardware)
    training(hardware, ceiling)
    paper_as_written_and_compiled(hardware, ceiling)


if __name__ == "__main__":
    main()
