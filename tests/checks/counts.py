"""Weights and who uses them: a net for every message, and sound ones that earn none."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.checks.small import Factory, Said, Small


class OneStatistic(Small):
    """Normalises two places by the statistics of one module, which has no weights."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4, affine=False)

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(self.norm(skip), self.norm(risen))


class OneHead(Small):
    """Has one head for the map before its last convolution and for the one after it."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        skip = torch.relu(self.enter(x))
        left = torch.relu(self.leave(self.join(skip, self.up(self.down(skip)))))
        return self.head(left), self.head(skip)


class Untrainable(Small):
    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            raise NotImplementedError("evaluation only")
        return super().forward(x)


class Weighed(Small):
    """Weighs channels by their means and maxima, through one layer, as CBAM does."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze, self.widen = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        joined = super().join(skip, risen)
        pooled = (
            functional.adaptive_avg_pool2d(joined, 1),
            functional.adaptive_max_pool2d(joined, 1),
        )
        mean, most = (self.widen(functional.silu(self.squeeze(each))) for each in pooled)
        return joined * torch.sigmoid(mean + most)


class Recurrent(Small):
    """Feeds a convolution its input and what it made of that, once, as R2U-Net does."""

    def __init__(self) -> None:
        super().__init__()
        self.again = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(self.again(skip + self.again(skip)), risen)


class Trained(Small):
    """Has a second head that is returned in training alone."""

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Conv2d(8, 2, 1)

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        joined = super().join(skip, risen)
        self.other = self.second(joined)
        return joined

    def end(self, logits: Tensor) -> Tensor:
        return logits + self.other if self.training else logits


class Quantised(Small):
    """Rounds the weights of a convolution, and with them their gradient."""

    def down(self, skip: Tensor) -> Tensor:
        weight = (16 * self.deep.weight).round() / 16
        pooled = functional.max_pool2d(skip, 2)
        return torch.relu(functional.conv2d(pooled, weight, self.deep.bias, padding=1))


SAID: list[Said] = [
    (OneStatistic, "weights_serve_one_place", "fail", "norm.running_mean serves 2 places"),
    (OneHead, "weights_serve_one_place", "warn", "head.weight serves 2 places"),
    (Untrainable, "used_parameters_get_gradients", "skip", "evaluation only"),
    (Quantised, "used_parameters_get_gradients", "fail", "deep.weight is used and gets no grad"),
]

SOUND: list[Factory] = [
    Weighed,
    Recurrent,
    Trained,
]
