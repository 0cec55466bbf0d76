"""How a contracting level is joined to the expansive one beside it: the table `SKIPS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from torch import Tensor


def center_crop(x: Tensor, height: int, width: int) -> Tensor:
    """The central (height, width) window of `x`, (..., H, W).

    In a U-Net both differences are even, so the window is centred exactly; for an odd one
    the extra pixel goes off the bottom or the right.
    """
    top = (x.shape[-2] - height) // 2
    left = (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width]


@final
@dataclass(frozen=True, kw_only=True)
class Skip:
    """One way to join, with its channel rule.

    `channels(upsampled, skipped)` is the number of channels after the join; `join` takes the
    upsampled map and the skip cropped to its size, both (N, C, H, W). `same_channels` says
    that both sides must have equal channels; `uses_skip` that the skip is read at all.
    """

    summary: str
    channels: Callable[[int, int], int]
    join: Callable[[Tensor, Tensor], Tensor]
    same_channels: bool = False
    uses_skip: bool = True


def _concatenate(upsampled: Tensor, skip: Tensor) -> Tensor:
    import torch

    return torch.cat([skip, upsampled], dim=1)


SKIPS: Final[dict[str, Skip]] = {
    "concat": Skip(
        summary="the skip's channels beside the upsampled ones, as in the paper",
        channels=lambda upsampled, skipped: upsampled + skipped,
        join=_concatenate,
    ),
    "add": Skip(
        summary="the skip added to the upsampled map, as in a residual net",
        channels=lambda upsampled, skipped: upsampled,
        join=lambda upsampled, skip: upsampled + skip,
        same_channels=True,
    ),
    "none": Skip(
        summary="no skip: the expansive path sees the bottleneck alone",
        channels=lambda upsampled, skipped: upsampled,
        join=lambda upsampled, skip: upsampled,
        uses_skip=False,
    ),
}
