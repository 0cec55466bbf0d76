"""The largest of each 2x2 pixels."""

from __future__ import annotations

import numpy as np

from ablations.compiled import kernel
from ablations.training.kernels.values import Map, read, written


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
                upper = _larger(read(a[channel]), read(b[channel]))
                lower = _larger(read(c[channel]), read(d[channel]))
                here[channel] = written(_larger(upper, lower), a[channel])


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
                upper, lower = read(a[channel]), read(c[channel])
                right = np.uint32(upper < read(b[channel]))
                right_below = np.uint32(2) + np.uint32(lower < read(d[channel]))
                upper = _larger(upper, read(b[channel]))
                lower = _larger(lower, read(d[channel]))
                place[channel] = right_below if upper < lower else right
            for corner in range(4):
                here = results[row, corner // 2, column, corner % 2]
                for channel in range(channels):
                    slope = slopes[row, column, channel]
                    taken = place[channel] == corner
                    here[channel] = slope if taken else written(np.float32(0), slope)
