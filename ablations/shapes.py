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
    import torch
    from torch import Tensor

SPLITS: Final[Mapping[str, int]] = {"train": 0, "test": 1, "validation": 2}
"""Independent streams of images."""


class Batch(NamedTuple):
    """Images (N, channels, S, S), float32 in about [0, 1], and their targets.

    `target` is (N, S, S) int64 class indices where classes exclude each other, else
    (N, classes, S, S) uint8 zeros and ones.
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
        number = _whole(_random_bits(seed, SPLITS[split], index, self.draws))
        image, target = self.paint(number, size)
        # Products round alike on every device; quotients do not.
        image = image.float().mul_(1 / 255)
        if noise:
            image = image + _grey_noise(seed, SPLITS[split], index, size).mul_(noise)
        return Batch(image.expand(-1, self.in_channels, -1, -1), target)


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


def _random_bits(seed: int, stream: int, index: Tensor, count: int) -> Tensor:
    """(N, count) independent numbers of 32 bits, as int32, one row for each sample.

    A row has a state of 64 bits, so that two samples of any streams hardly ever share one.
    """
    import torch

    def number(value: int) -> Tensor:
        return torch.tensor(value, dtype=torch.int64, device=index.device).to(torch.int32)

    stem = _mix(_mix(number(seed)) ^ stream)
    place = index.to(torch.int32)
    low = _mix(place + stem)[:, None]
    high = _mix(place * _GOLDEN + _mix(~stem))[:, None]
    column = torch.arange(count, dtype=torch.int32, device=index.device)
    return _mix(_mix(low ^ column).add_(high))


def _whole(bits: Tensor) -> Tensor:
    """32-bit numbers from 0 to 2^32 - 1, as int64."""
    return bits.long() & 0xFFFFFFFF


def _between(number: Tensor, least: Tensor | int, most: Tensor | int) -> Tensor:
    """Whole numbers from `least` to `most`, both included."""
    return least + ((number * (most - least + 1)) >> 32)


_NOISE_STREAM: Final = 1000
# The sum of four uniform bytes has mean 510 and variance 4 * (256^2 - 1) / 12.
_NOISE_MEAN: Final = 510
_NOISE_DEVIATION: Final = (4 * (256**2 - 1) / 12) ** 0.5


def _grey_noise(seed: int, stream: int, index: Tensor, size: int) -> Tensor:
    """(N, 1, size, size) of mean 0 and variance 1, near normal: four hashed bytes summed."""
    bits = _random_bits(seed, _NOISE_STREAM + stream, index, size * size)
    # Two bytes at a time, each with room for its carry.
    pairs = (bits & 0x00FF00FF).add_((bits >> 8).bitwise_and_(0x00FF00FF))
    total = (pairs & 0xFFFF).add_(pairs >> 16)
    noise = (total.float() - _NOISE_MEAN).mul_(1 / _NOISE_DEVIATION)
    return noise.view(-1, 1, size, size)


# A shape covers one run of pixels in each row. Each function below takes the rows `down` from
# its centre and its extent, integers that broadcast to (..., S), and returns the first and the
# last column of the run, counted from the centre; where the last comes before the first the row
# is empty.

Run = tuple["Tensor", "Tensor"]


def _centred(half: Tensor, where: Tensor | None = None) -> Run:
    """From `-half` to `half` in the rows `where`, and nothing where it is negative."""
    half = half if where is None else half.where(where, -1)
    return -half, half


def _disc(down: Tensor, squared: Tensor) -> Run:
    """The pixels whose squared distance from the centre is at most `squared`."""
    rest = squared - down**2
    # Whole numbers below 2^53 have exact squares in double, and so exact roots when cut off.
    return _centred(rest.clamp_min(0).double().sqrt().long(), rest >= 0)


def _triangle(down: Tensor, reach: Tensor) -> Run:
    return _centred((down + reach) >> 1, down <= reach)


def _circle(down: Tensor, reach: Tensor) -> Run:
    return _disc(down, reach**2)


def _square(down: Tensor, reach: Tensor) -> Run:
    # 8/9 of a circle's reach gives a square of about the circle's area.
    half = 8 * reach // 9
    return _centred(half, down.abs() <= half)


def _cross(down: Tensor, reach: Tensor) -> Run:
    far = down.abs()
    return _centred((reach // 3).where(3 * far > reach, reach), far <= reach)


def _pixels(run: Run, row: Tensor, column: Tensor, size: int) -> Tensor:
    """Runs (..., 2 M + 1) in the rows about their centres (...): zeros and ones (..., S, S), uint8.

    A row of the table has ones before a column, so a run is the difference of two; they are
    copied to where they belong, several pixels as one word. To compare every pixel with both
    ends of its run takes several times as long, and most rows of most objects are empty.
    """
    import torch

    device, rows = row.device, run[0].shape[-1]
    first, last = (end + column[..., None] for end in run)
    start = first.clamp(0, size)
    end = (last + 1).clamp(0, size).maximum(start)
    columns = torch.arange(size, device=device)
    ahead = (columns < torch.arange(size + 1, device=device)[:, None]).byte().view(_word(size))
    painted = ahead.index_select(0, end.flatten())
    painted ^= ahead.index_select(0, start.flatten())

    # With a margin above and below, where rows end that lie outside of the image.
    margin, high = rows // 2, size + rows - 1
    canvas = ahead.new_zeros(row.numel() * high, ahead.shape[1])
    top = row.flatten() + high * torch.arange(row.numel(), device=device)
    place = top[:, None] + torch.arange(rows, device=device)
    canvas.index_copy_(0, place.flatten(), painted)
    return canvas.view(torch.uint8).view(*row.shape, high, size)[..., margin : margin + size, :]


def _word(size: int) -> torch.dtype:
    """The widest integer that a row of so many bytes is made of."""
    import torch

    words = {8: torch.int64, 4: torch.int32, 2: torch.int16, 1: torch.uint8}
    return next(word for bytes_, word in words.items() if size % bytes_ == 0)


def _rows_about(reach: int, device: torch.device) -> Tensor:
    """(2 reach + 1,): how far each row that an object may cover lies below its centre."""
    import torch

    return torch.arange(-reach, reach + 1, device=device)


_LABELLED: Final = (_triangle, _circle, _square, _cross)
_ROUNDS: Final = 2


def _paint_labels(number: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Triangle, circle, square and cross painted in this order, twice over.

    Later ones cover earlier ones. A kind has a grey of its own, 36 of 255 from the next and
    give or take 10 for each object, which noise hides in a single pixel but not in its
    neighbourhood: what a pixel is shows coarsely, where an object ends only finely.
    """
    import torch

    kinds, border = len(_LABELLED), size // 5
    drawn = number[:, 1:].reshape(-1, _ROUNDS, kinds, 4)
    row, column = (_between(each, border, size - 1 - border) for each in drawn.unbind(-1)[:2])
    down = _rows_about(size // 8, number.device)
    reach = _between(drawn[..., 2:3], size // 17, size // 8)
    kind = torch.arange(kinds, device=number.device)
    shade = _between(drawn[..., 3], 90 + 36 * kind, 110 + 36 * kind)

    runs = [shape(down, reach[:, :, k]) for k, shape in enumerate(_LABELLED)]
    first, last = (torch.stack(ends, dim=2).flatten(1, 2) for ends in zip(*runs, strict=True))
    inside = _pixels((first, last), row.flatten(1), column.flatten(1), size)
    order = torch.arange(1, 1 + inside.shape[1], dtype=torch.uint8, device=number.device)
    top = inside.mul_(order.view(-1, 1, 1)).amax(dim=1).long()

    greys = torch.cat([_between(number[:, :1], 50, 70), shade.flatten(1)], dim=1)
    labels = torch.cat([kind.new_zeros(1), kind.repeat(_ROUNDS) + 1])
    return greys.gather(1, top.flatten(1)).view(-1, 1, size, size), labels[top]


def _filled_square(down: Tensor, side: Tensor) -> Run:
    half = side // 2 - 1
    return _centred(half, down.abs() <= half)


def _filled_circle(down: Tensor, radius: Tensor) -> Run:
    return _disc(down, radius**2 - 1)


def _lower_triangle(down: Tensor, side: Tensor) -> Run:
    first = -(side // 2)
    last = down.where(down - first < side, first - 1)
    return first.expand_as(last), last


def _plus(down: Tensor, side: Tensor) -> Run:
    half = side // 2
    level, upright = (down == -1) | (down == 0), (down >= -half) & (down < half)
    return (-half).where(level, -1), (half - 1).where(level, 0).where(level | upright, -2)


def _hole(down: Tensor, radius: Tensor) -> Run:
    """What a ring leaves free: nearer than 0.7 of the radius."""
    return _disc(down, (49 * radius**2 - 1) // 100)


_OBJECTS: Final = {
    # Name of the class: the pixels that it covers, and its zoom in percent.
    "filled square": (_filled_square, 80),
    "filled circle": (_filled_circle, 50),
    "triangle": (_lower_triangle, 100),
    "ring": (_filled_circle, 70),
    "mesh square": (_filled_square, 100),
    "plus": (_plus, 120),
}


def _paint_objects(number: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The six kinds of object of a widely read PyTorch tutorial, white on black.

    Drawn as there: the centre from 10 to 90 % of the side, the size from 6 to 12 % of it
    times the kind's zoom. Each mask is a whole object, so masks overlap where objects do; a
    mesh square shows its odd pixels only, but its mask is the full square.
    """
    import torch

    drawn = number.view(-1, len(_OBJECTS), 3)
    row, column = (size * _between(each, 1000, 8999) // 10000 for each in drawn.unbind(-1)[:2])
    zoom = torch.tensor([zoom for _, zoom in _OBJECTS.values()], device=number.device)
    extent = (size * _between(drawn[..., 2], 600, 1199) * zoom // 1_000_000)[..., None]
    # None reaches farther than a ring's radius, 0.084 of the side.
    masks = _object_masks(_rows_about(size // 10, number.device), row, column, extent, size)

    odd = (torch.arange(size, device=number.device) % 2).byte()
    image = torch.zeros_like(masks[:, 0])
    for name, mask in zip(_OBJECTS, masks.unbind(dim=1), strict=True):
        image |= mask & odd & odd[:, None] if name == "mesh square" else mask
    return image.unsqueeze(1) * 255, masks


def _object_masks(down: Tensor, row: Tensor, column: Tensor, extent: Tensor, size: int) -> Tensor:
    """(N, 6, S, S) zeros and ones, uint8, from centres (N, 6) and extents (N, 6, 1)."""
    import torch

    runs = [covers(down, extent[:, kind]) for kind, (covers, _) in enumerate(_OBJECTS.values())]
    first, last = (torch.stack(ends, dim=1) for ends in zip(*runs, strict=True))
    masks = _pixels((first, last), row, column, size)
    ring = list(_OBJECTS).index("ring")
    masks[:, ring] -= _pixels(_hole(down, extent[:, ring]), row[:, ring], column[:, ring], size)
    return masks


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
