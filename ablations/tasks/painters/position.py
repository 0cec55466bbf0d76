"""Equal discs whose label is the half of the image that they are in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ablations.tasks.painters.randomness import between
from ablations.tasks.painters.raster import Painted

if TYPE_CHECKING:
    from torch import Tensor

_LINE: Final = 7
"""Points in a row of the lattice: enough to cover the image wherever it begins."""

DRAWS: Final = 2 + 4 * _LINE**2


def paint(number: Tensor, size: int) -> Painted:
    """Discs of one grey, near the points of a lattice that begins anywhere: left ones, right ones.

    Hard because left and right look alike: the lattice goes on beyond every edge, so that any part
    of an image is as likely in any place. A net that cannot see where it is can find the discs,
    and then guess. What is made up beyond an edge may show where the edge is: only a net that is
    scored on the part that it sees with true context is sure to be blind.
    """
    import torch

    pitch = max(4, size // 4)
    most = pitch // 3
    stray = (pitch - 1) // 2 - most
    drawn = number[:, 2:].view(-1, _LINE, _LINE, 4)
    start = between(number[:, :2], 0, pitch - 1) - pitch
    point = start[..., None] + pitch * torch.arange(_LINE, device=number.device)
    row = point[:, 0, :, None] + between(drawn[..., 0], -stray, stray)
    column = point[:, 1, None, :] + between(drawn[..., 1], -stray, stray)
    # A quarter of the points are left free: nothing is nearer than 0.
    squared = (between(drawn[..., 2], pitch // 6, most) ** 2).where(drawn[..., 3] >> 30 > 0, -1)

    nearest = _nearest_points(start, pitch, size)
    row, column, squared = (
        each.flatten(1).gather(1, nearest).view(-1, size, size) for each in (row, column, squared)
    )
    line = torch.arange(size, device=number.device)
    inside = (line[:, None] - row) ** 2 + (line - column) ** 2 <= squared
    image = 60 + 80 * inside.long()
    return Painted(image.unsqueeze(1), 60, torch.where(2 * column < size, 1, 2) * inside)


def _nearest_points(start: Tensor, pitch: int, size: int) -> Tensor:
    """(N, S * S): of each pixel the point in whose square it lies, which holds all of its disc."""
    import torch

    line = torch.arange(size, device=start.device) + (pitch - 1) // 2
    row, column = ((line - start[..., None]) // pitch).unbind(dim=1)
    return (_LINE * row[:, :, None] + column[:, None]).flatten(1)
