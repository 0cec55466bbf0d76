"""`FlatPaper`, broken in one way each."""

from __future__ import annotations

from functools import partial
from typing import Final, final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack
from typing_extensions import override

from tests.zoo.records import Mutant, broken
from tests.zoo.sound_valid import SOUND, FlatPaper


@final
class CropOneLow(FlatPaper):
    """The crop of the skip lies one pixel below the centre."""

    @override
    def crop(self, skip: Tensor, height: int, width: int) -> Tensor:
        top, left = (skip.shape[2] - height) // 2 + 1, (skip.shape[3] - width) // 2
        return skip[:, :, top : top + height, left : left + width]


@final
class CropTwoRight(FlatPaper):
    """The crop of the skip lies two pixels right of the centre."""

    @override
    def crop(self, skip: Tensor, height: int, width: int) -> Tensor:
        return super().crop(skip[..., 4:], height, width)


@final
class CropSixUp(FlatPaper):
    """The crop of the finest skip lies six pixels above the centre."""

    @override
    def crop(self, skip: Tensor, height: int, width: int) -> Tensor:
        finest = skip.shape[1] == self.conv2.out_channels
        return super().crop(skip[:, :, :-12] if finest else skip, height, width)


@final
class CropTopLeft(FlatPaper):
    """The skip is cropped to its top left corner, not to its centre."""

    @override
    def crop(self, skip: Tensor, height: int, width: int) -> Tensor:
        return skip[:, :, :height, :width]


@final
class CropRowsOnly(FlatPaper):
    """The rows of the skip are centred and its columns are taken from the left."""

    @override
    def crop(self, skip: Tensor, height: int, width: int) -> Tensor:
        return super().crop(skip[..., :width], height, width)


@final
class CropSidesSwapped(FlatPaper):
    """The crop takes height for width, so that only square images pass."""

    @override
    def crop(self, skip: Tensor, height: int, width: int) -> Tensor:
        return super().crop(skip, width, height)


@final
class SkipShrunk(FlatPaper):
    """The whole skip is resized to the upsampled map where it should be cropped."""

    @override
    def crop(self, skip: Tensor, height: int, width: int) -> Tensor:
        return functional.interpolate(skip, size=(height, width), mode="bilinear")


@final
class UpStretched(FlatPaper):
    """The upsampled map is stretched to the skip that surrounds it."""

    @override
    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        return torch.cat([skip, functional.interpolate(up, skip.shape[2:], mode="bilinear")], dim=1)


@final
class UpPadded(FlatPaper):
    """Zeros all on the top and the left bring the upsampled map to the size of the skip."""

    @override
    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        rows, columns = skip.shape[2] - up.shape[2], skip.shape[3] - up.shape[3]
        return torch.cat([skip, functional.pad(up, [columns, 0, rows, 0])], dim=1)


@final
class SkipDetached(FlatPaper):
    """No gradient flows through the skips."""

    @override
    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        return super().join(skip.detach(), up)


@final
class SkipZeroed(FlatPaper):
    """Zeros stand where the skips should be."""

    @override
    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        return super().join(torch.zeros_like(skip), up)


@final
class SkipMirrored(FlatPaper):
    """Left and right of each skip are swapped."""

    @override
    def crop(self, skip: Tensor, height: int, width: int) -> Tensor:
        return super().crop(skip, height, width).flip(-1)


@final
class SkipTransposed(FlatPaper):
    """Rows and columns of each skip are swapped, which on square images goes unnoticed."""

    @override
    def crop(self, skip: Tensor, height: int, width: int) -> Tensor:
        return super().crop(skip, height, width).transpose(2, 3)


@final
class SkipThroughNumpy(FlatPaper):
    """The crop makes a round trip through numpy, which leaves the graph and the device."""

    @override
    def crop(self, skip: Tensor, height: int, width: int) -> Tensor:
        return torch.from_numpy(super().crop(skip, height, width).detach().cpu().numpy())


@final
class LogitsCut(FlatPaper):
    """The output lacks its last row and column."""

    @override
    def finish(self, logits: Tensor) -> Tensor:
        return logits[..., :-1, :-1]


@final
class LogitsPadded(FlatPaper):
    """The output has a row and a column of zeros too many."""

    @override
    def finish(self, logits: Tensor) -> Tensor:
        return functional.pad(logits, [0, 1, 0, 1])


@final
class LogitsStretched(FlatPaper):
    """The output is stretched to the size of the image, of which it only shows the middle."""

    @override
    def forward(self, image: Tensor) -> Tensor:
        logits = super().forward(image)
        return functional.interpolate(logits, size=image.shape[-2:], mode="bilinear")


@final
class LogitsOfOneSize(FlatPaper):
    """The output is viewed as 52 x 52, whatever the size of the image."""

    @override
    def finish(self, logits: Tensor) -> Tensor:
        return logits.view(-1, 2, 52, 52)


@final
class LogitsEnormous(FlatPaper):
    """The logits are multiplied by ten million, a scale left over from integer images."""

    @override
    def finish(self, logits: Tensor) -> Tensor:
        return 1e7 * logits


@final
class LogitsRectified(FlatPaper):
    """A ReLU after the head leaves no negative logits."""

    @override
    def finish(self, logits: Tensor) -> Tensor:
        return torch.relu(logits)


@final
class LogitsOfTheWidth(FlatPaper):
    """A softmax runs along the width of the image, not over the classes."""

    @override
    def finish(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=3)


@final
class LogitsTransposed(FlatPaper):
    """Rows and columns of the output are swapped."""

    @override
    def finish(self, logits: Tensor) -> Tensor:
        return logits.mT


@final
class LogitsRolled(FlatPaper):
    """The output lies one column to the right of where it belongs."""

    @override
    def finish(self, logits: Tensor) -> Tensor:
        return logits.roll(1, dims=3)


@final
class NoReluBetween(FlatPaper):
    """No ReLU stands between the two convolutions of a level."""

    @override
    def pair(self, first: nn.Module, second: nn.Module, x: Tensor) -> Tensor:
        return torch.relu(second(first(x)))


@final
class NoReluInExpansion(FlatPaper):
    """The blocks of the expansive path have no ReLU at all."""

    @override
    def pair(self, first: nn.Module, second: nn.Module, x: Tensor) -> Tensor:
        if first in (self.conv7, self.conv9):
            both: Tensor = second(first(x))
            return both
        return super().pair(first, second, x)


def lone_padding() -> nn.Module:
    """One convolution is padded in a net of unpadded ones."""
    net = FlatPaper()
    net.conv7 = nn.Conv2d(16, 8, 3, padding=1)
    return net


def shared_convolution() -> nn.Module:
    """One set of weights serves as the second and as the last convolution."""
    net = FlatPaper()
    net.conv10 = net.conv2
    return net


def frozen_convolution() -> nn.Module:
    """One convolution asks for no gradient."""
    net = FlatPaper()
    net.conv3.requires_grad_(requires_grad=False)
    return net


def idle_convolution() -> nn.Module:
    """A convolution is defined, and counted, and never used."""
    net = FlatPaper()
    net.conv12 = nn.Conv2d(4, 4, 3)
    return net


def all_zero() -> nn.Module:
    """Every weight starts at zero, so that no gradient ever flows."""
    net = FlatPaper()
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    return net


def all_alike() -> nn.Module:
    """Every weight starts at one value, so that all channels of a layer stay equal."""
    net = FlatPaper()
    for parameter in net.parameters():
        nn.init.constant_(parameter, 0.02)
    return net


def far_too_large() -> nn.Module:
    """Weights start with a standard deviation of 10, and the logits at 10^20 or more."""
    net = FlatPaper()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=10.0)
    return net


def dilated_convolution() -> nn.Module:
    """One convolution is dilated, so that its level loses two pixels more on each side."""
    net = FlatPaper()
    net.conv4 = nn.Conv2d(8, 8, 3, dilation=2)
    return net


def pointwise_convolutions() -> nn.Module:
    """The second convolution of each contracting level is 1x1."""
    net = FlatPaper()
    net.conv2, net.conv4 = nn.Conv2d(4, 4, 1), nn.Conv2d(8, 8, 1)
    return net


def drifting_upconvolution() -> nn.Module:
    """A 3x3 transposed convolution of stride 2 lies half a pixel off the grid."""
    net = FlatPaper()
    net.upconv2 = nn.ConvTranspose2d(8, 4, 3, stride=2, padding=1, output_padding=1)
    return net


@final
class SkipWhileWatched(FlatPaper):
    """The skip is zero unless a dispatch mode of torch follows the operations."""

    @override
    def crop(self, skip: Tensor, height: int, width: int) -> Tensor:
        cropped = super().crop(skip, height, width)
        return cropped if _get_current_dispatch_mode_stack() else torch.zeros_like(cropped)


flat = partial(broken, "flat_paper", SOUND["flat_paper"])

MUTANTS: Final[dict[str, Mutant]] = {
    "crop_one_low": flat("misaligned_join", CropOneLow),
    "crop_two_right": flat("misaligned_join", CropTwoRight),
    "crop_six_up": flat("misaligned_join", CropSixUp),
    "crop_top_left": flat("misaligned_join", CropTopLeft),
    "crop_rows_only": flat("misaligned_join", CropRowsOnly),
    "crop_sides_swapped": flat("square_only", CropSidesSwapped),
    "skip_shrunk": flat("silent_resize", SkipShrunk),
    "up_stretched": flat("silent_resize", UpStretched),
    "up_padded_to_the_skip": flat("misaligned_join", UpPadded),
    "skip_detached": flat("skip_detached", SkipDetached),
    "skip_zeroed": flat("skip_dead", SkipZeroed),
    "skip_while_watched": flat("watched", SkipWhileWatched),
    "skip_mirrored": flat("skip_flipped", SkipMirrored),
    "skip_transposed": flat("skip_transposed", SkipTransposed),
    "skip_through_numpy": flat("skip_detached", SkipThroughNumpy),
    "logits_cut": flat("output_size", LogitsCut),
    "logits_padded": flat("output_size", LogitsPadded),
    "logits_stretched": flat("output_size", LogitsStretched),
    "logits_of_one_size": flat("hard_coded_size", LogitsOfOneSize),
    "logits_enormous": flat("init_scale", LogitsEnormous),
    "logits_rectified": flat("final_activation", LogitsRectified),
    "logits_transposed": flat("output_transposed", LogitsTransposed),
    "logits_rolled": flat("misaligned_output", LogitsRolled),
    "softmax_over_width": flat("final_activation", LogitsOfTheWidth),
    "no_relu_between": flat("missing_activation", NoReluBetween),
    "no_relu_in_expansion": flat("missing_activation", NoReluInExpansion),
    "lone_padding": flat("mixed_padding", lone_padding),
    "shared_convolution": flat("shared_params", shared_convolution),
    "frozen_convolution": flat("frozen_params", frozen_convolution),
    "idle_convolution": flat("dead_params", idle_convolution),
    "all_zero": flat("init_scale", all_zero),
    "all_alike": flat("init_scale", all_alike),
    "far_too_large": flat("init_scale", far_too_large),
    "dilated_convolution": flat("kernel", dilated_convolution, claims={"kernel": "3x3"}),
    "pointwise_convolutions": flat(
        "kernel", pointwise_convolutions, claims={"kernel": "3x3"}, size=94
    ),
    "drifting_upconvolution": flat("half_pixel_drift", drifting_upconvolution, level="warn"),
}
