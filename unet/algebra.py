"""The U-Net in integers: which sizes are legal, what comes out, where it lies, what it costs.

No tensor is made here and torch is not imported. The model is built from the same `UNetSpec`
but shares no code with this module, so that each can be held against the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Final, final

import numpy as np
import numpy.typing as npt

from unet.downsamplings import DOWNSAMPLINGS
from unet.norms import NORMS
from unet.paddings import PADDINGS
from unet.refusal import Refusal
from unet.skips import SKIPS, Skip
from unet.spec import UNetSpec
from unet.upsampling import UPSAMPLINGS


@final
@dataclass(frozen=True, kw_only=True)
class SizeLaw:
    """The legal sides of an input, and the side of the output, in closed form.

    A side is legal when it is `smallest + k * step` for a whole k >= 0, and the output is
    `margin` pixels smaller. Height and width are independent.

    >>> from unet.spec import PAPER
    >>> law = size_law(PAPER)
    >>> law
    SizeLaw(smallest=188, step=16, margin=184)
    >>> law.output(572)
    388
    """

    smallest: int
    step: int
    margin: int

    def is_legal(self, size: int) -> bool:
        """Whether an input may have the side `size`."""
        return size >= self.smallest and (size - self.smallest) % self.step == 0

    def output(self, size: int) -> int:
        """The side of the output; raises `Refusal` for an illegal `size`."""
        if not self.is_legal(size):
            raise Refusal(f"input size {size} is not legal: {self.nearest_in_words(size)}")
        return size - self.margin

    def nearest(self, size: int) -> tuple[int, ...]:
        """The legal sizes around `size`, ascending: itself if legal, else one or two.

        >>> from unet.spec import PAPER
        >>> size_law(PAPER).nearest(512), size_law(PAPER).nearest(100)
        ((508, 524), (188,))
        """
        if size <= self.smallest:
            return (self.smallest,)
        below = size - (size - self.smallest) % self.step
        return (below,) if below == size else (below, below + self.step)

    def nearest_in_words(self, size: int) -> str:
        """The way out of an illegal `size`: the nearest legal ones and what they produce."""
        options = " or ".join(
            f"{near} (output {near - self.margin})" for near in self.nearest(size)
        )
        return f"the nearest legal is {options}; legal sizes are {self.smallest} + {self.step}k"

    def sizes(self, up_to: int) -> range:
        """Every legal size of at most `up_to`."""
        return range(self.smallest, up_to + 1, self.step)


def size_law(spec: UNetSpec) -> SizeLaw:
    """The closed form of `spec`'s sizes (paper, section 2: "select the input tile size").

    With c = 2 * (loss of one 3x3 convolution) * 2 the pixels that a block takes off a side, a
    bottleneck that returns b comes from an input of 2^depth * b + c * (2^(depth + 1) - 1) and
    becomes an output of 2^depth * b - c * (2^depth - 1).

    >>> from unet.spec import TUTORIAL
    >>> size_law(TUTORIAL)
    SizeLaw(smallest=16, step=16, margin=0)
    """
    padding = PADDINGS[spec.padding]
    block_loss = 4 * padding.loss
    step = 2**spec.depth
    smallest_output = block_loss * (1 - step) + step * _smallest_bottleneck(spec)
    margin = block_loss * (3 * step - 2)
    return SizeLaw(smallest=smallest_output + margin, step=step, margin=margin)


def size_table(spec: UNetSpec, largest: int) -> npt.NDArray[np.int64]:
    """The output side for every input side from 0 to `largest`; 0 where the input is illegal.

    Height and width are independent, so two look-ups answer any (height, width): one table of
    a thousand entries stands for a million cases.

    >>> from unet.spec import PAPER
    >>> size_table(PAPER, 600)[[187, 188, 572]]
    array([  0,   4, 388])
    """
    law = size_law(spec)
    outputs = np.zeros(largest + 1, dtype=np.int64)
    outputs[law.smallest :: law.step] = np.arange(law.smallest, largest + 1, law.step) - law.margin
    return outputs


def _smallest_bottleneck(spec: UNetSpec) -> int:
    """The smallest side that the bottleneck may return, so that no convolution runs dry."""
    padding = PADDINGS[spec.padding]
    bottleneck = max(padding.smallest - 2 * padding.loss, NORMS[spec.norm].smallest)
    while not _expansive_path_holds(spec, bottleneck):
        bottleneck += 1
    return bottleneck


def _expansive_path_holds(spec: UNetSpec, size: int) -> bool:
    padding = PADDINGS[spec.padding]
    for _ in range(spec.depth):
        size = UPSAMPLINGS[spec.upsampling].size(size)
        for _ in range(2):
            if size < padding.smallest:
                return False
            size = padding.size(size)
    return True


@final
@dataclass(frozen=True, slots=True)
class Grid:
    """Where the samples of one axis lie: sample i is centred on offset + i * step.

    In input pixels, with input pixel i centred on i; exact fractions.
    """

    size: int
    step: Fraction
    offset: Fraction

    def convolved(self, loss: int) -> Grid:
        """After a 3-tap convolution that loses `loss` samples at each end."""
        return Grid(self.size - 2 * loss, self.step, self.offset + loss * self.step)

    def pooled(self) -> Grid:
        """After pooling pairs: each sample lies halfway between the two it came from."""
        return Grid(self.size // 2, self.step * 2, self.offset + self.step / 2)

    def upsampled(self, size: int, ratio: Fraction) -> Grid:
        """After upsampling to `size` samples about the same centre, `ratio` steps apart."""
        step = self.step * ratio
        beyond = (size - 1) * step - (self.size - 1) * self.step
        return Grid(size, step, self.offset - beyond / 2)

    def cropped(self, size: int) -> Grid:
        """After a centre crop to `size`."""
        return Grid(size, self.step, self.offset + (self.size - size) // 2 * self.step)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """One step of the net: what it does to the channels and what it costs.

    `parameters` counts weights and biases. `macs_per_input` and `macs_per_output` are
    multiply-adds for each pixel of the map that it reads or writes, and `biases_per_input`
    and `biases_per_output` the additions of a bias beside them. `drops_out` says that dropout
    follows in training.
    """

    name: str
    operation: str
    level: int
    channels: int
    parameters: int = 0
    macs_per_input: int = 0
    macs_per_output: int = 0
    biases_per_input: int = 0
    biases_per_output: int = 0
    drops_out: bool = False


@lru_cache(maxsize=256)
def layers(spec: UNetSpec) -> tuple[Layer, ...]:
    """Every step of `spec`'s net in the order in which it runs.

    Names follow the model's modules: `contracting.0.conv1` is the first convolution.
    """
    return tuple(_layers(spec))


def _layers(spec: UNetSpec) -> Iterator[Layer]:
    yield Layer(name="input", operation="input", level=0, channels=spec.in_channels)
    channels = spec.in_channels
    for level in range(spec.depth + 1):
        name = f"contracting.{level}" if level < spec.depth else "bottleneck"
        if level > 0:
            yield _downsampling(spec, level, channels)
        drops_out = spec.drops_out(level) and spec.dropout > 0
        yield from _block(spec, name, level, channels, drops_out=drops_out)
        channels = spec.channels(level)
    for level in reversed(range(spec.depth)):
        upsampled = spec.upsampled_channels(level)
        yield _upsampling(spec, level, channels, upsampled)
        skip = SKIPS[spec.skip_at(level)]
        if skip.uses_skip:
            yield Layer(
                name=f"crop.{level}", operation="crop", level=level, channels=spec.channels(level)
            )
        join = _join(skip, level, upsampled, spec.channels(level))
        yield join
        yield from _block(spec, f"expansive.{level}", level, join.channels)
        channels = spec.channels(level)
    yield Layer(
        name="head",
        operation="head",
        level=0,
        channels=spec.num_classes,
        parameters=channels * spec.num_classes + spec.num_classes,
        macs_per_output=channels * spec.num_classes,
        biases_per_output=spec.num_classes,
    )


def _block(
    spec: UNetSpec, name: str, level: int, in_channels: int, *, drops_out: bool = False
) -> Iterator[Layer]:
    """Two 3x3 convolutions, each with its norm and activation; then dropout, if any.

    A residual block projects what enters it where the channels differ.
    """
    norm = NORMS[spec.norm]
    entering, out_channels = in_channels, spec.channels(level)
    for number in (1, 2):
        weights = 9 * in_channels * out_channels
        yield Layer(
            name=f"{name}.conv{number}",
            operation="convolution",
            level=level,
            channels=out_channels,
            parameters=weights + out_channels * norm.conv_bias + norm.parameters(out_channels),
            macs_per_output=weights,
            biases_per_output=out_channels * norm.conv_bias,
            drops_out=drops_out and number == 2,
        )
        in_channels = out_channels
    if spec.residual and entering != out_channels:
        yield Layer(
            name=f"{name}.projection",
            operation="projection",
            level=level,
            channels=out_channels,
            parameters=entering * out_channels,
            macs_per_output=entering * out_channels,
        )


def _downsampling(spec: UNetSpec, level: int, channels: int) -> Layer:
    rule = DOWNSAMPLINGS[spec.downsampling]
    return Layer(
        name=f"pool.{level}",
        operation="pooling",
        level=level,
        channels=channels,
        parameters=rule.parameters(channels),
        macs_per_output=rule.macs(channels),
        biases_per_output=rule.bias_adds(channels),
    )


def _join(skip: Skip, level: int, upsampled: int, skipped: int) -> Layer:
    return Layer(
        name=f"join.{level}",
        operation="join",
        level=level,
        channels=skip.channels(upsampled, skipped),
        parameters=skip.parameters(upsampled, skipped),
        macs_per_output=skip.macs(upsampled, skipped),
        biases_per_output=skip.bias_adds(upsampled, skipped),
    )


def _upsampling(spec: UNetSpec, level: int, in_channels: int, out_channels: int) -> Layer:
    rule = UPSAMPLINGS[spec.upsampling]
    return Layer(
        name=f"upsampling.{level}",
        operation="upsampling",
        level=level,
        channels=out_channels,
        parameters=rule.parameters(in_channels, out_channels),
        macs_per_input=rule.macs(in_channels, out_channels, 1),
        biases_per_input=rule.bias_adds(out_channels, 1),
    )


def sides(spec: UNetSpec, size: int) -> Iterator[int]:
    """The side of every map of `layers(spec)`, for an input of side `size`.

    Raises `Refusal` for an illegal size.
    """
    size_law(spec).output(size)
    padding, upsampling = PADDINGS[spec.padding], UPSAMPLINGS[spec.upsampling]
    side = size
    for layer in layers(spec):
        if layer.operation == "pooling":
            side //= 2
        elif layer.operation == "convolution":
            side = padding.size(side)
        elif layer.operation == "upsampling":
            side = upsampling.size(side)
        yield side


def grids(spec: UNetSpec, size: int) -> Iterator[Grid]:
    """The grid of every layer of `layers(spec)` along one axis, for an input of side `size`.

    A join lies where its skip does, which has never left the pixels of the input: upsampling
    that aligns corners brings a map there that lies beside it.

    Raises `Refusal` for an illegal size.
    """
    size_law(spec).output(size)
    loss, upsampling = PADDINGS[spec.padding].loss, UPSAMPLINGS[spec.upsampling]
    grid = Grid(size, Fraction(1), Fraction(0))
    skips: dict[int, Grid] = {}
    for layer in layers(spec):
        if layer.operation == "pooling":
            skips[layer.level - 1] = grid
            grid = grid.pooled()
        elif layer.operation == "convolution":
            grid = grid.convolved(loss)
        elif layer.operation == "upsampling":
            grid = grid.upsampled(upsampling.size(grid.size), upsampling.step(grid.size))
        elif layer.operation == "crop":
            grid = skips[layer.level].cropped(grid.size)
        yield grid


@final
@dataclass(frozen=True, slots=True)
class FeatureMap:
    """What one layer returns: (layer.channels, vertical.size, horizontal.size)."""

    layer: Layer
    vertical: Grid
    horizontal: Grid
    macs: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return self.layer.channels, self.vertical.size, self.horizontal.size


def trace(spec: UNetSpec, height: int, width: int) -> list[FeatureMap]:
    """Every feature map for an input of (height, width), in the order of figure 1.

    Raises `Refusal` for an illegal size.

    >>> from unet.spec import PAPER
    >>> [fm.shape[1] for fm in trace(PAPER, 572, 572) if fm.layer.operation == "crop"]
    [56, 104, 200, 392]
    >>> [fm.shape for fm in trace(PAPER, 572, 572)][-1]
    (2, 388, 388)
    """
    maps = []
    pixels = 0
    for layer, vertical, horizontal in zip(
        layers(spec), grids(spec, height), grids(spec, width), strict=True
    ):
        before, pixels = pixels, vertical.size * horizontal.size
        macs = layer.macs_per_input * before + layer.macs_per_output * pixels
        maps.append(FeatureMap(layer, vertical, horizontal, macs))
    return maps


@final
@dataclass(frozen=True, slots=True)
class Crop:
    """The cut at one level: the skip's side before and after, in pixels of that level."""

    level: int
    before: int
    after: int


def crops(spec: UNetSpec, size: int) -> list[Crop]:
    """What is cut off each skip along one axis, deepest level first.

    >>> from unet.spec import PAPER
    >>> [(crop.before, crop.after) for crop in crops(PAPER, 572)]
    [(64, 56), (136, 104), (280, 200), (568, 392)]
    """
    sides: dict[int, int] = {}
    found = []
    for layer, grid in zip(layers(spec), grids(spec, size), strict=True):
        if layer.operation == "crop":
            found.append(Crop(layer.level, sides[layer.level], grid.size))
        elif layer.operation == "convolution" and layer.name.startswith("contracting"):
            sides[layer.level] = grid.size
    return found


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What one forward pass of a batch of one takes: integers.

    `macs` are the multiply-adds of all convolutions, one of which is two FLOPs; `bias_adds` are
    the additions of their biases, which no tool's multiply-adds should hold.
    """

    parameters: int
    macs: int
    bias_adds: int

    @property
    def flops(self) -> int:
        """Floating-point operations: two for each multiply-add."""
        return FLOPS_PER_MAC * self.macs


FLOPS_PER_MAC: Final = 2


def parameters(spec: UNetSpec) -> int:
    """Weights and biases of `spec`'s net.

    >>> from unet.spec import PAPER, RELEASE, TUTORIAL
    >>> parameters(PAPER), parameters(RELEASE), parameters(TUTORIAL)
    (31030658, 31100354, 31031810)
    """
    return sum(layer.parameters for layer in layers(spec))


def cost(spec: UNetSpec, height: int, width: int) -> Cost:
    """Parameters, multiply-adds and bias additions for one input of (height, width).

    Raises `Refusal` for an illegal size.

    >>> from unet.spec import PAPER
    >>> cost(PAPER, 572, 572)
    Cost(parameters=31030658, macs=150428424448, bias_adds=134353440)
    """
    macs = bias_adds = pixels = 0
    for layer, rows, columns in zip(
        layers(spec), sides(spec, height), sides(spec, width), strict=True
    ):
        before, pixels = pixels, rows * columns
        macs += layer.macs_per_input * before + layer.macs_per_output * pixels
        bias_adds += layer.biases_per_input * before + layer.biases_per_output * pixels
    return Cost(parameters=parameters(spec), macs=macs, bias_adds=bias_adds)
