"""Non-linearities: a net for every message, and sound ones that earn none."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.checks.small import Factory, Said, Small


class Circular(Small):
    """Wraps its maps around, and forgets an activation."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular")
        self.again = nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular")

    def down(self, skip: Tensor) -> Tensor:
        return super().down(torch.relu(skip))

    def begin(self, x: Tensor) -> Tensor:
        return torch.relu(self.again(self.enter(x)))


class PreActivated(Small):
    """Opens with residual blocks that normalise and bend before they convolve."""

    bare: ClassVar[int | None] = None
    """The block that forgets to bend."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(5))
        self.convs = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(5))

    def begin(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        for number, (norm, conv) in enumerate(zip(self.norms, self.convs, strict=True)):
            opened = norm(x)
            x = x + conv(opened if number == self.bare else torch.relu(opened))
        return torch.relu(x)


class PreActivatedOnce(PreActivated):
    bare = 2


class Straight(Small):
    """Says how to work in place where the slope is asked for."""

    def down(self, skip: Tensor) -> Tensor:
        leaky = nn.LeakyReLU(True)  # as it is met with
        return leaky(self.deep(functional.max_pool2d(skip, 2)))


class StridedTwice(Small):
    """Goes down and up by convolutions that resample, with no activation between."""

    def __init__(self) -> None:
        super().__init__()
        self.deep = nn.Conv2d(4, 8, 4, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1)

    def down(self, skip: Tensor) -> Tensor:
        return self.deep(skip)


class Axial(Small):
    """Adds to what its first convolution made those of its rows and columns, and bends nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Conv2d(4, 4, (1, 3), padding="same", groups=4)
        self.columns = nn.Conv2d(4, 4, (3, 1), padding="same", groups=4)

    def begin(self, x: Tensor) -> Tensor:
        entered = self.enter(x)
        return entered + self.rows(entered) + self.columns(entered)


class Decided(Small):
    def end(self, logits: Tensor) -> Tensor:
        return logits.argmax(1, keepdim=True)


class SoftRows(Small):
    def end(self, logits: Tensor) -> Tensor:
        return logits.softmax(2)


class SoftBatch(Small):
    def end(self, logits: Tensor) -> Tensor:
        return logits.softmax(0)


class SoftAlone(Small):
    classes = 1

    def end(self, logits: Tensor) -> Tensor:
        return logits.softmax(1)


class Steep(Small):
    def end(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(logits * 100)


class MixedTwice(Small):
    """Widens and narrows each pixel with no activation between."""

    wide = 8

    def __init__(self) -> None:
        super().__init__()
        self.widen = nn.Linear(8, 32)
        self.narrow = nn.Linear(32, 8)

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        joined = super().join(skip, risen).permute(0, 2, 3, 1)
        return self.narrow(self.widen(joined)).permute(0, 3, 1, 2)


class Bottlenecked(MixedTwice):
    """Narrows each pixel and widens it again: two matrices of low rank, on purpose."""

    def __init__(self) -> None:
        super().__init__()
        self.widen, self.narrow = nn.Linear(8, 2), nn.Linear(2, 8)


class Stream(Small):
    """Adds blocks to what its first convolution made, as EDSR does: the sum goes on as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))

    def begin(self, x: Tensor) -> Tensor:
        stream = self.enter(x)
        return stream + self.other(torch.relu(self.one(stream)))


class Streamed(Small):
    """A residual net that activates before its convolutions, with weights that start at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.branch = nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, padding=1)
        self.gain = nn.Parameter(torch.zeros(1, 8, 1, 1))
        self.leave = nn.Conv2d(8, 4, 3, padding=1)

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        stream = super().join(skip, risen)
        return stream + self.gain * self.branch(torch.relu(self.norm(stream)))


class NormedHead(Small):
    """Ends in a norm over the channels of each pixel and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.norm, self.linear = nn.Conv2d(4, 4, 1), nn.LayerNorm(4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        skip = torch.relu(self.enter(x))
        left = torch.relu(self.leave(self.join(skip, self.up(self.down(skip)))))
        pixels = self.norm(self.head(left).permute(0, 2, 3, 1))
        return self.linear(pixels).permute(0, 3, 1, 2)


class JoinedRaw(Small):
    """Bends what it pools and joins what it has not bent."""

    def begin(self, x: Tensor) -> Tensor:
        return self.enter(x)

    def down(self, skip: Tensor) -> Tensor:
        return super().down(torch.relu(skip))


class Leaking(Small):
    def begin(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(self.enter(x), 100.0)


class SoftAlong(Small):
    """Weighs pixels by a softmax over each row."""

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(skip * risen.softmax(3), risen)


class BentImage(Small):
    def begin(self, x: Tensor) -> Tensor:
        return super().begin(torch.relu(x))


SAID: list[Said] = [
    (
        Circular,
        "convolutions_are_separated_by_activations",
        "fail",
        r"no activation between enter .* and again",
    ),
    (
        PreActivatedOnce,
        "convolutions_are_separated_by_activations",
        "fail",
        r"no activation before convs.2 .*: 3 other convolutions have one",
    ),
    (Straight, "convolutions_are_separated_by_activations", "fail", "have a slope of 1"),
    (
        StridedTwice,
        "convolutions_are_separated_by_activations",
        "fail",
        r"no activation between deep .* and up",
    ),
    (
        Axial,
        "convolutions_are_separated_by_activations",
        "fail",
        "no activation between enter .* and rows",
    ),
    (Decided, "output_is_logits", "fail", r"is a decision \(argmax\)"),
    (Decided, "gradients_flow_through_every_path", "fail", "asks for no gradient"),
    (SoftRows, "output_is_logits", "fail", "axis 2, a side of the image"),
    (SoftBatch, "output_is_logits", "fail", "the images of a batch"),
    (SoftAlone, "output_is_logits", "fail", "over a single class"),
    (Steep, "output_is_logits", "fail", "saturated"),
    (MixedTwice, "convolutions_are_separated_by_activations", "fail", "widen .* and narrow .* mix"),
    (
        JoinedRaw,
        "convolutions_are_separated_by_activations",
        "fail",
        "no activation between enter .* and leave",
    ),
    (Leaking, "convolutions_are_separated_by_activations", "fail", "have a slope of 100"),
    (SoftAlong, "attention_sums_to_one", "fail", "softmax runs along one side"),
    (BentImage, "convolutions_are_separated_by_activations", "warn", "relu stands before the fir"),
]

SOUND: list[Factory] = [
    PreActivated,
    Bottlenecked,
    Stream,
    Streamed,
    NormedHead,
]
