"""`Recursive`, `PaddedUp` and `Stages`, nets of small modules, broken in one way each."""

from __future__ import annotations

from functools import partial
from typing import Final, final

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from tests.zoo.records import Grade, Mutant, broken
from tests.zoo.sound_same import SOUND, Ascent, Level, PaddedUp, Recursive, Residual, Stages, Twice
from tests.zoo.sound_topologies import SOUND as TOPOLOGIES
from tests.zoo.sound_topologies import SelfAttending, SelfAttention


@final
class SkipMirrored(Level):
    """Each skip is added the wrong way round."""

    @override
    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        return skip.flip(-1) + up


@final
class SkipTransposed(Level):
    """Each skip is added with rows for columns, which only square images survive."""

    @override
    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        return skip.mT + up


@final
class SkipHalved(Level):
    """The first half of the skip's channels stands in for the second as well."""

    @override
    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        return skip.chunk(2, dim=1)[0].repeat(1, 2, 1, 1) + up


@final
class SkipRolled(Level):
    """Each skip is added one row and one column off, wrapped around."""

    @override
    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        return skip.roll((1, 1), dims=(2, 3)) + up


@final
class SkipForgotten(Level):
    """Nothing is added to the upsampled map."""

    @override
    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        return up


@final
class UpForgotten(Level):
    """The level below is worked out and left out."""

    @override
    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        return skip


@final
class SkipInPlace(Level):
    """The upsampled map is copied over the skip before the two are added."""

    @override
    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        return skip.copy_(up) + up


@final
class SkipNotConvolved(Level):
    """The skip leaves its level before the first convolution, made wider by repetition."""

    @override
    def forward(self, x: Tensor) -> Tensor:
        if not self.below:
            return self.before(x)
        wide = x.repeat(1, 3, 1, 1)[:, : self.soften.out_channels]
        deep = self.inner(functional.max_pool2d(self.before(x), 2))
        return self.after(self.join(wide, self.soften(self.resize(deep))))


@final
class AfterIgnored(Level):
    """The convolutions after the join are computed, and what was joined is handed on."""

    @override
    def around(self, x: Tensor) -> Tensor:
        deep = self.inner(functional.max_pool2d(x, 2))
        joined = self.join(x, self.soften(self.resize(deep)))
        self.after(joined)
        return joined


@final
class OnlyOneGelu(Level):
    """No GELU stands between the two convolutions of a block."""

    @override
    def block(self, in_channels: int, width: int) -> nn.Sequential:
        first, _, second, gelu = super().block(in_channels, width)
        return nn.Sequential(first, second, gelu)


@final
class ZerosAmongReflections(Level):
    """The convolution after each upsampling is padded with zeros, and all others reflect."""

    def __init__(self, in_channels: int, width: int, below: int) -> None:
        super().__init__(in_channels, width, below)
        if below:
            self.soften = nn.Conv2d(2 * width, width, 3, padding=1)


@final
class CornersAligned(Level):
    """Upsampling aligns the corners, so that pixels drift apart towards them."""

    def __init__(self, in_channels: int, width: int, below: int) -> None:
        super().__init__(in_channels, width, below)
        self.resize = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)


@final
class BelowUnderNoGrad(Level):
    """The levels below are worked out where gradients are off."""

    @override
    def around(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            deep = self.inner(functional.max_pool2d(x, 2))
        return self.after(self.join(x, self.soften(self.resize(deep))))


@final
class FitOnWrongSide(Ascent):
    """Pooling drops the last row and column, and zeros stand in for the first."""

    @override
    def fit(self, up: Tensor, skip: Tensor) -> Tensor:
        rows, columns = skip.size(2) - up.size(2), skip.size(3) - up.size(3)
        return functional.pad(up, [columns, 0, rows, 0])


@final
class FitShifts(Ascent):
    """The upsampled map gets a column of zeros on the left and loses its last one."""

    @override
    def fit(self, up: Tensor, skip: Tensor) -> Tensor:
        return functional.pad(super().fit(up, skip), [1, -1, 0, 0])


@final
class FitByFilling(Ascent):
    """The upsampled map is copied into zeros of torch's default type and place."""

    @override
    def fit(self, up: Tensor, skip: Tensor) -> Tensor:
        canvas = torch.zeros(len(up), up.shape[1], *skip.shape[2:])
        canvas[:, :, : up.shape[2], : up.shape[3]] = up
        return canvas


@final
class FitRows(Ascent):
    """The rows are rolled by two when the map has been fitted."""

    @override
    def fit(self, up: Tensor, skip: Tensor) -> Tensor:
        return super().fit(up, skip).roll(2, dims=2)


@final
class AlignedAscent(Ascent):
    """Bilinear upsampling aligns the corners of the coarse and the fine map."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)


@final
class FourfoldAscent(Ascent):
    """The map is enlarged by 4 and every second pixel kept, a quarter of a pixel off."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels)
        self.up = nn.Upsample(scale_factor=4, mode="bilinear")

    @override
    def fit(self, up: Tensor, skip: Tensor) -> Tensor:
        return super().fit(up[..., ::2, ::2], skip)


@final
class AscentByRepetition(Ascent):
    """The map is not enlarged but tiled, 2 x 2 copies of it."""

    @override
    def fit(self, up: Tensor, skip: Tensor) -> Tensor:
        small = functional.avg_pool2d(up, 2)
        return super().fit(small.repeat(1, 1, 2, 2), skip)


def last_pooling_missing() -> nn.Module:
    """The deepest level is not pooled, and a crop of the upsampled map makes up for it."""
    net = PaddedUp()
    net.down3 = nn.Sequential(Twice(24, 24))
    return net


def pooling_of_one_pixel() -> nn.Module:
    """The deepest pooling has a window of 1: it drops three pixels of four, and drifts by half."""
    net = PaddedUp()
    net.down3[0] = nn.MaxPool2d(1, stride=2)
    return net


def probabilities() -> nn.Module:
    """A sigmoid follows the head, and a loss on logits will apply it again."""
    net = PaddedUp()
    net.outc = nn.Sequential(net.outc, nn.Sigmoid())  # type: ignore[assignment]
    return net


def softmax_of_one() -> nn.Module:
    """A softmax over the only class there is: 1 everywhere."""
    net = PaddedUp()
    net.outc = nn.Sequential(net.outc, nn.Softmax(dim=1))  # type: ignore[assignment]
    return net


@final
class LogitsAsOneNumber(PaddedUp):
    """The logits are averaged over the image, and the mean repeated."""

    @override
    def forward(self, image: Tensor) -> Tensor:
        logits = super().forward(image)
        return logits.mean((2, 3), keepdim=True).expand_as(logits)


def statistics_of_the_batch() -> nn.Module:
    """Every batch norm takes the statistics of the batch, in evaluation too."""
    net = PaddedUp()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = False
            module.running_mean = module.running_var = None
    return net


def twins() -> nn.Module:
    """The blocks of the two last steps up hold one convolution between them."""
    net = PaddedUp()
    net.up3.convolve.layers[3] = net.up2.convolve.layers[3]
    return net


@final
class SkipsDetached(Stages):
    """Each stage up sees the skips without their history."""

    @override
    def expand(self, name: str, skips: dict[str, Tensor], x: Tensor) -> Tensor:
        return super().expand(name, {key: skip.detach() for key, skip in skips.items()}, x)


@final
class SkipDoubled(Stages):
    """Each stage up adds the skip to itself, and leaves out what came from below."""

    @override
    def expand(self, name: str, skips: dict[str, Tensor], x: Tensor) -> Tensor:
        return self.decoder[name](skips[name] + skips[name])


@final
class SkipOfTheImage(Stages):
    """Where the finest skip should be, the image is added, repeated to its channels."""

    @override
    def forward(self, image: Tensor) -> Tensor:
        self.image = image
        return super().forward(image)

    @override
    def expand(self, name: str, skips: dict[str, Tensor], x: Tensor) -> Tensor:
        return super().expand(name, {**skips, "whole": self.image.repeat(1, 2, 1, 1)}, x)


@final
class StageIgnored(Stages):
    """The residual block of one stage up is computed, and what entered it handed on."""

    @override
    def expand(self, name: str, skips: dict[str, Tensor], x: Tensor) -> Tensor:
        if name != "halved":
            return super().expand(name, skips, x)
        skip = skips[name]
        joined = skip + functional.interpolate(self.up[name](x), size=skip.shape[-2:])
        self.decoder[name](joined)
        return joined


@final
class StageSkipped(Stages):
    """The encoder's middle block serves its skip alone: what goes down was never convolved."""

    @override
    def forward(self, image: Tensor) -> Tensor:
        whole = self.encoder["whole"](image)
        smaller = self.down["whole"](whole)
        halved = self.encoder["halved"](smaller)
        down = self.down["halved"](torch.cat([smaller, smaller], dim=1))
        quartered = self.encoder["quartered"](down)
        x = self.bottom(self.down["quartered"](quartered))
        skips = {"whole": whole, "halved": halved, "quartered": quartered}
        for name in reversed(self.NAMES):
            x = self.expand(name, skips, x)
        return self.head(x)


@final
class NoiseInTheMiddle(Stages):
    """Dropout by function call, on in evaluation."""

    @override
    def expand(self, name: str, skips: dict[str, Tensor], x: Tensor) -> Tensor:
        return super().expand(name, skips, functional.dropout2d(x, 0.1, training=True))


@final
class BatchMean(Stages):
    """The mean image of the batch is taken off each image."""

    @override
    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image - image.mean(dim=0))


@final
class Counting(Stages):
    """The output grows with the number of calls."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    @override
    def forward(self, image: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(image) * (1 + 0.01 * self.calls)


@final
class SquareCanvas(Stages):
    """The output is reshaped to a square, whatever the shape of the image."""

    @override
    def forward(self, image: Tensor) -> Tensor:
        logits = super().forward(image)
        side = image.shape[-1]
        return logits.reshape(len(image), -1, side, side)


@final
class HalfResolution(Stages):
    """The finest stage up is left out, and the half-size logits are enlarged."""

    def __init__(self) -> None:
        super().__init__()
        for stages in (self.up, self.decoder):
            del stages["whole"]
        self.head = nn.Conv2d(16, 4, kernel_size=1)

    @override
    def expand(self, name: str, skips: dict[str, Tensor], x: Tensor) -> Tensor:
        if name == "whole":
            return functional.interpolate(x, size=skips[name].shape[-2:], mode="bilinear")
        return super().expand(name, skips, x)


def squashed() -> nn.Module:
    """A tanh follows the head."""
    net = Stages()
    net.head = nn.Sequential(net.head, nn.Tanh())  # type: ignore[assignment]
    return net


def normalised_head() -> nn.Module:
    """Group norm stands behind the head, and fixes the mean of the logits."""
    net = Stages()
    net.head = nn.Sequential(net.head, nn.GroupNorm(1, 4))  # type: ignore[assignment]
    return net


def mixed_modes() -> nn.Module:
    """One convolution wraps around the image, and all others pad with zeros."""
    net = Stages()
    net.encoder["halved"].first = nn.Conv2d(8, 16, 3, padding=1, padding_mode="circular")
    return net


def drifting_strides() -> nn.Module:
    """Strided 3x3 convolutions are centred on every second pixel, half a pixel off the grid."""
    net = Stages()
    for name, width in zip(net.NAMES, (8, 16, 32), strict=True):
        net.down[name] = nn.Conv2d(width, width, 3, stride=2, padding=1)
    return net


def shared_residuals() -> nn.Module:
    """The two convolutions of one residual block are one."""
    net = Stages()
    shared = net.decoder["quartered"]
    assert isinstance(shared, Residual)
    shared.second = shared.first
    return net


def enormous_start() -> nn.Module:
    """The head starts with a standard deviation of 1000."""
    net = Stages()
    nn.init.normal_(net.head.weight, std=1000.0)
    return net


padded_up = partial(broken, "padded_up", SOUND["padded_up"])
stages = partial(broken, "stages", SOUND["stages"])


def recursive(fault: str, level: type[Level], grade: Grade = "defect") -> Mutant:
    """The recursive net made of a broken kind of level."""
    factory = partial(Recursive, level)
    return broken("recursive", SOUND["recursive"], fault, level, factory=factory, level=grade)


def ascending(fault: str, ascent: type[Ascent], grade: Grade = "defect", size: int = 72) -> Mutant:
    """The net of `PaddedUp` with a broken way up."""
    factory = partial(PaddedUp, ascent)
    return broken(
        "padded_up", SOUND["padded_up"], fault, ascent, factory=factory, level=grade, size=size
    )


@final
class SharesOfTheAsked(SelfAttention):
    """The softmax runs over the cells that ask, and the shares that one gets add up to nothing."""

    @override
    def weights(self, likeness: Tensor) -> Tensor:
        return likeness.softmax(dim=1)


@final
class LaidOutByColumns(SelfAttention):
    """What attention has heard is laid out by columns where it was read by rows."""

    @override
    def laid_out(self, tokens: Tensor, like: Tensor) -> Tensor:
        return tokens.reshape(like.mT.shape).mT


def attending(fault: str, attention: type[SelfAttention]) -> Mutant:
    """The net of `SelfAttending` with a broken attention."""
    factory = partial(SelfAttending, attention)
    return broken("self_attending", TOPOLOGIES["self_attending"], fault, attention, factory=factory)


MUTANTS: Final[dict[str, Mutant]] = {
    "shares_of_the_asked": attending("attention_axis", SharesOfTheAsked),
    "laid_out_by_columns": attending("scrambled_pixels", LaidOutByColumns),
    "recursive_skip_mirrored": recursive("skip_flipped", SkipMirrored),
    "recursive_skip_transposed": recursive("skip_transposed", SkipTransposed),
    "recursive_skip_halved": recursive("skip_channels_lost", SkipHalved),
    "recursive_skip_rolled": recursive("misaligned_join", SkipRolled),
    "recursive_skip_forgotten": broken(
        "recursive",
        SOUND["recursive"],
        "skip_dead",
        SkipForgotten,
        factory=partial(Recursive, SkipForgotten),
        claims={"skip": "add"},  # without the claim it is a net that has no skips
    ),
    "recursive_up_forgotten": recursive("bottleneck_unused", UpForgotten),
    "recursive_skip_in_place": recursive("skip_overwritten", SkipInPlace),
    "recursive_skip_not_convolved": recursive("skip_wrong_place", SkipNotConvolved),
    "recursive_after_ignored": recursive("decoder_stage_unused", AfterIgnored),
    "recursive_only_one_gelu": recursive("missing_activation", OnlyOneGelu),
    "recursive_zeros": recursive("mixed_padding", ZerosAmongReflections),
    "recursive_corners_aligned": recursive("half_pixel_drift", CornersAligned, "warn"),
    "recursive_below_under_no_grad": recursive("path_detached", BelowUnderNoGrad),
    "fit_on_wrong_side": ascending("misaligned_off_grid", FitOnWrongSide, size=77),
    "fit_shifts": ascending("misaligned_join", FitShifts),
    "fit_by_filling": ascending("dtype", FitByFilling),
    "fit_rows": ascending("misaligned_join", FitRows),
    "aligned_ascent": ascending("half_pixel_drift", AlignedAscent, "warn"),
    "fourfold_ascent": ascending("upsampling_factor", FourfoldAscent),
    "ascent_by_repetition": ascending("scrambled_pixels", AscentByRepetition),
    "last_pooling_missing": padded_up("pooling_missing", last_pooling_missing),
    "pooling_of_one_pixel": padded_up("half_pixel_drift", pooling_of_one_pixel, level="warn"),
    "probabilities": padded_up("final_activation", probabilities, level="warn"),
    "softmax_of_one": padded_up("final_activation", softmax_of_one),
    "logits_as_one_number": padded_up("global_output", LogitsAsOneNumber),
    "statistics_of_the_batch": padded_up("batch_dependence", statistics_of_the_batch),
    "twins": padded_up("shared_params", twins),
    "stages_skips_detached": stages("skip_detached", SkipsDetached),
    "stages_skip_doubled": stages("skip_used_twice", SkipDoubled),
    "stages_skip_of_the_image": stages("skip_replaced", SkipOfTheImage),
    "stages_stage_ignored": stages("decoder_stage_unused", StageIgnored),
    "stages_stage_skipped": stages("encoder_stage_unused", StageSkipped),
    "stages_noise": stages("nondeterminism", NoiseInTheMiddle),
    "stages_batch_mean": stages("batch_dependence", BatchMean),
    "stages_counting": stages("statefulness", Counting),
    "stages_square_canvas": stages("square_only", SquareCanvas),
    "stages_half_resolution": stages("upsampling_missing", HalfResolution),
    "stages_squashed": stages("final_activation", squashed, level="warn"),
    "stages_normalised_head": stages("after_the_head", normalised_head),
    "stages_mixed_modes": stages("mixed_padding", mixed_modes),
    "stages_drifting_strides": stages("half_pixel_drift", drifting_strides, level="warn"),
    "stages_shared_residuals": stages("shared_params", shared_residuals),
    "stages_enormous_start": stages("init_scale", enormous_start),
}
