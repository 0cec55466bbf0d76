"""How the expansive path doubles its resolution: the table `UPSAMPLINGS`.

Every entry takes (N, in_channels, H, W) to (N, out_channels, 2H, 2W). All but those that align
corners lie on the same half-pixel grid: fine pixels 2i and 2i+1 tile the coarse pixel i.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final, final

from typing_extensions import override

if TYPE_CHECKING:
    from torch import nn


class Upsampling(ABC):
    """One way to upsample by two, with its rules for size, parameters, work and memory.

    `spread` says which coarse samples the fine sample k reads: (k - spread) // 2 to
    (k + spread) // 2, as far as they exist.
    """

    summary: str
    spread: int = 0

    def size(self, size: int) -> int:
        """The side that comes out for an input of side `size`."""
        return 2 * size

    def step(self, size: int) -> Fraction:  # noqa: ARG002  # aligned corners ask for it
        """Coarse steps from one fine sample to the next, for an input of side `size`.

        Both maps have the same centre.
        """
        return Fraction(1, 2)

    @abstractmethod
    def parameters(self, in_channels: int, out_channels: int) -> int:
        """Weights and biases."""

    @abstractmethod
    def macs(self, in_channels: int, out_channels: int, pixels: int) -> int:
        """Multiply-adds of the convolution for an input of H * W = `pixels`, without biases."""

    @abstractmethod
    def bias_adds(self, out_channels: int, pixels: int) -> int:
        """Additions of a bias for an input of H * W = `pixels`."""

    @abstractmethod
    def build(self, in_channels: int, out_channels: int) -> nn.Module:
        """The layer itself."""


@final
@dataclass(frozen=True)
class Transposed(Upsampling):
    """A transposed convolution whose kernel equals its stride, so that no outputs overlap."""

    summary: str

    @override
    def parameters(self, in_channels: int, out_channels: int) -> int:
        return in_channels * out_channels * 4 + out_channels

    @override
    def macs(self, in_channels: int, out_channels: int, pixels: int) -> int:
        return in_channels * out_channels * 4 * pixels

    @override
    def bias_adds(self, out_channels: int, pixels: int) -> int:
        return out_channels * 4 * pixels

    @override
    def build(self, in_channels: int, out_channels: int) -> nn.Module:
        from torch import nn

        return nn.ConvTranspose2d(in_channels, out_channels, kernel_size=2, stride=2)


@final
@dataclass(frozen=True)
class Resized(Upsampling):
    """A 1x1 convolution, then interpolation.

    The two commute (interpolation weights sum to one, so even the bias passes through), and
    this order costs a quarter of the other. With `align_corners` the outermost samples of both
    maps lie on each other, so that the fine grid is too narrow by half a pixel at each end and
    its step depends on the size. The fine sample k, at k (n - 1) / (2n - 1), still reads the same
    coarse samples: it lies less than half a coarse step from where it should.
    """

    summary: str
    mode: str
    spread: int = 0
    align_corners: bool = False

    @override
    def step(self, size: int) -> Fraction:
        return Fraction(size - 1, 2 * size - 1) if self.align_corners else Fraction(1, 2)

    @override
    def parameters(self, in_channels: int, out_channels: int) -> int:
        return in_channels * out_channels + out_channels

    @override
    def macs(self, in_channels: int, out_channels: int, pixels: int) -> int:
        return in_channels * out_channels * pixels

    @override
    def bias_adds(self, out_channels: int, pixels: int) -> int:
        return out_channels * pixels

    @override
    def build(self, in_channels: int, out_channels: int) -> nn.Module:
        from torch import nn

        return nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=1),
            # torch wants None where there is nothing to align.
            nn.Upsample(scale_factor=2, mode=self.mode, align_corners=self.align_corners or None),
        )


@final
@dataclass(frozen=True)
class PixelShuffle(Upsampling):
    """A 1x1 convolution to four times the channels, rearranged into 2x2 pixels.

    Shi et al. 2016, arXiv 1609.05158. As a linear map it is the 2x2 transposed convolution
    with a bias of its own for each of the four pixels.
    """

    summary: str

    @override
    def parameters(self, in_channels: int, out_channels: int) -> int:
        return in_channels * out_channels * 4 + out_channels * 4

    @override
    def macs(self, in_channels: int, out_channels: int, pixels: int) -> int:
        return in_channels * out_channels * 4 * pixels

    @override
    def bias_adds(self, out_channels: int, pixels: int) -> int:
        return out_channels * 4 * pixels

    @override
    def build(self, in_channels: int, out_channels: int) -> nn.Module:
        from torch import nn

        return nn.Sequential(
            nn.Conv2d(in_channels, 4 * out_channels, kernel_size=1),
            nn.PixelShuffle(2),
        )


UPSAMPLINGS: Final[dict[str, Upsampling]] = {
    "transposed": Transposed("a 2x2 transposed convolution of stride 2, as in the paper"),
    "bilinear": Resized("a 1x1 convolution, then bilinear interpolation", "bilinear", 1),
    "bilinear_corners": Resized(
        "a 1x1 convolution, then bilinear interpolation that aligns the corners",
        "bilinear",
        spread=1,
        align_corners=True,
    ),
    "nearest": Resized("a 1x1 convolution, then each pixel repeated 2x2", "nearest"),
    "pixel_shuffle": PixelShuffle("a 1x1 convolution to 4x the channels, shuffled into 2x2 pixels"),
}
