"""One training run: a net, a task, a budget and a seed, with a key that is its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final, Self, final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ablations.shapes import TASKS
from unet.algebra import cost
from unet.refusal import Refusal, require_choice, shown
from unet.spec import PAPER, UNetSpec, spec_with

STRICT: Final = ConfigDict(frozen=True, extra="forbid", strict=True)


class TaskSettings(BaseModel):
    """What is to be segmented: images of `size` pixels, scored on the central `scored`.

    `noise` is the standard deviation of the grey noise, where white is 1.
    """

    model_config = STRICT

    name: str
    size: int = Field(ge=16, le=4096)
    scored: int = Field(ge=1, le=4096)
    noise: float = Field(ge=0, le=10)

    @field_validator("name")
    @classmethod
    def _is_a_task(cls, name: str) -> str:
        require_choice("task name", name, TASKS)
        return name


class Training(BaseModel):
    """How long and how: Adam with a one-cycle learning rate that peaks at `learning_rate`."""

    model_config = STRICT

    steps: int = Field(ge=1, le=10_000_000)
    batch: int = Field(ge=1, le=65_536)
    learning_rate: float = Field(gt=0, allow_inf_nan=False)
    test_images: int = Field(ge=1, le=1_000_000)


@final
@dataclass(frozen=True, kw_only=True)
class Cell:
    """One training run."""

    spec: UNetSpec
    task: TaskSettings
    training: Training
    seed: int

    @cached_property
    def key(self) -> str:
        """32 hexadecimal digits of the hash of the content, the same on every machine.

        Spec fields at their defaults are left out, so that a field which a later version
        adds does not change the keys of cells that do not use it.
        """
        return _digest({**self._content, "seed": self.seed})

    @cached_property
    def variant(self) -> str:
        """The key of everything but the seed."""
        return _digest(self._content)

    @property
    def _content(self) -> dict[str, object]:
        return {
            "spec": {
                name: value
                for name, value in asdict(self.spec).items()
                if value != getattr(PAPER, name)
            },
            "task": self.task.model_dump(exclude_defaults=True),
            "training": self.training.model_dump(exclude_defaults=True),
        }

    @property
    def training_macs(self) -> int:
        """Multiply-adds of the run: a backward pass computes two products of the forward's size."""
        macs = cost(self.spec, self.task.size, self.task.size).macs
        return 3 * macs * self.training.steps * self.training.batch

    def value(self, axis: str) -> object:
        """The value of an axis: `padding`, `training.steps`, ..."""
        group, _, name = axis.rpartition(".")
        return getattr(getattr(self, group) if group else self.spec, name)

    def as_data(self) -> dict[str, Any]:
        """Plain data, for a record; `from_data` is its inverse."""
        spec = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self.spec).items()
        }
        return {
            "spec": spec,
            "task": self.task.model_dump(),
            "training": self.training.model_dump(),
            "seed": self.seed,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The cell that `as_data` described; raises `Refusal` if it describes none."""
        try:
            return cls(
                spec=spec_with(PAPER, data["spec"]),
                task=TaskSettings.model_validate(data["task"]),
                training=Training.model_validate(data["training"]),
                seed=_read_seed(data["seed"]),
            )
        except (
            *(KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError),
        ) as problem:
            said = problem.errors()[0]["msg"] if isinstance(problem, ValidationError) else problem
            raise Refusal(f"a record's cell is malformed: {said}") from None


def _read_seed(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise Refusal(f"seed {shown(value)} is not a whole number from 0")
    return value


def _digest(content: Mapping[str, object]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
