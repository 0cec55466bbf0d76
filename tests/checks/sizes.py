"""Which sizes a net takes: a net for every message, and a sound one that earns none."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from tests.checks.small import Factory, Said, Small


class OneSize(Small):
    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2:] != (64, 64):
            raise ValueError("64 x 64 only")
        return super().forward(x)


class Squares(Small):
    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] != x.shape[3]:
            raise ValueError("squares only")
        return super().forward(x)


class Framed(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.pad(x, (8, 8, 8, 8)))


class AxesSwapped(Small):
    """Mends odd sizes, with the height's difference given to the width."""

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        below, right = (s - r for s, r in zip(skip.shape[2:], risen.shape[2:], strict=True))
        return super().join(skip, functional.pad(risen, (0, below, 0, right)))


class Stretched(Small):
    """Makes any size fit by a resize, and stretches its output back."""

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = (side + side % 2 for side in x.shape[2:])
        padded = functional.pad(x, (0, columns - x.shape[3], 0, rows - x.shape[2]))
        padded = functional.pad(padded, (0, 2 * (columns % 4), 0, 2 * (rows % 4)))
        return functional.interpolate(super().forward(padded), size=x.shape[2:], mode="bilinear")


class Padded(Small):
    """Pads what cannot be halved, and crops it back."""

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[2:]
        padded = functional.pad(x, (0, columns % 2, 0, rows % 2))
        return super().forward(padded)[..., :rows, :columns]


class FilledUp(Small):
    """Cuts what cannot be halved, and fills the logits up with zeros."""

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[2:]
        logits = super().forward(x[..., : rows // 2 * 2, : columns // 2 * 2])
        return functional.pad(logits, (0, columns % 2, 0, rows % 2))


SAID: list[Said] = [
    (Stretched, "sizes_off_the_grid_are_refused_or_handled", "warn", "and the output stretched"),
    (OneSize, "takes_every_legal_size", "fail", "64 x 64 only"),
    (OneSize, "takes_images_that_are_not_square", "skip", "on no other size, square or not"),
    (Squares, "takes_images_that_are_not_square", "fail", "squares only"),
    (Framed, "output_is_no_larger_than_the_image", "fail", "an image of 64 pixels gives 80"),
    (
        AxesSwapped,
        "sizes_off_the_grid_are_refused_or_handled",
        "fail",
        "65 x 65 is accepted and 65 x 64 is not",
    ),
    (FilledUp, "sizes_off_the_grid_are_refused_or_handled", "fail", "filled up, not computed"),
]

SOUND: list[Factory] = [Padded]
