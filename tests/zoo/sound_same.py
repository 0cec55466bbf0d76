"""Sound U-Nets whose output has the size of the input, each open to being changed in one place."""

from __future__ import annotations

from itertools import pairwise
from typing import Final, cast, final

import torch
from torch import Tensor, nn, optim
from torch.nn import functional
from typing_extensions import override

from tests.zoo.records import Sound, traits


class Listed(nn.Module):
    """Three module lists indexed by level: batch norm, zero padding, concatenated skips."""

    def __init__(self) -> None:
        super().__init__()
        widths = (4, 8, 16, 32)
        self.contract = nn.ModuleList(self.block(a, b) for a, b in pairwise((3, *widths)))
        self.ups = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in pairwise(widths))
        self.expand = nn.ModuleList(self.block(2 * width, width) for width in widths[:-1])
        self.head = nn.Conv2d(widths[0], 2, kernel_size=1)

    def block(self, in_channels: int, out_channels: int) -> nn.Sequential:
        """Two convolutions, each with batch norm and ReLU."""
        return nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )

    @override
    def forward(self, image: Tensor) -> Tensor:
        skips: list[Tensor] = []
        x = self.contract[0](image)
        for block in list(self.contract)[1:]:
            skips.append(self.keep(x))
            x = block(self.shrink(x))
        for level in reversed(range(len(skips))):
            x = self.grow(level, x)
            x = self.expand[level](self.join(skips[level], x))
        return self.finish(self.head(x))

    def keep(self, x: Tensor) -> Tensor:
        """What the expansive path will see of a level."""
        return x

    def shrink(self, x: Tensor) -> Tensor:
        """Half the size."""
        return functional.max_pool2d(x, 2)

    def grow(self, level: int, x: Tensor) -> Tensor:
        """Twice the size, into `level`."""
        return self.ups[level](x)

    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        """The skip beside the upsampled map."""
        return torch.cat([skip, up], dim=1)

    def finish(self, logits: Tensor) -> Tensor:
        """The logits as they are."""
        return logits


class Level(nn.Module):
    """A level of a net that holds the level below: reflect padding, GELU, added skips."""

    def __init__(self, in_channels: int, width: int, below: int) -> None:
        super().__init__()
        self.before = self.block(in_channels, width)
        if below:
            self.inner = type(self)(width, 2 * width, below - 1)
            self.resize = nn.Upsample(scale_factor=2, mode="nearest")
            self.soften = nn.Conv2d(2 * width, width, 3, padding=1, padding_mode="reflect")
            self.after = self.block(width, width)
        self.below = below

    def block(self, in_channels: int, width: int) -> nn.Sequential:
        """Two reflecting convolutions with GELUs."""
        return nn.Sequential(
            nn.Conv2d(in_channels, width, 3, padding=1, padding_mode="reflect"),
            nn.GELU(),
            nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect"),
            nn.GELU(),
        )

    @override
    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        return self.around(x) if self.below else x

    def around(self, x: Tensor) -> Tensor:
        """The path through the levels below, and the skip around them."""
        deep = self.inner(functional.max_pool2d(x, 2))
        return self.after(self.join(x, self.soften(self.resize(deep))))

    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        """The skip and the upsampled map added."""
        return skip + up


class Recursive(nn.Module):
    """A level within a level within a level, and a head."""

    def __init__(self, level: type[Level] = Level) -> None:
        super().__init__()
        self.levels = level(2, 6, 3)
        self.head = nn.Conv2d(6, 3, 1)

    @override
    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.levels(image))


class Twice(nn.Module):
    """Convolution, batch norm, ReLU: twice."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    @override
    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Ascent(nn.Module):
    """Bilinear upsampling, padded at the far sides to the size of the skip, then convolutions."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.convolve = Twice(in_channels, out_channels)

    @override
    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.convolve(torch.cat([skip, self.fit(self.up(x), skip)], dim=1))

    def fit(self, up: Tensor, skip: Tensor) -> Tensor:
        """Pooling drops an odd last row or column; zeros stand in for it here."""
        rows, columns = skip.size(2) - up.size(2), skip.size(3) - up.size(3)
        return functional.pad(up, [0, columns, 0, rows])


class PaddedUp(nn.Module):
    """One module for each step down and up; any size goes in and comes out."""

    def __init__(self, ascent: type[Ascent] = Ascent) -> None:
        super().__init__()
        self.inc = Twice(3, 6)
        self.down1 = nn.Sequential(nn.MaxPool2d(2), Twice(6, 12))
        self.down2 = nn.Sequential(nn.MaxPool2d(2), Twice(12, 24))
        self.down3 = nn.Sequential(nn.MaxPool2d(2), Twice(24, 24))
        self.up1 = ascent(48, 12)
        self.up2 = ascent(24, 6)
        self.up3 = ascent(12, 6)
        self.outc = nn.Conv2d(6, 1, 1)

    @override
    def forward(self, image: Tensor) -> Tensor:
        full = self.inc(image)
        half = self.down1(full)
        quarter = self.down2(half)
        x = self.up1(self.down3(quarter), quarter)
        x = self.up2(x, half)
        x = self.up3(x, full)
        return self.outc(x)


class Residual(nn.Module):
    """Two normalised convolutions and a shortcut around them."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm1 = nn.GroupNorm(2, out_channels)
        self.second = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(2, out_channels)
        self.short = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    @override
    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm2(self.second(functional.silu(self.norm1(self.first(x)))))
        return functional.silu(inner + self.short(x))


class Stages(nn.Module):
    """Named stages in module dicts: residual blocks, strided 2x2 convolutions, added skips."""

    NAMES: Final = ("whole", "halved", "quartered")

    def __init__(self) -> None:
        super().__init__()
        width = {"whole": 8, "halved": 16, "quartered": 32}
        self.encoder, self.decoder = nn.ModuleDict(), nn.ModuleDict()
        self.down, self.up = nn.ModuleDict(), nn.ModuleDict()
        channels = 4
        for name in self.NAMES:
            self.encoder[name] = Residual(channels, width[name])
            self.decoder[name] = Residual(width[name], width[name])
            self.down[name] = nn.Conv2d(width[name], width[name], kernel_size=2, stride=2)
            self.up[name] = nn.Conv2d(2 * width[name], width[name], kernel_size=1)
            channels = width[name]
        self.bottom = Residual(channels, 2 * channels)
        self.head = nn.Conv2d(width["whole"], 4, kernel_size=1)

    @override
    def forward(self, image: Tensor) -> Tensor:
        skips: dict[str, Tensor] = {}
        x = image
        for name in self.NAMES:
            x = self.encoder[name](x)
            skips[name] = x
            x = self.down[name](x)
        x = self.bottom(x)
        for name in reversed(self.NAMES):
            x = self.expand(name, skips, x)
        return self.head(x)

    def expand(self, name: str, skips: dict[str, Tensor], x: Tensor) -> Tensor:
        """One stage up: resized to the skip, which is added."""
        skip = skips[name]
        x = functional.interpolate(self.up[name](x), size=skip.shape[-2:], mode="nearest")
        return self.decoder[name](skip + x)


class Lightning(nn.Module):
    """In the shape of a training framework's module: pixel shuffle and instance norm."""

    def __init__(self, lr: float = 1e-3, features: tuple[int, ...] = (8, 16, 32)) -> None:
        super().__init__()
        self.hparams = {"lr": lr, "features": features}
        self.encoders = nn.ModuleList([self.conv(1, features[0])])
        self.decoders = nn.ModuleList()
        for shallow, deep in pairwise(features):
            self.encoders.append(self.conv(shallow, deep))
            shuffle = nn.Sequential(nn.Conv2d(deep, 4 * shallow, 1), nn.PixelShuffle(2))
            decoder = nn.ModuleDict({"up": shuffle, "conv": self.conv(2 * shallow, shallow)})
            self.decoders.insert(0, decoder)
        self.pool = nn.MaxPool2d(2)
        self.classifier = nn.Conv2d(features[0], 3, 1)
        self.loss = nn.CrossEntropyLoss()

    @staticmethod
    def conv(in_channels: int, out_channels: int) -> nn.Sequential:
        """Two convolutions with instance norm and leaky ReLU."""
        return nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, padding="same", bias=False),
            nn.InstanceNorm2d(out_channels, affine=True),
            nn.LeakyReLU(0.01),
            nn.Conv2d(out_channels, out_channels, 3, padding="same", bias=False),
            nn.InstanceNorm2d(out_channels, affine=True),
            nn.LeakyReLU(0.01),
        )

    @override
    def forward(self, image: Tensor) -> Tensor:
        features = self.encode(image)
        return self.classifier(self.decode(features))

    def encode(self, image: Tensor) -> list[Tensor]:
        """The map of every level, from fine to coarse."""
        features = [self.encoders[0](image)]
        for encoder in list(self.encoders)[1:]:
            features.append(encoder(self.pool(features[-1])))
        return features

    def decode(self, features: list[Tensor]) -> Tensor:
        """The maps taken up again, from coarse to fine."""
        x = features.pop()
        for module in self.decoders:
            decoder = cast("nn.ModuleDict", module)
            x = decoder["up"](x)
            x = decoder["conv"](torch.cat((x, features.pop()), dim=1))
        return x

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """The loss of one batch of images and masks."""
        images, masks = batch
        return self.loss(self(images), masks)

    def configure_optimizers(self) -> optim.Optimizer:
        """Adam on all parameters."""
        return optim.Adam(self.parameters(), lr=cast("float", self.hparams["lr"]))


class PadAndCrop(nn.Module):
    """Any size is padded to the next multiple of 8, and the output is cropped back."""

    def __init__(self) -> None:
        super().__init__()
        self.c0, self.c1, self.c2 = self.two(3, 4), self.two(4, 8), self.two(8, 16)
        self.bottom = self.two(16, 32)
        self.u2 = nn.ConvTranspose2d(32, 16, 2, 2)
        self.u1 = nn.ConvTranspose2d(16, 8, 2, 2)
        self.u0 = nn.ConvTranspose2d(8, 4, 2, 2)
        self.d2, self.d1, self.d0 = self.two(32, 16), self.two(16, 8), self.two(8, 4)
        self.last = nn.Conv2d(4, 2, 1)

    @staticmethod
    def two(in_channels: int, out_channels: int) -> nn.Sequential:
        """Two convolutions with ELUs, the image's edge repeated around each."""
        return nn.Sequential(
            nn.ReplicationPad2d(1),
            nn.Conv2d(in_channels, out_channels, 3),
            nn.ELU(),
            nn.ReplicationPad2d(1),
            nn.Conv2d(out_channels, out_channels, 3),
            nn.ELU(),
        )

    @override
    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        x = functional.pad(image, [0, -width % 8, 0, -height % 8], mode="replicate")
        return self.run(x)[..., :height, :width]

    def run(self, image: Tensor) -> Tensor:
        """The net on an image whose sides are multiples of 8."""
        s0 = self.c0(image)
        s1 = self.c1(functional.avg_pool2d(s0, 2))
        s2 = self.c2(functional.avg_pool2d(s1, 2))
        x = self.bottom(functional.avg_pool2d(s2, 2))
        x = self.d2(self.join(s2, self.u2(x)))
        x = self.d1(self.join(s1, self.u1(x)))
        x = self.d0(self.join(s0, self.u0(x)))
        return self.last(x)

    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        """The skip beside the upsampled map."""
        return torch.cat((skip, up), dim=1)


class Gate(nn.Module):
    """Attention: the skip times a sigmoid that both maps decide."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.of_skip = nn.Conv2d(channels, channels, 1)
        self.of_up = nn.Conv2d(channels, channels, 1, bias=False)
        self.weight = nn.Conv2d(channels, 1, 1)

    @override
    def forward(self, skip: Tensor, up: Tensor) -> Tensor:
        return skip * self.attention(torch.relu(self.of_skip(skip) + self.of_up(up)))

    def attention(self, both: Tensor) -> Tensor:
        """A weight between 0 and 1 for every pixel."""
        return torch.sigmoid(self.weight(both))


class Attended(nn.Module):
    """Attention gates on the skips, overlapping 4x4 up-convolutions, no norm."""

    def __init__(self, gate: type[Gate] = Gate) -> None:
        super().__init__()
        self.enc = nn.ModuleList([self.twice(1, 8), self.twice(8, 16), self.twice(16, 32)])
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(2 * width, width, kernel_size=4, stride=2, padding=1)
            for width in (8, 16)
        )
        self.gates = nn.ModuleList([gate(8), gate(16)])
        self.dec = nn.ModuleList([self.twice(16, 8), self.twice(32, 16)])
        self.out = nn.Conv2d(8, 1, 1)

    @staticmethod
    def twice(in_channels: int, out_channels: int) -> nn.Sequential:
        """Two convolutions with ReLUs."""
        return nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, 1, 1),
            nn.ReLU(),
        )

    @override
    def forward(self, image: Tensor) -> Tensor:
        fine = self.enc[0](image)
        middle = self.enc[1](functional.max_pool2d(fine, 2))
        x = self.enc[2](functional.max_pool2d(middle, 2))
        for level, skip in ((1, middle), (0, fine)):
            up = self.ups[level](x)
            x = self.dec[level](torch.cat([self.gates[level](skip, up), up], dim=1))
        return self.out(x)


class Even(nn.Module):
    """Eight channels in every layer of every level; average pooling, added skips, no norm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.left = nn.ModuleList(self.block() for _ in range(4))
        self.up = nn.ModuleList(nn.ConvTranspose2d(8, 8, 2, 2) for _ in range(3))
        self.right = nn.ModuleList(self.block() for _ in range(3))
        self.head = nn.Conv2d(8, 2, 1)

    @staticmethod
    def block() -> nn.Sequential:
        """Two convolutions with ReLUs."""
        return nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.ReLU(),
        )

    @override
    def forward(self, image: Tensor) -> Tensor:
        skips, x = self.descend(torch.relu(self.stem(image)))
        return self.head(self.ascend(skips, x))

    def descend(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """The skips from fine to coarse, and the bottleneck's map."""
        skips = []
        for block in list(self.left)[:-1]:
            x = block(x)
            skips.append(x)
            x = functional.avg_pool2d(x, 2)
        return skips, self.left[-1](x)

    def ascend(self, skips: list[Tensor], x: Tensor) -> Tensor:
        """Up from coarse to fine."""
        for skip, up, block in zip(skips[::-1], self.up, self.right, strict=True):
            x = block(up(x) + skip)
        return x


@final
class Refusing(nn.Module):
    """Nearest upsampling, no norm; a side that is no multiple of 16 is refused."""

    def __init__(self) -> None:
        super().__init__()
        widths = [4, 4, 8, 8, 16]
        self.down = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1, padding_mode="circular")
            for before, after in pairwise([1, *widths])
        )
        self.up = nn.ModuleList(
            nn.Conv2d(below + here, here, 3, padding=1, padding_mode="circular")
            for here, below in pairwise(widths)
        )
        self.head = nn.Conv2d(widths[0], 5, 1)

    @override
    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        if height % 16 or width % 16:
            raise ValueError(f"sides must be multiples of 16, and {height}x{width} is not")
        maps = [torch.relu(self.down[0](image))]
        for conv in list(self.down)[1:]:
            maps.append(torch.relu(conv(functional.max_pool2d(maps[-1], 2))))
        x = maps[-1]
        for level in (3, 2, 1, 0):
            x = functional.interpolate(x, scale_factor=2)
            x = torch.relu(self.up[level](torch.cat([maps[level], x], 1)))
        return self.head(x)


SOUND: Final[dict[str, Sound]] = {
    "listed": Sound(
        factory=Listed,
        in_channels=3,
        size=64,
        expected=traits("zeros concat transposed batch", depth=3, num_classes=2, base_channels=4),
        warns=("off_grid_crash",),
    ),
    "recursive": Sound(
        factory=Recursive,
        in_channels=2,
        size=64,
        expected=traits("reflect add nearest none", depth=3, num_classes=3, base_channels=6),
        warns=("off_grid_crash",),
    ),
    "padded_up": Sound(
        factory=PaddedUp,
        in_channels=3,
        size=72,
        expected=traits("zeros concat bilinear batch", depth=3, num_classes=1, base_channels=6),
    ),
    "stages": Sound(
        factory=Stages,
        in_channels=4,
        size=64,
        expected=traits("zeros add nearest group", depth=3, num_classes=4, base_channels=8),
        warns=("off_grid_silent",),
    ),
    "lightning": Sound(
        factory=Lightning,
        in_channels=1,
        size=64,
        expected=traits(
            "zeros concat pixel_shuffle instance", depth=2, num_classes=3, base_channels=8
        ),
        warns=("off_grid_crash",),
    ),
    "pad_and_crop": Sound(
        factory=PadAndCrop,
        in_channels=3,
        size=70,
        expected=traits(
            "replicate concat transposed none", depth=3, num_classes=2, base_channels=4
        ),
    ),
    "attended": Sound(
        factory=Attended,
        in_channels=1,
        size=64,
        expected=traits("zeros attention transposed none", depth=2, num_classes=1, base_channels=8),
        warns=("off_grid_crash",),
    ),
    "even": Sound(
        factory=Even,
        in_channels=1,
        size=64,
        expected=traits("zeros add transposed none", depth=3, num_classes=2, base_channels=8),
        warns=("off_grid_crash",),
    ),
    "refusing": Sound(
        factory=Refusing,
        in_channels=1,
        size=64,
        expected=traits("? concat nearest none", depth=4, num_classes=5, base_channels=4),
    ),
}
