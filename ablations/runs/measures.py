"""What is counted of a net besides its right and wrong pixels, as plain data."""

from __future__ import annotations

import math
from typing import Annotated, Final

from pydantic import BaseModel, Field

from ablations.runs.cell import STRICT
from unet.refusal import Refusal

Whole = Annotated[int, Field(ge=0, lt=2**53)]
Power = Annotated[float, Field(ge=0, le=1e300)]

TOLERANCE: Final = 1
"""Pixels by which a predicted boundary may lie beside the true one."""

CONFIDENCE_BINS: Final = 15
CONFIDENCE_UNIT: Final = 2**20
"""Confidences are summed in these parts of 1, as whole numbers."""

PROBED: Final = 32
"""The first test images, on which a net is also run before its training and on shifted tiles."""


PROBES: Final = 5
"""How often a net is run on each of them besides: before training, after it, and on three tiles."""


class Checkerboard(BaseModel):
    """Power of the logits at the period-2 frequencies of rows, of columns and of both.

    Summed over images and classes, as `total`, that of all frequencies but 0.
    """

    model_config = STRICT

    rows: Power
    columns: Power
    both: Power
    total: Power

    @property
    def share(self) -> float:
        """Of the power that is at these frequencies; nan for constant maps."""
        return self._of_all(self.rows + self.columns + self.both)

    @property
    def diagonal_share(self) -> float:
        """Of the power that alternates along rows and columns both; nan for constant maps."""
        return self._of_all(self.both)

    def _of_all(self, power: float) -> float:
        return power / self.total if self.total else math.nan


class Changed(BaseModel):
    """Pixels that two overlapping tiles of an image were compared in, and those that differed."""

    model_config = STRICT

    pixels: Whole
    changed: Whole


class Shifts(BaseModel):
    """Two tiles of one image that lie apart by some pixels in both directions, in what they share.

    `one` and `lattice` are about the inside, which no padding reaches, of tiles 1 and 2^depth
    pixels apart; `seam` is about the outermost 2^depth pixels of what the latter share, where one
    of the two tiles ends.
    """

    model_config = STRICT

    one: Changed
    lattice: Changed
    seam: Changed


class Measures(BaseModel):
    """What is counted of a net besides its right and wrong pixels.

    - `boundary`: of each class, over all test images: pixels of the predicted boundary, those of
      them within `TOLERANCE` of the true one; pixels of the true boundary, those of them within
      `TOLERANCE` of the predicted one.
    - `confidence`: by equal parts of [0, 1] in which the confidence of a decision lies: decisions,
      their confidence summed in `CONFIDENCE_UNIT`s, and how many of them were right.
    - `start`, `end`: the checkerboard before and after training, on the first `PROBED` test images;
      None where a logit is not finite.
    - `shifts`: on the same images; None where the images are too small for tiles.
    """

    model_config = STRICT

    boundary: tuple[tuple[Whole, Whole, Whole, Whole], ...]
    confidence: tuple[tuple[Whole, Whole, Whole], ...] = Field(min_length=1)
    start: Checkerboard | None
    end: Checkerboard | None
    shifts: Shifts | None

    def require_consistent(self, classes: int) -> None:
        """Refuse counts of other classes, and parts that are larger than their whole."""
        if len(self.boundary) != classes:
            raise Refusal(
                f"boundaries of {len(self.boundary)} classes where the task has {classes}"
            )
        if any(near > found or close > true for found, near, true, close in self.boundary):
            raise Refusal("more of a boundary lies near the other than there is of it")
        for decisions, confidence, right in self.confidence:
            if right > decisions or confidence > decisions * CONFIDENCE_UNIT:
                raise Refusal(f"of {decisions} decisions {right} were right, in {confidence} units")
        for board in filter(None, (self.start, self.end)):
            # The sums are rounded.
            if board.total and not board.share <= 1.001:
                raise Refusal(f"power at period 2 is {board.share:g} of all power")
        for seen in vars(self.shifts).values() if self.shifts else ():
            if seen.changed > seen.pixels:
                raise Refusal(f"{seen.changed} of {seen.pixels} compared pixels changed")
