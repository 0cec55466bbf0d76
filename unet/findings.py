"""What a process says of its target, as JSON; believed only as far as its shape goes."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from typing import Annotated, Any, Final, Literal, final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

from unet.exchange import to_json

Verdict = Literal["sound", "defective", "unverified", "mistake"]

EXIT_CODES: Final[dict[Verdict, int]] = {"mistake": 2, "unverified": 3, "defective": 1, "sound": 0}
"""Of several targets the first of these that there is gives the command its exit code."""

STRICT: Final = ConfigDict(extra="forbid", strict=True, frozen=True)

Followed = int | Literal["unknown"]


@final
class Inferred(BaseModel):
    """What a net is."""

    model_config = STRICT

    in_channels: int
    further_inputs: dict[str, str]
    num_classes: int | None
    depth: Followed
    padding: str
    skip: str
    unskipped: str
    upsampling: str
    norm: str
    base_channels: int | None
    kernel: str
    parameters: int
    macs: int
    macs_at: list[int]
    final_activation: str
    legal_sizes: str
    margin: int
    off_grid: str
    receptive_field: list[int] | str


@final
class Said(BaseModel):
    """What one check says."""

    model_config = STRICT

    check: str
    status: Literal["pass", "warn", "fail", "skip"]
    message: str
    evidence: dict[str, JsonValue]


@final
class Findings(BaseModel):
    """What was found: at least one result for every check, in their order."""

    model_config = STRICT

    inferred: Inferred
    results: list[Said]


@final
class Failure(BaseModel):
    """Why nothing was found."""

    model_config = STRICT

    verdict: Literal["unverified", "mistake"]
    error: Annotated[str, Field(max_length=2000)]


MESSAGE: Final = TypeAdapter[Findings | Failure](Findings | Failure)


def read_findings(message: bytes, checks: Collection[str]) -> Findings | Failure:
    """Read what a process has sent; raises `ValueError` for all that no examination sends."""
    try:
        content = json.loads(message, parse_constant=_no_number, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested without end") from None
    found = MESSAGE.validate_python(content)
    if isinstance(found, Findings):
        said = list(dict.fromkeys(result.check for result in found.results))
        if said != list(checks):
            raise ValueError("not of these checks")
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number


def written(content: object) -> bytes:
    """As JSON; what is neither a number nor a text as its text."""
    return to_json(_plain(content)).encode()


def _plain(value: Any) -> JsonValue:  # noqa: ANN401  # evidence is whatever a check has seen
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
