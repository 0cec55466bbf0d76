"""Thin curves over clutter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ablations.tasks.painters.randomness import between
from ablations.tasks.painters.raster import Painted, disc, rows_about, topmost

if TYPE_CHECKING:
    from torch import Tensor

_CURVES: Final = 4
_BLOBS: Final = 10
DRAWS: Final = 1 + 4 * _CURVES + 4 * _BLOBS


def paint(number: Tensor, size: int) -> Painted:
    """Curves 1 to 3 pixels wide, half of them level and half upright, over discs of any grey.

    Hard because a curve is lost where maps are halved twice, and because its grey is that of many
    a disc: it shows by being thin, at the full resolution only.
    """
    import torch

    clutter, ground = _clutter(number, size)
    curve = number[:, 1 : 1 + 4 * _CURVES].view(-1, _CURVES, 4)
    upright, level = _curves(curve, size).chunk(2, dim=1)
    lines = torch.cat([upright, level.transpose(2, 3)], dim=1).any(dim=1)
    image = torch.where(lines, 150, clutter)
    return Painted(image.unsqueeze(1), ground, lines.long())


def _clutter(number: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Discs over one another, (N, S, S), and the grey of the ground, (N, 1, 1, 1)."""
    import torch

    drawn = number[:, -4 * _BLOBS :].view(-1, _BLOBS, 4)
    row, column = (between(each, 0, size - 1) for each in drawn.unbind(-1)[:2])
    run = disc(
        rows_about(size // 8, number.device), between(drawn[..., 2:3], size // 22, size // 8) ** 2
    )
    top = topmost(run, row, column, size).long()
    greys = torch.cat([between(number[:, :1], 50, 70), between(drawn[..., 3], 30, 170)], dim=1)
    return greys.gather(1, top.flatten(1)).view_as(top), greys[:, :1, None, None]


def _curves(drawn: Tensor, size: int) -> Tensor:
    """(N, curves, S, S) booleans: parabolas that move by at most a column a row, without gaps."""
    import torch

    line = torch.arange(size, device=drawn.device)
    start, slope, bend, width = drawn.unsqueeze(-1).unbind(2)
    ahead = line - size // 2
    slope, bend = between(slope, -120, 120), between(bend, -120, 120)
    middle = between(start, size // 8, size - 1 - size // 8)
    middle = middle + (slope * ahead + bend * ahead**2 // size) // 256
    width = between(width, 1, 3)
    first = (middle - width // 2).unsqueeze(-1)
    return (line >= first) & (line < first + width.unsqueeze(-1))
