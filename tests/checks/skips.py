"""Skips: a net for every message, and sound ones that earn none."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.checks.small import Factory, Said, Small


class HardZeros(Small):
    """Has an activation that torch does not call pointwise, and a skip of zeros."""

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(torch.zeros_like(skip), functional.hardswish(risen))


class PooledSkip(Small):
    """Takes its only skip after the pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.deep = nn.Conv2d(4, 4, 3, padding=1)
        self.up = nn.ConvTranspose2d(4, 4, 2, 2)
        self.bottom = nn.Conv2d(4, 4, 3, padding=1)
        self.leave = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = functional.max_pool2d(torch.relu(self.enter(x)), 2)
        deep = torch.relu(self.bottom(functional.max_pool2d(torch.relu(self.deep(pooled)), 2)))
        risen = pooled + functional.interpolate(deep, scale_factor=2.0)
        return self.head(torch.relu(self.leave(self.up(torch.relu(risen)))))


class Zeroed(Small):
    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(skip * 0.0, risen)


class Copied(Small):
    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(risen, risen)


class Flat(Small):
    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Conv2d(8, 4, 1)  # type: ignore[assignment]

    def down(self, skip: Tensor) -> Tensor:
        return torch.relu(self.deep(skip))


class TwiceJoined(Small):
    wide = 12

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return torch.cat([skip, skip, risen], 1)


class ZerosBeside(Small):
    """Joins zeros where a second skip of the level was meant."""

    wide = 12

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return torch.cat([skip, torch.zeros_like(skip), risen], 1)


class HalfTheChannels(Small):
    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return torch.cat([skip[:, :2].repeat(1, 2, 1, 1), risen], 1)


class PickedAfterwards(Small):
    """Every channel twice, and only those of the one map."""

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(skip, risen)[:, torch.arange(8) // 2]


class Gated(Small):
    """The skip is weighed by a gate; `deaf` returns the weighed map from below in its place."""

    deaf: ClassVar[bool] = False
    bent: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.of_skip, self.of_risen = nn.Conv2d(4, 2, 1), nn.Conv2d(4, 2, 1)
        self.weight = nn.Conv2d(2, 1, 1)

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        both = self.of_skip(skip) + self.of_risen(risen)
        weight = self.weight(torch.relu(both) if self.bent else both).sigmoid()
        return torch.cat([weight * (risen if self.deaf else skip), risen], 1)


class GatedDeaf(Gated):
    deaf = True


class GatedUnbent(Gated):
    bent = False


class Written(Small):
    """Writes both maps into one tensor, in place of a concatenation."""

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        joined = skip.new_empty(len(skip), 8, *skip.shape[2:])
        joined[:, :4], joined[:, 4:] = skip, risen
        return joined


class Accumulated(Small):
    """Adds its maps to zeros, one after the other."""

    wide = 4

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        total = torch.zeros(skip.shape, dtype=skip.dtype, device=skip.device)
        for each in (skip, risen):
            total = total + each
        return total


class StridedSkip(nn.Module):
    """Takes its lower skip right behind the convolution that halves, before the level's blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(1, 4, 3, padding=1)
        self.downs = nn.ModuleList(nn.Conv2d(4, 4, 2, 2, bias=False) for _ in range(2))
        self.ups = nn.ModuleList(nn.ConvTranspose2d(4, 4, 2, 2, bias=False) for _ in range(2))
        self.blocks = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(6))
        self.head = nn.Conv2d(4, 2, 1)

    def block(self, place: int, x: Tensor) -> Tensor:
        return x + self.blocks[place + 1](torch.relu(self.blocks[place](x)))

    def forward(self, x: Tensor) -> Tensor:
        first = self.enter(x)
        second = self.downs[0](self.block(0, first))
        third = self.downs[1](self.block(2, second))
        risen = self.ups[1](self.block(4, third) + third)
        return self.head(torch.relu(self.ups[0](risen + second) + first))


class LooksDown(Small):
    """Weighs the deepest map by what a convolution of the skip, made coarser, has to say of it."""

    def __init__(self) -> None:
        super().__init__()
        self.look, self.weigh = nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)

    def down(self, skip: Tensor) -> Tensor:
        deep = super().down(skip)
        looked = functional.max_pool2d(self.look(skip), 2)
        return deep * self.weigh(torch.relu(looked + deep))


class AddedTwice(Small):
    wide = 4

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return risen + skip + skip


class Levelled(Small):
    """Joins the mean of the skip's channels in place of them."""

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(skip.mean(1, keepdim=True).expand_as(skip), risen)


class Blank(Small):
    """Bends its skip twice, the second time the wrong way."""

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(torch.relu(-skip), risen)


class Shut(Small):
    """Has a gate at its skip that starts with a bias of -25."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Conv2d(4, 1, 1)
        nn.init.constant_(self.gate.bias, -25)  # type: ignore[arg-type]  # it has one

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(skip * torch.sigmoid(self.gate(skip)), risen)


class Spotted(Small):
    """Weighs the pixels of what it has joined by the mean and the maximum of their channels."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(2, 1, 3, padding=1)

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        joined = super().join(skip, risen)
        seen = torch.cat([joined.mean(1, keepdim=True), joined.amax(1, keepdim=True)], 1)
        return joined * torch.sigmoid(self.weigh(seen))


class DenseInPart(Small):
    """Lays new maps beside what comes up, and hands the new ones on alone."""

    def __init__(self) -> None:
        super().__init__()
        self.deep, self.up = nn.Conv2d(4, 8, 3, padding=1), nn.ConvTranspose2d(8, 8, 3, 2)
        self.norm, self.new = nn.BatchNorm2d(12), nn.Conv2d(12, 4, 3, padding=1)
        self.leave = nn.Conv2d(4, 4, 3, padding=1)

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        joined = torch.cat([risen[..., : skip.shape[2], : skip.shape[3]], skip], 1)
        return torch.relu(torch.cat([joined, self.new(torch.relu(self.norm(joined)))], 1)[:, -4:])


SAID: list[Said] = [
    (HardZeros, "every_level_is_joined", "fail", "the net has no skips"),
    (PooledSkip, "every_level_is_joined", "fail", "every skip is taken after the pooling"),
    (Zeroed, "both_sides_of_a_join_reach_the_output", "fail", "the skip is multiplied by zero"),
    (Copied, "both_sides_of_a_join_reach_the_output", "fail", "a map is joined with itself"),
    (Copied, "every_level_is_joined", "fail", "the net has no skips"),
    (Flat, "every_level_is_joined", "fail", "never halves its resolution"),
    (ZerosBeside, "both_sides_of_a_join_reach_the_output", "fail", "zeros are joined"),
    (TwiceJoined, "both_sides_of_a_join_reach_the_output", "fail", "a map is joined twice"),
    (HalfTheChannels, "both_sides_of_a_join_reach_the_output", "fail", "of 4 channels 2 are"),
    (PickedAfterwards, "both_sides_of_a_join_reach_the_output", "fail", "map that comes up does"),
    (GatedDeaf, "every_level_is_joined", "fail", "never meets|has no skips"),
    (GatedUnbent, "convolutions_are_separated_by_activations", "fail", "of_skip .* and weight"),
    (Written, "every_level_is_joined", "skip", "been through copy_, which is not followed"),
    (AddedTwice, "both_sides_of_a_join_reach_the_output", "fail", "a map is added twice"),
    (Levelled, "both_sides_of_a_join_reach_the_output", "fail", "of the skip's 4 channels mean"),
    (Blank, "both_sides_of_a_join_reach_the_output", "fail", "the skip is zero everywhere"),
    (Shut, "both_sides_of_a_join_reach_the_output", "fail", "the skip is at most"),
]

SOUND: list[Factory] = [Gated, Written, Accumulated, StridedSkip, LooksDown, DenseInPart, Spotted]
