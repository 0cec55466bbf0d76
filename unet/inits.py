"""How the weights of a convolution start: the table `INITS`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from torch import nn

    Convolution = nn.Conv2d | nn.ConvTranspose2d


@final
@dataclass(frozen=True, kw_only=True)
class Init:
    """One initialisation; `apply` fills a convolution in place from torch's random state."""

    summary: str
    apply: Callable[[Convolution], None]


def _he(convolution: Convolution) -> None:
    from torch import nn

    fan_in = convolution.in_channels * math.prod(convolution.kernel_size)
    if isinstance(convolution, nn.ConvTranspose2d):
        # With the kernel equal to the stride each output pixel meets one input pixel, not four.
        fan_in //= math.prod(convolution.stride)
    nn.init.normal_(convolution.weight, std=math.sqrt(2 / fan_in))
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)


INITS: Final[dict[str, Init]] = {
    "he": Init(
        summary="N(0, sqrt(2 / N)) with N the incoming nodes of one neuron, biases 0 "
        "(paper, section 3)",
        apply=_he,
    ),
    "torch": Init(
        summary="what torch does by default: uniform with bound 1 / sqrt(fan in)",
        apply=lambda convolution: convolution.reset_parameters(),
    ),
}
