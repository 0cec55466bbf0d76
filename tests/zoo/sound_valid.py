"""Sound U-Nets whose convolutions are not padded: the output is smaller than the input."""

from __future__ import annotations

from itertools import pairwise
from typing import Final, final

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from tests.zoo.records import Sound, traits


class FlatPaper(nn.Module):
    """Every layer is an attribute of its own, numbered as in the paper's figure."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3)
        self.conv2 = nn.Conv2d(4, 4, 3)
        self.conv3 = nn.Conv2d(4, 8, 3)
        self.conv4 = nn.Conv2d(8, 8, 3)
        self.conv5 = nn.Conv2d(8, 16, 3)
        self.conv6 = nn.Conv2d(16, 16, 3)
        self.upconv1 = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.conv7 = nn.Conv2d(16, 8, 3)
        self.conv8 = nn.Conv2d(8, 8, 3)
        self.upconv2 = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.conv9 = nn.Conv2d(8, 4, 3)
        self.conv10 = nn.Conv2d(4, 4, 3)
        self.conv11 = nn.Conv2d(4, 2, 1)

    @override
    def forward(self, image: Tensor) -> Tensor:
        fine = self.pair(self.conv1, self.conv2, image)
        middle = self.pair(self.conv3, self.conv4, functional.max_pool2d(fine, 2))
        deep = self.pair(self.conv5, self.conv6, functional.max_pool2d(middle, 2))
        x = self.join(middle, self.upconv1(deep))
        x = self.pair(self.conv7, self.conv8, x)
        x = self.join(fine, self.upconv2(x))
        x = self.pair(self.conv9, self.conv10, x)
        return self.finish(self.conv11(x))

    def pair(self, first: nn.Module, second: nn.Module, x: Tensor) -> Tensor:
        """Two convolutions, each with its ReLU."""
        return torch.relu(second(torch.relu(first(x))))

    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        """The cropped skip beside the upsampled map."""
        return torch.cat([self.crop(skip, up.shape[2], up.shape[3]), up], dim=1)

    def crop(self, skip: Tensor, height: int, width: int) -> Tensor:
        """The central window of the skip."""
        top, left = (skip.shape[2] - height) // 2, (skip.shape[3] - width) // 2
        return skip[:, :, top : top + height, left : left + width]

    def finish(self, logits: Tensor) -> Tensor:
        """The logits as they are."""
        return logits


class FunctionalValid(nn.Module):
    """Weights in one parameter dict, and functional calls only; a negative pad crops."""

    SHAPES: Final = {
        "in1": (6, 3, 3, 3),
        "in2": (6, 6, 3, 3),
        "mid1": (12, 6, 3, 3),
        "mid2": (12, 12, 3, 3),
        "low1": (24, 12, 3, 3),
        "low2": (24, 24, 3, 3),
        "grow_mid": (24, 12, 2, 2),
        "back1": (12, 24, 3, 3),
        "back2": (12, 12, 3, 3),
        "grow_in": (12, 6, 2, 2),
        "out1": (6, 12, 3, 3),
        "out2": (6, 6, 3, 3),
        "logits": (3, 6, 1, 1),
    }

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterDict()
        self.biases = nn.ParameterDict()
        for name, shape in self.SHAPES.items():
            weight = torch.empty(shape)
            self.weights[name] = nn.Parameter(nn.init.kaiming_normal_(weight, nonlinearity="relu"))
            channels = shape[1] if name.startswith("grow") else shape[0]
            self.biases[name] = nn.Parameter(torch.zeros(channels))

    @override
    def forward(self, image: Tensor) -> Tensor:
        fine = self.conv("in2", self.conv("in1", image))
        middle = self.conv("mid2", self.conv("mid1", self.shrink(fine)))
        x = self.conv("low2", self.conv("low1", self.shrink(middle)))
        x = self.merge(self.grow("grow_mid", x), middle)
        x = self.conv("back2", self.conv("back1", x))
        x = self.merge(self.grow("grow_in", x), fine)
        x = self.conv("out2", self.conv("out1", x))
        return functional.conv2d(x, self.weights["logits"], self.biases["logits"])

    def conv(self, name: str, x: Tensor) -> Tensor:
        """One named convolution with its ReLU."""
        return functional.relu(functional.conv2d(x, self.weights[name], self.biases[name]))

    def shrink(self, x: Tensor) -> Tensor:
        """Half the size."""
        return functional.max_pool2d(x, kernel_size=2, stride=2)

    def grow(self, name: str, x: Tensor) -> Tensor:
        """Twice the size, by a named transposed convolution."""
        weight, bias = self.weights[name], self.biases[name]
        return functional.conv_transpose2d(x, weight, bias, stride=2)

    def merge(self, up: Tensor, skip: Tensor) -> Tensor:
        """The upsampled map beside the skip, less what a centred negative pad takes off it."""
        rows, columns = skip.shape[2] - up.shape[2], skip.shape[3] - up.shape[3]
        off = [-(columns // 2), columns // 2 - columns, -(rows // 2), rows // 2 - rows]
        return torch.cat((up, functional.pad(skip, off)), dim=1)


class StackMachine(nn.Module):
    """One plain Sequential whose stages hand on a stack of maps, the newest last; skips added."""

    WIDTHS: Final = (2, 6, 12, 24, 12, 6)

    def __init__(self) -> None:
        super().__init__()
        stages = (PushStage, PushStage, TopStage, PopStage, PopStage)
        self.program = nn.Sequential(
            *(stage(*widths) for stage, widths in zip(stages, pairwise(self.WIDTHS), strict=True))
        )
        self.logits = nn.Conv2d(6, 4, kernel_size=1)

    @override
    def forward(self, image: Tensor) -> Tensor:
        (x,) = self.program([image])
        return self.logits(x)


class TopStage(nn.Module):
    """Two unpadded convolutions on the top of the stack."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3)
        self.act = nn.LeakyReLU(0.1)

    @override
    def forward(self, stack: list[Tensor]) -> list[Tensor]:
        return [*stack[:-1], self.convolve(stack[-1])]

    def convolve(self, x: Tensor) -> Tensor:
        """The convolutions, each with its leaky ReLU."""
        return self.act(self.conv2(self.act(self.conv1(x))))


class PushStage(TopStage):
    """The convolutions, kept on the stack, and their pooled copy on top."""

    @override
    def forward(self, stack: list[Tensor]) -> list[Tensor]:
        *rest, x = stack
        x = self.convolve(x)
        return [*rest, x, functional.max_pool2d(x, 2)]


class PopStage(TopStage):
    """The top, upsampled, plus the crop of the map below it; then the convolutions."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(out_channels, out_channels)
        self.up: nn.Module = nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2)

    @override
    def forward(self, stack: list[Tensor]) -> list[Tensor]:
        *rest, skip, x = stack
        x = self.up(x)
        return [*rest, self.convolve(x + self.window(skip, x))]

    def window(self, skip: Tensor, x: Tensor) -> Tensor:
        """The part of the skip that lies under `x`."""
        for axis in (2, 3):
            excess = skip.shape[axis] - x.shape[axis]
            skip = skip.narrow(axis, excess // 2, x.shape[axis])
        return skip


class Released(nn.Module):
    """As the authors released it: a ReLU after each up-convolution, the last keeps its channels."""

    def __init__(self, depth: int = 3, base: int = 4) -> None:
        super().__init__()
        widths = [base * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(
            valid_pair(before, after) for before, after in zip([1, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList()
        self.blocks = nn.ModuleList()
        for level in range(depth):
            below, here = widths[level + 1], widths[level]
            kept = below if level == 0 else here
            self.up.append(nn.ConvTranspose2d(below, kept, 2, 2))
            self.blocks.append(valid_pair(here + kept, here))
        self.dropout = nn.Dropout(0.5)
        self.score = nn.Conv2d(base, 2, 1)

    @override
    def forward(self, image: Tensor) -> Tensor:
        skips: list[Tensor] = []
        x = self.down[0](image)
        for stage in list(self.down)[1:]:
            skips.append(self.keep(x))
            x = stage(functional.max_pool2d(x, 2))
        x = self.dropout(x)
        for level, skip in reversed(list(enumerate(skips))):
            x = torch.relu(self.up[level](x))
            x = self.blocks[level](torch.cat([self.center(skip, x), x], 1))
        return self.score(x)

    def keep(self, x: Tensor) -> Tensor:
        """What the expansive path will see of a level."""
        return x

    def center(self, skip: Tensor, x: Tensor) -> Tensor:
        """The centre of the skip, of the size of `x`."""
        margins = [(of - to) // 2 for of, to in zip(skip.shape[2:], x.shape[2:], strict=True)]
        height, width = x.shape[2:]
        top, left = margins
        return skip[..., top : top + height, left : left + width]


def valid_pair(in_channels: int, out_channels: int) -> nn.Sequential:
    """Two unpadded convolutions with ReLUs."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3),
        nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, 3),
        nn.ReLU(inplace=True),
    )


@final
class ValidRefusing(nn.Module):
    """Bilinear and unpadded with batch norm; a side that does not fit is refused."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.low = self._block(3, 8), self._block(8, 16)
        self.reduce = nn.Conv2d(16, 8, 1)
        self.leave = self._block(16, 8)
        self.head = nn.Conv2d(8, 1, 1)

    @staticmethod
    def _block(in_channels: int, out_channels: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for before in (in_channels, out_channels):
            layers += [nn.Conv2d(before, out_channels, 3, bias=False)]
            layers += [nn.BatchNorm2d(out_channels), nn.ReLU()]
        return nn.Sequential(*layers)

    @override
    def forward(self, image: Tensor) -> Tensor:
        if any(side < 18 or side % 2 for side in image.shape[-2:]):
            raise ValueError(f"sides must be even and at least 18, not {tuple(image.shape[-2:])}")
        skip = self.enter(image)
        x = self.low(functional.max_pool2d(skip, 2))
        x = functional.interpolate(
            self.reduce(x), scale_factor=2, mode="bilinear", align_corners=False
        )
        lost = (skip.shape[-1] - x.shape[-1]) // 2
        return self.head(self.leave(torch.cat([x, skip[..., lost:-lost, lost:-lost]], dim=1)))


@final
class ValidExactSizes(nn.Module):
    """The window of the skip comes from the input's size alone, worked out before any tensor."""

    MARGIN: Final = 40

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleDict(
            {
                "contract0": self._twice(4, 5),
                "contract1": self._twice(5, 10),
                "bottleneck": self._twice(10, 20),
                "expand1": self._twice(20, 10),
                "expand0": self._twice(10, 5),
            }
        )
        self.ups = nn.ModuleDict(
            {"1": nn.ConvTranspose2d(20, 10, 2, 2), "0": nn.ConvTranspose2d(10, 5, 2, 2)}
        )
        self.classify = nn.Conv2d(5, 5, 1)

    @staticmethod
    def _twice(in_channels: int, out_channels: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3),
            nn.PReLU(),
            nn.Conv2d(out_channels, out_channels, 3),
            nn.PReLU(),
        )

    @override
    def forward(self, image: Tensor) -> Tensor:
        for side in image.shape[2:]:
            if side <= self.MARGIN or side % 4:
                raise ValueError(f"side {side} is not a multiple of 4 above {self.MARGIN}")
        skips = {}
        x = image
        for level in "01":
            skips[level] = x = self.blocks[f"contract{level}"](x)
            x = functional.max_pool2d(x, 2)
        x = self.blocks["bottleneck"](x)
        # A level-1 map loses 4 on each side below it; a level-0 map 2 * (2 + 4 + 2) = 16.
        for level, lost in (("1", 4), ("0", 16)):
            x = self.ups[level](x)
            window = skips[level][:, :, lost:-lost, lost:-lost]
            x = self.blocks[f"expand{level}"](torch.cat([window, x], dim=1))
        return self.classify(x)


SOUND: Final[dict[str, Sound]] = {
    "flat_paper": Sound(
        factory=FlatPaper,
        in_channels=1,
        size=92,
        expected=traits("valid concat transposed none", depth=2, num_classes=2, base_channels=4),
        warns=("off_grid_silent",),
    ),
    "functional_valid": Sound(
        factory=FunctionalValid,
        in_channels=3,
        size=92,
        expected=traits("valid concat transposed none", depth=2, num_classes=3, base_channels=6),
        warns=("off_grid_silent",),
    ),
    "stack_machine": Sound(
        factory=StackMachine,
        in_channels=2,
        size=92,
        expected=traits("valid add transposed none", depth=2, num_classes=4, base_channels=6),
        warns=("off_grid_silent",),
    ),
    "released": Sound(
        factory=Released,
        in_channels=1,
        size=140,
        expected=traits("valid concat transposed none", depth=3, num_classes=2, base_channels=4),
        warns=("off_grid_silent",),
    ),
    "valid_refusing": Sound(
        factory=ValidRefusing,
        in_channels=3,
        size=64,
        expected=traits("valid concat bilinear batch", depth=1, num_classes=1, base_channels=8),
    ),
    "valid_exact_sizes": Sound(
        factory=ValidExactSizes,
        in_channels=4,
        size=92,
        expected=traits("valid concat transposed none", depth=2, num_classes=5, base_channels=5),
    ),
}
