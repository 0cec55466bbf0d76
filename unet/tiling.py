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
    `tile` that is no legal size or leaves nothing, and for images too small to be mirrored.
    """
    spec, law = net.spec, net.size_law
    if net.training:
        raise Refusal("the net is in training mode, where it changes with each batch: net.eval()")
    if spec.upsampling == STRETCHED:
        raise Refusal(f"upsampling {STRETCHED!r} makes tiles disagree: predict the image whole")
    lost = rim(spec)
    smallest = law.nearest(law.margin + 2 * lost + law.step)[-1]
    if not law.is_legal(tile) or tile < smallest:
        sizes = f"{smallest} + {law.step}k"
        raise Refusal(f"tile {shown(tile)}: nothing can be kept of it; give one of {sizes}")
    step = (law.output(tile) - 2 * lost) // law.step * law.step
    before = law.margin // 2 + lost
    height, width = images.shape[2:]
    tops, lefts = range(0, height, step), range(0, width, step)
    below, right = (places[-1] + tile - before - side for places, side in
                    ((tops, height), (lefts, width)))  # fmt: skip
    deepest = max(before, below, right)
    if deepest >= min(height, width):
        raise Refusal(
            f"an image of {height} x {width} cannot be mirrored {deepest} pixels deep: "
            "give a smaller tile, or a larger image"
        )
    extended = functional.pad(images, (before, right, before, below), mode="reflect")
    logits = images.new_empty(len(images), spec.num_classes, tops[-1] + step, lefts[-1] + step)
    for top, left in product(tops, lefts):
        seen = net(extended[..., top : top + tile, left : left + tile])
        kept = seen[..., lost : lost + step, lost : lost + step]
        logits[..., top : top + step, left : left + step] = kept
    return logits[..., :height, :width].contiguous()


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
