"""Random numbers that are functions of counters, the same on every device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
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


def is_on_cpu(x: Tensor) -> bool:
    """Whether compiled loops can have it; elsewhere whole tensors are worked on."""
    return x.device.type == "cpu"


def random_bits(seed: int, stream: int, index: Tensor, count: int) -> Tensor:
    """(N, count) independent numbers of 32 bits, as int32, one row for each sample."""
    if not is_on_cpu(index):
        return scattered(*_states(seed, stream, index), count)
    import torch

    from ablations.tasks.painters import compiled

    bits = torch.empty(len(index), count, dtype=torch.int32)
    compiled.draw_bits(seed, stream, index.numpy(), _words(bits))
    return bits


def _states(seed: int, stream: int, index: Tensor) -> tuple[Tensor, Tensor]:
    """The two halves (N,) of the state of each sample.

    It has 64 bits, so that two samples of any streams hardly ever share one.
    """
    import torch

    def number(value: int) -> Tensor:
        return torch.tensor(value, dtype=torch.int64, device=index.device).to(torch.int32)

    stem = _mix(_mix(number(seed)) ^ stream)
    place = index.to(torch.int32)
    return _mix(place + stem), _mix(place * _GOLDEN + _mix(~stem))


def scattered(low: Tensor, high: Tensor, count: int) -> Tensor:
    """(N, count) independent numbers of 32 bits from the two halves (N,) of a state, all int32."""
    import torch

    if not is_on_cpu(low):
        column = torch.arange(count, dtype=torch.int32, device=low.device)
        return _mix(_mix(low[:, None] ^ column).add_(high[:, None]))
    from ablations.tasks.painters import compiled

    bits = torch.empty(len(low), count, dtype=torch.int32)
    compiled.scatter(_words(low), _words(high), _words(bits))
    return bits


def _words(bits: Tensor) -> NDArray[np.uint32]:
    """The numbers as they lie, without a sign."""
    return bits.numpy().view("u4")


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
    stream += _NOISE_STREAM
    if not is_on_cpu(index):
        bits = scattered(*_states(seed, stream, index), size * size)
        return _noise(bits).view(-1, 1, size, size)
    import torch

    from ablations.tasks.painters import compiled

    noise = torch.empty(len(index), size * size)
    moments = float(_NOISE_MEAN), _NOISE_DEVIATION
    compiled.draw_noise(seed, stream, index.numpy(), moments, noise.numpy())
    return noise.view(-1, 1, size, size)


def _noise(bits: Tensor) -> Tensor:
    # Two bytes at a time, each with room for its carry.
    pairs = (bits & 0x00FF00FF).add_((bits >> 8).bitwise_and_(0x00FF00FF))
    total = (pairs & 0xFFFF).add_(pairs >> 16)
    return (total.float() - _NOISE_MEAN).mul_(1 / _NOISE_DEVIATION)
