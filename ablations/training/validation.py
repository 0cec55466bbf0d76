"""What a net in training does on images that it neither learns from nor is tested on."""

from __future__ import annotations

import torch
from torch import Tensor

from ablations.runs.cell import Cell
from ablations.runs.records import Evaluation
from ablations.training.hardware import Hardware
from ablations.training.learner import draw, window_logits
from ablations.training.scoring import TEST_BATCH, decided, truth
from unet.model import UNet


@torch.inference_mode()
def count_validation_images(net: UNet, cell: Cell, hardware: Hardware) -> Tensor:
    """(classes, 3) whole numbers as in `Evaluation`, on the device; the net trains on as before.

    Nothing that training reads is written to, and no random number is drawn from torch's stream.
    """
    total = torch.zeros(cell.spec.num_classes, 3, dtype=torch.int64, device=hardware.device)
    net.eval()
    for start in range(0, cell.training.validation_images, TEST_BATCH):
        count = min(TEST_BATCH, cell.training.validation_images - start)
        batch = draw(cell, hardware, "validation", start, count)
        predicted = decided(window_logits(net, batch.image, cell, hardware), cell)
        true = truth(batch.target, cell)
        outcomes = (predicted & true, predicted & ~true, ~predicted & true)
        total += torch.stack([each.sum(dim=(0, 2, 3)) for each in outcomes], dim=1)
    net.train()
    return total


def curve(cell: Cell, counts: list[Tensor]) -> tuple[Evaluation, ...]:
    """What was counted after each of the steps at which `cell` is evaluated; waits for it."""
    pairs = zip(cell.training.evaluated_at, counts, strict=True)
    return tuple(
        Evaluation(step=step, counts=tuple(map(tuple, each.tolist()))) for step, each in pairs
    )
