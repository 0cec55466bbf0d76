"""What takes most of the time to draw, in one pass on a CPU: the same numbers to the bit."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ablations.compiled import kernel

Words = NDArray[np.uint32]
Floats = NDArray[np.float32]
Places = NDArray[np.int64]
Bytes = NDArray[np.uint8]


GOLDEN: Final = 0x9E3779B1
"""2^32 over the golden ratio: an odd number whose multiples lie far apart."""


@kernel
def draw_bits(seed: int, stream: int, index: Places, of: Words) -> None:
    """`randomness.random_bits`: (N, count) for the samples of `index` (N,)."""
    for sample in range(index.size):
        low, high = _state(seed, stream, index[sample])
        for column in range(of.shape[1]):
            of[sample, column] = _scattered(low, high, column)


@kernel
def draw_noise(
    seed: int, stream: int, index: Places, moments: tuple[float, float], of: Floats
) -> None:
    """`randomness.grey_noise` with its rows end to end, (N, count), and of any such moments."""
    mean, factor = np.float32(moments[0]), np.float32(1 / moments[1])
    for sample in range(index.size):
        low, high = _state(seed, stream, index[sample])
        for column in range(of.shape[1]):
            bits = _scattered(low, high, column)
            total = np.uint32(0)
            for shift in range(0, 32, 8):
                total += (bits >> np.uint32(shift)) & np.uint32(0xFF)
            of[sample, column] = (np.float32(total) - mean) * factor


@kernel
def scatter(low: Words, high: Words, of: Words) -> None:
    """`randomness.scattered`: (N, count) from the two halves (N,) of a state."""
    for sample in range(low.size):
        for column in range(of.shape[1]):
            of[sample, column] = _scattered(low[sample], high[sample], column)


@kernel
def _state(seed: int, stream: int, index: int) -> tuple[np.uint32, np.uint32]:
    stem = _mixed(_mixed(np.uint32(seed)) ^ np.uint32(stream))
    place = np.uint32(index)
    high = np.uint32(place * np.uint32(GOLDEN)) + _mixed(np.uint32(~stem))
    return _mixed(np.uint32(place + stem)), _mixed(np.uint32(high))


@kernel
def _scattered(low: np.uint32, high: np.uint32, column: int) -> np.uint32:
    return _mixed(np.uint32(_mixed(low ^ np.uint32(column)) + high))


@kernel
def _mixed(x: np.uint32) -> np.uint32:
    # Each product is cut off at once, or numba would go on in 64 bits.
    x ^= x >> np.uint32(16)
    x = np.uint32(x * np.uint32(0x7FEB352D))
    x ^= x >> np.uint32(15)
    x = np.uint32(x * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@kernel
def cover(run: tuple[Places, Places], row: Places, column: Places, value: Bytes, of: Bytes) -> None:
    """Paint objects (N, K), one over another and each in its own value, on images (N, S, S).

    Runs are (N, K, 2 M + 1), centres (N, K) and values (K,).
    """
    of[:] = 0
    first, last = run
    size, margin = of.shape[2], first.shape[2] // 2
    for sample in range(of.shape[0]):
        for each in range(value.size):
            top = row[sample, each] - margin
            for down in range(max(0, -top), min(first.shape[2], size - top)):
                line = of[sample, top + down]
                start = max(0, first[sample, each, down] + column[sample, each])
                end = min(size, last[sample, each, down] + column[sample, each] + 1)
                for place in range(start, end):
                    line[place] = value[each]
