"""Nets whose forward asks for more than an image: for a time, a label, a second image."""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn

Made = Callable[[Tensor], Tensor]

KINDS: Final[Mapping[str, tuple[Made, Made]]] = {
    "a number for each image": (
        lambda image: image.new_full((len(image),), 0.5),
        lambda image: image.new_full((len(image),), 3.0),
    ),
    "an integer for each image": (
        lambda image: image.new_full((len(image),), 1, dtype=torch.long),
        lambda image: image.new_full((len(image),), 0, dtype=torch.long),
    ),
    "a column of a number for each image": (
        lambda image: image.new_full((len(image), 1), 0.5),
        lambda image: image.new_full((len(image), 1), 3.0),
    ),
    "a second image": (lambda image: 0.5 * image, lambda image: -image),
}
"""What an argument may be asking for: one that agrees with an image, (N, C, ...), and another."""

MOST: Final = 3
"""So many further arguments are tried; each multiplies the ways to fill them."""


def required(net: nn.Module) -> list[inspect.Parameter]:
    """The arguments that `forward` asks for besides its first."""
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p for p in further(net) if p.default is p.empty and p.kind not in variadic]


def further(net: nn.Module) -> list[inspect.Parameter]:
    """All arguments that `forward` takes besides its first."""
    try:
        return list(inspect.signature(net.forward).parameters.values())[1:]
    except (TypeError, ValueError):
        return []


def ways_to_offer(net: nn.Module) -> Iterator[dict[str, str]]:
    """Each way to give one of the arguments that are None if nobody gives them."""
    optional = [argument.name for argument in further(net) if argument.default is None]
    for name, kind in itertools.product(optional[:MOST], KINDS):
        yield {name: kind}


def ways_to_fill(net: nn.Module) -> Iterator[dict[str, str]]:
    """Each way to give the arguments that `forward` asks for: their kinds by their names."""
    names = [argument.name for argument in required(net)]
    if len(names) <= MOST:
        for kinds in itertools.product(KINDS, repeat=len(names)):
            yield dict(zip(names, kinds, strict=True))


def filled(
    net: nn.Module, way: Mapping[str, str], other: str = "", *, in_turn: bool = False
) -> nn.Module:
    """A net of the same layers, under the same names, whose forward takes an image alone.

    The argument `other` is given another value than the rest of the time: of a batch every image
    or, `in_turn`, every second one.
    """
    kind = type(net)

    def given(name: str, image: Tensor) -> Tensor:
        usual, another = KINDS[way[name]]
        if name != other:
            return usual(image)
        if not in_turn:
            return another(image)
        made = ((another if i % 2 else usual)(image[i : i + 1]) for i in range(len(image)))
        return torch.cat(list(made))

    def forward(self: nn.Module, image: Tensor) -> object:
        return kind.forward(self, image, **{name: given(name, image) for name in way})

    members: dict[str, Any] = {"forward": forward}
    twin = copy.copy(net)
    # A module around it would change every parameter's name, and copies would share a closure.
    twin.__class__ = type(kind.__name__, (kind,), members)
    return twin
