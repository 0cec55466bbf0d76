"""`Lightning`, `PadAndCrop` and `Attended`, broken in one way each."""

from __future__ import annotations

from functools import partial
from typing import Final, cast, final

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from tests.zoo.records import Mutant, broken
from tests.zoo.sound_same import SOUND, Attended, Gate, Lightning, PadAndCrop


@final
class EncodedWithoutGradient(Lightning):
    """The whole contracting path runs where gradients are off."""

    @override
    def encode(self, image: Tensor) -> list[Tensor]:
        with torch.no_grad():
            return super().encode(image)


@final
class EncodedSideways(Lightning):
    """The image is transposed on its way in, and the output never turned back."""

    @override
    def encode(self, image: Tensor) -> list[Tensor]:
        return super().encode(image.transpose(2, 3))


@final
class EncodedOnce(Lightning):
    """The skips of the first image are kept and joined to all later ones of its shape."""

    kept: list[Tensor] | None = None

    @override
    def encode(self, image: Tensor) -> list[Tensor]:
        features = super().encode(image)
        if self.kept is None or self.kept[0].shape != features[0].shape:
            self.kept = [feature.detach() for feature in features[:-1]]
            return features
        return [*self.kept, features[-1]]


@final
class EncodedBeyondTheSkips(Lightning):
    """All skips but the deepest are replaced by zeros."""

    @override
    def encode(self, image: Tensor) -> list[Tensor]:
        *finer, skip, deep = super().encode(image)
        return [*(torch.zeros_like(feature) for feature in finer), skip, deep]


@final
class PositionsOfOneSize(Lightning):
    """A trained offset for each of 64 x 64 places is added to the finest map."""

    def __init__(self) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.randn(1, 8, 64, 64) * 0.02)

    @override
    def encode(self, image: Tensor) -> list[Tensor]:
        finest, *coarser = super().encode(image)
        return [finest + self.places, *coarser]


@final
class Upturned(Lightning):
    """The bottleneck's map is turned upside down before it goes up."""

    @override
    def decode(self, features: list[Tensor]) -> Tensor:
        return super().decode([*features[:-1], features[-1].flip(2)])


@final
class SoftmaxOverRows(Lightning):
    """A softmax runs along the height of the image, not over the classes."""

    @override
    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image).softmax(dim=2)


@final
class SoftmaxOverClasses(Lightning):
    """The output is probabilities, and the loss expects logits."""

    @override
    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image).softmax(dim=1)


@final
class LogOfSoftmax(Lightning):
    """The output is the logarithm of a softmax, which suits some losses, and is not raw logits."""

    @override
    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image).softmax(dim=1).log()


@final
class RandomShift(Lightning):
    """The image is shifted by a random pixel, a leftover of augmentation."""

    @override
    def forward(self, image: Tensor) -> Tensor:
        shift = int(torch.randint(-2, 3, ()))
        return super().forward(image.roll(shift, dims=3))


@final
class Scrambled(nn.Module):
    """The four channels of a pixel are reshaped, not shuffled, into the larger map."""

    @override
    def forward(self, x: Tensor) -> Tensor:
        images, channels, height, width = x.shape
        return x.reshape(images, channels // 4, 2 * height, 2 * width)


def with_scrambled() -> nn.Module:
    """The lightning net with `Scrambled` in place of its first pixel shuffle."""
    net = Lightning()
    up = cast("nn.ModuleDict", net.decoders[0])["up"]
    cast("nn.Sequential", up)[1] = Scrambled()
    return net


def decoders_in_a_list() -> nn.Module:
    """The decoders stand in a plain list, where torch does not find them."""
    net = Lightning()
    decoders = list(net.decoders)
    del net.decoders
    net.decoders = decoders  # type: ignore[assignment]  # the fault itself
    return net


def frozen_decoder() -> nn.Module:
    """One stage of the decoder asks for no gradient."""
    net = Lightning()
    net.decoders[1].requires_grad_(requires_grad=False)
    return net


def idle_encoder() -> nn.Module:
    """A batch norm is defined for the image and never called."""
    net = Lightning()
    net.norm = nn.BatchNorm2d(1)
    return net


def normalised_logits() -> nn.Module:
    """Instance norm stands behind the classifier, so that every class has mean zero everywhere."""
    net = Lightning()
    net.classifier = nn.Sequential(  # type: ignore[assignment]
        net.classifier, nn.InstanceNorm2d(3)
    )
    return net


@final
class CropTooShort(PadAndCrop):
    """The crop at the end takes one row too few."""

    @override
    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image)[..., :-1, :]


@final
class CropForgotten(PadAndCrop):
    """The image is padded, and the output never cropped."""

    @override
    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        x = functional.pad(image, [0, -width % 8, 0, -height % 8], mode="replicate")
        return self.run(x)


@final
class CropOfTheOtherSide(PadAndCrop):
    """The image is padded at the top and the left, and the output cropped at the other sides."""

    @override
    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        x = functional.pad(image, [-width % 8, 0, -height % 8, 0], mode="replicate")
        return self.run(x)[..., :height, :width]


@final
class PadTooMuch(PadAndCrop):
    """Three more rows are padded at the top and taken off the bottom."""

    @override
    def forward(self, image: Tensor) -> Tensor:
        taller = functional.pad(image, [0, 0, 3, 0], mode="replicate")
        return super().forward(taller)[..., : image.shape[2], :]


@final
class ResizedToFit(PadAndCrop):
    """An image of another size is squeezed to 64 x 64, and the output stretched back."""

    @override
    def forward(self, image: Tensor) -> Tensor:
        logits = self.run(functional.interpolate(image, size=(64, 64), mode="bilinear"))
        return functional.interpolate(logits, size=image.shape[-2:], mode="bilinear")


@final
class JoinOverwrites(PadAndCrop):
    """The upsampled map is written into the memory of the skip, then both are joined."""

    @override
    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        return super().join(skip.copy_(up), up)


@final
class JoinOfZeros(PadAndCrop):
    """New zeros are joined where the skip should be."""

    @override
    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        return super().join(torch.zeros_like(up), up)


@final
class JoinThroughNumpy(PadAndCrop):
    """The upsampled map makes a round trip through numpy, and its history is lost."""

    @override
    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        return super().join(skip, torch.from_numpy(up.detach().cpu().numpy()))


@final
class JoinOfTheBatch(PadAndCrop):
    """The skip is divided by the largest value in the batch."""

    @override
    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        return super().join(skip / skip.abs().amax().clamp_min(1e-6), up)


@final
class JoinHalves(PadAndCrop):
    """The halves of the skip change places along the width."""

    @override
    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        return super().join(torch.cat(skip.chunk(2, dim=3)[::-1], dim=3), up)


@final
class LevelOneUnused(PadAndCrop):
    """The join and the block of the middle level are computed, and the upsampled map goes on."""

    @override
    def run(self, image: Tensor) -> Tensor:
        s0 = self.c0(image)
        s1 = self.c1(functional.avg_pool2d(s0, 2))
        s2 = self.c2(functional.avg_pool2d(s1, 2))
        x = self.bottom(functional.avg_pool2d(s2, 2))
        x = self.d2(self.join(s2, self.u2(x)))
        up = self.u1(x)
        self.d1(self.join(s1, up))
        x = self.d0(self.join(s0, self.u0(up)))
        return self.last(x)


@final
class SubtractsTheMean(PadAndCrop):
    """The mean over the classes and the batch is subtracted from the logits."""

    @override
    def run(self, image: Tensor) -> Tensor:
        logits = super().run(image)
        return logits - logits.mean(dim=(0, 1), keepdim=True)


def faint_start() -> nn.Module:
    """Weights start a thousand times too small, so that the logits say nothing of the image."""
    net = PadAndCrop()
    for parameter in net.parameters():
        parameter.data.mul_(1e-3)
    return net


def lone_ring_missing() -> nn.Module:
    """One convolution is unpadded, and a ring of zeros is put around its block afterwards."""
    net = PadAndCrop()
    net.d0 = nn.Sequential(
        nn.ReplicationPad2d(1), nn.Conv2d(8, 4, 3), nn.ELU(), nn.Conv2d(4, 4, 3), nn.ELU()
    )
    net.d0.append(nn.ZeroPad2d(1))
    return net


def without_activation() -> nn.Module:
    """The last two blocks of the expansive path have no activation."""
    net = PadAndCrop()
    for block in (net.d1, net.d0):
        block[2] = nn.Identity()
        block[5] = nn.Identity()
    return net


@final
class GateShut(Gate):
    """The attention starts at e^-200, and no skip ever passes."""

    @override
    def attention(self, both: Tensor) -> Tensor:
        return torch.sigmoid(self.weight(both) - 200)


@final
class GateRounded(Gate):
    """The attention is rounded to 0 or 1, which has no gradient."""

    @override
    def attention(self, both: Tensor) -> Tensor:
        return super().attention(both).round()


@final
class GateShifted(Gate):
    """The attention lies two pixels left of the skip that it weighs."""

    @override
    def attention(self, both: Tensor) -> Tensor:
        return super().attention(both).roll(-2, dims=3)


@final
class GateOfTheBatch(Gate):
    """The attention is a softmax over the images of the batch."""

    @override
    def attention(self, both: Tensor) -> Tensor:
        return self.weight(both).softmax(dim=0)


@final
class GateOfTheUp(Gate):
    """The attention weighs the upsampled map, and the skip itself is not passed on."""

    @override
    def forward(self, skip: Tensor, up: Tensor) -> Tensor:
        return up * self.attention(torch.relu(self.of_skip(skip) + self.of_up(up)))


@final
class GateNoisy(Gate):
    """Every pixel passes the gate at random, in evaluation too."""

    @override
    def attention(self, both: Tensor) -> Tensor:
        weight = super().attention(both)
        return weight + (torch.bernoulli(weight) - weight).detach()


def uncentred_upconvolution() -> nn.Module:
    """A 4x4 up-convolution loses two rows and columns on the far sides, and none on the near."""
    net = Attended()
    net.ups[0] = nn.Sequential(nn.ConvTranspose2d(16, 8, 4, stride=2), nn.ZeroPad2d((0, -2, 0, -2)))
    return net


@final
class FittedUpconvolution(nn.Module):
    """An up-convolution comes out one pixel too large, and is resized to fit."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2)

    @override
    def forward(self, x: Tensor) -> Tensor:
        size = (2 * x.shape[2], 2 * x.shape[3])
        return functional.interpolate(self.up(x), size=size, mode="bilinear")


def with_fitted_upconvolution() -> nn.Module:
    """The attended net with `FittedUpconvolution` at the finest level."""
    net = Attended()
    net.ups[0] = FittedUpconvolution(16, 8)
    return net


def one_gate_for_two() -> nn.Module:
    """The two convolutions of a gate are one and the same."""
    net = Attended()
    gate = cast("Gate", net.gates[0])
    gate.of_up = gate.of_skip
    return net


def first_convolution_dilated() -> nn.Module:
    """One convolution is dilated, and its padding makes up for it."""
    net = Attended()
    cast("nn.Sequential", net.dec[0])[2] = nn.Conv2d(8, 8, 3, padding=3, dilation=3)
    return net


def blocks_of_one_pixel() -> nn.Module:
    """Every convolution of the blocks is 1x1: a pixel hears only of those it is pooled with."""
    net = Attended()
    for block in [*net.enc, *net.dec]:
        for place in (0, 2):
            old = cast("nn.Conv2d", cast("nn.Sequential", block)[place])
            cast("nn.Sequential", block)[place] = nn.Conv2d(old.in_channels, old.out_channels, 1)
    return net


lightning = partial(broken, "lightning", SOUND["lightning"])
pad_and_crop = partial(broken, "pad_and_crop", SOUND["pad_and_crop"])
attended = partial(broken, "attended", SOUND["attended"])


def gated(fault: str, gate: type[Gate], **claims: str) -> Mutant:
    """The net of `Attended` with a broken kind of gate."""
    return attended(fault, gate, factory=partial(Attended, gate), claims=claims)


MUTANTS: Final[dict[str, Mutant]] = {
    "lightning_without_gradient": lightning("path_detached", EncodedWithoutGradient),
    "lightning_sideways": lightning("output_transposed", EncodedSideways),
    "lightning_encoded_once": lightning("statefulness", EncodedOnce),
    "lightning_finer_skips_dead": lightning("skip_dead", EncodedBeyondTheSkips),
    "lightning_positions": lightning("hard_coded_size", PositionsOfOneSize),
    "lightning_upturned": lightning("misaligned_join", Upturned),
    "lightning_softmax_over_rows": lightning("final_activation", SoftmaxOverRows),
    "lightning_softmax": lightning("final_activation", SoftmaxOverClasses, level="warn"),
    "lightning_log_softmax": lightning("final_activation", LogOfSoftmax, level="warn"),
    "lightning_random_shift": lightning("nondeterminism", RandomShift),
    "lightning_scrambled": lightning("scrambled_pixels", Scrambled, factory=with_scrambled),
    "lightning_plain_list": lightning("unregistered_params", decoders_in_a_list),
    "lightning_frozen_stage": lightning("frozen_params", frozen_decoder),
    "lightning_idle_norm": lightning("dead_params", idle_encoder),
    "lightning_normalised_logits": lightning("after_the_head", normalised_logits),
    "crop_too_short": pad_and_crop("output_size", CropTooShort),
    "crop_forgotten": pad_and_crop("output_size", CropForgotten),
    "crop_of_the_other_side": pad_and_crop("misaligned_off_grid", CropOfTheOtherSide),
    "pad_too_much": pad_and_crop("misaligned_output", PadTooMuch),
    "resized_to_fit": pad_and_crop("silent_resize", ResizedToFit),
    "join_overwrites": pad_and_crop("skip_overwritten", JoinOverwrites),
    "join_of_zeros": pad_and_crop("skip_dead", JoinOfZeros),
    "join_through_numpy": pad_and_crop("path_detached", JoinThroughNumpy),
    "join_of_the_batch": pad_and_crop("batch_dependence", JoinOfTheBatch),
    "join_halves": pad_and_crop("skip_flipped", JoinHalves),
    "level_one_unused": pad_and_crop("decoder_stage_unused", LevelOneUnused),
    "subtracts_the_mean": pad_and_crop("batch_dependence", SubtractsTheMean),
    "faint_start": pad_and_crop("init_scale", faint_start),
    "lone_ring_missing": pad_and_crop("mixed_padding", lone_ring_missing),
    "without_activation": pad_and_crop("missing_activation", without_activation),
    "gate_shut": gated("skip_dead", GateShut),
    "gate_rounded": gated("dead_params", GateRounded),
    "gate_shifted": gated("misaligned_join", GateShifted),
    "gate_of_the_batch": gated("batch_dependence", GateOfTheBatch),
    "gate_of_the_up": gated("skip_replaced", GateOfTheUp, skip="concat"),
    "gate_noisy": gated("nondeterminism", GateNoisy),
    "uncentred_upconvolution": attended("misaligned_join", uncentred_upconvolution),
    "resized_upconvolution": attended(
        "silent_resize", FittedUpconvolution, factory=with_fitted_upconvolution
    ),
    "one_gate_for_two": attended("shared_params", one_gate_for_two),
    "dilated": attended("kernel", first_convolution_dilated, claims={"kernel": "3x3"}),
    "blocks_of_one_pixel": attended("kernel", blocks_of_one_pixel, claims={"kernel": "3x3"}),
}
