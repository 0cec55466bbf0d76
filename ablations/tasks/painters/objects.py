"""The six kinds of object of a widely read PyTorch tutorial."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ablations.tasks.painters.randomness import between
from ablations.tasks.painters.raster import Painted, Run, centred, disc, pixels, rows_about

if TYPE_CHECKING:
    from torch import Tensor


def _filled_square(down: Tensor, side: Tensor) -> Run:
    half = side // 2 - 1
    return centred(half, down.abs() <= half)


def _filled_circle(down: Tensor, radius: Tensor) -> Run:
    return disc(down, radius**2 - 1)


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
    return disc(down, (49 * radius**2 - 1) // 100)


KINDS: Final = {
    # Name of the class: the pixels that it covers, and its zoom in percent.
    "filled square": (_filled_square, 80),
    "filled circle": (_filled_circle, 50),
    "triangle": (_lower_triangle, 100),
    "ring": (_filled_circle, 70),
    "mesh square": (_filled_square, 100),
    "plus": (_plus, 120),
}

DRAWS: Final = 3 * len(KINDS)


def paint(number: Tensor, size: int) -> Painted:
    """The six kinds of object of a widely read PyTorch tutorial, white on black.

    Drawn as there: the centre from 10 to 90 % of the side, the size from 6 to 12 % of it
    times the kind's zoom. Each mask is a whole object, so masks overlap where objects do; a
    mesh square shows its odd pixels only, but its mask is the full square.
    """
    import torch

    drawn = number.view(-1, len(KINDS), 3)
    row, column = (size * between(each, 1000, 8999) // 10000 for each in drawn.unbind(-1)[:2])
    zoom = torch.tensor([zoom for _, zoom in KINDS.values()], device=number.device)
    extent = (size * between(drawn[..., 2], 600, 1199) * zoom // 1_000_000)[..., None]
    # None reaches farther than a ring's radius, 0.084 of the side.
    masks = _object_masks(rows_about(size // 10, number.device), row, column, extent, size)

    odd = (torch.arange(size, device=number.device) % 2).byte()
    mesh = list(KINDS).index("mesh square")
    image = masks[:, mesh] & (odd & odd[:, None])
    for solid in (masks[:, :mesh], masks[:, mesh + 1 :]):
        image |= solid.amax(dim=1)
    return Painted(image.unsqueeze(1) * 255, 0, masks)


def _object_masks(down: Tensor, row: Tensor, column: Tensor, extent: Tensor, size: int) -> Tensor:
    """(N, 6, S, S) zeros and ones, uint8, from centres (N, 6) and extents (N, 6, 1)."""
    import torch

    runs = [covers(down, extent[:, kind]) for kind, (covers, _) in enumerate(KINDS.values())]
    first, last = (torch.stack(ends, dim=1) for ends in zip(*runs, strict=True))
    masks = pixels((first, last), row, column, size)
    ring = list(KINDS).index("ring")
    masks[:, ring] -= pixels(_hole(down, extent[:, ring]), row[:, ring], column[:, ring], size)
    return masks
