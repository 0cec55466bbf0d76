"""What our statistics promise, and counts of simulated experiments that hold them to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Self, final

from pydantic import BaseModel, Field, TypeAdapter, model_validator

from ablations.files import read_json
from ablations.judgement.statistics import ALPHA
from ablations.runs.cell import STRICT

MARGIN: Final = 2.0
"""Of the equivalence test, in standard deviations of the difference: wide enough for five seeds."""

TOLERANCE: Final = 0.015
"""How far a rate may be from what it should be."""


Name = Annotated[str, Field(pattern=r"^[\w ,.:'-]+$", max_length=200)]

MEASURES: Final = (
    *("sign-flip test", "t test", "t interval", "studentised bootstrap", "equivalence test"),
    *("percentile bootstrap", "BCa bootstrap", "planned", "with Holm", "without Holm"),
    *("one contrast a seed", "seed blocks", "random intercepts"),
)
"""What is counted; each has a place in the tables."""


class NoiseKind(BaseModel):
    """What a difference scatters like over seeds, and which assumptions are true of it."""

    model_config = STRICT

    name: Name
    said: Name
    symmetric: bool
    normal: bool


class Count(BaseModel):
    """In how many of so many experiments a method claimed, or covered, what `measure` says.

    `condition` is a noise's name or the kind of experiment, `effect` the true difference in
    standard deviations.
    """

    model_config = STRICT

    measure: Name
    condition: Name
    effect: float = Field(ge=0, le=100)
    seeds: int = Field(ge=2, le=10_000)
    hits: int = Field(ge=0)
    of: int = Field(ge=1, le=10**12)

    @model_validator(mode="after")
    def _hits_are_among_them(self) -> Self:
        if self.hits > self.of:
            raise ValueError(f"{self.hits} hits of {self.of}")
        return self

    @property
    def rate(self) -> float:
        """The share of experiments."""
        return self.hits / self.of


class Calibration(BaseModel):
    """All counts, and what they were made with."""

    model_config = STRICT

    command: Name
    versions: dict[Name, Name]
    noises: tuple[NoiseKind, ...]
    counts: tuple[Count, ...]

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        """Every measure was counted, without and where it is asked for with a difference."""
        nothing = {count.measure for count in self.counts if count.effect == 0}
        for measure in MEASURES:
            if measure != "planned" and measure not in nothing:
                raise ValueError(f"no count of {measure!r} without a difference")
        something = {count.measure for count in self.counts if count.effect}
        for measure in ("planned", "sign-flip test"):
            if measure not in something:
                raise ValueError(f"no count of {measure!r} with a difference")
        return self


@final
@dataclass(frozen=True)
class Promise:
    """A rate that a method should have under every noise of which its assumption is true."""

    title: str
    rate: float
    assumption: str
    holds: Callable[[NoiseKind], bool]
    caption: str

    def kept(self, count: Count) -> bool:
        """Whether a rate is within 1.5 points of what it should be."""
        return abs(count.rate - self.rate) <= TOLERANCE


PROMISES: Final[dict[str, Promise]] = {
    "sign-flip test": Promise(
        "The sign-flip test: a difference is claimed where there is none",
        ALPHA,
        "symmetric",
        lambda noise: noise.symmetric,
        "The headline test. Its p values are shares of 2^n flips: the first line is the most that "
        "it can err with a symmetric difference, and ties (rounded) leave it less. Two variants "
        "whose seeds scatter alike have one, however skewed each of them is. If only one is "
        "skewed, or fails now and then, their means can be equal while the variants are not, and "
        "the test claims a difference of means too often: the lines that begin with one.",
    ),
    "t interval": Promise(
        "Student's t: the interval holds the true difference",
        1 - ALPHA,
        "normal",
        lambda noise: noise.normal,
        "The paired t test claims a difference where there is none in what is left to 100. It "
        "does so less than it may where outliers widen the interval.",
    ),
    "studentised bootstrap": Promise(
        "The studentised bootstrap: the interval holds the true difference",
        1 - ALPHA,
        "normal",
        lambda noise: noise.normal,
        "Beside t, not in its place. Under other noise it promises no more than to come near with "
        "many seeds: it holds the truth more often than t where one variant is skewed, and less "
        "often where outliers lie on both sides.",
    ),
    "equivalence test": Promise(
        "Equivalence: claimed of a difference as large as the margin",
        ALPHA,
        "normal",
        lambda noise: noise.normal,
        f"Two one-sided t tests; the margin is {MARGIN:g} standard deviations of the difference. "
        "Of a difference at either end of the margin, that of which it is claimed more often.",
    ),
    "percentile bootstrap": Promise(
        "Not used: the percentile bootstrap's interval holds the true difference",
        1 - ALPHA,
        "many seeds",
        lambda noise: False,
        "Far too narrow for few seeds, whatever the noise.",
    ),
    "BCa bootstrap": Promise(
        "Not used: the BCa bootstrap's interval holds the true difference",
        1 - ALPHA,
        "many seeds",
        lambda noise: False,
        "Corrected for bias and skewness, and as narrow or narrower.",
    ),
}
"""What each method should do, by its measure."""


def read_calibration(path: Path) -> Calibration:
    """A record that `python -m tests.calibration` wrote; raises `Refusal` if it is none."""
    return read_json(path, TypeAdapter(Calibration), "make it anew with `nox -s calibration`")
