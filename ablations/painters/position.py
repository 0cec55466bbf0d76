"""Equal discs whose label is the half of the image that they are in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ablations.painters.randomness import between
from ablations.painters.raster import Painted, disc, pixels, rows_about

if TYPE_CHECKING:
    from torch import Tensor

_LINE: Final = 7
"""Discs in a row of the lattice: enough to cover the image wherever it begins."""

DRAWS: Final = 2 + 4 * _LINE**2


def paint(number: Tensor, size: int) -> Painted:
    """Discs of one grey, near the points of a lattice that begins anywhere: left ones, right ones.

    Hard because left and right look alike: the lattice goes on beyond every edge, so that any part
    of an image is as likely in any place. A net that cannot see where it is can find the discs,
    and then guess.
    """
    import torch

    pitch = max(4, size // 4)
    most = pitch // 3
    stray = (pitch - 1) // 2 - most
    drawn = number[:, 2:].view(-1, _LINE, _LINE, 4)
    point = pitch * torch.arange(-1, _LINE - 1, device=number.device)
    start = between(number[:, :2], 0, pitch - 1)[:, :, None, None]
    row = start[:, 0] + point[:, None] + between(drawn[..., 0], -stray, stray)
    column = start[:, 1] + point + between(drawn[..., 1], -stray, stray)
    # A quarter of the points are left free: a radius below 0 covers nothing.
    reach = between(drawn[..., 2], pitch // 6, most).where(drawn[..., 3] >> 30 > 0, -1)

    inside = _discs(row, column, reach, most, size)
    label = torch.where(2 * column < size, 1, 2).flatten(1)[..., None, None]
    image = 60 + 80 * inside.amax(dim=1, keepdim=True).long()
    return Painted(image, 60, (inside * label).sum(dim=1))


def _discs(row: Tensor, column: Tensor, reach: Tensor, most: int, size: int) -> Tensor:
    """(N, discs, S, S) zeros and ones, also of discs whose centre lies outside of the image."""
    margin = most + 1
    side = size + 2 * margin
    squared = (reach * reach.abs()).flatten(1)[..., None]
    run = disc(rows_about(most, row.device), squared)
    # One that is moved to the corner of the canvas is out of sight, as it was before.
    row, column = ((each.flatten(1) + margin).clamp(0, side - 1) for each in (row, column))
    return pixels(run, row, column, side)[..., margin : margin + size, margin : margin + size]
