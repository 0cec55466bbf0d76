"""nnU-Net's two nets, whose arguments are classes: a call of literals does not make them."""

from __future__ import annotations

from typing import Any, Final

from torch import nn

ARGUMENTS: Final[dict[str, Any]] = {
    "input_channels": 1,
    "n_stages": 4,
    "features_per_stage": (16, 32, 64, 128),
    "conv_op": nn.Conv2d,
    "kernel_sizes": 3,
    "strides": (1, 2, 2, 2),
    "n_conv_per_stage_decoder": 2,
    "num_classes": 2,
    "conv_bias": True,
    "norm_op": nn.InstanceNorm2d,
    "norm_op_kwargs": {"affine": True},
    "nonlin": nn.LeakyReLU,
}


def plain() -> nn.Module:
    """nnU-Net's own net, small."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    net: nn.Module = PlainConvUNet(n_conv_per_stage=2, **ARGUMENTS)
    return net


def residual() -> nn.Module:
    """Its newer net with a residual encoder, small."""
    from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet

    net: nn.Module = ResidualEncoderUNet(n_blocks_per_stage=2, **ARGUMENTS)
    return net
