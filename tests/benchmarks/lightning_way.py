"""A plan's cells trained by Lightning, with its defaults.

Dataset, net, loss and schedule are the tutorial's; Lightning brings the loop.

    python -m tests.benchmarks.lightning_way quick 8
"""

from __future__ import annotations

from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader

from ablations.runs.cell import Cell
from ablations.training.learner import segmentation_loss
from tests.benchmarks import tutorial
from unet import UNet


class Segmentation(lightning.LightningModule):  # type: ignore[misc]  # an optional package
    """One cell as a LightningModule."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell
        self.net = tutorial.start(cell)

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> torch.Tensor:
        """The loss of one batch."""
        image, label = batch
        return segmentation_loss(tutorial.middle(self.net(image), self.cell.task.scored), label)

    def configure_optimizers(self) -> dict[str, Any]:
        """Adam and its one-cycle schedule, moved on in every step."""
        optimizer, schedule = tutorial.optimizer_of(self.net, self.cell)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def train(cell: Cell) -> UNet:
    """Fit the module for one epoch, which holds all steps."""
    module = Segmentation(cell)
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    settings = cell.training
    images = tutorial.Shapes(cell, "train", settings.steps * settings.batch)
    trainer.fit(module, DataLoader(images, batch_size=settings.batch))
    return module.net


if __name__ == "__main__":
    tutorial.main(train)
