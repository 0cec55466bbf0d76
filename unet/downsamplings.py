"""How the contracting path halves its resolution: the table `DOWNSAMPLINGS`.

Every entry takes (N, C, 2H, 2W) to (N, C, H, W): pixel i comes from the fine pixels 2i and 2i+1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True, kw_only=True)
class Downsampling:
    """One way to halve, with its rules for parameters, work and memory.

    `macs` and `bias_adds` are for each pixel that comes out; `keeps_places` says that the
    place of each is kept for the backward pass. What it reads is kept in any case.
    """

    summary: str
    build: Callable[[int], nn.Module]
    parameters: Callable[[int], int] = lambda channels: 0
    macs: Callable[[int], int] = lambda channels: 0
    bias_adds: Callable[[int], int] = lambda channels: 0
    keeps_places: bool = False


def _max(_channels: int) -> nn.Module:
    from torch import nn

    return nn.MaxPool2d(2)


def _average(_channels: int) -> nn.Module:
    from torch import nn

    return nn.AvgPool2d(2)


def _strided(channels: int) -> nn.Module:
    from torch import nn

    return nn.Conv2d(channels, channels, kernel_size=2, stride=2)


DOWNSAMPLINGS: Final[dict[str, Downsampling]] = {
    "max": Downsampling(
        summary="the largest of each 2x2 pixels, as in the paper",
        build=_max,
        keeps_places=True,
    ),
    "average": Downsampling(summary="the mean of each 2x2 pixels", build=_average),
    "strided": Downsampling(
        summary="a 2x2 convolution of stride 2 that keeps the channels",
        build=_strided,
        parameters=lambda channels: 4 * channels**2 + channels,
        macs=lambda channels: 4 * channels**2,
        bias_adds=lambda channels: channels,
    ),
}
