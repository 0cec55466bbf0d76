"""Triangles, circles, squares and crosses in grey, one label for each pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ablations.tasks.painters.randomness import between
from ablations.tasks.painters.raster import Painted, Run, centred, disc, rows_about, topmost

if TYPE_CHECKING:
    from torch import Tensor


def _triangle(down: Tensor, reach: Tensor) -> Run:
    return centred((down + reach) >> 1, down <= reach)


def _circle(down: Tensor, reach: Tensor) -> Run:
    return disc(down, reach**2)


def _square(down: Tensor, reach: Tensor) -> Run:
    # 8/9 of a circle's reach gives a square of about the circle's area.
    half = 8 * reach // 9
    return centred(half, down.abs() <= half)


def _cross(down: Tensor, reach: Tensor) -> Run:
    far = down.abs()
    return centred((reach // 3).where(3 * far > reach, reach), far <= reach)


KINDS: Final = (_triangle, _circle, _square, _cross)
_ROUNDS: Final = 2
DRAWS: Final = 1 + 4 * _ROUNDS * len(KINDS)


def paint(number: Tensor, size: int) -> Painted:
    """Triangle, circle, square and cross painted in this order, twice over.

    Later ones cover earlier ones. A kind has a grey of its own, 36 of 255 from the next and
    give or take 10 for each object, which noise hides in a single pixel but not in its
    neighbourhood: what a pixel is shows coarsely, where an object ends only finely.
    """
    border = size // 5
    drawn = number[:, 1:].reshape(-1, _ROUNDS, len(KINDS), 4)
    row, column = (between(each, border, size - 1 - border) for each in drawn.unbind(-1)[:2])
    return scene(number[:, :1], row, column, drawn[..., 2:], size)


def scene(ground: Tensor, row: Tensor, column: Tensor, drawn: Tensor, size: int) -> Painted:
    """Rounds of the kinds about centres (N, rounds, kinds), within the image.

    Random numbers decide the ground's grey, (N, 1), and of each object how far it reaches and its
    grey, `drawn` (N, rounds, kinds, 2).
    """
    import torch

    down = rows_about(size // 8, row.device)
    reach = between(drawn[..., :1], size // 17, size // 8)
    kind = torch.arange(len(KINDS), device=row.device)
    shade = between(drawn[..., 1], 90 + 36 * kind, 110 + 36 * kind)

    runs = [shape(down, reach[:, :, k]) for k, shape in enumerate(KINDS)]
    first, last = (torch.stack(ends, dim=2).flatten(1, 2) for ends in zip(*runs, strict=True))
    top = topmost((first, last), row.flatten(1), column.flatten(1), size).long()

    greys = torch.cat([between(ground, 50, 70), shade.flatten(1)], dim=1)
    labels = torch.cat([kind.new_zeros(1), kind.repeat(row.shape[1]) + 1])
    image = greys.gather(1, top.flatten(1)).view(-1, 1, size, size)
    return Painted(image, greys[:, :1, None, None], labels[top])
