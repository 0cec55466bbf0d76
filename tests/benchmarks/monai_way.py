"""A plan's cells trained by MONAI's SupervisedTrainer.

Dataset, net, loss and schedule are the tutorial's; MONAI brings the loop.

    python -m tests.benchmarks.monai_way quick 8
"""

from __future__ import annotations

from monai.engines import SupervisedTrainer
from monai.handlers import LrScheduleHandler
from torch import Tensor
from torch.utils.data import DataLoader

from ablations.runs.cell import Cell
from ablations.training.learner import segmentation_loss
from tests.benchmarks import tutorial
from unet import UNet


def train(cell: Cell) -> UNet:
    """Run the trainer for one epoch, which holds all steps."""
    net, settings = tutorial.start(cell), cell.training
    optimizer, schedule = tutorial.optimizer_of(net, cell)
    images = tutorial.Shapes(cell, "train", settings.steps * settings.batch)

    def loss(logits: Tensor, label: Tensor) -> Tensor:
        return segmentation_loss(tutorial.middle(logits, cell.task.scored), label)

    SupervisedTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=DataLoader(images, batch_size=settings.batch),
        network=net,
        optimizer=optimizer,
        loss_function=loss,
        prepare_batch=lambda batch, *_args, **_options: batch,
        train_handlers=[LrScheduleHandler(schedule, print_lr=False, epoch_level=False)],
    ).run()
    return net


if __name__ == "__main__":
    tutorial.main(train)
