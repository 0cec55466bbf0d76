"""What a run leaves behind: counts, costs and where it ran, as plain data."""

from __future__ import annotations

import base64
import math
import zlib
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, ValidationError

from ablations.cell import STRICT, Cell
from unet.refusal import Refusal

_LARGEST_PICTURE: Final = 2**24

Size = Annotated[int, Field(ge=1, le=_LARGEST_PICTURE)]


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
            raw = zlib.decompressobj().decompress(base64.b64decode(self.data, validate=True), count)
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


class Record(BaseModel):
    """What one cell's run left behind: counts and costs, from which every score derives.

    - `counts`: (bands, classes, 3), true positives, false positives and false negatives in
      pixels over all test images; band b holds the pixels whose distance to the edge of the
      scored window is in `bands[b]` up to below `bands[b + 1]`. None for a diverged run.
    - `losses`: the mean training loss over each tenth of the run.
    - `macs`: of one forward pass of one image. `*_seconds`: wall time.
    """

    model_config = STRICT

    key: str = Field(pattern="^[0-9a-f]{32}$")
    cell: dict[str, Any]
    outcome: Literal["done", "diverged"]
    bands: tuple[int, ...]
    counts: tuple[tuple[tuple[int, int, int], ...], ...] | None
    losses: tuple[float | None, ...]
    parameters: int
    macs: int
    train_seconds: float
    test_seconds: float
    environment: dict[str, str]
    example: Example | None = None

    @classmethod
    def read(cls, body: str, where: str) -> Self:
        """The record in the JSON text `body`; raises `Refusal` naming `where` if it is none."""
        try:
            record = cls.model_validate_json(body)
        except ValidationError as problem:
            error = problem.errors()[0]
            name = ".".join(map(str, error["loc"])) or "the whole"
            raise Refusal(f"{where}: malformed record: {name}: {error['msg']}") from None
        if record.parsed_cell().key != record.key:
            raise Refusal(f"{where}: malformed record: key {record.key} is not that of its cell")
        return record

    def parsed_cell(self) -> Cell:
        """The cell that was run."""
        return Cell.from_data(self.cell)
