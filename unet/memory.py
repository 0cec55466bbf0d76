"""What the feature maps take: bytes of float32 for one image, in training and in inference.

Maps only: not the weights, nor the workspace of a convolution's algorithm, nor what an
allocator rounds up. A batch of n takes n times as much, but for the few statistics of a norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, final

from unet import algebra
from unet.norms import NORMS
from unet.paddings import PADDINGS
from unet.skips import SKIPS, Skip
from unet.spec import UNetSpec

FLOAT: Final = 4
INDEX: Final = 8
"""Bytes of a float32 value, and of the place of a maximum that pooling keeps."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Bytes that the maps of one image take.

    `training` is all that the forward pass keeps for the backward pass, the image included;
    `inference` is the most that lives at one moment of a forward pass without gradients.
    """

    training: int
    inference: int


@final
@dataclass(frozen=True, slots=True)
class _Step:
    """A layer with the sides of the map that it returns."""

    layer: algebra.Layer
    height: int
    width: int

    @property
    def pixels(self) -> int:
        return self.height * self.width

    @property
    def values(self) -> int:
        return self.layer.channels * self.pixels

    def values_with_border(self, spec: UNetSpec) -> int:
        """Values of the copy that a 3x3 convolution reads, if padding makes one."""
        copied = self.layer.channels * (self.height + 2) * (self.width + 2)
        return copied if PADDINGS[spec.padding].writes_border else 0


def memory(spec: UNetSpec, height: int, width: int) -> Memory:
    """Bytes of the feature maps of one image of (height, width), with float32 values.

    Raises `Refusal` for an illegal size.

    >>> from unet.spec import PAPER
    >>> memory(PAPER, 572, 572)
    Memory(training=733802560, inference=249666624)
    """
    steps = [
        _Step(*step)
        for step in zip(
            algebra.layers(spec),
            algebra.sides(spec, height),
            algebra.sides(spec, width),
            strict=True,
        )
    ]
    return Memory(training=_kept(spec, steps), inference=_peak(spec, steps))


def _kept(spec: UNetSpec, steps: list[_Step]) -> int:
    """What autograd keeps: what each convolution and norm reads, what each ReLU returns."""
    padding, norm = PADDINGS[spec.padding], NORMS[spec.norm]
    values = indices = 0
    # The image needs no gradient, so that a copy with its border is all that is kept of it.
    source, counted = steps[0], padding.writes_border
    for step in steps[1:]:
        match step.layer.operation:
            case "convolution":
                values += source.values_with_border(spec)
                values += source.values * (padding.keeps_map and not counted)
                values += norm.kept(step.layer.channels, step.pixels)
                values += step.values
                values += 2 * step.values * step.layer.drops_out  # its mask and its result
                counted = True
            case "pooling":
                indices += step.values
                counted = False
            case "upsampling":
                values += step.values * spec.up_relu
                counted = spec.up_relu
            case "join":
                counted = counted and not _skip_of(spec, step).uses_skip
        source = step
    return FLOAT * values + INDEX * indices


def _skip_of(spec: UNetSpec, step: _Step) -> Skip:
    return SKIPS[spec.skip_at(step.layer.level)]


def _peak(spec: UNetSpec, steps: list[_Step]) -> int:
    """What is alive when most is: the image, the waiting skips, and what one layer holds.

    A block's caller holds its input until it returns, and a convolution's result lives until
    its ReLU has returned another. Poolings, upsamplings and joins hold less than the block
    beside them, so that only the 3x3 convolutions and the logits need a look.
    """
    norm = NORMS[spec.norm]
    image = steps[0].values
    most = entered = 0
    waiting: list[int] = []
    for source, step in pairwise(step for step in steps if step.layer.operation != "crop"):
        if step.layer.operation == "pooling":
            waiting.append(source.values * _skip_of(spec, source).uses_skip)
        elif step.layer.operation == "join":
            waiting.pop()
        elif step.layer.operation == "convolution":
            if source.layer.operation == "convolution":
                held = entered + source.values
            else:
                held = entered = source.values * (source is not steps[0])
            normed = step.values + norm.beside(step.layer.channels)
            beside = max(normed, source.values_with_border(spec))
            most = max(most, sum(waiting) + held + beside + step.values)
    logits = steps[-2].values + steps[-1].values
    return FLOAT * (image + max(most, logits))
