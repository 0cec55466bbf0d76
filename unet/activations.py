"""What bends the maps between convolutions: the table `ACTIVATIONS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True, kw_only=True)
class Activation:
    """One activation, sample by sample, with its memory rule.

    For the backward pass it keeps one map: the one that it returns if `keeps_result`, else the
    one that it reads.
    """

    summary: str
    build: Callable[[], nn.Module]
    keeps_result: bool = False


def _relu() -> nn.Module:
    from torch import nn

    return nn.ReLU()


def _leaky_relu() -> nn.Module:
    from torch import nn

    return nn.LeakyReLU(0.01)


def _silu() -> nn.Module:
    from torch import nn

    return nn.SiLU()


def _gelu() -> nn.Module:
    from torch import nn

    return nn.GELU()


ACTIVATIONS: Final[dict[str, Activation]] = {
    "relu": Activation(
        summary="max(x, 0), as in the paper",
        build=_relu,
        keeps_result=True,
    ),
    "leaky_relu": Activation(
        summary="x, or 0.01 x where that is negative (Maas et al. 2013)",
        build=_leaky_relu,
    ),
    "silu": Activation(
        summary="x times its logistic function (Hendrycks and Gimpel 2016)",
        build=_silu,
    ),
    "gelu": Activation(
        summary="x times the normal distribution function of x (Hendrycks and Gimpel 2016)",
        build=_gelu,
    ),
}
