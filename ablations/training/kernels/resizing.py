"""Twice the size by bilinear interpolation, each coarse pixel lying between its four fine ones."""

from __future__ import annotations

from typing import Final

import numpy as np

from ablations.compiled import kernel
from ablations.training.kernels.values import Map, read, written

NEAR: Final = np.float32(0.75)
FAR: Final = np.float32(0.25)
"""What a fine pixel has of the coarse pixel that it lies in, and of that next to it."""


@kernel
def double(x: Map, y: Map) -> None:
    """Maps (N, H, W, C) to (N, 2H, 2W, C); beyond the edge lies what lies at the edge."""
    images, height, width, channels = x.shape
    line = np.empty((width, channels), np.float32)
    for image in range(images):
        for row in range(2 * height):
            near, far = x[image, row // 2], x[image, _next(row, height)]
            for column in range(width):
                for channel in range(channels):
                    line[column, channel] = NEAR * read(near[column, channel]) + FAR * read(
                        far[column, channel]
                    )
            for column in range(2 * width):
                here, there = line[column // 2], line[_next(column, width)]
                result = y[image, row, column]
                for channel in range(channels):
                    value = NEAR * here[channel] + FAR * there[channel]
                    result[channel] = written(value, result[channel])


@kernel
def double_gradient(gradient: Map, of: Map) -> None:
    """The gradient of `double`, of maps (N, 2H, 2W, C), is `of` (N, H, W, C)."""
    images, height, width, channels = of.shape
    lines = np.empty((2 * width, channels), np.float32)
    for image in range(images):
        for row in range(height):
            lines[:] = 0
            for fine in range(max(0, 2 * row - 1), min(2 * height, 2 * row + 3)):
                weight = _weight(fine, row, height)
                slopes = gradient[image, fine]
                for column in range(2 * width):
                    for channel in range(channels):
                        lines[column, channel] += weight * read(slopes[column, channel])
            for column in range(width):
                result = of[image, row, column]
                a, b = lines[2 * column], lines[2 * column + 1]
                before = lines[max(0, 2 * column - 1)]
                after = lines[min(2 * width - 1, 2 * column + 2)]
                for channel in range(channels):
                    value = NEAR * (a[channel] + b[channel]) + FAR * (
                        before[channel] + after[channel]
                    )
                    result[channel] = written(value, result[channel])


@kernel
def _next(fine: int, size: int) -> int:
    """The coarse pixel next to that in which a fine one lies, on its side."""
    return min(fine // 2 + 1, size - 1) if fine % 2 else max(fine // 2 - 1, 0)


@kernel
def _weight(fine: int, coarse: int, size: int) -> np.float32:
    """What a fine pixel has of a coarse one."""
    weight = NEAR if fine // 2 == coarse else np.float32(0)
    return weight + FAR if _next(fine, size) == coarse else weight
