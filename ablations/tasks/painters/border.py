"""The labelled shapes at and across the edge of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ablations.tasks.painters.labels import KINDS, scene
from ablations.tasks.painters.randomness import between
from ablations.tasks.painters.raster import Painted

if TYPE_CHECKING:
    from torch import Tensor

_ROUNDS: Final = 3
DRAWS: Final = 1 + 5 * _ROUNDS * len(KINDS)


def paint(number: Tensor, size: int) -> Painted:
    """Triangles, circles, squares and crosses centred on the image's edge or up to an eighth off.

    Hard because half of an object may lie outside: what is left has to be told from less, beside
    whatever the net makes up for the rest. Counts by distance to the edge show where it fails.
    """
    drawn = number[:, 1:].view(-1, _ROUNDS, len(KINDS), 5)
    along, inward = between(drawn[..., 0], 0, size - 1), between(drawn[..., 1], 0, size // 8)
    side = drawn[..., 2] >> 30
    across = inward.where(side % 2 == 0, size - 1 - inward)
    row, column = across.where(side < 2, along), along.where(side < 2, across)
    return scene(number[:, :1], row, column, drawn[..., 3:], size)
