"""Modules that take one pass over a map where torch's take several, with the same parameters.

On a CPU a small net spends more time on its norms, activations and poolings than on its
convolutions: each of them reads and writes whole maps, and does it once more for its gradient.
"""

from __future__ import annotations

from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from typing_extensions import override

from ablations.training.kernels import losses, norms, pooling, resizing
from ablations.training.kernels.values import Channels, Map
from unet.model import Block, UNet


def fuse(net: UNet, precision: str) -> None:
    """Put faster modules in the place of those of a net that is trained on a CPU.

    The names in its state dict stay.
    """
    for block in net.modules():
        # In a residual block something is added between the second norm and the activation.
        if isinstance(block, Block) and not block.is_residual:
            _fuse_block(block)
    for name, pool in net.pool.items():
        if isinstance(pool, nn.MaxPool2d):
            net.pool[name] = MaxPool()
    for level, up in enumerate(net.upsampling):
        if isinstance(up, nn.ConvTranspose2d) and precision == "bfloat16":
            net.upsampling[level] = UpConvolution(up.in_channels, up.out_channels)
        elif isinstance(up, nn.Sequential) and _is_doubling(up[1]):
            up[1] = Doubling()


def _fuse_block(block: Block) -> None:
    norm = block.norm1
    if isinstance(block.activation, nn.ReLU) and isinstance(norm, nn.BatchNorm2d):
        block.norm1, block.norm2 = (BatchNormRelu(norm.num_features) for _ in range(2))
        block.activation = nn.Identity()


def _is_doubling(module: nn.Module) -> bool:
    is_bilinear = isinstance(module, nn.Upsample) and module.mode == "bilinear"
    return is_bilinear and not module.align_corners


@final
class BatchNormRelu(nn.BatchNorm2d):
    """Batch normalisation and then ReLU, in 8 reads and writes of a map instead of 13.

    Batches are not counted, as only statistics that forget nothing ask for their number.
    """

    @override
    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same, on a CPU, float32 or bfloat16; in evaluation over `x`.

        Of a map that a convolution has just made nobody wants more.
        """
        assert self.running_mean is not None, "batch norms of a U-Net keep statistics"
        assert self.running_var is not None, "batch norms of a U-Net keep statistics"
        assert self.momentum, "and forget old ones"
        if self.training:
            running = self.running_mean.numpy(), self.running_var.numpy()
            kept = running, (self.momentum, self.eps)
            made: Tensor = _BatchNormRelu.apply(x, self.weight, self.bias, kept)  # type: ignore[no-untyped-call]  # torch leaves it untyped
            return made
        assert not torch.is_grad_enabled(), "what is written over has no gradient"
        x = x.contiguous(memory_format=torch.channels_last)
        scale = self.weight / (self.running_var + self.eps).sqrt()
        shift = self.bias - self.running_mean * scale
        norms.scale_relu(_flat(x), scale.numpy(), shift.numpy())
        return x


Kept = tuple[tuple[Channels, Channels], tuple[float, float]]
"""Running mean and variance; their momentum, and what is added to a variance."""


@final
class _BatchNormRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, kept: Kept) -> Tensor:
        if x.numel() == x.shape[1]:
            raise ValueError(f"a single pixel has no variance: {tuple(x.shape)}; enlarge the batch")
        x = x.contiguous(memory_format=torch.channels_last)
        made, of_channels = torch.empty_like(x), np.empty((4, x.shape[1]), np.float32)
        norms.batch_norm_relu(
            _flat(x),
            (weight.detach().numpy(), bias.detach().numpy()),
            *kept,
            (_flat(made), of_channels),
        )
        ctx.save_for_backward(x)
        ctx.of_channels = of_channels
        return made

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        channels = x.shape[1]
        of_x, of_weight, of_bias = torch.empty_like(x), torch.empty(channels), torch.empty(channels)
        of = _flat(of_x), of_weight.numpy(), of_bias.numpy()
        norms.batch_norm_relu_gradient(_flat(gradient), _flat(x), ctx.of_channels, of)
        return of_x, of_weight, of_bias, None


@final
class MaxPool(nn.Module):
    """The largest of each 2x2 pixels, whose places are found again instead of kept."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, 2H, 2W) to (N, C, H, W), on a CPU, float32 or bfloat16."""
        made: Tensor = _MaxPool.apply(x)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return made


@final
class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        images, channels, height, width = x.shape
        x = x.contiguous(memory_format=torch.channels_last)
        made = _empty(x, (images, channels, height // 2, width // 2))
        pooling.max_pool(_flat(x), width, channels, _flat(made))
        ctx.save_for_backward(x)
        return made

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        of_x = torch.empty_like(x)
        _, channels, _, width = x.shape
        pooling.max_pool_gradient(_flat(gradient), _flat(x), width, channels, _flat(of_x))
        return of_x


@final
class Doubling(nn.Module):
    """Twice the size by bilinear interpolation."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, 2H, 2W), on a CPU, float32 or bfloat16."""
        made: Tensor = _Doubling.apply(x)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return made


@final
class _Doubling(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        images, channels, height, width = ctx.shape = x.shape
        made = _empty(x, (images, channels, 2 * height, 2 * width))
        resizing.double(_pixels(x), _pixels(made))
        return made

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        of_x = _empty(gradient, ctx.shape)
        resizing.double_gradient(_pixels(gradient), _pixels(of_x))
        return of_x


@final
class UpConvolution(nn.ConvTranspose2d):
    """The 2x2 transposed convolution of stride 2 as a product of matrices.

    No two of its outputs overlap, so that each pixel makes four of its own. The library's
    gradient of the general case takes twice as long in bfloat16.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=2, stride=2)

    @override
    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, 2H, 2W)."""
        images, channels, height, width = x.shape
        assert output_size is None, "twice the size is the only one"
        assert self.bias is not None, "an up-convolution of a U-Net has a bias"
        weight = self.weight.permute(0, 2, 3, 1).reshape(channels, -1)
        pixels = x.permute(0, 2, 3, 1).reshape(-1, channels)
        fours = torch.addmm(self.bias.repeat(4), pixels, weight)
        fours = fours.view(images, height, width, 2, 2, -1).transpose(2, 3)
        return fours.reshape(images, 2 * height, 2 * width, -1).permute(0, 3, 1, 2)


def entropy_and_dice(logits: Tensor, label: Tensor) -> Tensor:
    """`learner.segmentation_loss` where each pixel has one class, on a CPU and in float32."""
    loss: Tensor = _EntropyAndDice.apply(logits, label)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return loss


@final
class _EntropyAndDice(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, label: Tensor) -> Tensor:
        logarithm = logits.contiguous().log_softmax(dim=1).flatten(2)
        chance, label = logarithm.exp(), label.contiguous().flatten(1)
        total = chance.sum(dim=(0, 2)).double().numpy()
        ctx.of_classes, ctx.shape = (np.empty_like(total), total), logits.shape
        ctx.save_for_backward(chance, label)
        loss = losses.entropy_and_dice(
            chance.numpy(), logarithm.numpy(), label.numpy(), ctx.of_classes
        )
        return torch.tensor(loss)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        chance, label = ctx.saved_tensors
        of_logits = torch.empty_like(chance)
        losses.entropy_and_dice_gradient(
            gradient.item(), chance.numpy(), label.numpy(), ctx.of_classes, of_logits.numpy()
        )
        return of_logits.view(ctx.shape), None


def _empty(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, memory_format=torch.channels_last)


def _pixels(x: Tensor) -> Map:
    """A map (N, C, H, W) as (N, H, W, C) in memory's order."""
    return _values(x.contiguous(memory_format=torch.channels_last)).transpose(0, 2, 3, 1)


def _flat(x: Tensor) -> Map:
    """What a channels-last map holds, in memory's order."""
    return _values(x).ravel("K")


def _values(x: Tensor) -> Map:
    """What numba is given: float32, or the bits of bfloat16."""
    return (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x.detach()).numpy()
