"""A sound U-Net of one level, from which nets differ in one part, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from unet.examination import Examination
from unet.verify import Result, run_check, verify


class Small(nn.Module):
    """A sound U-Net of one level; each net below overrides one part of it."""

    channels: ClassVar[int] = 1
    classes: ClassVar[int] = 2
    wide: ClassVar[int] = 8

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(self.channels, 4, 3, padding=1)
        self.deep = nn.Conv2d(4, 8, 3, padding=1)
        self.up = nn.ConvTranspose2d(8, 4, 2, 2)
        self.leave = nn.Conv2d(self.wide, 4, 3, padding=1)
        self.head = nn.Conv2d(4, self.classes, 1)

    def down(self, skip: Tensor) -> Tensor:
        return torch.relu(self.deep(functional.max_pool2d(skip, 2)))

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return torch.cat([skip, risen], 1)

    def end(self, logits: Tensor) -> Tensor:
        return logits

    def begin(self, x: Tensor) -> Tensor:
        return torch.relu(self.enter(x))

    def forward(self, x: Tensor) -> Tensor:
        skip = self.begin(x)
        joined = self.join(skip, self.up(self.down(skip)))
        return self.end(self.head(torch.relu(self.leave(joined))))


Factory = Callable[[], nn.Module]
Said = tuple[Factory, str, str, str]
"""A net and what is said of it: the check, the status that comes first, a pattern of its words."""


def says(net: nn.Module, check: str) -> Result:
    """What a check says first of a net, of one input channel if it says nothing else."""
    return run_check(check, Examination(net, in_channels=getattr(net, "channels", 1)))[0]


def alarms(factory: Factory) -> list[Result]:
    """What is called a defect of a net with one input channel."""
    torch.manual_seed(0)
    return [result for result in verify(factory(), in_channels=1) if result.status == "fail"]
