"""The modules that join a skip to the map that comes up; `unet.skips` has their rules."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn


@final
class Concatenation(nn.Module):
    """The skip's channels before the upsampled ones."""

    def forward(self, upsampled: Tensor, skip: Tensor) -> Tensor:
        """(N, U, H, W) and (N, S, H, W) to (N, S + U, H, W)."""
        return torch.cat([skip, upsampled], dim=1)


@final
class Addition(nn.Module):
    """The sum of both."""

    def forward(self, upsampled: Tensor, skip: Tensor) -> Tensor:
        """Twice (N, C, H, W) to the same."""
        return upsampled + skip


@final
class AttentionGate(nn.Module):
    """The skip, each pixel weighed by what it and the upsampled map say of it, then beside it.

    The additive gate of Oktay et al. 2018, arXiv 1804.03999, with the upsampled map as its
    gating signal, so that nothing has to be resized.
    """

    def __init__(self, upsampled: int, skipped: int, between: int) -> None:
        super().__init__()
        # Both are added up, so that one bias is enough.
        self.skip = nn.Conv2d(skipped, between, kernel_size=1, bias=False)
        self.gating = nn.Conv2d(upsampled, between, kernel_size=1)
        self.weight = nn.Conv2d(between, 1, kernel_size=1)

    def forward(self, upsampled: Tensor, skip: Tensor) -> Tensor:
        """(N, U, H, W) and (N, S, H, W) to (N, S + U, H, W)."""
        weight = self.weight(torch.relu(self.skip(skip) + self.gating(upsampled)))
        return torch.cat([torch.sigmoid(weight) * skip, upsampled], dim=1)
