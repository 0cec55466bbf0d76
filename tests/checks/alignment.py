"""Where maps lie: a net for every message, and sound ones that earn none."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.checks.small import Factory, Said, Small


class Turned(Small):
    def end(self, logits: Tensor) -> Tensor:
        return logits.flip(-1)


class Transposed(Small):
    def end(self, logits: Tensor) -> Tensor:
        return logits.transpose(-1, -2)


class Uncentred(Small):
    def end(self, logits: Tensor) -> Tensor:
        return logits[..., 2:, 2:]


class Wrapped(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.pad(x, (2, 2, 2, 2), mode="circular"))[..., 2:-2, 2:-2]


class Positioned(Small):
    """Is told where it is, as some nets are on purpose."""

    wide = 9

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        rows = torch.linspace(0, 1, skip.shape[2], dtype=skip.dtype)[:, None]
        return torch.cat([skip, risen, rows.expand(len(skip), 1, *skip.shape[2:])], 1)


class Unpooled(Small):
    """Puts values back by indices, which `turned` takes the wrong way round."""

    turned: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.deep = nn.Conv2d(4, 4, 3, padding=1)
        del self.up

    def forward(self, x: Tensor) -> Tensor:
        skip = torch.relu(self.enter(x))
        pooled, indices = functional.max_pool2d(skip, 2, return_indices=True)
        indices = indices.flip(3) if self.turned else indices
        risen = functional.max_unpool2d(torch.relu(self.deep(pooled)), indices, 2)
        return self.head(torch.relu(self.leave(self.join(skip, risen))))


class UnpooledTurned(Unpooled):
    turned = True


class NormedAlong(Small):
    """Normalises each row of its maps, where the channels of a pixel were meant."""

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(skip, functional.layer_norm(risen, risen.shape[-1:]))


class Rearranged(nn.Module):
    """Goes down by moving pixels into channels with a view, and back up likewise."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(1, 4, 3, padding=1)
        self.deep = nn.Conv2d(16, 16, 3, padding=1)
        self.leave = nn.Conv2d(8, 4, 3, padding=1)
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skip = torch.relu(self.enter(x))
        n, c, h, w = skip.shape
        cells = skip.view(n, c, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 2, 4)
        deep = torch.relu(self.deep(cells.reshape(n, 4 * c, h // 2, w // 2)))
        risen = deep.view(n, c, 2, 2, h // 2, w // 2).permute(0, 1, 4, 2, 5, 3).reshape(n, c, h, w)
        return self.head(torch.relu(self.leave(torch.cat([skip, risen], 1))))


class Filtered(Small):
    """Lays differences to the right beside the image: a filter neither even nor learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", torch.tensor([[[[0.0, 0, 0], [0, -1, 1], [0, 0, 0]]]]))
        self.enter = nn.Conv2d(2, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        edges = functional.conv2d(functional.pad(x, (1,) * 4, mode="replicate"), self.kernel)
        return super().forward(torch.cat([x, edges], 1))


class LaidDown(Small):
    """Lays each pixel down four times, by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.deep, self.up = nn.Conv2d(4, 4, 3, padding=1), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        skip = torch.relu(self.enter(x))
        deep = self.down(skip)
        risen = deep.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        return self.head(torch.relu(self.leave(self.join(skip, risen))))


class Located(Small):
    """Knows where its pixels are."""

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        rows = torch.linspace(-1, 1, skip.shape[2], dtype=skip.dtype, device=skip.device)
        return super().join(skip + rows[:, None].expand(1, 1, *skip.shape[2:]), risen)


class Sampled(Small):
    """Crops nothing, by indices."""

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(skip.index_select(2, torch.arange(skip.shape[2])), risen)


class UnpooledByOthers(Unpooled):
    """Puts values back by the indices of one channel."""

    def forward(self, x: Tensor) -> Tensor:
        skip = torch.relu(self.enter(x))
        pooled, indices = functional.max_pool2d(skip, 2, return_indices=True)
        indices = indices[:, :1].expand_as(indices).contiguous()
        risen = functional.max_unpool2d(torch.relu(self.deep(pooled)), indices, 2)
        return self.head(torch.relu(self.leave(self.join(skip, risen))))


class UnpooledByItself(Unpooled):
    """Puts values back by indices of what has come up."""

    def forward(self, x: Tensor) -> Tensor:
        skip = torch.relu(self.enter(x))
        deep = torch.relu(self.deep(functional.max_pool2d(skip, 2)))
        up = functional.interpolate(deep, scale_factor=2)
        _, indices = functional.max_pool2d(up, 2, return_indices=True)
        risen = functional.max_unpool2d(deep, indices, 2)
        return self.head(torch.relu(self.leave(self.join(skip, risen))))


class SecondRolled(Small):
    """Returns a second map that lies a pixel off."""

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Conv2d(2, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        logits = super().forward(x)
        return logits, self.second(torch.relu(logits)).roll(1, 3)


class Wavelets(Small):
    """Goes down and up by Haar's wavelets, sample by sample."""

    def __init__(self) -> None:
        super().__init__()
        self.deep, self.up = nn.Conv2d(16, 16, 3, padding=1), nn.Identity()

    def down(self, skip: Tensor) -> Tensor:
        a, b, c, d = (skip[:, :, i::2, j::2] / 2 for i in (0, 1) for j in (0, 1))
        bands = torch.cat([a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d], 1)
        return torch.relu(self.deep(bands))

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        low, across, along, both = (band / 2 for band in risen.chunk(4, 1))
        whole = torch.zeros_like(skip)
        whole[:, :, 0::2, 0::2] = low + across + along + both
        whole[:, :, 0::2, 1::2] = low - across + along - both
        whole[:, :, 1::2, 0::2] = low + across - along - both
        whole[:, :, 1::2, 1::2] = low - across - along + both
        return super().join(skip, whole)


class Windowed(Small):
    """Attends within windows of 4 x 4, with a bias for each pair of pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.all = nn.Linear(8, 24)
        self.bias = nn.Parameter(torch.randn(1, 16, 16))

    def down(self, skip: Tensor) -> Tensor:
        deep = super().down(skip)
        n, c, h, w = deep.shape
        cells = deep.view(n, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 3, 5, 1)
        q, k, v = self.all(cells.reshape(-1, 16, c)).chunk(3, -1)
        seen = (q @ k.transpose(1, 2) + self.bias).softmax(-1) @ v
        back = seen.view(n, h // 4, w // 4, 4, 4, c).permute(0, 5, 1, 3, 2, 4)
        return deep + back.reshape(n, c, h, w)


SAID: list[Said] = [
    (NormedAlong, "shifted_images_give_shifted_outputs", "fail", "along one side of the maps"),
    (Turned, "output_lies_on_the_image", "fail", "the wrong way round"),
    (Transposed, "output_lies_on_the_image", "fail", "rows for columns"),
    (Transposed, "takes_images_that_are_not_square", "fail", "height and width are swapped"),
    (
        Uncentred,
        "output_lies_on_the_image",
        "fail",
        "leaves out 2 px at one end and leaves out 0 px at",
    ),
    (Wrapped, "shifted_images_give_shifted_outputs", "skip", "wrapped around"),
    (Positioned, "shifted_images_give_shifted_outputs", "warn", "is given positions"),
    (
        UnpooledTurned,
        "skips_lie_where_they_are_joined",
        "fail",
        "the wrong way round on the indices",
    ),
    (
        UnpooledByOthers,
        "skips_lie_where_they_are_joined",
        "fail",
        "are not as a pooling returned them",
    ),
    (UnpooledByItself, "skips_lie_where_they_are_joined", "fail", "those of one that had come up"),
    (SecondRolled, "output_lies_on_the_image", "fail", "not centred on the image"),
]

SOUND: list[Factory] = [
    Rearranged,
    lambda: torch.jit.script(Rearranged()),
    Filtered,
    LaidDown,
    Located,
    Sampled,
    Unpooled,
    Wavelets,
    Windowed,
]
