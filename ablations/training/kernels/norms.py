"""Batch normalisation and then ReLU."""

from __future__ import annotations

from typing import Final

import numpy as np

from ablations.compiled import kernel
from ablations.training.kernels.values import Channels, Map, read, written

WIDTH: Final = 256
"""Values in a row that is gone along at once."""

CHUNK: Final = 256
"""Rows that are added up in float32 before float64 takes over."""


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
    `settings` are the part of them that gives way to those of `x`, and what is added to a
    variance. `of` is what is filled: the result, and (4, C), the mean, the standard deviation, the
    scale and the shift of each channel.
    """
    weight, bias = parameters
    forgets, epsilon = settings
    y, of_channels = of
    mean, spread, scale, shift = of_channels
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
        origin[column] = read(rows[0, column % channels])
    sums, squares = np.zeros(width, np.float64), np.zeros(width, np.float64)
    part, part_squares = np.empty(width, np.float32), np.empty(width, np.float32)
    for first in range(0, count, CHUNK):
        part[:] = 0
        part_squares[:] = 0
        for row in range(first, min(first + CHUNK, count)):
            for column in range(width):
                value = read(rows[row, column]) - origin[column]
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
            value = _relu(read(rows[row, column]) * factor[column] + summand[column])
            results[row, column] = written(value, rows[row, column])


@kernel
def scale_relu(x: Map, scale: Channels, shift: Channels) -> None:
    """Put the larger of scale x + shift and 0 in the place of a flat map `x`."""
    # Two names for one array would keep the loop from being vectorised.
    rows = _in_rows(x, scale.size)
    count, width = rows.shape
    factor, summand = _repeated(scale, width), _repeated(shift, width)
    for row in range(count):
        for column in range(width):
            value = _relu(read(rows[row, column]) * factor[column] + summand[column])
            rows[row, column] = written(value, rows[row, column])


@kernel
def _relu(value: np.float32) -> np.float32:
    # Unlike max, this keeps what is no number.
    return np.float32(0) if value < 0 else value


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
                value = read(rows[row, column])
                passed = value * factor[column] + summand[column] > 0
                slope = read(slopes[row, column]) if passed else np.float32(0)
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
            value = read(rows[row, column])
            passed = value * factor[column] + summand[column] > 0
            slope = read(slopes[row, column]) if passed else np.float32(0)
            slope = factor[column] * slope + (tilt[column] * value + offset[column])
            results[row, column] = written(slope, rows[row, column])


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
