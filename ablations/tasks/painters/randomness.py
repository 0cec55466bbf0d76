"""Random numbers that are functions of counters, the same on every device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from torch import Tensor

# Random numbers are hashes of counters, in 32-bit integers that wrap around. They are held in
# int32, whose products every device computes several numbers at a time, so that a shift to the
# right has to be cleared of the sign that comes in from the left.


def _mix(x: Tensor) -> Tensor:
    """A bijection of 32-bit numbers that makes neighbours independent; overwrites `x`.

    Two rounds of multiply and shift; the constants are those that Chris Wellons found by
    searching for low bias (hash-prospector, "lowbias32").
    """
    x ^= (x >> 16) & 0xFFFF
    x *= 0x7FEB352D
    x ^= (x >> 15) & 0x1FFFF
    x *= 0x846CA68B - 2**32
    x ^= (x >> 16) & 0xFFFF
    return x


_GOLDEN: Final = 0x9E3779B1 - 2**32
"""2^32 over the golden ratio: an odd number whose multiples lie far apart."""


def random_bits(seed: int, stream: int, index: Tensor, count: int) -> Tensor:
    """(N, count) independent numbers of 32 bits, as int32, one row for each sample.

    A row has a state of 64 bits, so that two samples of any streams hardly ever share one.
    """
    import torch

    def number(value: int) -> Tensor:
        return torch.tensor(value, dtype=torch.int64, device=index.device).to(torch.int32)

    stem = _mix(_mix(number(seed)) ^ stream)
    place = index.to(torch.int32)
    return scattered(_mix(place + stem), _mix(place * _GOLDEN + _mix(~stem)), count)


def scattered(low: Tensor, high: Tensor, count: int) -> Tensor:
    """(N, count) independent numbers of 32 bits from the two halves (N,) of a state, all int32."""
    import torch

    column = torch.arange(count, dtype=torch.int32, device=low.device)
    return _mix(_mix(low[:, None] ^ column).add_(high[:, None]))


def whole(bits: Tensor) -> Tensor:
    """32-bit numbers from 0 to 2^32 - 1, as int64."""
    return bits.long() & 0xFFFFFFFF


def between(number: Tensor, least: Tensor | int, most: Tensor | int) -> Tensor:
    """Whole numbers from `least` to `most`, both included."""
    return least + ((number * (most - least + 1)) >> 32)


_NOISE_STREAM: Final = 1000
# The sum of four uniform bytes has mean 510 and variance 4 * (256^2 - 1) / 12.
_NOISE_MEAN: Final = 510
_NOISE_DEVIATION: Final = (4 * (256**2 - 1) / 12) ** 0.5


def grey_noise(seed: int, stream: int, index: Tensor, size: int) -> Tensor:
    """(N, 1, size, size) of mean 0 and variance 1, near normal: four hashed bytes summed."""
    bits = random_bits(seed, _NOISE_STREAM + stream, index, size * size)
    # Two bytes at a time, each with room for its carry.
    pairs = (bits & 0x00FF00FF).add_((bits >> 8).bitwise_and_(0x00FF00FF))
    total = (pairs & 0xFFFF).add_(pairs >> 16)
    noise = (total.float() - _NOISE_MEAN).mul_(1 / _NOISE_DEVIATION)
    return noise.view(-1, 1, size, size)
