"""The net itself: `UNet(spec)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from torch import Tensor, nn

from unet.activations import ACTIVATIONS
from unet.algebra import size_law
from unet.downsamplings import DOWNSAMPLINGS
from unet.inits import INITS
from unet.norms import NORMS
from unet.paddings import PADDINGS
from unet.refusal import Refusal
from unet.skips import SKIPS, center_crop
from unet.spec import PAPER, UNetSpec
from unet.upsampling import UPSAMPLINGS


@final
class Block(nn.Module):
    """Two 3x3 convolutions, each followed by its norm and activation; then dropout, if any.

    In a residual block what entered is added before the last activation. The projection has no
    bias or norm of its own: the sum has those of the second convolution.
    """

    def __init__(
        self, spec: UNetSpec, in_channels: int, out_channels: int, *, drops_out: bool = False
    ) -> None:
        super().__init__()
        padding, norm = PADDINGS[spec.padding], NORMS[spec.norm]
        self.conv1 = padding.build(in_channels, out_channels, bias=norm.conv_bias)
        self.norm1 = norm.build(out_channels)
        self.conv2 = padding.build(out_channels, out_channels, bias=norm.conv_bias)
        self.norm2 = norm.build(out_channels)
        self.activation = ACTIVATIONS[spec.activation].build()
        self.dropout = nn.Dropout(spec.dropout) if drops_out else nn.Identity()
        self.is_residual = spec.residual
        # Whoever trains may want another gradient of it.
        self.crop: Callable[[Tensor, int, int], Tensor] = center_crop
        self.projection: nn.Module = nn.Identity()
        if spec.residual and in_channels != out_channels:
            self.projection = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H', W'), H' by the padding's size rule."""
        between = self.activation(self.norm1(self.conv1(x)))
        made = self.activation(self._with_entered(x, self.norm2(self.conv2(between))))
        out: Tensor = self.dropout(made)
        return out

    def _with_entered(self, entered: Tensor, x: Tensor) -> Tensor:
        if not self.is_residual:
            return x
        shortcut: Tensor = self.projection(self.crop(entered, *x.shape[-2:]))
        return x + shortcut


@final
class UNet(nn.Module):
    """The U-Net that `spec` describes (paper, figure 1): images to logits.

    Input (N, in_channels, H, W), output (N, num_classes, H', W') with H' and W' by
    `unet.algebra.size_law`. An illegal size raises `Refusal` (a ValueError) that names the
    nearest legal ones; nothing is padded or resized silently.

    >>> import torch
    >>> UNet()(torch.zeros(1, 1, 188, 188)).shape
    torch.Size([1, 2, 4, 4])
    """

    def __init__(self, spec: UNetSpec = PAPER) -> None:
        super().__init__()
        self.spec = spec
        self.size_law = size_law(spec)
        widths = [spec.in_channels, *map(spec.channels, range(spec.depth + 1))]
        self.contracting = nn.ModuleList(
            Block(spec, widths[level], widths[level + 1], drops_out=spec.drops_out(level))
            for level in range(spec.depth)
        )
        self.bottleneck = Block(spec, widths[-2], widths[-1], drops_out=spec.drops_out(spec.depth))
        # Named by the level to which each leads.
        self.pool = nn.ModuleDict(
            {
                str(level + 1): DOWNSAMPLINGS[spec.downsampling].build(spec.channels(level))
                for level in range(spec.depth)
            }
        )
        # All lists are indexed by level, so that upsampling[2] leads to join[2] and expansive[2].
        self.upsampling = nn.ModuleList(
            UPSAMPLINGS[spec.upsampling].build(
                spec.channels(level + 1), spec.upsampled_channels(level)
            )
            for level in range(spec.depth)
        )
        self.crop: Callable[[Tensor, int, int], Tensor] = center_crop
        self.skips = [SKIPS[spec.skip_at(level)] for level in range(spec.depth)]
        self.join = nn.ModuleList(
            skip.build(spec.upsampled_channels(level), spec.channels(level))
            for level, skip in enumerate(self.skips)
        )
        self.expansive = nn.ModuleList(
            Block(
                spec,
                skip.channels(spec.upsampled_channels(level), spec.channels(level)),
                spec.channels(level),
            )
            for level, skip in enumerate(self.skips)
        )
        self.activation = ACTIVATIONS[spec.activation].build()
        self.head = nn.Conv2d(spec.base_channels, spec.num_classes, kernel_size=1)
        for convolution in convolutions(self).values():
            INITS[spec.init].apply(convolution)

    def forward(self, image: Tensor) -> Tensor:
        """Images (N, in_channels, H, W) to logits (N, num_classes, H', W')."""
        logits: Tensor = self.head(self.features(image))
        return logits

    def features(self, image: Tensor) -> Tensor:
        """Images to what the head makes logits of, pixel by pixel: (N, base_channels, H', W')."""
        self._require_legal(image)
        skipped: dict[int, Tensor] = {}
        x = image
        for level, block in enumerate(self.contracting):
            x = block(x)
            if self.skips[level].uses_skip:
                skipped[level] = x
            x = self.pool[str(level + 1)](x)
        x = self.bottleneck(x)
        for level in reversed(range(self.spec.depth)):
            x = self.upsampling[level](x)
            if self.spec.up_relu:
                x = self.activation(x)
            if level in skipped:
                # A name for the skip would keep it alive.
                x = self.join[level](x, self.crop(skipped.pop(level), *x.shape[-2:]))
            x = self.expansive[level](x)
        features: Tensor = x
        return features

    def _require_legal(self, image: Tensor) -> None:
        if image.dim() != 4 or image.shape[1] != self.spec.in_channels:
            raise Refusal(
                f"input shape {tuple(image.shape)} is not (N, {self.spec.in_channels}, H, W)"
            )
        for name, size in zip(("height", "width"), image.shape[-2:], strict=True):
            if not self.size_law.is_legal(size):
                raise Refusal(
                    f"input {name} {size} is not legal: {self.size_law.nearest_in_words(size)}"
                )


def convolutions(net: nn.Module) -> dict[str, nn.Conv2d | nn.ConvTranspose2d]:
    """Every convolution of `net` by its module name, in the order of definition."""
    return {
        name: module
        for name, module in net.named_modules()
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))
    }
