"""What stands between a 3x3 convolution and its activation: the table `NORMS`."""

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

    `kept(channels, pixels)` is how many values it keeps for the backward pass of one image, and
    `beside(channels)` how many it makes beside its result in inference.
    `conv_bias` says whether the convolution before it keeps its bias: one that is normalised
    away again would only be a dead parameter. `smallest` is the smallest side that it takes.
    """

    summary: str
    conv_bias: bool
    parameters: Callable[[int], int]
    kept: Callable[[int, int], int]
    build: Callable[[int], nn.Module]
    beside: Callable[[int], int] = lambda channels: 0
    smallest: int = 1


def groups(channels: int) -> int:
    """How many groups `group` makes: 32, or as many fewer as fit and have two channels each.

    32 is what Wu and He 2018, arXiv 1803.08494, found best. A group of one channel would be
    instance normalisation; only a single channel is left with that.

    >>> [groups(channels) for channels in (1, 6, 7, 16, 64, 1024)]
    [1, 3, 1, 8, 32, 32]
    """
    return max(
        number
        for number in range(1, 33)
        if channels % number == 0 and (number == 1 or channels >= 2 * number)
    )


def _identity(_channels: int) -> nn.Module:
    from torch import nn

    return nn.Identity()


def _batch(channels: int) -> nn.Module:
    from torch import nn

    return nn.BatchNorm2d(channels)


def _group(channels: int) -> nn.Module:
    from torch import nn

    return nn.GroupNorm(groups(channels), channels)


def _instance(channels: int) -> nn.Module:
    from torch import nn

    return nn.InstanceNorm2d(channels, affine=True)


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
    "group": Norm(
        summary="group normalisation (Wu and He 2018): 32 groups, or fewer of two channels or more",
        # The mean of a group takes away only what the biases of its channels have in common.
        conv_bias=True,
        parameters=lambda channels: 2 * channels,
        kept=lambda channels, pixels: channels * pixels + 2 * groups(channels),
        build=_group,
        beside=lambda channels: 2 * groups(channels),
    ),
    "instance": Norm(
        summary="instance normalisation (Ulyanov et al. 2016) in place of the bias: each channel "
        "of each image by itself",
        conv_bias=False,
        parameters=lambda channels: 2 * channels,
        # torch folds the batch into the channels and repeats the weights for each image.
        kept=lambda channels, pixels: channels * pixels + 3 * channels,
        build=_instance,
        beside=lambda channels: 4 * channels,
        # A single pixel does not differ from its mean.
        smallest=2,
    ),
}
