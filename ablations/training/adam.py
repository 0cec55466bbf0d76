"""Adam on weights that a net holds in a lower precision, all of it in its place."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.optim.adam import adam


@final
class Adam:
    """Adam (Kingma and Ba 2015) with its usual settings, on the weights of `net`.

    Weights that `net` has in bfloat16 are learnt in float32 and rounded once a step, which is
    what autocast does, but there operation by operation and in the graph of the gradients.
    `torch.optim.Adam` has the same arithmetic, and imports torch's compiler, which takes a second.
    """

    def __init__(self, net: nn.Module, rate: Tensor) -> None:
        self._weights = list(net.parameters())
        self._rate = rate
        self._exact = [weight.detach().float() for weight in self._weights]
        self._gradients = [torch.empty_like(weight) for weight in self._exact]
        self._moments = [torch.zeros_like(weight) for weight in self._exact]
        self._squares = [torch.zeros_like(weight) for weight in self._exact]
        self._steps = [torch.zeros((), device=rate.device) for _ in self._exact]

    @torch.no_grad()
    def begin(self, start: nn.Module) -> None:
        """Forget what was learnt, and go on from the weights of `start`, a net of the same kind."""
        for state in (self._moments, self._squares, self._steps):
            torch._foreach_zero_(state)
        for exact, weight in zip(self._exact, start.parameters(), strict=True):
            exact.copy_(weight)
        self._round()

    def forget_gradients(self) -> None:
        """Before a backward pass: what is there is written over, not added to."""
        for weight in self._weights:
            weight.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move every weight against its gradient, at the rate that the tensor of rates holds."""
        gradients = [weight.grad for weight in self._weights if weight.grad is not None]
        assert len(gradients) == len(self._weights), "every weight of a U-Net is used"
        torch._foreach_copy_(self._gradients, gradients)
        adam(
            *(self._exact, self._gradients, self._moments, self._squares, [], self._steps),
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
        self._round()

    def _round(self) -> None:
        # Those in float32 share their memory with the net's.
        for weight, exact in zip(self._weights, self._exact, strict=True):
            if weight.dtype != exact.dtype:
                weight.copy_(exact)
