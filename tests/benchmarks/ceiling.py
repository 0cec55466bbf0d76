"""Multiply-adds a second in training, against the fastest convolution of this machine.

python -m tests.benchmarks.ceiling
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from ablations.running.engines import keep_freed_memory
from ablations.runs.cell import Cell, TaskSettings, Training
from ablations.training.fused import fuse
from ablations.training.hardware import Hardware, find_hardware
from ablations.training.learner import Stack
from tests.benchmarks.timing import seconds_of, tell
from unet import UNet, UNetSpec
from unet.model import convolutions

ROUNDS: Final = 7
STEPS: Final = 8
CLASSES: Final = 5

CONVOLUTIONS: Final = ((64, 64), (128, 48), (256, 32), (512, 16))
"""Channels and sides to look for the fastest 3x3 convolution in."""

PAPER: Final = UNetSpec(in_channels=1, num_classes=CLASSES, dropout_levels=0)
NARROW: Final = replace(PAPER, base_channels=16, norm="batch")

CELLS: Final = {
    # Spec, side of the image and of its scored window, and batch.
    "quick's net (base 16, depth 2), 88 x 88, batch 4": (replace(NARROW, depth=2), 88, 48, 4),
    "base 16, depth 4, 252 x 252, batch 4": (NARROW, 252, 68, 4),
    "base 32, depth 4, 252 x 252, batch 4": (replace(NARROW, base_channels=32), 252, 68, 4),
    "base 32, no norm, 252 x 252, batch 4": (replace(PAPER, base_channels=32), 252, 68, 4),
    "the paper's net (base 64), 252 x 252, batch 2": (PAPER, 252, 68, 2),
}


def cell_of(spec: UNetSpec, size: int, scored: int, batch: int, steps: int = STEPS) -> Cell:
    """A cell to train for a few steps."""
    return Cell(
        spec=spec,
        task=TaskSettings(name="labels", size=size, scored=scored, noise=0.1),
        training=Training(steps=steps, batch=batch, learning_rate=5e-3, test_images=1),
        seed=0,
    )


def convolution(channels: int, side: int, hardware: Hardware) -> tuple[int, Callable[[], object]]:
    """Multiply-adds of a 3x3 convolution, and a call that computes it."""
    precision = getattr(torch, hardware.precision)
    image = torch.randn(4, channels, side, side, device=hardware.device, dtype=precision)
    weight = torch.randn(channels, channels, 3, 3, device=hardware.device, dtype=precision)
    image = image.contiguous(memory_format=torch.channels_last)
    weight = weight.contiguous(memory_format=torch.channels_last)
    macs = 9 * channels**2 * image[:, 0].numel()

    @torch.inference_mode()
    def call() -> object:
        return functional.conv2d(image, weight, padding=1)

    return macs, call


def convolutions_of(cell: Cell, hardware: Hardware) -> Callable[[], None]:
    """A call that does what one step's convolutions do, forward and backward, and nothing else."""
    precision = getattr(torch, hardware.precision)
    net = UNet(cell.spec)
    fuse(net, hardware.precision)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for module in convolutions(net).values():
        module.to(precision)
    seen: list[tuple[nn.Module, Tensor, Tensor]] = []

    def see(module: nn.Module, arguments: tuple[Tensor], output: Tensor) -> None:
        # Nobody asks for the gradient of an image.
        wanted = module is not net.contracting[0].conv1
        image = arguments[0].detach().clone().requires_grad_(wanted)
        seen.append((module, image, torch.rand_like(output)))

    for module in convolutions(net).values():
        module.register_forward_hook(see)
    size, batch = cell.task.size, cell.training.batch
    net(torch.rand(batch, cell.spec.in_channels, size, size, dtype=precision))
    for module in convolutions(net).values():
        module._forward_hooks.clear()

    def convolve() -> None:
        for module, image, gradient in seen:
            module(image).backward(gradient)
            image.grad = None
            module.zero_grad()

    return convolve


def fastest(hardware: Hardware) -> tuple[int, Callable[[], object]]:
    """The convolution of most multiply-adds a second."""

    def rate(kind: tuple[int, Callable[[], object]]) -> float:
        macs, call = kind
        return macs / sorted(seconds_of(call) for _ in range(9))[4]

    return max((convolution(*shape, hardware) for shape in CONVOLUTIONS), key=rate)


def main() -> None:
    """Tell the share that training reaches, for nets of several widths."""
    keep_freed_memory()
    torch.set_num_threads(1)
    hardware = find_hardware("cpu")
    most, call = fastest(hardware)
    for name, settings in CELLS.items():
        cell = cell_of(*settings)
        stack = Stack([cell], hardware)
        calls = max(1, cell.training_macs // most // 4)

        def convolve(calls: int = calls) -> None:
            for _ in range(calls):
                call()

        # Libraries choose their algorithms in the first steps.
        stack.begin([cell])
        stack.run()
        pairs = []
        for _ in range(ROUNDS):
            stack.begin([cell])
            training = cell.training_macs / seconds_of(stack.run)
            pairs.append((training, calls * most / seconds_of(convolve)))
        tell("share", name, "the fastest 3x3 convolution", pairs)
        alone, steps = convolutions_of(cell, hardware), cell.training.steps
        alone()
        pairs, reached = [], []
        for _ in range(ROUNDS):
            stack.begin([cell])
            seconds = seconds_of(alone)
            pairs.append((seconds, seconds_of(stack.run) / steps))
            reached.append(
                (cell.training_macs / steps / seconds, calls * most / seconds_of(convolve))
            )
        tell("share", f"the convolutions alone, {name}", "the whole step", pairs)
        tell("share", f"the convolutions alone, {name}", "the fastest 3x3 convolution", reached)


if __name__ == "__main__":
    main()
