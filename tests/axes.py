"""Values for every axis that a plan may have, and plans of one or two of them."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Mapping
from itertools import combinations
from typing import Any, Final

import numpy as np

from ablations.running.engines import Claim, Outcome
from ablations.runs.cell import Cell
from ablations.runs.plan import AXES, EQUAL, group_and_name
from ablations.runs.records import Example, Picture, Record
from tests.endurance.sleeper import record_of

VALUES: Final[Mapping[str, list[Any]]] = {
    "base_channels": [4, 8],
    "depth": [2, 1],
    "padding": ["valid", "zeros"],
    "skip": ["concat", "none"],
    "unskipped": [[], [0]],
    "upsampling": ["transposed", "bilinear"],
    "downsampling": ["max", "strided"],
    "norm": ["none", "batch"],
    "activation": ["relu", "silu"],
    "residual": [False, True],
    "up_relu": [False, True],
    "up_keeps_channels": [[], [0]],
    "dropout_levels": [0, 1],
    "dropout": [0, 0.25],
    "init": ["he", "torch"],
    "task.noise": [0, 0.5],
    "task.contrast": [1, 0.25],
    "task.difficulty": [0, 0.5],
    "task.test_noise": [0, 0.5],
    "task.test_contrast": [1, 0.25],
    "training.steps": [8, 12],
    "training.learning_rate": [0.0003, 5e-3],
    "training.precision": ["float32", "bfloat16"],
    "training.equal": ["steps", "macs"],
}

SETTINGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "spec": {"depth": 2, "base_channels": 4, "padding": "zeros", "norm": "batch"},
    "task": {"name": "texture", "size": 60, "scored": 20, "noise": 0.1},
    "training": {
        "steps": 8, "batch": 2, "learning_rate": 5e-3, "test_images": 3, "validation_images": 2,
        "evaluations": 2,
    },
}  # fmt: skip

PAIRS: Final = list(combinations(AXES, 2))


def refusal_of(*axes: str) -> str:
    """Why no plan has these axes together, as its reader says; empty if one may."""
    if EQUAL in axes and all(group_and_name(axis)[0] != "spec" for axis in axes):
        return "all variants have one spec and are equal: add an axis of [spec]"
    if set(axes) == {"depth", "unskipped"}:
        return "leaves out every level: that is skip 'none'"
    if set(axes) == {"skip", "unskipped"}:
        return "skip 'none' leaves out every level, so unskipped"
    return ""


def plan_of(*axes: str, **changes: object) -> str:
    """The text of a plan that varies these axes; `changes` are of what stands above all tables."""
    top = {"question": "Does it go the whole way?", "seeds": 3, **changes}
    lines = [f"{name} = {json.dumps(value)}" for name, value in top.items()]
    lines += ["[axes]", *(f"{axis} = {json.dumps(VALUES[axis])}" for axis in axes)]
    for group, settings in SETTINGS.items():
        lines.append(f"[{group}]")
        varied = [name for owner, name in map(group_and_name, axes) if owner == group]
        kept = {name: value for name, value in settings.items() if name not in varied}
        lines += [f"{name} = {json.dumps(value)}" for name, value in kept.items()]
    return "\n".join(lines)


class Here:
    """An engine that leaves records at once, without any training; some of them diverged."""

    def run(self, cells: Iterable[Cell], claim: Claim = list) -> Generator[list[Outcome]]:
        """All cells together."""
        yield [*map(made_up, claim(list(cells)))]


def made_up(cell: Cell) -> Record:
    """A record with everything that a trained one has; a diverged one now and then."""
    record = record_of(cell)
    if cell.key.startswith("0"):
        return record.model_copy(update={"outcome": "diverged", "counts": None, "curve": ()})
    size, scored = cell.task.size, cell.task.scored
    dice = np.random.default_rng(int(cell.key[:8], 16))
    image, mask, found = (
        Picture.of(dice.integers(0, most, (side, side), dtype=np.uint8))
        for side, most in ((size, 256), (scored, 2), (scored, 2))
    )
    example = Example(image=image, mask=mask, prediction=found) if cell.seed == 0 else None
    return record.model_copy(update={"example": example})
