"""What a run leaves behind: counts, costs and where it ran, as plain data."""

from __future__ import annotations

import base64
import math
import zlib
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, ValidationError

from ablations.runs.cell import STRICT, Cell
from ablations.runs.measures import Measures, Whole
from ablations.tasks.shapes import TASKS
from unet.refusal import Refusal, shown
from unet.version import PACKAGE, version

SCHEMAS: Final = {
    1: "records",
    2: "records, and the history of attempts at each cell",
    3: "as before, with the precision in the key of a cell that is not trained in float32",
}
"""What stores and exports have held, by the number that each of them carries; the last is ours."""

SCHEMA: Final = max(SCHEMAS)


def require_schema(number: object, where: str) -> None:
    """Refuse what a later version wrote; what earlier ones wrote is read."""
    if number not in SCHEMAS:
        raise Refusal(
            f"{where}: of schema {shown(number)}, and {PACKAGE} {version()} reads up to {SCHEMA}: "
            "use the version that wrote it, or a later one"
        )


_LARGEST_PICTURE: Final = 2**26
"""Bytes; a task's largest images have three channels of 4096 x 4096."""

Size = Annotated[int, Field(ge=1, le=_LARGEST_PICTURE)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]


class Picture(BaseModel):
    """An 8-bit image as text: deflated and in base 64."""

    model_config = STRICT

    shape: tuple[Size, ...]
    data: str

    @classmethod
    def of(cls, pixels: npt.NDArray[np.uint8]) -> Self:
        """`pixels`, of any shape."""
        return cls(
            shape=pixels.shape, data=base64.b64encode(zlib.compress(pixels.tobytes(), 9)).decode()
        )

    def pixels(self) -> npt.NDArray[np.uint8]:
        """The image again; raises `Refusal` if the text is none."""
        count = math.prod(self.shape)
        try:
            if count > _LARGEST_PICTURE:
                raise ValueError(f"{count} pixels")
            packed = base64.b64decode(self.data, validate=True)
            # One byte more than there should be: enough to see that there are too many.
            raw = zlib.decompressobj().decompress(packed, count + 1)
            return np.frombuffer(raw, dtype=np.uint8).reshape(self.shape)
        except (ValueError, zlib.error) as problem:
            raise Refusal(f"a record's picture is malformed: {problem}") from None


class Example(BaseModel):
    """One test image with its mask and what the net made of it.

    The image is (S, S) or (S, S, 3); mask and prediction, of the scored window, hold class
    indices where classes exclude each other, else one bit for each class.
    """

    model_config = STRICT

    image: Picture
    mask: Picture
    prediction: Picture

    def require_sizes(self, size: int, scored: int) -> None:
        """Refuse pictures that cannot be unpacked, or have other sides than these."""
        for picture, side in ((self.image, size), (self.mask, scored), (self.prediction, scored)):
            legal = ((side, side), (side, side, 3))[: 1 + (picture is self.image)]
            if picture.shape not in legal:
                raise Refusal(f"a picture of {shown(picture.shape)} where the task has {side}")
            picture.pixels()


class Evaluation(BaseModel):
    """What a net did on the validation images after so many steps.

    `counts` is (classes, 3): true positives, false positives and false negatives in pixels.
    """

    model_config = STRICT

    step: Annotated[int, Field(ge=1)]
    counts: tuple[tuple[Whole, Whole, Whole], ...]


class Record(BaseModel):
    """What one cell's run left behind: counts and costs, from which every score derives.

    - `counts`: (bands, classes, 3), true positives, false positives and false negatives in
      pixels over all test images; band b holds the pixels whose distance to the edge of the
      scored window is in `bands[b]` up to below `bands[b + 1]`. None for a diverged run.
    - `losses`: the mean training loss over each tenth of the run.
    - `curve`: what was seen along the run, the end included; empty for a diverged run.
    - `macs`: of one forward pass of one image, with its mirrored rim where it has one.
    - `*_seconds`: wall time.
    - `measures`: what else was counted; None for a diverged run, and where nothing was.
    """

    model_config = STRICT

    key: str = Field(pattern="^[0-9a-f]{32}$")
    cell: dict[str, Any]
    outcome: Literal["done", "diverged"]
    bands: tuple[Whole, ...]
    counts: tuple[tuple[tuple[Whole, Whole, Whole], ...], ...] | None
    losses: tuple[float | None, ...]
    parameters: Annotated[int, Field(ge=0, lt=2**63)]
    macs: Annotated[int, Field(ge=0, lt=2**63)]
    train_seconds: Seconds
    test_seconds: Seconds
    environment: dict[str, str]
    example: Example | None = None
    curve: tuple[Evaluation, ...] = ()
    measures: Measures | None = None

    @classmethod
    def read(cls, body: str, where: str) -> Self:
        """The record in the JSON text `body`; raises `Refusal` naming `where` if it is none.

        That of another cell, or of other shapes than its cell's, is none.
        """
        try:
            record = cls.model_validate_json(body)
            record.require_consistent()
        except ValidationError as problem:
            error = problem.errors()[0]
            name = ".".join(map(str, error["loc"])) or "the whole"
            raise Refusal(f"{where}: malformed record: {name}: {error['msg']}") from None
        except Refusal as problem:
            raise Refusal(f"{where}: malformed record: {problem}") from None
        return record

    def require_consistent(self) -> None:
        """Refuse a record of another cell, or of other shapes than its cell's."""
        cell = self.parsed_cell()
        if cell.key != self.key:
            raise Refusal(f"key {self.key} is not that of its cell")
        if (self.outcome == "done") is (self.counts is None):
            raise Refusal(f"outcome {self.outcome!r} does not go with its counts")
        classes = len(TASKS[cell.task.name].classes)
        self._require_bands(classes)
        evaluated_at = cell.training.evaluated_at if self.outcome == "done" else []
        if [each.step for each in self.curve] != evaluated_at:
            raise Refusal(f"its evaluations are not those after steps {shown(evaluated_at)}")
        if any(len(each.counts) != classes for each in self.curve):
            raise Refusal("an evaluation has not the task's classes")
        if self.measures is not None:
            if self.counts is None:
                raise Refusal(f"outcome {self.outcome!r} does not go with its measures")
            self.measures.require_consistent(classes)
        if self.example is not None:
            self.example.require_sizes(cell.task.size, cell.task.scored)

    def _require_bands(self, classes: int) -> None:
        shape = [classes] * len(self.bands)
        if self.counts is not None and (not shape or list(map(len, self.counts)) != shape):
            raise Refusal(f"counts are not those of {len(self.bands)} bands and the task's classes")
        if list(self.bands) != sorted({0, *self.bands}):
            raise Refusal(f"bands {shown(self.bands)} do not grow from 0")

    @property
    def is_as_asked(self) -> bool:
        """Whether its precision is its cell's: up to schema 2 the chip decided, and no key told."""
        made = self.environment.get("precision")
        return made in (None, self.parsed_cell().training.precision)

    def parsed_cell(self) -> Cell:
        """The cell that was run."""
        return Cell.from_data(self.cell)
