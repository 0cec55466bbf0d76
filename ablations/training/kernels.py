"""Loops over feature maps that make one pass where torch makes several, compiled by numba.

A map is an array of its values in memory's order, float32 or the bits of bfloat16 (uint16). All
arithmetic is float32, with sums over many pixels in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from ablations.compiled import kernel

WIDTH: Final = 256
"""Values in a row that is gone along at once."""

CHUNK: Final = 256
"""Rows that are added up in float32 before float64 takes over."""

Map = NDArray[Any]
Channels = NDArray[np.float32]
"""A number for each channel."""

WORD, HALF = ir.IntType(32), ir.IntType(16)


def _reading(_context: Any, value: Any) -> Any:
    def upper_half(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        bits = builder.shl(builder.zext(values[0], WORD), WORD(16))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(value), upper_half if value == types.uint16 else _as_it_is


def _writing(_context: Any, _value: Any, alike: Any) -> Any:
    def rounded(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        bits = builder.bitcast(values[0], WORD)
        odd = builder.and_(builder.lshr(bits, WORD(16)), WORD(1))
        up = builder.add(bits, builder.add(odd, WORD(0x7FFF)))
        return builder.trunc(builder.lshr(up, WORD(16)), HALF)

    return alike(types.float32, alike), rounded if alike == types.uint16 else _as_it_is


def _as_it_is(_context: Any, _builder: Any, _signature: Any, values: Any) -> Any:
    return values[0]


_read = cast("Callable[[Any], np.float32]", intrinsic(_reading))
"""A value of a map in float32, of which bfloat16 is the upper half."""

_written = cast("Callable[[np.float32, Any], Any]", intrinsic(_writing))
"""A float32 as it is written beside a value of a map: to nearest, and to the even one of two."""


@kernel
def batch_norm_relu(
    x: Map,
    parameters: tuple[Channels, Channels],
    running: tuple[Channels, Channels],
    settings: tuple[float, float],
    of: tuple[Map, Channels],
) -> None:
    """The larger of scale x + shift and 0, where scale and shift normalise each channel of `x`.

    Maps are flat. `parameters` are weight and bias, and `running` the running mean and variance.
    `settings` are the part of them that gives way to those of `x` (where it is 0, they are what
    is normalised by) and what is added to a variance. `of` is what is filled: the result, and
    (4, C), the mean, the standard deviation, the scale and the shift of each channel.
    """
    weight, bias = parameters
    forgets, epsilon = settings
    y, of_channels = of
    mean, spread, scale, shift = of_channels
    if forgets == 0:
        mean[:] = running[0]
        spread[:] = running[1]
    else:
        _moments(x, mean, spread)
        pixels = x.size // mean.size
        running[0][:] += forgets * (mean - running[0])
        running[1][:] += forgets * (spread * (pixels / (pixels - 1)) - running[1])
    spread[:] = np.sqrt(spread + epsilon)
    scale[:] = weight / spread
    shift[:] = bias - mean * scale
    _scaled_relu(x, scale, shift, y)


@kernel
def _moments(x: Map, mean: Channels, variance: Channels) -> None:
    channels = mean.size
    rows = _in_rows(x, channels)
    count, width = rows.shape
    # Squares of what is far from zero would lose the variance in their last digits.
    origin = np.empty(width, np.float32)
    for column in range(width):
        origin[column] = _read(rows[0, column % channels])
    sums, squares = np.zeros(width, np.float64), np.zeros(width, np.float64)
    part, part_squares = np.empty(width, np.float32), np.empty(width, np.float32)
    for first in range(0, count, CHUNK):
        part[:] = 0
        part_squares[:] = 0
        for row in range(first, min(first + CHUNK, count)):
            for column in range(width):
                value = _read(rows[row, column]) - origin[column]
                part[column] += value
                part_squares[column] += value * value
        sums += part
        squares += part_squares
    pixels = x.size // channels
    for channel in range(channels):
        first_moment = sums[channel::channels].sum() / pixels
        second_moment = squares[channel::channels].sum() / pixels
        mean[channel] = origin[channel] + first_moment
        difference = second_moment - first_moment * first_moment
        # Rounding can make less than nothing of it; what is no number stays none.
        variance[channel] = 0.0 if difference < 0 else difference


@kernel
def _scaled_relu(x: Map, scale: Channels, shift: Channels, y: Map) -> None:
    rows, results = _in_rows(x, scale.size), _in_rows(y, scale.size)
    count, width = rows.shape
    factor, summand = _repeated(scale, width), _repeated(shift, width)
    for row in range(count):
        for column in range(width):
            value = _read(rows[row, column]) * factor[column] + summand[column]
            # Unlike max, this keeps what is no number.
            value = np.float32(0) if value < 0 else value
            results[row, column] = _written(value, rows[row, column])


@kernel
def batch_norm_relu_gradient(
    gradient: Map, x: Map, of_channels: Channels, of: tuple[Map, Channels, Channels]
) -> None:
    """The gradient of `batch_norm_relu` by `x`, the weight and the bias, which is what `of` is."""
    mean, spread, scale, shift = of_channels
    of_x, of_weight, of_bias = of
    channels = mean.size
    rows, slopes = _in_rows(x, channels), _in_rows(gradient, channels)
    results = _in_rows(of_x, channels)
    count, width = rows.shape
    factor, summand = _repeated(scale, width), _repeated(shift, width)
    origin = _repeated(mean, width)
    sums, products = np.zeros(width, np.float64), np.zeros(width, np.float64)
    part, part_products = np.empty(width, np.float32), np.empty(width, np.float32)
    for first in range(0, count, CHUNK):
        part[:] = 0
        part_products[:] = 0
        for row in range(first, min(first + CHUNK, count)):
            for column in range(width):
                value = _read(rows[row, column])
                passed = value * factor[column] + summand[column] > 0
                slope = _read(slopes[row, column]) if passed else np.float32(0)
                part[column] += slope
                part_products[column] += slope * (value - origin[column])
        sums += part
        products += part_products
    pixels = x.size // channels
    along, level = np.empty(channels, np.float32), np.empty(channels, np.float32)
    for channel in range(channels):
        total = sums[channel::channels].sum()
        product = products[channel::channels].sum()
        of_weight[channel] = product / spread[channel]
        of_bias[channel] = total
        # What moves all pixels of a channel alike, or in proportion, is normalised away.
        slant = -scale[channel] * product / (spread[channel] * spread[channel] * pixels)
        along[channel] = slant
        level[channel] = -scale[channel] * total / pixels - slant * mean[channel]
    tilt, offset = _repeated(along, width), _repeated(level, width)
    for row in range(count):
        for column in range(width):
            value = _read(rows[row, column])
            passed = value * factor[column] + summand[column] > 0
            slope = _read(slopes[row, column]) if passed else np.float32(0)
            slope = factor[column] * slope + (tilt[column] * value + offset[column])
            results[row, column] = _written(slope, rows[row, column])


@kernel
def _in_rows(x: Map, channels: int) -> Map:
    """A flat map in rows of several whole pixels: short ones cost more than they hold."""
    pixels = x.size // channels
    together = 1
    while 2 * together * channels <= WIDTH and pixels % (2 * together) == 0:
        together *= 2
    return x.reshape(pixels // together, together * channels)


@kernel
def _repeated(of_channels: Channels, width: int) -> Channels:
    repeated = np.empty(width, np.float32)
    for column in range(width):
        repeated[column] = of_channels[column % of_channels.size]
    return repeated


@kernel
def max_pool(x: Map, width: int, channels: int, y: Map) -> None:
    """The largest of each 2x2 pixels; `x` and `y` are flat, `width` and `channels` those of `x`.

    What is no number is larger than any.
    """
    squares = x.reshape(-1, 2, width // 2, 2, channels)
    results = y.reshape(-1, width // 2, channels)
    for row in range(results.shape[0]):
        for column in range(results.shape[1]):
            here = results[row, column]
            a, b = squares[row, 0, column, 0], squares[row, 0, column, 1]
            c, d = squares[row, 1, column, 0], squares[row, 1, column, 1]
            for channel in range(channels):
                upper = _larger(_read(a[channel]), _read(b[channel]))
                lower = _larger(_read(c[channel]), _read(d[channel]))
                here[channel] = _written(_larger(upper, lower), a[channel])


@kernel
def _larger(one: np.float32, other: np.float32) -> np.float32:
    return one if one >= other or one != one else other  # noqa: PLR0124  # one that is no number


@kernel
def max_pool_gradient(gradient: Map, x: Map, width: int, channels: int, of_x: Map) -> None:
    """The gradient of `max_pool`: all of it goes to the first of the largest."""
    squares = x.reshape(-1, 2, width // 2, 2, channels)
    results = of_x.reshape(squares.shape)
    slopes = gradient.reshape(-1, width // 2, channels)
    # One loop over many arrays would not be vectorised.
    place = np.empty(channels, np.uint32)
    for row in range(slopes.shape[0]):
        for column in range(slopes.shape[1]):
            a, b = squares[row, 0, column, 0], squares[row, 0, column, 1]
            c, d = squares[row, 1, column, 0], squares[row, 1, column, 1]
            for channel in range(channels):
                upper, lower = _read(a[channel]), _read(c[channel])
                right = np.uint32(upper < _read(b[channel]))
                right_below = np.uint32(2) + np.uint32(lower < _read(d[channel]))
                upper = _larger(upper, _read(b[channel]))
                lower = _larger(lower, _read(d[channel]))
                place[channel] = right_below if upper < lower else right
            for corner in range(4):
                here = results[row, corner // 2, column, corner % 2]
                for channel in range(channels):
                    slope = slopes[row, column, channel]
                    taken = place[channel] == corner
                    here[channel] = slope if taken else _written(np.float32(0), slope)
