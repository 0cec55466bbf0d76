"""How a contracting level is joined to the expansive one beside it: the table `SKIPS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from torch import Tensor, nn


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
    """One way to join, with its rules for channels, parameters, work and memory.

    All take the channels of the upsampled map and those of the skip. `channels` come out; `macs`,
    `bias_adds`, the values `kept` for the backward pass and those made `beside` the result are for
    each pixel. `build` makes the module that reads both maps, (N, C, H, W), the skip cropped.
    `same_channels` says that both sides must have equal channels; `uses_skip` that the skip is
    read at all; `keeps_upsampled` that the upsampled map is kept for the backward pass.
    """

    summary: str
    channels: Callable[[int, int], int]
    build: Callable[[int, int], nn.Module]
    parameters: Callable[[int, int], int] = lambda upsampled, skipped: 0
    macs: Callable[[int, int], int] = lambda upsampled, skipped: 0
    bias_adds: Callable[[int, int], int] = lambda upsampled, skipped: 0
    kept: Callable[[int, int], int] = lambda upsampled, skipped: 0
    beside: Callable[[int, int], int] = lambda upsampled, skipped: 0
    same_channels: bool = False
    uses_skip: bool = True
    keeps_upsampled: bool = False


def between(skipped: int) -> int:
    """Channels in which an attention gate compares its two maps: half the skip's."""
    return max(1, skipped // 2)


def _concatenation(_upsampled: int, _skipped: int) -> nn.Module:
    from unet.joins import Concatenation

    return Concatenation()


def _addition(_upsampled: int, _skipped: int) -> nn.Module:
    from unet.joins import Addition

    return Addition()


def _nothing(_upsampled: int, _skipped: int) -> nn.Module:
    from torch import nn

    return nn.Identity()


def _attention(upsampled: int, skipped: int) -> nn.Module:
    from unet.joins import AttentionGate

    return AttentionGate(upsampled, skipped, between(skipped))


def _gate_macs(upsampled: int, skipped: int) -> int:
    return between(skipped) * (upsampled + skipped + 1)


def _gate_biases(_upsampled: int, skipped: int) -> int:
    return between(skipped) + 1


SKIPS: Final[dict[str, Skip]] = {
    "concat": Skip(
        summary="the skip's channels beside the upsampled ones, as in the paper",
        channels=lambda upsampled, skipped: upsampled + skipped,
        build=_concatenation,
    ),
    "add": Skip(
        summary="the skip added to the upsampled map, as in a residual net",
        channels=lambda upsampled, skipped: upsampled,
        build=_addition,
        same_channels=True,
    ),
    "attention": Skip(
        summary="the skip weighed by an attention gate (Oktay et al. 2018), beside the upsampled",
        channels=lambda upsampled, skipped: upsampled + skipped,
        build=_attention,
        parameters=lambda upsampled, skipped: (
            _gate_macs(upsampled, skipped) + _gate_biases(upsampled, skipped)
        ),
        macs=_gate_macs,
        bias_adds=_gate_biases,
        # What its ReLU and its sigmoid return; in inference the weight and the weighed skip.
        kept=lambda upsampled, skipped: between(skipped) + 1,
        beside=lambda upsampled, skipped: 1 + skipped,
        keeps_upsampled=True,
    ),
    "none": Skip(
        summary="no skip: the expansive path sees the bottleneck alone",
        channels=lambda upsampled, skipped: upsampled,
        build=_nothing,
        uses_skip=False,
    ),
}
