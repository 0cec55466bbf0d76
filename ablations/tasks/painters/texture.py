"""Discs that differ from the ground in texture only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ablations.tasks.painters.randomness import between, scattered
from ablations.tasks.painters.raster import Painted, disc, rows_about, topmost

if TYPE_CHECKING:
    from torch import Tensor

_DISCS: Final = 4
DRAWS: Final = 2 + 3 * _DISCS

TAPS: Final = 4
"""Pixels of white noise whose mean is a grey: side by side on the ground, one below another in an
object. Each grey is a mean of as many independent bytes, so all greys have one distribution."""


def paint(number: Tensor, size: int, difficulty: float) -> Painted:
    """Discs of upright streaks on a ground of level streaks.

    Hard because no grey, and no mean of greys, tells an object from the ground: only how
    neighbours go together does. Of all pixels, half of the share `difficulty` show the texture
    that belongs to the other side; at 1 nothing is left to be seen.
    """
    import torch

    drawn = number[:, 2:].view(-1, _DISCS, 3)
    row, column = (between(each, 0, size - 1) for each in drawn.unbind(-1)[:2])
    reach = between(drawn[..., 2:], size // 11, size // 6)
    run = disc(rows_about(size // 6, number.device), reach**2)
    inside = topmost(run, row, column, size) > 0

    bits = _white_bits(number, size + TAPS - 1)
    grey = bits & 0xFF
    level = torch.stack([grey[:, :size, tap : tap + size] for tap in range(TAPS)]).sum(dim=0)
    upright = torch.stack([grey[:, tap : tap + size, :size] for tap in range(TAPS)]).sum(dim=0)
    swapped = (bits[:, :size, :size] >> 8) & 0xFFFF < round(2**15 * difficulty)
    image = level.where(inside == swapped, upright) // TAPS
    return Painted(image.unsqueeze(1), 127, inside.long())


def _white_bits(number: Tensor, side: int) -> Tensor:
    """(N, side, side) numbers of 32 bits, from the first two of each sample."""
    import torch

    low, high = number[:, :2].to(torch.int32).unbind(1)
    return scattered(low, high, side * side).view(-1, side, side)
