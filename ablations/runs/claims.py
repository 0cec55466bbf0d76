"""What a plan says beforehand about what will come out: claims of the literature, to be tried."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from ablations.runs.cell import STRICT

Line = Annotated[str, Field(pattern=r"^[^\r\n|<>]+$", max_length=1000)]
"""Text that may stand in a table."""

Expected = Literal["higher", "lower", "different", "equivalent"]


class Prediction(BaseModel):
    """Which way one contrast will come out.

    `contrast` is named as in the effects table, such as `skip: none - concat`; or it is one level,
    as in `padding: valid` or `skip: add at padding: valid`, whose mean is compared with 0.
    `different` leaves open which way; `equivalent` predicts that it lies within `margin` of 0.
    """

    model_config = STRICT

    contrast: Line
    metric: Line
    expected: Expected
    margin: float = Field(default=0.0, ge=0, le=1e6)


class Claim(BaseModel):
    """What somebody published, and what it lets us expect of this plan's runs.

    `number` is its place on the page; `differs` says how this test is not theirs.
    """

    model_config = STRICT

    number: int = Field(ge=1, le=999)
    claim: Line
    source: Line
    differs: Line
    predictions: list[Prediction] = Field(min_length=1, max_length=20)
