"""What four tools say that a net costs, side by side, and where each departs from the count.

The count is that of multiply-adds (MACs) in convolutions, without biases. Three tools report
it under other names and other rules; the table `DEVIATIONS` shows each rule on the smallest
net that brings it out.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from unet.refusal import Refusal
from unet.spec import UNetSpec

if TYPE_CHECKING:
    from torch import Tensor, nn


def count_with_fvcore(net: nn.Module, image: Tensor) -> int:
    """Return fvcore's `by_operator()["conv"]`: multiply-adds, though fvcore calls them flops.

    fvcore runs the net for real: a net in training mode would have its batch statistics
    changed, and one on the meta device cannot be run. So the net is counted in eval mode, and
    a meta tensor raises `Refusal`.
    """
    from fvcore.nn import FlopCountAnalysis

    if image.is_meta:
        raise Refusal("fvcore cannot count on the meta device: give it a real image")
    with _evaluating(net), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch.jit, which fvcore traces with
        analysis = FlopCountAnalysis(net, image)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        return int(analysis.by_operator()["conv"])


def count_with_torch(net: nn.Module, image: Tensor) -> int:
    """Return torch's own `FlopCounterMode`: FLOPs, two for each multiply-add."""
    from torch.utils.flop_counter import FlopCounterMode

    with _evaluating(net), FlopCounterMode(display=False) as counter:
        net(image)
    return int(counter.get_total_flops())


def count_with_torchinfo(net: nn.Module, image: Tensor) -> int:
    """Return torchinfo's `total_mult_adds`: (weights + biases) * output pixels of every layer.

    That counts a transposed convolution stride^2 times too high, adds one for each bias, and
    counts next to nothing for functional calls.
    """
    import torchinfo

    with _evaluating(net):
        return int(torchinfo.summary(net, input_data=image, verbose=0).total_mult_adds)


@contextmanager
def _evaluating(net: nn.Module) -> Iterator[None]:
    """The net in eval mode without gradients, then each module in its own mode again."""
    import torch

    modes = {module: module.training for module in net.modules()}
    logger = logging.getLogger("fvcore.nn.jit_analysis")
    level = logger.level
    logger.setLevel(logging.ERROR)
    net.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        logger.setLevel(level)
        for module, training in modes.items():
            module.training = training


COUNTERS: Final[Mapping[str, Callable[[nn.Module, Tensor], int]]] = {
    "fvcore": count_with_fvcore,
    "torch": count_with_torch,
    "torchinfo": count_with_torchinfo,
}


def count_with_all(spec: UNetSpec, height: int, width: int) -> dict[str, int]:
    """What each tool says of `spec`'s net for one image of (height, width).

    Runs the net, which takes a while for a large one. Raises `Refusal` for an illegal size.
    """
    import torch

    from unet.model import UNet

    net, image = UNet(spec), torch.zeros(1, spec.in_channels, height, width)
    return {tool: count(net, image) for tool, count in COUNTERS.items()}


@final
@dataclass(frozen=True, kw_only=True)
class Deviation:
    """One way in which a tool departs from the count of multiply-adds, on a net that shows it.

    `macs` is the true count and `says` what the tool returns, both for an image of
    (1, 4, 10, 10); `build` makes the net.
    """

    tool: str
    rule: str
    build: Callable[[], nn.Module]
    macs: int
    says: int


def _convolution() -> nn.Module:
    from torch import nn

    return nn.Conv2d(4, 4, kernel_size=3)


def _transposed(groups: int) -> nn.Module:
    from torch import nn

    return nn.ConvTranspose2d(4, 4, kernel_size=2, stride=2, groups=groups, bias=False)


def _normalised() -> nn.Module:
    from torch import nn

    return nn.Sequential(nn.Conv2d(4, 4, kernel_size=3, bias=False), nn.BatchNorm2d(4))


def _functional() -> nn.Module:
    import torch
    from torch import nn

    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(4, 4, 3, 3))

        def forward(self, image: Tensor) -> Tensor:
            return nn.functional.conv2d(image, self.weight)

    return Functional()


DEVIATIONS: Final[tuple[Deviation, ...]] = (
    Deviation(
        tool="torch",
        rule="counts two FLOPs for each multiply-add",
        build=_convolution,
        macs=8 * 8 * 9 * 4 * 4,
        says=2 * 8 * 8 * 9 * 4 * 4,
    ),
    Deviation(
        tool="torchinfo",
        rule="adds one for each bias and output pixel",
        build=_convolution,
        macs=8 * 8 * 9 * 4 * 4,
        says=8 * 8 * 9 * 4 * 4 + 8 * 8 * 4,
    ),
    Deviation(
        tool="torchinfo",
        rule="counts a transposed convolution stride^2 times too high",
        build=lambda: _transposed(groups=1),
        macs=10 * 10 * 4 * 4 * 4,
        says=4 * 10 * 10 * 4 * 4 * 4,
    ),
    Deviation(
        tool="torchinfo",
        rule="the same for a grouped one",
        build=lambda: _transposed(groups=2),
        macs=10 * 10 * 4 * 4 * 4 // 2,
        says=4 * 10 * 10 * 4 * 4 * 4 // 2,
    ),
    Deviation(
        tool="torchinfo",
        rule="counts the parameters of a batch norm as multiply-adds",
        build=_normalised,
        macs=8 * 8 * 9 * 4 * 4,
        says=8 * 8 * 9 * 4 * 4 + 8,
    ),
    Deviation(
        tool="torchinfo",
        rule="counts the weights of a convolution called as a function once, not for each pixel",
        build=_functional,
        macs=8 * 8 * 9 * 4 * 4,
        says=9 * 4 * 4,
    ),
)
"""Every known departure; fvcore's convolutions have none beyond their name."""
