"""What the feature maps take: bytes of float32 for one image, in training and in inference.

Maps only: not the weights, nor the workspace of a convolution's algorithm, nor what an
allocator rounds up. A batch of n takes n times as much, but for the few statistics of a norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, final

from unet import algebra
from unet.activations import ACTIVATIONS
from unet.downsamplings import DOWNSAMPLINGS
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
    """What autograd keeps: what each layer with weights reads, and a map of each activation."""
    padding, norm, pool = PADDINGS[spec.padding], NORMS[spec.norm], DOWNSAMPLINGS[spec.downsampling]
    returned = ACTIVATIONS[spec.activation].keeps_result
    values = places = 0
    # Whether the map that comes next, and the one that entered the block, is kept already.
    counted = entered_counted = False
    entered = steps[0]
    for source, step in pairwise(step for step in steps if step.layer.operation != "crop"):
        match step.layer.operation:
            case "convolution":
                # The image needs no gradient, so that a copy with its border is all that is kept.
                bordered = source is steps[0] and padding.writes_border
                reads = padding.keeps_map and not bordered
                values += source.values_with_border(spec) + source.values * (reads and not counted)
                if source.layer.operation != "convolution":
                    entered, entered_counted = source, counted or reads
                values += norm.kept(step.layer.channels, step.pixels) + step.values
                values += step.values * step.layer.drops_out  # its mask
                counted = returned and not step.layer.drops_out
            case "projection":
                values += entered.values * (not entered_counted)
            case "pooling":
                values += source.values * (not counted)
                places += step.values * pool.keeps_places
                counted = False
            case "upsampling":
                values += source.values * (not counted) + step.values * spec.up_relu
                counted = spec.up_relu and returned
            case "join":
                skip, both = _join_of(spec, step)
                values += skip.kept(*both) * step.pixels
                values += source.values * (skip.keeps_upsampled and not counted)
                counted = counted and not skip.uses_skip
            case "head":
                values += source.values * (not counted)
    return FLOAT * values + INDEX * places


def _join_of(spec: UNetSpec, step: _Step) -> tuple[Skip, tuple[int, int]]:
    """The join at the step's level, and the channels of its two sides."""
    level = step.layer.level
    return SKIPS[spec.skip_at(level)], (spec.upsampled_channels(level), spec.channels(level))


def _peak(spec: UNetSpec, steps: list[_Step]) -> int:
    """What is alive when most is: the image, the waiting skips, and what one layer holds.

    A block's caller holds its input until it returns, and a convolution's result lives until
    its activation has returned another. Poolings and upsamplings hold less than the block
    beside them, so that they need no look.
    """
    norm = NORMS[spec.norm]
    image = steps[0].values
    most = entered = held = 0
    waiting: list[int] = []
    for source, step in pairwise(step for step in steps if step.layer.operation != "crop"):
        if step.layer.operation == "pooling":
            waiting.append(source.values * _join_of(spec, source)[0].uses_skip)
        elif step.layer.operation == "join":
            skip, both = _join_of(spec, step)
            beside = skip.beside(*both) * step.pixels
            joining = (source.values + beside + step.values) * skip.uses_skip
            most = max(most, sum(waiting) + joining)
            waiting.pop()
        elif step.layer.operation == "projection":
            # Itself, what it is added to, and the sum.
            most = max(most, sum(waiting) + held + 3 * step.values)
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
