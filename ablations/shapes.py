"""Synthetic images of shapes with their masks: the table `TASKS`.

A sample is a pure function of (seed, split, index): the same on every machine and device,
whatever batch it is drawn in. All geometry and noise is integer arithmetic on hashed
counters, and a whole batch is drawn at once on the device where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, final

if TYPE_CHECKING:
    from torch import Tensor

SPLITS: Final[Mapping[str, int]] = {"train": 0, "test": 1}
"""Independent streams of images.

Each begins at its own place in one cycle of 2^32, so two streams of n images share one of them
with a probability of about 2n / 2^32."""


class Batch(NamedTuple):
    """Images (N, channels, S, S), float32 in about [0, 1], and their targets.

    `target` is (N, S, S) int64 class indices where classes exclude each other, else
    (N, classes, S, S) float32 zeros and ones.
    """

    image: Tensor
    target: Tensor


@final
@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be segmented.

    `classes` names the output channels; `exclusive` says that each pixel has exactly one,
    the first being the background. `draws` is how many random numbers the geometry takes.
    """

    summary: str
    in_channels: int
    classes: tuple[str, ...]
    exclusive: bool
    draws: int
    paint: Callable[[Tensor, int], tuple[Tensor, Tensor]]

    @property
    def scored_classes(self) -> tuple[str, ...]:
        """The classes that a score averages over: all but the background."""
        return self.classes[1:] if self.exclusive else self.classes

    def sample(
        self, *, seed: int, split: str, index: Tensor, size: int, noise: float = 0.0
    ) -> Batch:
        """The samples of `index` (N,), on its device, `size` pixels a side.

        `noise` is the standard deviation of the grey noise, where white is 1.
        """
        bits = _random_bits(seed, SPLITS[split], index, self.draws)
        image, target = self.paint(bits, size)
        image = image.float() / 255
        if noise:
            image = image + noise * _grey_noise(seed, SPLITS[split], index, size)
        return Batch(image.expand(-1, self.in_channels, -1, -1), target)


def _mix(x: Tensor) -> Tensor:
    """A bijection of 32-bit numbers (held in int64) that makes neighbours independent.

    Two rounds of multiply and shift; the constants are those that Chris Wellons found by
    searching for low bias (hash-prospector, "lowbias32").
    """
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    x = ((x ^ (x >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    return x ^ (x >> 16)


def _random_bits(seed: int, stream: int, index: Tensor, count: int) -> Tensor:
    """(N, count) independent numbers from 0 to 2^32 - 1, one row for each sample."""
    import torch

    start = torch.tensor(seed, dtype=torch.int64, device=index.device)
    row = _mix(_mix(_mix(start & 0xFFFFFFFF) ^ stream) + index & 0xFFFFFFFF)[:, None]
    column = torch.arange(count, dtype=torch.int64, device=index.device)
    return _mix(_mix(row ^ column) + row & 0xFFFFFFFF)


def _between(bits: Tensor, least: Tensor | int, most: Tensor | int) -> Tensor:
    """Whole numbers from `least` to `most`, both included."""
    return least + ((bits * (most - least + 1)) >> 32)


_NOISE_STREAM: Final = 1000
# The sum of four uniform bytes has mean 510 and variance 4 * (256^2 - 1) / 12.
_NOISE_MEAN: Final = 510
_NOISE_DEVIATION: Final = (4 * (256**2 - 1) / 12) ** 0.5


def _grey_noise(seed: int, stream: int, index: Tensor, size: int) -> Tensor:
    """(N, 1, size, size) of mean 0 and variance 1, near normal: four hashed bytes summed."""
    bits = _random_bits(seed, _NOISE_STREAM + stream, index, size * size)
    total = (bits & 255) + (bits >> 8 & 255) + (bits >> 16 & 255) + (bits >> 24)
    return ((total.float() - _NOISE_MEAN) / _NOISE_DEVIATION).view(-1, 1, size, size)


def _lines(size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Row numbers (1, size, 1) and column numbers (1, 1, size)."""
    import torch

    line = torch.arange(size, dtype=torch.int64, device=like.device)
    return line.view(1, size, 1), line.view(1, 1, size)


# Each shape below takes the rows `down` and columns `right` from its centre and its extent,
# as integer tensors that broadcast to (N, S, S), and returns the pixels that it covers.


def _triangle(down: Tensor, right: Tensor, reach: Tensor) -> Tensor:
    return (down.abs() <= reach) & (2 * right.abs() <= down + reach)


def _circle(down: Tensor, right: Tensor, reach: Tensor) -> Tensor:
    return down**2 + right**2 <= reach**2


def _square(down: Tensor, right: Tensor, reach: Tensor) -> Tensor:
    # 8/9 of a circle's reach gives a square of about the circle's area.
    return 9 * down.abs().maximum(right.abs()) <= 8 * reach


def _cross(down: Tensor, right: Tensor, reach: Tensor) -> Tensor:
    along, across = down.abs().maximum(right.abs()), down.abs().minimum(right.abs())
    return (along <= reach) & (3 * across <= reach)


_LABELLED: Final = (_triangle, _circle, _square, _cross)
_ROUNDS: Final = 2


def _paint_labels(bits: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Triangle, circle, square and cross painted in this order, twice over.

    Later ones cover earlier ones. A kind has a grey of its own, 36 of 255 from the next and
    give or take 10 for each object, which noise hides in a single pixel but not in its
    neighbourhood: what a pixel is shows coarsely, where an object ends only finely.
    """
    rows, columns = _lines(size, bits)
    draw = bits.view(*bits.shape, 1, 1).unbind(dim=1)
    image = _between(draw[0], 50, 70).expand(-1, size, size)
    label = bits.new_zeros(image.shape)
    border = size // 5
    for turn in range(_ROUNDS * len(_LABELLED)):
        kind = turn % len(_LABELLED)
        row, column, extent, shade = draw[1 + 4 * turn : 5 + 4 * turn]
        inside = _LABELLED[kind](
            rows - _between(row, border, size - 1 - border),
            columns - _between(column, border, size - 1 - border),
            _between(extent, size // 17, size // 8),
        )
        image = _between(shade, 90 + 36 * kind, 110 + 36 * kind).where(inside, image)
        label = label.masked_fill(inside, kind + 1)
    return image.unsqueeze(1), label


def _filled_square(down: Tensor, right: Tensor, side: Tensor) -> Tensor:
    return down.abs().maximum(right.abs()) < side // 2


def _filled_circle(down: Tensor, right: Tensor, radius: Tensor) -> Tensor:
    return down**2 + right**2 < radius**2


def _lower_triangle(down: Tensor, right: Tensor, side: Tensor) -> Tensor:
    row, column = down + side // 2, right + side // 2
    return (row < side) & (column >= 0) & (column <= row)


def _ring(down: Tensor, right: Tensor, radius: Tensor) -> Tensor:
    squared = down**2 + right**2
    return (squared < radius**2) & (100 * squared >= 49 * radius**2)


def _plus(down: Tensor, right: Tensor, side: Tensor) -> Tensor:
    half = side // 2
    upright = (down >= -half) & (down < half) & (right >= -1) & (right < 1)
    level = (right >= -half) & (right < half) & (down >= -1) & (down < 1)
    return upright | level


_OBJECTS: Final = {
    # Name of the class: the pixels that it covers, and its zoom in percent.
    "filled square": (_filled_square, 80),
    "filled circle": (_filled_circle, 50),
    "triangle": (_lower_triangle, 100),
    "ring": (_ring, 70),
    "mesh square": (_filled_square, 100),
    "plus": (_plus, 120),
}


def _paint_objects(bits: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The six kinds of object of a widely read PyTorch tutorial, white on black.

    Drawn as there: the centre from 10 to 90 % of the side, the size from 6 to 12 % of it
    times the kind's zoom. Each mask is a whole object, so masks overlap where objects do; a
    mesh square shows its odd pixels only, but its mask is the full square.
    """
    import torch

    rows, columns = _lines(size, bits)
    draw = bits.view(*bits.shape, 1, 1).unbind(dim=1)
    masks, shown = [], []
    for kind, (name, (covers, zoom)) in enumerate(_OBJECTS.items()):
        row, column, extent = draw[3 * kind : 3 * kind + 3]
        mask = covers(
            rows - size * _between(row, 1000, 8999) // 10000,
            columns - size * _between(column, 1000, 8999) // 10000,
            size * _between(extent, 600, 1199) * zoom // 1_000_000,
        )
        masks.append(mask)
        meshed = (rows % 2 == 1) & (columns % 2 == 1)
        shown.append(mask & meshed if name == "mesh square" else mask)
    image = torch.stack(shown, dim=1).any(dim=1, keepdim=True)
    return image * 255, torch.stack(masks, dim=1).float()


TASKS: Final[Mapping[str, Task]] = {
    "labels": Task(
        summary="triangles, circles, squares and crosses in noisy grey, one label for each pixel",
        in_channels=1,
        classes=("ground", "triangle", "circle", "square", "cross"),
        exclusive=True,
        draws=1 + 4 * _ROUNDS * len(_LABELLED),
        paint=_paint_labels,
    ),
    "objects": Task(
        summary="the tutorial's six kinds of object in white, one mask for each kind",
        in_channels=3,
        classes=tuple(_OBJECTS),
        exclusive=False,
        draws=3 * len(_OBJECTS),
        paint=_paint_objects,
    ),
}
