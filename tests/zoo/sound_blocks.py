"""Sound U-Nets that differ in what a block is and in how they go down and up."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Final, Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from typing_extensions import override

from tests.zoo.records import Sound, traits


@final
class PreActivation(nn.Module):
    """Norm and activation stand before each convolution, and every block is residual."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.block0, self.block1 = PreActivatedBlock(8), PreActivatedBlock(16)
        self.bottom = PreActivatedBlock(32)
        self.down0, self.down1 = nn.Conv2d(8, 16, 2, stride=2), nn.Conv2d(16, 32, 2, stride=2)
        self.up1, self.up0 = nn.ConvTranspose2d(32, 16, 2, 2), nn.ConvTranspose2d(16, 8, 2, 2)
        self.back1, self.back0 = PreActivatedBlock(16), PreActivatedBlock(8)
        self.head = nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 2, 1))

    @override
    def forward(self, image: Tensor) -> Tensor:
        fine = self.block0(self.stem(image))
        middle = self.block1(self.down0(fine))
        x = self.bottom(self.down1(middle))
        x = self.back1(self.up1(x) + middle)
        x = self.back0(self.up0(x) + fine)
        return self.head(x)


@final
class PreActivatedBlock(nn.Module):
    """Norm, ReLU, convolution, twice, around which the input goes unchanged."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    @override
    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv1(torch.relu(self.norm1(x)))
        return x + self.conv2(torch.relu(self.norm2(inner)))


def hourglass(
    block: Callable[[int, int], nn.Module],
    up: Callable[[int, int], nn.Module],
    widths: tuple[int, ...],
    pool: Callable[[int], nn.Module] = lambda _width: nn.MaxPool2d(2),
) -> nn.ModuleDict:
    """The modules of a net with concatenated skips, under names like `up2`."""
    modules: dict[str, nn.Module] = {}
    for level, (before, width) in enumerate(pairwise(widths)):
        modules[f"block{level}"] = block(before, width)
    for level, (width, below) in enumerate(pairwise(widths[1:])):
        modules[f"pool{level}"] = pool(width)
        modules[f"up{level}"] = up(below, width)
        modules[f"back{level}"] = block(2 * width, width)
    return nn.ModuleDict(modules)


class Hourglass(nn.Module):
    """What is left to choose is the block, the pooling and the upsampling."""

    UPSAMPLED_FIRST = False

    def __init__(self, modules: nn.ModuleDict, head: nn.Module) -> None:
        super().__init__()
        self.parts, self.head = modules, head
        self.depth = sum(name.startswith("up") for name in modules)

    @override
    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.level(0, image))

    def level(self, number: int, x: Tensor) -> Tensor:
        """What this level and those below make of its input."""
        skip = self.parts[f"block{number}"](x)
        if number == self.depth:
            return skip
        deep = self.level(number + 1, self.parts[f"pool{number}"](skip))
        up = self.parts[f"up{number}"](deep)
        pair = [up, skip] if self.UPSAMPLED_FIRST else [skip, up]
        return self.parts[f"back{number}"](torch.cat(pair, dim=1))


@final
class UpsampledFirst(Hourglass):
    """The upsampled channels come before those of the skip."""

    UPSAMPLED_FIRST = True


@final
class Checkpointed(Hourglass):
    """Blocks are worked out again in the backward pass instead of being remembered."""

    @override
    def level(self, number: int, x: Tensor) -> Tensor:
        block, back = f"block{number}", f"back{number}"
        skip = checkpoint(self.parts[block], x, use_reentrant=False)
        if number == self.depth:
            return skip
        up = self.parts[f"up{number}"](self.level(number + 1, self.parts[f"pool{number}"](skip)))
        return checkpoint(self.parts[back], torch.cat([skip, up], 1), use_reentrant=False)


@final
class Separable(nn.Module):
    """A depthwise and a pointwise convolution, batch norm, ReLU6: twice."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        for before in (in_channels, out_channels):
            steps += [
                nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False),
                nn.Conv2d(before, out_channels, 1, bias=False),
                nn.BatchNorm2d(out_channels),
                nn.ReLU6(inplace=True),
            ]
        self.steps = nn.Sequential(*steps)

    @override
    def forward(self, x: Tensor) -> Tensor:
        return self.steps(x)


@final
class ConvNeXt(nn.Module):
    """Like a ConvNeXt's: 7x7 depthwise, norm over the channels, wide and narrow, a residual."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(in_channels, width, 1)
        self.spatial = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand, self.reduce = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    @override
    def forward(self, x: Tensor) -> Tensor:
        x = self.project(x)
        inner = self.norm(self.spatial(x).permute(0, 2, 3, 1))
        inner = self.reduce(functional.gelu(self.expand(inner)))
        return x + inner.permute(0, 3, 1, 2)


@final
class Squeezed(nn.Module):
    """A bottleneck block (1x1, 3x3, 1x1) with group norm and a projected shortcut."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        inner = out_channels // 2
        self.main = nn.Sequential(
            *self.step(in_channels, inner, 1), nn.SiLU(),
            *self.step(inner, inner, 3), nn.SiLU(),
            *self.step(inner, out_channels, 1),
        )  # fmt: skip
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1)

    @staticmethod
    def step(before: int, after: int, kernel: int) -> Iterator[nn.Module]:
        """A convolution and its norm."""
        yield nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False)
        yield nn.GroupNorm(2, after)

    @override
    def forward(self, x: Tensor) -> Tensor:
        return functional.silu(self.main(x) + self.shortcut(x))


def convolutions(
    number: int,
    activation: Callable[[], nn.Module],
    mode: Literal["zeros", "replicate"] = "zeros",
) -> Callable[[int, int], nn.Module]:
    """Blocks of so many named convolutions, each with its activation."""

    def block(in_channels: int, out_channels: int) -> nn.Module:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for place in range(number):
            before = out_channels if place else in_channels
            layers[f"conv{place}"] = nn.Conv2d(
                before, out_channels, 3, padding=1, padding_mode=mode
            )
            layers[f"act{place}"] = activation()
        return nn.Sequential(layers)

    return block


def explicit_padding(in_channels: int, out_channels: int) -> nn.Module:
    """Two unpadded convolutions, each behind a reflection of its own."""
    return nn.Sequential(
        nn.ReflectionPad2d(1),
        nn.Conv2d(in_channels, out_channels, 3),
        nn.Mish(),
        nn.ReflectionPad2d(1),
        nn.Conv2d(out_channels, out_channels, 3),
        nn.Mish(),
    )


def dropped_out(in_channels: int, out_channels: int) -> nn.Module:
    """Two convolutions with batch norm, biases as well, and dropout of whole channels."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(True),
        nn.Conv2d(out_channels, out_channels, 3, padding=1),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(True),
        nn.Dropout2d(0.1),
    )


def transposed(below: int, width: int) -> nn.Module:
    """The paper's up-convolution."""
    return nn.ConvTranspose2d(below, width, kernel_size=2, stride=2)


def overlapping(below: int, width: int) -> nn.Module:
    """An up-convolution whose 4x4 outputs overlap evenly."""
    return nn.ConvTranspose2d(below, width, kernel_size=4, stride=2, padding=1)


def rectified(below: int, width: int) -> nn.Module:
    """An up-convolution with batch norm and ReLU."""
    return nn.Sequential(
        nn.ConvTranspose2d(below, width, 2, 2, bias=False), nn.BatchNorm2d(width), nn.ReLU()
    )


def resize_convolution(below: int, width: int) -> nn.Module:
    """Bilinear upsampling and then a 3x3 convolution."""
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        nn.Conv2d(below, width, 3, padding=1),
    )


def nearest(below: int, width: int) -> nn.Module:
    """Each pixel repeated, then a 1x1 convolution."""
    return nn.Sequential(nn.UpsamplingNearest2d(scale_factor=2), nn.Conv2d(below, width, 1))


def shuffled(below: int, width: int) -> nn.Module:
    """Pixel shuffle of a 3x3 convolution."""
    return nn.Sequential(nn.Conv2d(below, 4 * width, 3, padding=1), nn.PixelShuffle(2))


def strided(width: int) -> nn.Module:
    """A 3x3 convolution of stride 2."""
    return nn.Conv2d(width, width, 3, stride=2, padding=1)


def merged(width: int) -> nn.Module:
    """The four pixels of each 2x2 square become channels, which a 1x1 convolution mixes."""
    return nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * width, width, 1))


def three_convolutions() -> nn.Module:
    """Three convolutions a level, SELU, upsampled channels first."""
    modules = hourglass(convolutions(3, nn.SELU), transposed, (1, 4, 8, 16))
    return UpsampledFirst(modules, nn.Conv2d(4, 3, 1))


def one_convolution() -> nn.Module:
    """One convolution a level, wrapped in PReLU, replicate padding."""
    modules = hourglass(convolutions(1, nn.PReLU, "replicate"), nearest, (2, 8, 16, 32))
    return Hourglass(modules, nn.Conv2d(8, 1, 1))


def five_levels_down() -> nn.Module:
    """Depth 5, with channels that stop doubling."""
    modules = hourglass(convolutions(2, nn.ReLU), overlapping, (1, 4, 4, 8, 8, 8, 8))
    return Hourglass(modules, nn.Conv2d(4, 2, 1))


def one_level_down() -> nn.Module:
    """Depth 1, leaky, and a 3x3 head."""
    modules = hourglass(convolutions(2, nn.LeakyReLU), rectified, (1, 8, 16))
    return Hourglass(modules, nn.Conv2d(8, 4, 3, padding=1))


def separable() -> nn.Module:
    """Depthwise separable convolutions and resize-convolutions."""
    modules = hourglass(Separable, resize_convolution, (4, 8, 16, 32))
    return Hourglass(modules, nn.Conv2d(8, 5, 1))


def next_generation() -> nn.Module:
    """Blocks like a ConvNeXt's, 2x2 patches merged on the way down, shuffled on the way up."""
    return Hourglass(hourglass(ConvNeXt, shuffled, (3, 8, 16, 32), merged), nn.Conv2d(8, 2, 1))


def squeezed() -> nn.Module:
    """Bottleneck blocks with group norm, average pooling."""
    modules = hourglass(Squeezed, transposed, (3, 8, 16), lambda _: nn.AvgPool2d(2))
    return Hourglass(modules, nn.Conv2d(8, 3, 1))


def strided_down() -> nn.Module:
    """Strided 3x3 convolutions in place of pooling, which drift by half a pixel a level."""
    modules = hourglass(convolutions(2, nn.ReLU), transposed, (1, 8, 16, 32), strided)
    return Hourglass(modules, nn.Conv2d(8, 2, 1))


def reflected() -> nn.Module:
    """Reflection as a layer of its own before each unpadded convolution."""
    modules = hourglass(explicit_padding, transposed, (1, 4, 8, 16))
    return Hourglass(modules, nn.Conv2d(4, 2, 1))


def with_dropout() -> nn.Module:
    """Dropout of channels in every block, in-place ReLUs, biases before the norms."""
    return Hourglass(hourglass(dropped_out, transposed, (3, 6, 12, 24)), nn.Conv2d(6, 1, 1))


def checkpointed() -> nn.Module:
    """Checkpoints around every block."""
    modules = hourglass(convolutions(2, nn.ELU), transposed, (2, 4, 8, 16))
    return Checkpointed(modules, nn.Conv2d(4, 2, 1))


def he_initialised() -> nn.Module:
    """Every weight starts as the paper says: normal, with variance 2 / fan-in; biases at zero."""
    modules = hourglass(convolutions(2, nn.ReLU), transposed, (1, 8, 16, 32))
    net = Hourglass(modules, nn.Conv2d(8, 2, 1))
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    return net


CRASHES: Final = ("off_grid_crash",)

SOUND: Final[dict[str, Sound]] = {
    "pre_activation": Sound(
        factory=PreActivation,
        in_channels=3,
        size=64,
        expected=traits("zeros add transposed batch", depth=2, num_classes=2, base_channels=8),
        warns=CRASHES,
    ),
    "three_convolutions": Sound(
        factory=three_convolutions,
        in_channels=1,
        size=64,
        expected=traits("zeros concat transposed none", depth=2, num_classes=3, base_channels=4),
        warns=CRASHES,
    ),
    "one_convolution": Sound(
        factory=one_convolution,
        in_channels=2,
        size=64,
        expected=traits("replicate concat nearest none", depth=2, num_classes=1, base_channels=8),
        warns=CRASHES,
    ),
    "five_levels_down": Sound(
        factory=five_levels_down,
        in_channels=1,
        size=96,
        expected=traits("zeros concat transposed none", depth=5, num_classes=2, base_channels=4),
        warns=CRASHES,
    ),
    "one_level_down": Sound(
        factory=one_level_down,
        in_channels=1,
        size=64,
        expected=traits("zeros concat transposed ?", depth=1, num_classes=4, base_channels=8),
        warns=CRASHES,
    ),
    "separable": Sound(
        factory=separable,
        in_channels=4,
        size=64,
        expected=traits("zeros concat bilinear batch", depth=2, num_classes=5, base_channels=8),
        warns=CRASHES,
    ),
    "next_generation": Sound(
        factory=next_generation,
        in_channels=3,
        size=64,
        expected=traits("zeros concat pixel_shuffle ?", depth=2, num_classes=2, base_channels=8),
        warns=CRASHES,
    ),
    "squeezed": Sound(
        factory=squeezed,
        in_channels=3,
        size=64,
        expected=traits("zeros concat transposed group", depth=1, num_classes=3, base_channels=8),
        warns=CRASHES,
    ),
    "strided_down": Sound(
        factory=strided_down,
        in_channels=1,
        size=64,
        expected=traits("zeros concat transposed none", depth=2, num_classes=2, base_channels=8),
        warns=("half_pixel_drift", "off_grid_crash"),
    ),
    "reflected": Sound(
        factory=reflected,
        in_channels=1,
        size=64,
        expected=traits("reflect concat transposed none", depth=2, num_classes=2, base_channels=4),
        warns=CRASHES,
    ),
    "with_dropout": Sound(
        factory=with_dropout,
        in_channels=3,
        size=64,
        expected=traits("zeros concat transposed batch", depth=2, num_classes=1, base_channels=6),
        warns=CRASHES,
    ),
    "checkpointed": Sound(
        factory=checkpointed,
        in_channels=2,
        size=64,
        expected=traits("zeros concat transposed none", depth=2, num_classes=2, base_channels=4),
        warns=CRASHES,
    ),
    "he_initialised": Sound(
        factory=he_initialised,
        in_channels=1,
        size=64,
        expected=traits("zeros concat transposed none", depth=2, num_classes=2, base_channels=8),
        warns=CRASHES,
    ),
}
