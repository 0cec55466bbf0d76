"""What is computed: a net for every message, and sound ones that earn none."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.checks.small import Factory, Said, Small


class OverwrittenInTraining(Small):
    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        gate = torch.sigmoid(risen)
        joined = super().join(skip, gate * risen)
        if self.training:
            gate.squeeze_().mul_(0.5)
        return joined


class HalfResolved(Small):
    """Takes the mean of each 2x2 logits and lays it down four times."""

    def end(self, logits: Tensor) -> Tensor:
        return functional.interpolate(functional.avg_pool2d(logits, 2), scale_factor=2.0)


class Frozen(Small):
    def end(self, logits: Tensor) -> Tensor:
        return logits.detach()


class ThroughNumpy(Small):
    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(torch.tensor(skip.detach().numpy()), risen)


class Overwritten(Small):
    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        gate = torch.sigmoid(skip)
        joined = super().join(gate, risen)
        gate.add_(1)
        return joined


class Bounced(Small):
    """Pools further than its level and stretches the map to fit."""

    def down(self, skip: Tensor) -> Tensor:
        far = functional.max_pool2d(skip, 4)
        return torch.relu(self.deep(functional.interpolate(far, scale_factor=2)))


class Silenced(Small):
    """Computes something of weights alone and multiplies it by zero."""

    def __init__(self) -> None:
        super().__init__()
        self.beside = nn.Linear(1, 1)

    def end(self, logits: Tensor) -> Tensor:
        return logits + 0 * self.beside(logits.new_ones(1, 1)).sum()


class Deaf(Small):
    """Asks for a time and does not listen."""

    def forward(self, x: Tensor, time: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x * time.isfinite().all())


class ImageOverwritten(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.sub_(0.5))


class ChannelUnread(Small):
    channels = 2

    def begin(self, x: Tensor) -> Tensor:
        return super().begin(x[:, :1].repeat(1, 2, 1, 1))


class Signed(Small):
    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(torch.sign(skip - 0.1), risen)


class PartedInVain(Small):
    """Makes two maps of one convolution and reads the first."""

    def __init__(self) -> None:
        super().__init__()
        self.deep = nn.Conv2d(4, 16, 3, padding=1)

    def down(self, skip: Tensor) -> Tensor:
        read, _ = super().down(skip).chunk(2, dim=1)
        return read


class PassedBy(nn.Module):
    """Goes down from its first level to its third, which has not been through the second."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.three, self.back = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(8, 4, 3, padding=1)
        self.up1, self.up0 = nn.ConvTranspose2d(4, 4, 2, 2), nn.ConvTranspose2d(4, 4, 2, 2)
        self.leave, self.head = nn.Conv2d(8, 4, 3, padding=1), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = torch.relu(self.one(x))
        second = torch.relu(self.two(functional.max_pool2d(first, 2)))
        third = torch.relu(self.three(functional.avg_pool2d(first, 4)))
        risen = torch.relu(self.back(torch.cat([second, self.up1(third)], 1)))
        return self.head(torch.relu(self.leave(torch.cat([first, self.up0(risen)], 1))))


class ReadInPart(Small):
    """Goes down by a convolution that reads one of four pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.stride = nn.Conv2d(4, 4, 1, stride=2)

    def down(self, skip: Tensor) -> Tensor:
        return torch.relu(self.deep(torch.relu(self.stride(skip))))


SAID: list[Said] = [
    (OverwrittenInTraining, "nothing_is_overwritten", "fail", "in place in training"),
    (HalfResolved, "upsampling_doubles", "fail", "is pooled to .* and enlarged again"),
    (Frozen, "gradients_flow_through_every_path", "fail", "asks for no gradient"),
    (ThroughNumpy, "gradients_flow_through_every_path", "fail", "from outside the graph"),
    (Overwritten, "nothing_is_overwritten", "fail", "overwritten in place"),
    (Bounced, "upsampling_doubles", "fail", "64 x 64 is pooled to 16 x 16 and enlarged"),
    (Silenced, "everything_computed_is_used", "fail", "is multiplied by zero"),
    (Deaf, "everything_computed_is_used", "fail", "does not depend on time"),
    (ImageOverwritten, "nothing_is_overwritten", "fail", "overwrites the image"),
    (ChannelUnread, "everything_computed_is_used", "fail", "channel 1 of the image"),
    (Signed, "gradients_flow_through_every_path", "fail", "goes through sign, which has no"),
    (PartedInVain, "everything_computed_is_used", "fail", "parted in 2 and 1 part thrown away"),
    (PassedBy, "what_goes_down_was_convolved", "fail", "level 1: the levels below have not been"),
    (ReadInPart, "what_goes_down_was_convolved", "fail", "level 0: of 2 x 2 pixels stride .* one"),
]

SOUND: list[Factory] = []
