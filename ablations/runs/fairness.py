"""At equal what variants are compared: the table `EQUALITIES`, with what each solves for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, final

from ablations.runs.cell import Cell, Training
from unet.algebra import parameters
from unet.refusal import Refusal
from unet.spec import UNetSpec

REACH: Final = 8
"""Channels about the width that a net without biases would need, among which the nearest lies."""


@final
@dataclass(frozen=True, kw_only=True)
class Equality:
    """One meaning of "equal": `solve(cell, reference)` is the cell that equals the reference's net.

    `told` reads off a cell what is equal then, or as nearly as whole numbers allow.
    """

    summary: str
    solve: Callable[[Cell, UNetSpec], Cell]
    told: Callable[[Cell], int]


def equalised(cell: Cell, reference: UNetSpec) -> Cell:
    """`cell` with what its training's `equal` asks for solved, so that it equals `reference`."""
    return EQUALITIES[cell.training.equal].solve(cell, reference)


def _with_steps(cell: Cell, reference: UNetSpec) -> Cell:
    """Trained for so many steps that its training takes the multiply-adds of the reference's."""
    theirs = replace(cell, spec=reference).forward_macs
    steps = max(1, round(cell.training.steps * theirs / cell.forward_macs))
    values = {**cell.training.model_dump(), "steps": steps}
    return replace(cell, training=_training(tuple(values.items())))


def _with_width(cell: Cell, reference: UNetSpec) -> Cell:
    """With the base_channels that bring its parameters nearest to the reference's."""
    return replace(cell, spec=_as_large(cell.spec, reference))


@lru_cache
def _training(values: tuple[tuple[str, object], ...]) -> Training:
    return Training.model_validate(dict(values))


@lru_cache(maxsize=4096)
def _as_large(spec: UNetSpec, reference: UNetSpec) -> UNetSpec:
    wanted = parameters(reference)
    # Weights grow with the square of the width, and biases hardly count.
    guess = round(spec.base_channels * math.sqrt(wanted / parameters(spec)))
    widths = (spec.base_channels, *range(guess - REACH, guess + REACH + 1))
    return min(
        (each for width in widths for each in _of_width(spec, width)),
        key=lambda each: (abs(parameters(each) - wanted), each.base_channels),
    )


def _of_width(spec: UNetSpec, width: int) -> list[UNetSpec]:
    """The spec with other base_channels, or none where it cannot have them."""
    try:
        return [replace(spec, base_channels=width)]
    except Refusal:
        return []


EQUALITIES: Final[Mapping[str, Equality]] = {
    "steps": Equality(
        summary="every net is trained for the same steps, whatever they cost",
        solve=lambda cell, _: cell,
        told=lambda cell: cell.training.steps,
    ),
    "macs": Equality(
        summary="every net is trained for as many multiply-adds as the first, in other steps",
        solve=_with_steps,
        told=lambda cell: cell.training_macs,
    ),
    "parameters": Equality(
        summary="every net has as many parameters as the first, by another base_channels",
        solve=_with_width,
        told=lambda cell: parameters(cell.spec),
    ),
}
"""In the order of `Training.equal`. The first variant is that of every spec axis' first level."""
