"""Maps and gradients that are channels-last throughout.

torch lays the gradient of a slice out channel by channel, whatever the layout of the map, and gives
a part of a concatenation a gradient with gaps. All that meets such a gradient takes several
times as long.
"""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from unet.model import Block, UNet
from unet.skips import center_crop


def channels_last(image: Tensor) -> Tensor:
    """A copy of images (N, C, H, W) that is channels-last also where it has one channel.

    There torch takes either layout for both, and a 1x1 convolution makes its maps in the other.
    """
    return torch.empty_like(image, memory_format=torch.channels_last).copy_(image)


def keep_layout(net: UNet) -> None:
    """Have all gradients of maps in `net` be channels-last."""
    for module in net.modules():
        if isinstance(module, (UNet, Block)):
            module.crop = crop
    for up in net.upsampling:
        up.register_forward_hook(_keep)


def crop(x: Tensor, height: int, width: int) -> Tensor:
    """`unet.skips.center_crop`, of maps (N, C, H, W), with a channels-last gradient."""
    window: Tensor = _Crop.apply(x, height, width)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return window


def _keep(_module: nn.Module, _arguments: tuple[Any, ...], x: Tensor) -> Tensor:
    return crop(x, *x.shape[-2:])


@final
class _Crop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, height: int, width: int) -> Tensor:
        ctx.shape = x.shape
        return center_crop(x, height, width)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        if gradient.shape == ctx.shape:
            return gradient.contiguous(memory_format=torch.channels_last), None, None
        whole = torch.empty(
            ctx.shape,
            dtype=gradient.dtype,
            device=gradient.device,
            memory_format=torch.channels_last,
        ).zero_()
        center_crop(whole, *gradient.shape[-2:]).copy_(gradient)
        return whole, None, None
