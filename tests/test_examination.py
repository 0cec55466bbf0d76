"""What can be examined: nets that come without shapes, in script, or that run on nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.checks.small import Small, alarms
from unet import Refusal
from unet.examination import Examination
from unet.verify import run_check


@torch.jit.script
def cropped(skip: Tensor, risen: Tensor) -> Tensor:
    edge = (skip.shape[2] - risen.shape[2]) // 2
    return skip[:, :, edge : edge + risen.shape[2], edge : edge + risen.shape[3]]


class Scripted(Small):
    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(cropped(skip, risen), risen)


def test_compiled_script_is_followed_like_the_rest() -> None:
    """Its operations are steps as all others, and it cuts no gradient."""
    torch.manual_seed(0)
    x = Examination(Scripted(), in_channels=1)
    assert run_check("gradients_flow_through_every_path", x)[0].status == "pass"
    assert [join.level for join in x.anatomy.joins] == [0]


class Lazy(Small):
    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.LazyConv2d(4, 3, padding=1)
        self.norm = nn.LazyBatchNorm2d()

    def down(self, skip: Tensor) -> Tensor:
        return super().down(self.norm(skip))


def test_lazy_layers_get_their_shapes() -> None:
    """They are sound like others."""
    assert not alarms(Lazy)


class Nothing(nn.Module):
    def forward(self, x: Tensor) -> list[Tensor]:
        return []


class Reading(Small):
    def forward(self, x: Tensor, text: list[str]) -> Tensor:  # type: ignore[override]
        return super().forward(x) * len(text[0].strip())


class LazyAndBroken(Lazy):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[:, :, :-1])


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (Reading, "forward also asks for text, and neither numbers nor a second image"),
        (LazyAndBroken, "lazy layers and ran on no image: RuntimeError: Sizes of tensors"),
        (Nothing, "the net ran on no image: it returned no map"),
        (lambda: nn.Conv1d(1, 1, 3), "convolves along one axis"),
    ],
)
def test_what_cannot_be_examined_is_refused(factory: Callable[[], nn.Module], message: str) -> None:
    """In one line, with what would do."""
    with pytest.raises(Refusal, match=message):
        Examination(factory())
