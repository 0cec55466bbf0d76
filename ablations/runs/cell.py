"""One training run: a net, a task, a budget and a seed, with a key that is its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final, Literal, Self, final

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from ablations.tasks.shapes import TASKS, Look
from unet.algebra import cost, size_law
from unet.refusal import Refusal, require_choice, shown
from unet.spec import PAPER, UNetSpec, spec_with

Precision = Literal["float32", "bfloat16"]
"""Torch's names of those in which convolutions may run; sums and weights are kept in float32."""

STRICT: Final = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class TaskSettings(BaseModel):
    """What is to be segmented: images of `size` pixels, scored on the central `scored`.

    `noise`, `contrast` and `difficulty` are those of `Look`, and `test_noise` and `test_contrast`
    shift the test images alone. With a `border` of
    "context" what lies between the scored window and the image's edge serves a net without padding
    as context. With "mirrored" all of the image is scored, and such a net sees it extended by
    mirroring about its outermost pixels (the overlap-tile of the paper's section 2).
    """

    model_config = STRICT

    name: str
    size: int = Field(ge=16, le=4096)
    scored: int = Field(ge=1, le=4096)
    noise: float = Field(default=0.0, ge=0, le=10)
    contrast: float = Field(default=1.0, ge=0, le=10)
    difficulty: float = Field(default=0.0, ge=0, le=1)
    test_noise: float | None = Field(default=None, ge=0, le=10)
    test_contrast: float | None = Field(default=None, ge=0, le=10)
    border: Literal["context", "mirrored"] = "context"

    @field_validator("name")
    @classmethod
    def _is_a_task(cls, name: str) -> str:
        require_choice("task name", name, TASKS)
        return name

    @field_validator("difficulty")
    @classmethod
    def _has_a_dial(cls, difficulty: float, others: ValidationInfo) -> float:
        task = TASKS.get(others.data.get("name", ""))
        if difficulty and task and not task.dial:
            having = ", ".join(name for name, each in TASKS.items() if each.dial)
            raise Refusal(f"the task has no such dial: give 0, or one of the tasks {having}")
        return difficulty

    @field_validator("border")
    @classmethod
    def _scores_the_whole_image(cls, border: str, others: ValidationInfo) -> str:
        size, scored = others.data.get("size"), others.data.get("scored")
        if border == "mirrored" and scored != size:
            raise Refusal(f"all of a mirrored image is scored: give scored = {size}")
        return border

    def look(self, split: str) -> Look:
        """How the images of `split` look."""
        noise, contrast = self.noise, self.contrast
        if split == "test":
            noise = noise if self.test_noise is None else self.test_noise
            contrast = contrast if self.test_contrast is None else self.test_contrast
        return Look(noise, contrast, self.difficulty)


class Training(BaseModel):
    """How long and how: Adam with a one-cycle learning rate that peaks at `learning_rate`.

    `validation_images` are other ones than those of the test: what is chosen is chosen on them.
    They are looked at at the end, or `evaluations` times along the run.

    `equal` says at equal what a plan compares its variants; it has solved the steps, or the
    spec's base channels, by then. `precision` is that of the convolutions.
    """

    model_config = STRICT

    steps: int = Field(ge=1, le=10_000_000)
    batch: int = Field(ge=1, le=65_536)
    learning_rate: float = Field(gt=0)
    test_images: int = Field(ge=1, le=1_000_000)
    equal: Literal["steps", "macs", "parameters"] = "steps"
    validation_images: int = Field(default=0, ge=0, le=1_000_000)
    evaluations: int = Field(default=0, ge=0, le=10_000)
    precision: Precision = "float32"

    @field_validator("evaluations")
    @classmethod
    def _has_images_and_steps(cls, evaluations: int, others: ValidationInfo) -> int:
        steps, images = others.data.get("steps"), others.data.get("validation_images")
        if evaluations and images == 0:
            raise Refusal("without validation images there is nothing to evaluate on: give some")
        if steps is not None and evaluations > steps:
            raise Refusal(f"a run of {steps} steps has no more evaluations than steps: give fewer")
        return evaluations

    @property
    def evaluated_at(self) -> list[int]:
        """After which steps the validation images are looked at: evenly spaced, with the last.

        Without `evaluations` that is at the end only, and without `validation_images` never.
        """
        if not self.validation_images:
            return []
        times = max(1, self.evaluations)
        return [-(-self.steps * part // times) for part in range(1, times + 1)]

    @property
    def scored_images(self) -> int:
        """Images that a run predicts and does not learn from, those of every evaluation."""
        return self.test_images + self.validation_images * len(self.evaluated_at)


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
        return _digest(f'{{"seed":{self.seed},{self._content}}}')

    @cached_property
    def variant(self) -> str:
        """The key of everything but the seed."""
        return _digest(f"{{{self._content}}}")

    @property
    def _content(self) -> str:
        """Everything but the seed, as the inside of a JSON object with sorted names."""
        parts = _spec_text(self.spec), _settings_text(self.task), _settings_text(self.training)
        return '"spec":{},"task":{},"training":{}'.format(*parts)

    @cached_property
    def input_size(self) -> int:
        """The side of what the net is given: of the image, or of the image with its mirrored rim.

        The latter is the smallest legal one whose output covers the image; a net that keeps the
        size needs no rim.
        """
        law, size = size_law(self.spec), self.task.size
        extended = self.task.border == "mirrored" and law.margin > 0
        return law.nearest(size + law.margin)[-1] if extended else size

    @property
    def forward_macs(self) -> int:
        """Multiply-adds of one forward pass of one image, with its mirrored rim if it has one."""
        return _macs(self.spec, self.input_size)

    @property
    def training_macs(self) -> int:
        """Multiply-adds of the run."""
        return training_macs(self.forward_macs, self.training.steps, self.training.batch)

    def value(self, axis: str) -> object:
        """The value of an axis: `padding`, `training.steps`, ..."""
        group, _, name = axis.rpartition(".")
        return getattr(getattr(self, group) if group else self.spec, name)

    def as_data(self) -> dict[str, Any]:
        """Plain data, for a record; `from_data` is its inverse."""
        return {
            "spec": {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in vars(self.spec).items()
            },
            "task": self.task.model_dump(),
            "training": self.training.model_dump(),
            "seed": self.seed,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The cell that `as_data` described; raises `Refusal` if it describes none."""
        try:
            return cls(
                spec=_read_spec(_json(data["spec"])),
                task=_read_task(_json(data["task"])),
                training=_read_training(_json(data["training"])),
                seed=_read_seed(data["seed"]),
            )
        except (
            *(KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError),
        ) as problem:
            said = problem.errors()[0]["msg"] if isinstance(problem, ValidationError) else problem
            raise Refusal(f"a record's cell is malformed: {said}") from None


def training_macs(macs: int, steps: int, batch: int) -> int:
    """Multiply-adds of a training, from those of one forward pass of one image.

    A backward pass computes two products of the forward's size.
    """
    return 3 * macs * steps * batch


# The cells of a sweep share their parts, so that a million of them are a few parts over and over.
_SHARED: Final = 4096


@lru_cache(_SHARED)
def _macs(spec: UNetSpec, size: int) -> int:
    return cost(spec, size, size).macs


@lru_cache(_SHARED)
def _spec_text(spec: UNetSpec) -> str:
    return _sorted_json(
        {name: value for name, value in vars(spec).items() if value != getattr(PAPER, name)}
    )


@lru_cache(_SHARED)
def _settings_text(settings: TaskSettings | Training) -> str:
    content = settings.model_dump(exclude_defaults=True)
    # It had no default once, and keys hold it.
    always = {"noise": settings.noise} if isinstance(settings, TaskSettings) else {}
    return _sorted_json({**content, **always})


@lru_cache(_SHARED)
def _read_spec(text: str) -> UNetSpec:
    return spec_with(PAPER, json.loads(text))


@lru_cache(_SHARED)
def _read_task(text: str) -> TaskSettings:
    return TaskSettings.model_validate(json.loads(text))


@lru_cache(_SHARED)
def _read_training(text: str) -> Training:
    return Training.model_validate(json.loads(text))


def _read_seed(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise Refusal(f"seed {shown(value)} is not a whole number from 0")
    return value


def _json(content: object) -> str:
    """As it was read: a number that is none is refused, and not turned into null."""
    return json.dumps(content, allow_nan=False)


def _sorted_json(content: Mapping[str, object]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
