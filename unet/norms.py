"""What stands between a 3x3 convolution and its ReLU: the table `NORMS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True, kw_only=True)
class Norm:
    """One normalisation, with its parameter and memory rules.

    `kept(channels, pixels)` is how many values it keeps for the backward pass of one image.
    `conv_bias` says whether the convolution before it keeps its bias: one that is normalised
    away again would only be a dead parameter.
    """

    summary: str
    conv_bias: bool
    parameters: Callable[[int], int]
    kept: Callable[[int, int], int]
    build: Callable[[int], nn.Module]


def _identity(_channels: int) -> nn.Module:
    from torch import nn

    return nn.Identity()


def _batch(channels: int) -> nn.Module:
    from torch import nn

    return nn.BatchNorm2d(channels)


NORMS: Final[dict[str, Norm]] = {
    "none": Norm(
        summary="no normalisation, as in the paper",
        conv_bias=True,
        parameters=lambda channels: 0,
        kept=lambda channels, pixels: 0,
        build=_identity,
    ),
    "batch": Norm(
        summary="batch normalisation (Ioffe and Szegedy 2015) in place of the bias",
        conv_bias=False,
        parameters=lambda channels: 2 * channels,
        kept=lambda channels, pixels: channels * pixels + 2 * channels,
        build=_batch,
    ),
}
