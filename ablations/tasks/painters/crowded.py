"""Cells that touch but for a gap of one pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ablations.tasks.painters.randomness import between
from ablations.tasks.painters.raster import Painted, disc, rows_about, topmost

if TYPE_CHECKING:
    from torch import Tensor

_CELLS: Final = 24
DRAWS: Final = 1 + 4 * _CELLS


def paint(number: Tensor, size: int) -> Painted:
    """Discs over one another, each with a rim of ground one pixel wide.

    Hard because the rims, which tell one cell from the next, are ground a pixel wide between
    objects of like greys: an answer that is good but for them runs the cells together.
    """
    import torch

    drawn = number[:, 1:].view(-1, _CELLS, 4)
    row, column = (between(each, 0, size - 1) for each in drawn.unbind(-1)[:2])
    reach = between(drawn[..., 2:3], size // 17, size // 9)
    # A cell is painted twice: with its rim, and then what that encloses.
    reach = torch.cat([reach + 1, reach], dim=2).view(-1, 2 * _CELLS, 1)
    row, column = (each.repeat_interleave(2, dim=1) for each in (row, column))
    run = disc(rows_about(size // 9 + 1, number.device), reach**2)
    top = topmost(run, row, column, size).long()

    ground = between(number[:, :1], 50, 70)
    shade = torch.stack([ground.expand(-1, _CELLS), between(drawn[..., 3], 95, 125)], dim=2)
    greys = torch.cat([ground, shade.flatten(1)], dim=1)
    image = greys.gather(1, top.flatten(1)).view(-1, 1, size, size)
    return Painted(image, ground[..., None, None], ((top > 0) & (top % 2 == 0)).long())
