"""How far a U-Net sees: receptive fields, and the ring that padding can touch.

All windows of a U-Net are products of a row window and a column window, so one axis at a time
tells everything: what an output pixel sees is the product of its rows and its columns.

All is about convolutions, pooling and upsampling. The statistics of a norm over the map, as
`group` and `instance` have them, bring a trace of the whole image to every pixel besides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from unet import algebra
from unet.paddings import PADDINGS
from unet.spec import UNetSpec
from unet.upsampling import UPSAMPLINGS

Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]


@final
@dataclass(frozen=True, eq=False)
class Reach:
    """For every sample of a feature map along one axis, which input pixels can change it.

    These are `first` to `last`, both included; below 0 or beyond the input's side they are
    pixels of the image wrapped around (circular padding only). `padded` says whether padding
    can change it.
    """

    first: Integers
    last: Integers
    padded: Booleans

    @property
    def width(self) -> int:
        """Input pixels that the sample with the widest view sees."""
        return int((self.last - self.first).max()) + 1

    def convolved(self, spec: UNetSpec, side: int) -> Reach:
        """After a 3-tap convolution; `side` is that of the input image."""
        if PADDINGS[spec.padding].loss:
            return Reach(self.first[:-2], self.last[2:], self.padded[1:-1])
        # Zeros see nothing, and the pixels that mirroring and repeating bring back are in the
        # window already; only wrapping around brings in others.
        wrap = spec.padding == "circular"
        before = self.first[-1] - side if wrap else self.first[0]
        after = self.last[0] + side if wrap else self.last[-1]
        padded = self.padded.copy()
        padded[1:] |= self.padded[:-1]
        padded[:-1] |= self.padded[1:]
        padded[[0, -1]] = True
        return Reach(np.append(before, self.first[:-1]), np.append(self.last[1:], after), padded)

    def pooled(self) -> Reach:
        """After pooling pairs."""
        return Reach(self.first[::2], self.last[1::2], self.padded[::2] | self.padded[1::2])

    def upsampled(self, spec: UNetSpec) -> Reach:
        """After upsampling by two."""
        rule = UPSAMPLINGS[spec.upsampling]
        fine = np.arange(rule.size(len(self.first)))
        left = np.maximum((fine - rule.spread) // 2, 0)
        right = np.minimum((fine + rule.spread) // 2, len(self.first) - 1)
        return Reach(self.first[left], self.last[right], self.padded[left] | self.padded[right])

    def cropped(self, size: int) -> Reach:
        """After a centre crop."""
        start = (len(self.first) - size) // 2
        window = slice(start, start + size)
        return Reach(self.first[window], self.last[window], self.padded[window])


def reaches(spec: UNetSpec, side: int) -> Iterator[Reach]:
    """The reach of every layer of `algebra.layers(spec)`, for an input of `side`.

    Raises `Refusal` for an illegal size.
    """
    algebra.size_law(spec).output(side)
    pixels = np.arange(side)
    reach = Reach(pixels, pixels, np.zeros(side, dtype=bool))
    skips: dict[int, Reach] = {}
    for layer in algebra.layers(spec):
        match layer.operation:
            case "pooling":
                skips[layer.level - 1] = reach
                reach = reach.pooled()
            case "convolution":
                reach = reach.convolved(spec, side)
            case "upsampling":
                reach = reach.upsampled(spec)
            case "crop":
                yield skips[layer.level].cropped(len(reach.first))
                continue
        # At a join what comes up sees all that the skip sees, so nothing is added.
        yield reach


def receptive_field(spec: UNetSpec) -> tuple[int, int]:
    """The narrowest and the widest side of the box of input pixels that an output pixel sees.

    Output pixels differ by their place within a cell of 2^depth. Those that the border narrows
    are left out.

    >>> from unet.spec import PAPER
    >>> receptive_field(PAPER)
    (188, 204)
    """
    law, ring = algebra.size_law(spec), _border_ring(spec)
    cells_in_rings = -(-2 * ring // law.step)
    *_, output = reaches(spec, law.smallest + law.step * (cells_in_rings + 1))
    widths = (output.last - output.first + 1)[ring:-ring]
    return int(widths.min()), int(widths.max())


def padding_ring(spec: UNetSpec) -> int:
    """How many rows of output pixels along each edge padding can change; 0 without padding.

    >>> from unet.spec import PAPER, TUTORIAL
    >>> padding_ring(TUTORIAL), padding_ring(PAPER)
    (94, 0)
    """
    return 0 if PADDINGS[spec.padding].loss else _border_ring(spec)


def _border_ring(spec: UNetSpec) -> int:
    """How many rows of samples that keep their size in every convolution feel the edge.

    Level by level: each 3x3 convolution adds 1, pooling halves and rounds up, upsampling
    doubles and adds its spread. From depth 2 on the bottleneck has 4, so that the output has
    6 * 2^depth - 2 where upsampling has no spread.
    """
    ring = 2
    for _ in range(spec.depth):
        ring = (ring + 1) // 2 + 2
    for _ in range(spec.depth):
        ring = 2 * ring + UPSAMPLINGS[spec.upsampling].spread + 2
    return ring
