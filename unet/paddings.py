"""What a 3x3 convolution does at the border of its input: the table `PADDINGS`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, final

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True, kw_only=True)
class Padding:
    """One way to treat the border, with its size rule and the convolution that follows it.

    `loss` is what a 3x3 convolution takes off each side, in pixels of its own level;
    `smallest` is the smallest side that such a convolution accepts. `writes_border` says that
    the border is written out in a copy of the map, `keeps_map` that the map itself is then
    kept for the backward pass as well.
    """

    summary: str
    loss: int
    smallest: int
    mode: Literal["zeros", "reflect", "replicate", "circular"]
    writes_border: bool = False
    keeps_map: bool = True

    def size(self, size: int) -> int:
        """The side that a 3x3 convolution returns for an input of side `size`."""
        return size - 2 * self.loss

    def build(self, in_channels: int, out_channels: int, *, bias: bool) -> nn.Conv2d:
        """A 3x3 convolution, (N, in_channels, H, W) to (N, out_channels, size(H), size(W))."""
        from torch import nn

        return nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size=3,
            padding=1 - self.loss,
            padding_mode=self.mode,
            bias=bias,
        )


PADDINGS: Final[dict[str, Padding]] = {
    "valid": Padding(
        summary="no padding, as in the paper: each 3x3 convolution takes 1 pixel off each side",
        loss=1,
        smallest=3,
        mode="zeros",
    ),
    "zeros": Padding(
        summary="a ring of zeros keeps the size: what torch calls 'same'",
        loss=0,
        smallest=1,
        mode="zeros",
    ),
    "reflect": Padding(
        summary="the image mirrored about its outermost pixels keeps the size",
        loss=0,
        smallest=2,
        mode="reflect",
        writes_border=True,
    ),
    "replicate": Padding(
        summary="the outermost pixels repeated keep the size",
        loss=0,
        smallest=1,
        mode="replicate",
        writes_border=True,
    ),
    "circular": Padding(
        summary="the image wrapped around, as on a torus, keeps the size",
        loss=0,
        smallest=1,
        mode="circular",
        writes_border=True,
        keeps_map=False,
    ),
}
