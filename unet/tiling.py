"""Overlap-tile prediction: an image of any size, tile by tile (paper, section 2 and figure 2)."""

from __future__ import annotations

from itertools import product
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from unet.model import UNet
from unet.paddings import PADDINGS
from unet.reach import padding_ring
from unet.refusal import Refusal, shown
from unet.spec import UNetSpec
from unet.upsampling import UPSAMPLINGS

STRETCHED: Final = "bilinear_corners"
"""The upsampling after which a pixel's place in its tile matters, so that no two tiles agree."""


@torch.inference_mode()
def predict_tiled(net: UNet, images: Tensor, tile: int) -> Tensor:
    """(N, C, H, W) images of any size to (N, classes, H, W) logits, from tiles of side `tile`.

    Each tile gives the pixels that no padding and no edge of the tile reaches, and tiles lie
    multiples of 2^depth apart; so the result is what one pass over the whole image would give,
    wherever that has context, and has no seams. Beyond its border the image is mirrored, as in the
    paper. A norm over the map (`group`, `instance`) sees one tile at a time, and then tiles differ.

    Raises `Refusal` for a net in training mode, for one whose upsampling aligns corners, for a
    `tile` that is no legal size or of which nothing can be kept, and for images that the net cannot
    take or that are too small to be mirrored.
    """
    _require_tileable(net, images)
    lost, law = rim(net.spec), net.size_law
    kept = _kept(net, tile)
    before = law.margin // 2 + lost
    down, across = (_steps(side, kept, tile, before) for side in images.shape[2:])
    beyond = (before, across[-1] + tile - before - images.shape[3],
              before, down[-1] + tile - before - images.shape[2])  # fmt: skip
    extended = functional.pad(images, beyond, mode="reflect")
    shape = len(images), net.spec.num_classes, down[-1] + kept, across[-1] + kept
    logits = images.new_empty(shape)
    for top, left in product(down, across):
        seen = net(extended[..., top : top + tile, left : left + tile])
        inside = seen[..., lost : lost + kept, lost : lost + kept]
        logits[..., top : top + kept, left : left + kept] = inside
    return logits[..., : images.shape[2], : images.shape[3]].contiguous()


def _require_tileable(net: UNet, images: Tensor) -> None:
    channels, wanted = net.spec.in_channels, next(net.parameters()).dtype
    if net.training:
        raise Refusal("the net is in training mode, where it changes with each batch: net.eval()")
    if net.spec.upsampling == STRETCHED:
        raise Refusal(f"upsampling {STRETCHED!r} makes tiles disagree: predict the image whole")
    if images.dim() != 4 or 0 in images.shape or images.shape[1] != channels:
        raise Refusal(
            f"images of shape {tuple(images.shape)}: give (N, {channels}, H, W), none of them 0"
        )
    if images.dtype != wanted:
        raise Refusal(f"images of {images.dtype} for a net of {wanted}: images.to({wanted})")


def _kept(net: UNet, tile: int) -> int:
    """The side of what is kept of a tile: a multiple of 2^depth, so that poolings agree."""
    law, lost = net.size_law, rim(net.spec)
    smallest = law.nearest(law.margin + 2 * lost + law.step)[-1]
    if not isinstance(tile, int) or tile < smallest or not law.is_legal(tile):
        raise Refusal(
            f"tile {shown(tile)} is too small or no legal size: give one of "
            f"{smallest} + {law.step}k"
        )
    return (law.output(tile) - 2 * lost) // law.step * law.step


def _steps(side: int, kept: int, tile: int, before: int) -> range:
    """Where tiles begin along a side that is mirrored as far as they reach beyond it."""
    places = range(0, side, kept)
    deepest = max(before, places[-1] + tile - before - side)
    if deepest >= side:
        raise Refusal(
            f"an image with a side of {side} cannot be mirrored {deepest} pixels deep: give a "
            "smaller tile, or a larger image"
        )
    return places


def rim(spec: UNetSpec) -> int:
    """How many rows of output pixels along each edge are not what they would be in a larger tile.

    Padding reaches so far; or, without padding, the edges at which interpolation has to stop.

    >>> from unet.spec import PAPER, TUTORIAL
    >>> rim(PAPER), rim(TUTORIAL)
    (0, 94)
    """
    if PADDINGS[spec.padding].loss:
        return int(UPSAMPLINGS[spec.upsampling].spread * (2**spec.depth - 1))
    return padding_ring(spec)
