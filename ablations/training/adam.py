"""Adam on weights that a net holds in a lower precision, all of it in its place."""

from __future__ import annotations

from itertools import accumulate
from typing import Final, final

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

APART: Final = 16
"""Weights begin at multiples of so many: in float32 64 bytes, as memory is read."""


@final
class Adam:
    """Adam (Kingma and Ba 2015) with its usual settings, on the weights of `net`.

    Weights that `net` has in bfloat16 are learnt in float32 and rounded once a step, which is
    what autocast does, but there operation by operation and in the graph of the gradients.
    `torch.optim.Adam` has the same arithmetic, and imports torch's compiler, which takes a second.

    All weights are views of one tensor, and an operation on that is one for all of them. They must
    stay on their device.
    """

    def __init__(self, net: nn.Module, rate: Tensor) -> None:
        self._weights = list(net.parameters())
        ends = list(accumulate(-(-weight.numel() // APART) * APART for weight in self._weights))
        self._rate, self._steps = rate, torch.zeros((), device=rate.device)
        self._exact, self._gradients, self._moments, self._squares = (
            torch.zeros(ends[-1], device=rate.device) for _ in range(4)
        )
        # Where all weights are exact there is nothing to round: what is copied to itself stays.
        is_rounded = any(weight.dtype != torch.float32 for weight in self._weights)
        self._rounded = self._exact.bfloat16() if is_rounded else self._exact
        places = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
        self._exact_weights, self._weight_gradients = (
            [
                _like(weight, flat[place])
                for weight, place in zip(self._weights, places, strict=True)
            ]
            for flat in (self._exact, self._gradients)
        )
        self.begin(net)
        for weight, place in zip(self._weights, places, strict=True):
            held = self._exact if weight.dtype == torch.float32 else self._rounded
            weight.data = _like(weight, held[place])

    @torch.no_grad()
    def begin(self, start: nn.Module) -> None:
        """Forget what was learnt, and go on from the weights of `start`, a net of the same kind."""
        for state in (self._moments, self._squares, self._steps):
            state.zero_()
        for exact, weight in zip(self._exact_weights, start.parameters(), strict=True):
            exact.copy_(weight)
        self._rounded.copy_(self._exact)

    def forget_gradients(self) -> None:
        """Before a backward pass: what is there is written over, not added to."""
        for weight in self._weights:
            weight.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move every weight against its gradient, at the rate that the tensor of rates holds."""
        gradients = [weight.grad for weight in self._weights if weight.grad is not None]
        assert len(gradients) == len(self._weights), "every weight of a U-Net is used"
        torch._foreach_copy_(self._weight_gradients, gradients)
        adam(
            [self._exact],
            [self._gradients],
            [self._moments],
            [self._squares],
            [],
            [self._steps],
            fused=True,
            capturable=self._rate.is_cuda,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self._rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )
        self._rounded.copy_(self._exact)


def _like(weight: Tensor, held: Tensor) -> Tensor:
    """A view of the first values of `held`, laid out as `weight` is."""
    return held.as_strided(weight.size(), weight.stride())
