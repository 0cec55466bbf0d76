"""What a trained net does on the test images: counts, and one example to look at."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from ablations.cell import Cell
from ablations.hardware import Hardware
from ablations.learner import draw, one_hot, window_logits
from ablations.records import Example, Picture
from ablations.shapes import TASKS
from unet.model import UNet

BANDS: Final = (0, 2, 4, 8, 16)
"""Distances to the edge of the scored window, in pixels, at which the bands of counts begin."""

TEST_BATCH: Final = 32


def decided(logits: Tensor, cell: Cell) -> Tensor:
    """The prediction as booleans (N, classes, H, W)."""
    exclusive = TASKS[cell.task.name].exclusive
    return one_hot(logits.argmax(dim=1), logits.shape[1]) if exclusive else logits > 0


def truth(target: Tensor, cell: Cell) -> Tensor:
    """The masks as booleans (N, classes, H, W)."""
    return one_hot(target, cell.spec.num_classes) if target.dim() == 3 else target > 0


@torch.inference_mode()
def count_test_images(net: UNet, cell: Cell, hardware: Hardware) -> Tensor:
    """(bands, classes, 3) whole numbers as `Record.counts` describes, on the device."""
    band = _band_masks(cell.task.scored, hardware.device)
    total = torch.zeros(
        3, cell.spec.num_classes, len(BANDS), dtype=torch.float64, device=hardware.device
    )
    net.eval()
    for start in range(0, cell.training.test_images, TEST_BATCH):
        count = min(TEST_BATCH, cell.training.test_images - start)
        batch = draw(cell, hardware, "test", start, count)
        predicted = decided(window_logits(net, batch.image, cell, hardware), cell)
        true = truth(batch.target, cell)
        outcomes = torch.stack([predicted & true, predicted & ~true, ~predicted & true])
        pixels = outcomes.sum(dim=1).flatten(start_dim=2)
        total += pixels.double() @ band
    return total.round().long().permute(2, 1, 0)


def _band_masks(side: int, device: str) -> Tensor:
    """(side * side, bands): 1 where a pixel's distance to the window's edge is in the band."""
    line = torch.arange(side, device=device)
    inward = line.minimum(side - 1 - line)
    distance = inward[:, None].minimum(inward).flatten()
    band = torch.bucketize(distance, torch.tensor(BANDS, device=device), right=True) - 1
    # Double counts pixels exactly up to 2^53, and unlike integers has a matrix product on a GPU.
    return functional.one_hot(band, len(BANDS)).double()


@torch.inference_mode()
def example(net: UNet, cell: Cell, hardware: Hardware) -> Example:
    """The first test image, its mask and the prediction."""
    batch = draw(cell, hardware, "test", 0, 1)
    predicted = decided(window_logits(net, batch.image, cell, hardware), cell)
    true = truth(batch.target, cell)
    weight = torch.arange(predicted.shape[1], device=predicted.device).view(-1, 1, 1)
    if not TASKS[cell.task.name].exclusive:
        weight = 2**weight
    image = (batch.image[0].clamp(0, 1) * 255).round().permute(1, 2, 0).squeeze(-1)
    return Example(
        image=_picture(image),
        mask=_picture((true[0] * weight).sum(dim=0)),
        prediction=_picture((predicted[0] * weight).sum(dim=0)),
    )


def _picture(pixels: Tensor) -> Picture:
    return Picture.of(pixels.to(device="cpu", dtype=torch.uint8).numpy())
