"""Sound U-Nets whose paths are wired in other ways, or that take or return something else."""

from __future__ import annotations

from typing import Final, final

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from tests.zoo.records import Sound, traits
from tests.zoo.sound_valid import FlatPaper


def convolved(in_channels: int, out_channels: int) -> nn.Sequential:
    """Two padded convolutions with ReLUs."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(out_channels, out_channels, 3, padding=1),
        nn.ReLU(),
    )


def doubled(x: Tensor, factor: int = 2) -> Tensor:
    """Bilinear upsampling on the half-pixel grid."""
    return functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


@final
class Nested(nn.Module):
    """U-Net++: node (i, j) joins all nodes of its level before it with the one below, upsampled."""

    WIDTHS: Final = (4, 8, 16)

    def __init__(self) -> None:
        super().__init__()
        self.nodes = nn.ModuleDict()
        for level, width in enumerate(self.WIDTHS):
            before = self.WIDTHS[level - 1] if level else 1
            self.nodes[f"{level}-0"] = convolved(before, width)
            for place in range(1, len(self.WIDTHS) - level):
                joined = place * width + self.WIDTHS[level + 1]
                self.nodes[f"{level}-{place}"] = convolved(joined, width)
        self.head = nn.Conv2d(self.WIDTHS[0], 2, 1)

    @override
    def forward(self, image: Tensor) -> Tensor:
        maps: dict[tuple[int, int], Tensor] = {}
        for level in range(len(self.WIDTHS)):
            x = functional.max_pool2d(maps[level - 1, 0], 2) if level else image
            maps[level, 0] = self.nodes[f"{level}-0"](x)
        for place in range(1, len(self.WIDTHS)):
            for level in range(len(self.WIDTHS) - place):
                before = [maps[level, earlier] for earlier in range(place)]
                below = doubled(maps[level + 1, place - 1])
                maps[level, place] = self.nodes[f"{level}-{place}"](torch.cat([*before, below], 1))
        return self.head(maps[0, len(self.WIDTHS) - 1])


@final
class FullScale(nn.Module):
    """UNet 3+: each level up joins the finer maps, pooled, its own, and the coarser, upsampled."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.down1 = convolved(3, 6), convolved(6, 12)
        self.down2 = convolved(12, 24)
        self.from_fine = nn.ModuleList([nn.Conv2d(6, 4, 3, padding=1), nn.Conv2d(6, 4, 1)])
        self.from_middle = nn.Conv2d(12, 4, 3, padding=1)
        self.from_deep = nn.ModuleList([nn.Conv2d(24, 4, 3, padding=1), nn.Conv2d(24, 4, 1)])
        self.to_middle, self.to_fine = convolved(12, 12), convolved(20, 12)
        self.head = nn.Conv2d(12, 3, 1)

    @override
    def forward(self, image: Tensor) -> Tensor:
        fine = self.enter(image)
        middle = self.down1(functional.max_pool2d(fine, 2))
        deep = self.down2(functional.max_pool2d(middle, 2))
        parts = [
            self.from_fine[0](functional.max_pool2d(fine, 2)),
            self.from_middle(middle),
            self.from_deep[0](doubled(deep)),
        ]
        x = self.to_middle(torch.cat(parts, dim=1))
        parts = [self.from_fine[1](fine), doubled(x), self.from_deep[1](doubled(deep, 4))]
        return self.head(self.to_fine(torch.cat(parts, dim=1)))


@final
class Supervised(nn.Module):
    """Deep supervision: a list of logits, the finest first, all of the size of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.e0, self.e1, self.e2 = convolved(1, 4), convolved(4, 8), convolved(8, 16)
        self.u1, self.u0 = nn.ConvTranspose2d(16, 8, 2, 2), nn.ConvTranspose2d(8, 4, 2, 2)
        self.d1, self.d0 = convolved(16, 8), convolved(8, 4)
        self.heads = nn.ModuleList(nn.Conv2d(width, 2, 1) for width in (4, 8, 16))

    @override
    def forward(self, image: Tensor) -> list[Tensor]:
        fine = self.e0(image)
        middle = self.e1(functional.max_pool2d(fine, 2))
        deep = self.e2(functional.max_pool2d(middle, 2))
        middle = self.d1(torch.cat([middle, self.u1(deep)], 1))
        fine = self.d0(torch.cat([fine, self.u0(middle)], 1))
        logits = [head(x) for head, x in zip(self.heads, (fine, middle, deep), strict=True)]
        return [logits[0], doubled(logits[1]), doubled(logits[2], 4)]


@final
class Labelled(nn.Module):
    """A dictionary with the logits under "out" comes back."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.ModuleDict({"s1": convolved(3, 8), "s2": convolved(8, 16)})
        self.neck = convolved(16, 16)
        self.merge2, self.merge1 = convolved(32, 8), convolved(16, 8)
        self.classifier = nn.Conv2d(8, 4, 1)

    @override
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features: dict[str, Tensor] = {}
        x = image
        for name, stage in self.backbone.items():
            features[name] = x = stage(x)
            x = functional.max_pool2d(x, 2)
        x = self.neck(x)
        for merge, name in ((self.merge2, "s2"), (self.merge1, "s1")):
            skip = features[name]
            x = functional.interpolate(x, size=skip.shape[-2:], mode="nearest")
            x = merge(torch.cat([skip, x], dim=1))
        return {"out": self.classifier(x)}


@final
class BasicBlock(nn.Module):
    """A residual block of two 3x3 convolutions; the first has the stride."""

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    @override
    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(inner)) + self.downsample(x))


@final
class ResNetEncoder(nn.Module):
    """A residual encoder with a 7x7 stem of stride 2; its outermost skip has half resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = nn.Sequential(BasicBlock(8, 8, 1), BasicBlock(8, 8, 1))
        self.layer2 = nn.Sequential(BasicBlock(8, 16, 2), BasicBlock(16, 16, 1))
        self.layer3 = nn.Sequential(BasicBlock(16, 32, 2), BasicBlock(32, 32, 1))
        self.decode2, self.decode1 = convolved(48, 16), convolved(24, 8)
        self.decode_stem, self.decode_full = convolved(16, 8), convolved(8, 8)
        self.segment = nn.Conv2d(8, 2, 1)

    @override
    def forward(self, image: Tensor) -> Tensor:
        stem = torch.relu(self.bn1(self.conv1(image)))
        first = self.layer1(functional.max_pool2d(stem, 3, 2, 1))
        second = self.layer2(first)
        x = self.layer3(second)
        x = self.decode2(torch.cat([doubled(x), second], dim=1))
        x = self.decode1(torch.cat([doubled(x), first], dim=1))
        x = self.decode_stem(torch.cat([doubled(x), stem], dim=1))
        return self.segment(self.decode_full(doubled(x)))


@final
class MirroredTile(FlatPaper):
    """The paper's overlap tile: the image is mirrored beyond its edges as far as the net loses."""

    @override
    def forward(self, image: Tensor) -> Tensor:
        if any(side % 4 or side <= 20 for side in image.shape[-2:]):
            raise ValueError(f"sides must be multiples of 4 above 20: {tuple(image.shape[-2:])}")
        return super().forward(functional.pad(image, [20, 20, 20, 20], mode="reflect"))


@final
class Around(nn.Module):
    """What a module makes of its input, beside the input."""

    def __init__(self, *inner: nn.Module) -> None:
        super().__init__()
        self.inner = nn.Sequential(*inner)

    @override
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.inner(x)], dim=1)


def sequential() -> nn.Module:
    """One Sequential within another, joined by `Around`: the net is an expression."""
    deep = Around(
        nn.MaxPool2d(2),
        convolved(12, 24),
        nn.ConvTranspose2d(24, 12, 2, stride=2),
    )
    middle = Around(
        nn.MaxPool2d(2),
        convolved(6, 12),
        deep,
        convolved(24, 12),
        nn.ConvTranspose2d(12, 6, 2, stride=2),
    )
    return nn.Sequential(convolved(2, 6), middle, convolved(12, 6), nn.Conv2d(6, 3, 1))


@final
class FunctionalSame(nn.Module):
    """Parameters in a list that forward takes from the front: weights first used come first."""

    SHAPES: Final = (
        (6, 1, 3, 3), (6, 6, 3, 3), (12, 6, 3, 3), (12, 12, 3, 3),
        (6, 12, 1, 1), (6, 6, 3, 3), (6, 6, 3, 3), (2, 6, 1, 1),
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList(
            nn.init.kaiming_uniform_(torch.empty(shape)) for shape in self.SHAPES
        )
        self.biases = nn.ParameterList(torch.zeros(shape[0]) for shape in self.SHAPES)

    @override
    def forward(self, image: Tensor) -> Tensor:
        pairs = iter(zip(self.weights, self.biases, strict=True))

        def conv(x: Tensor) -> Tensor:
            weight, bias = next(pairs)
            return functional.conv2d(x, weight, bias, padding="same")

        skip = conv(conv(image).relu()).relu()
        deep = conv(conv(functional.avg_pool2d(skip, 2)).relu()).relu()
        x = conv(deep).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        x = conv(conv(skip + x).relu()).relu()
        return conv(x)


@final
class ProjectedSkips(nn.Module):
    """Each skip goes through a 1x1 convolution before it is added; any size fits."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([convolved(1, 4), convolved(4, 8), convolved(8, 16)])
        self.lateral = nn.ModuleList(nn.Conv2d(width, 8, 1) for width in (4, 8, 16))
        self.smooth = nn.ModuleList(convolved(8, 8) for _ in range(2))
        self.out = nn.Conv2d(8, 1, 1)

    @override
    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        x = functional.pad(image, (0, -width % 4, 0, -height % 4))
        maps = []
        for level, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if level else x)
            maps.append(self.lateral[level](x))
        x = maps.pop()
        for smooth in self.smooth:
            x = smooth(doubled(x) + maps.pop())
        return self.out(x)[..., :height, :width]


class SelfAttention(nn.Module):
    """Every cell of a map asks every other one; a residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(4, channels)
        self.asked = nn.Conv2d(channels, 3 * channels, 1)
        self.answer = nn.Conv2d(channels, channels, 1)

    def weights(self, likeness: Tensor) -> Tensor:
        """Likeness (N, asking, asked) to shares that add up to 1."""
        return likeness.softmax(dim=2)

    def laid_out(self, tokens: Tensor, like: Tensor) -> Tensor:
        """Tokens (N, C, cells) to a map."""
        return tokens.reshape(like.shape)

    @override
    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.asked(self.norm(x)).flatten(2).chunk(3, dim=1)
        likeness = query.mT @ key / query.shape[1] ** 0.5
        heard = self.weights(likeness) @ value.mT
        return x + self.answer(self.laid_out(heard.mT, x))


class SelfAttending(nn.Module):
    """The deepest map attends to itself."""

    def __init__(self, attention: type[SelfAttention] = SelfAttention) -> None:
        super().__init__()
        self.enter, self.down, self.deep = convolved(1, 8), convolved(8, 16), convolved(16, 32)
        self.attention = attention(32)
        self.up, self.up_again = nn.ConvTranspose2d(32, 16, 2, 2), nn.ConvTranspose2d(16, 8, 2, 2)
        self.rise, self.leave = convolved(32, 16), convolved(16, 8)
        self.out = nn.Conv2d(8, 2, 1)

    @override
    def forward(self, image: Tensor) -> Tensor:
        fine = self.enter(image)
        coarse = self.down(functional.max_pool2d(fine, 2))
        x = self.attention(self.deep(functional.max_pool2d(coarse, 2)))
        x = self.rise(torch.cat([self.up(x), coarse], dim=1))
        return self.out(self.leave(torch.cat([self.up_again(x), fine], dim=1)))


@final
class WithoutSkips(nn.Module):
    """An hourglass that owns up to having no skips."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            convolved(1, 8),
            nn.MaxPool2d(2),
            convolved(8, 16),
            nn.ConvTranspose2d(16, 8, 2, 2),
            convolved(8, 8),
            nn.Conv2d(8, 2, 1),
        )

    @override
    def forward(self, image: Tensor) -> Tensor:
        return self.net(image)


@final
class Volume(nn.Module):
    """Three dimensions: padded, concatenated, instance norm."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.deep = self.block(1, 4), self.block(4, 8)
        self.pool = nn.MaxPool3d(2)
        self.up = nn.ConvTranspose3d(8, 4, 2, stride=2)
        self.leave = self.block(8, 4)
        self.head = nn.Conv3d(4, 2, 1)

    @staticmethod
    def block(in_channels: int, out_channels: int) -> nn.Sequential:
        """Two convolutions with instance norm and leaky ReLU."""
        return nn.Sequential(
            nn.Conv3d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.InstanceNorm3d(out_channels, affine=True),
            nn.LeakyReLU(),
            nn.Conv3d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.InstanceNorm3d(out_channels, affine=True),
            nn.LeakyReLU(),
        )

    @override
    def forward(self, volume: Tensor) -> Tensor:
        skip = self.enter(volume)
        x = self.up(self.deep(self.pool(skip)))
        return self.head(self.leave(torch.cat([skip, x], dim=1)))


@final
class ValidVolume(nn.Module):
    """Three dimensions: unpadded, the cropped skip added."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv3d(2, 4, 3), nn.Conv3d(4, 4, 3)
        self.c, self.d = nn.Conv3d(4, 8, 3), nn.Conv3d(8, 8, 3)
        self.up = nn.ConvTranspose3d(8, 4, 2, stride=2)
        self.e, self.f = nn.Conv3d(4, 4, 3), nn.Conv3d(4, 4, 3)
        self.head = nn.Conv3d(4, 3, 1)
        self.act = nn.CELU()

    @override
    def forward(self, volume: Tensor) -> Tensor:
        if any(side % 2 or side < 18 for side in volume.shape[2:]):
            raise ValueError(f"sides must be even, 18 or more: {tuple(volume.shape[2:])}")
        skip = self.act(self.b(self.act(self.a(volume))))
        x = self.act(self.d(self.act(self.c(functional.max_pool3d(skip, 2)))))
        # Two unpadded convolutions of the level below lose 2 of its pixels, 4 of this level's.
        x = self.up(x) + skip[:, :, 4:-4, 4:-4, 4:-4]
        return self.head(self.act(self.f(self.act(self.e(x)))))


CRASHES: Final = ("off_grid_crash",)

SOUND: Final[dict[str, Sound]] = {
    "nested": Sound(
        factory=Nested,
        in_channels=1,
        size=64,
        expected=traits("zeros concat bilinear none", depth=2, num_classes=2, base_channels=4),
        warns=CRASHES,
    ),
    "full_scale": Sound(
        factory=FullScale,
        in_channels=3,
        size=64,
        expected=traits("zeros concat bilinear none", depth=2, num_classes=3, base_channels=6),
        warns=CRASHES,
    ),
    "supervised": Sound(
        factory=Supervised,
        in_channels=1,
        size=64,
        expected=traits("zeros concat transposed none", depth=2, num_classes=2, base_channels=4),
        warns=CRASHES,
    ),
    "labelled": Sound(
        factory=Labelled,
        in_channels=3,
        size=64,
        expected=traits("zeros concat nearest none", depth=2, num_classes=4, base_channels=8),
        warns=("off_grid_silent",),
    ),
    "resnet_encoder": Sound(
        factory=ResNetEncoder,
        in_channels=3,
        size=96,
        expected=traits("zeros concat bilinear ?", num_classes=2),
        warns=("half_pixel_drift", "off_grid_crash"),
    ),
    "mirrored_tile": Sound(
        factory=MirroredTile,
        in_channels=1,
        size=64,
        expected=traits("? concat transposed none", depth=2, num_classes=2, base_channels=4),
    ),
    "sequential": Sound(
        factory=sequential,
        in_channels=2,
        size=64,
        expected=traits("zeros concat transposed none", depth=2, num_classes=3, base_channels=6),
        warns=CRASHES,
    ),
    "functional_same": Sound(
        factory=FunctionalSame,
        in_channels=1,
        size=64,
        expected=traits("zeros add ? none", depth=1, num_classes=2, base_channels=6),
        warns=CRASHES,
    ),
    "projected_skips": Sound(
        factory=ProjectedSkips,
        in_channels=1,
        size=66,
        expected=traits("zeros add bilinear none", depth=2, num_classes=1),
    ),
    "self_attending": Sound(
        factory=SelfAttending,
        in_channels=1,
        size=64,
        expected=traits("zeros concat transposed ?", depth=2, num_classes=2, base_channels=8),
        warns=CRASHES,
    ),
    "without_skips": Sound(
        factory=WithoutSkips,
        in_channels=1,
        size=64,
        expected=traits("zeros none transposed none", depth=1, num_classes=2, base_channels=8),
        warns=("no_skips", "off_grid_silent"),
    ),
    "volume": Sound(
        factory=Volume,
        in_channels=1,
        size=16,
        expected=traits("zeros concat transposed instance", depth=1, num_classes=2),
        warns=CRASHES,
        dimensions=3,
    ),
    "volume_valid": Sound(
        factory=ValidVolume,
        in_channels=2,
        size=24,
        expected=traits("valid add transposed none", depth=1, num_classes=3, base_channels=4),
        dimensions=3,
    ),
}
