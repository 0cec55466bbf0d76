"""`FunctionalValid`, `StackMachine` and `Released`, broken in one way each."""

from __future__ import annotations

from functools import partial
from typing import Final, final

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from tests.zoo.records import Grade, Mutant, broken
from tests.zoo.sound_valid import (
    SOUND,
    FunctionalValid,
    PopStage,
    PushStage,
    Released,
    StackMachine,
    TopStage,
)


@final
class PadOneLeft(FunctionalValid):
    """The negative pad takes one column too many off the left and one too few off the right."""

    @override
    def merge(self, up: Tensor, skip: Tensor) -> Tensor:
        rows, columns = (skip.shape[axis] - up.shape[axis] for axis in (2, 3))
        off = [-(columns // 2) - 1, columns // 2 - columns + 1, -(rows // 2), rows // 2 - rows]
        return torch.cat((up, functional.pad(skip, off)), dim=1)


@final
class PadOneSided(FunctionalValid):
    """The negative pad takes everything off the top and the left."""

    @override
    def merge(self, up: Tensor, skip: Tensor) -> Tensor:
        rows, columns = (skip.shape[axis] - up.shape[axis] for axis in (2, 3))
        return torch.cat((up, functional.pad(skip, [-columns, 0, -rows, 0])), dim=1)


@final
class UpTwice(FunctionalValid):
    """The upsampled map is concatenated with itself."""

    @override
    def merge(self, up: Tensor, skip: Tensor) -> Tensor:
        return torch.cat((up, up), dim=1)


@final
class UpRolled(FunctionalValid):
    """Transposed convolutions are followed by a roll of one row."""

    @override
    def grow(self, name: str, x: Tensor) -> Tensor:
        return super().grow(name, x).roll(1, dims=2)


@final
class PlainBiases(FunctionalValid):
    """The biases are plain tensors, which no optimiser, device move or checkpoint finds."""

    def __init__(self) -> None:
        super().__init__()
        plain = {name: torch.zeros(len(bias)) for name, bias in self.biases.items()}
        del self.biases
        self.biases = plain  # type: ignore[assignment]  # the fault itself


@final
class WeightsDetached(FunctionalValid):
    """One convolution reads the data of its weight, which therefore is never trained."""

    @override
    def conv(self, name: str, x: Tensor) -> Tensor:
        weight = self.weights[name].detach() if name == "mid1" else self.weights[name]
        return functional.relu(functional.conv2d(x, weight, self.biases[name]))


@final
class WeightsAnew(FunctionalValid):
    """One convolution draws its weight anew in each forward pass."""

    def __init__(self) -> None:
        super().__init__()
        del self.weights["back2"]

    @override
    def conv(self, name: str, x: Tensor) -> Tensor:
        if name != "back2":
            return super().conv(name, x)
        weight = nn.init.kaiming_normal_(x.new_empty(self.SHAPES[name]))
        return functional.relu(functional.conv2d(x, weight, self.biases[name]))


@final
class CastToFloat(FunctionalValid):
    """The image is cast to float32, whatever the type of the weights."""

    @override
    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image.float())


@final
class BatchScaled(FunctionalValid):
    """Each image is divided by the maximum of the whole batch."""

    @override
    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image / image.abs().amax().clamp_min(1e-6))


@final
class DoubleSoftmax(FunctionalValid):
    """The output has gone through two softmaxes."""

    @override
    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image).softmax(dim=1).softmax(dim=1)


@final
class StageDropped(FunctionalValid):
    """The last convolution of a decoder stage is computed and not fed on."""

    @override
    def forward(self, image: Tensor) -> Tensor:
        fine = self.conv("in2", self.conv("in1", image))
        middle = self.conv("mid2", self.conv("mid1", self.shrink(fine)))
        x = self.conv("low2", self.conv("low1", self.shrink(middle)))
        x = self.conv("back1", self.merge(self.grow("grow_mid", x), middle))
        self.conv("back2", x)
        x = self.merge(self.grow("grow_in", x), fine)
        x = self.conv("out2", self.conv("out1", x))
        return functional.conv2d(x, self.weights["logits"], self.biases["logits"])


@final
class BottleneckDropped(FunctionalValid):
    """The bottleneck is computed, and zeros of its shape are fed on."""

    @override
    def grow(self, name: str, x: Tensor) -> Tensor:
        return super().grow(name, torch.zeros_like(x) if name == "grow_mid" else x)


@final
class ReluOnLess(FunctionalValid):
    """The convolutions of the expansive path lack their second ReLU."""

    @override
    def conv(self, name: str, x: Tensor) -> Tensor:
        if name in ("back2", "out2"):
            return functional.conv2d(x, self.weights[name], self.biases[name])
        return super().conv(name, x)


@final
class PoolingThenSkip(PushStage):
    """The skip is the pooled map, enlarged again."""

    @override
    def forward(self, stack: list[Tensor]) -> list[Tensor]:
        *rest, x = super().forward(stack)
        return [*rest[:-1], functional.interpolate(x, scale_factor=2), x]


@final
class PushUnderNoGrad(PushStage):
    """The copy for the stack is made where gradients are off."""

    @override
    def forward(self, stack: list[Tensor]) -> list[Tensor]:
        *rest, skip, x = super().forward(stack)
        with torch.no_grad():
            return [*rest, skip.clone(), x]


@final
class PushBeforeConvolving(PushStage):
    """The skip is what enters the second convolution, not what leaves it."""

    @override
    def forward(self, stack: list[Tensor]) -> list[Tensor]:
        *rest, x = stack
        x = self.act(self.conv1(x))
        return [*rest, x, functional.max_pool2d(self.act(self.conv2(x)), 2)]


@final
class PushPoolingThree(PushStage):
    """A 3x3 pooling is centred on every second pixel, half a pixel off the grid."""

    @override
    def forward(self, stack: list[Tensor]) -> list[Tensor]:
        *rest, skip, _ = super().forward(stack)
        return [*rest, skip, functional.max_pool2d(skip, 3, stride=1, padding=1)[..., ::2, ::2]]


@final
class PopTwice(PopStage):
    """The skip is added to itself, and the upsampled map is left out."""

    @override
    def forward(self, stack: list[Tensor]) -> list[Tensor]:
        *rest, skip, x = stack
        skip = self.window(skip, self.up(x))
        return [*rest, self.convolve(skip + skip)]


@final
class PopOffCentre(PopStage):
    """The window of the skip lies two pixels off in both axes."""

    @override
    def window(self, skip: Tensor, x: Tensor) -> Tensor:
        return super().window(skip[..., 4:, 4:], x)


@final
class PopUpsideDown(PopStage):
    """The window of the skip is turned by half a turn."""

    @override
    def window(self, skip: Tensor, x: Tensor) -> Tensor:
        return super().window(skip, x).rot90(2, dims=(2, 3))


@final
class PopLast(PopStage):
    """The stage adds the skip of the image before, if it has the same shape."""

    last: Tensor | None = None

    @override
    def window(self, skip: Tensor, x: Tensor) -> Tensor:
        now = super().window(skip, x)
        before, self.last = self.last, now.detach()
        return before if before is not None and before.shape == now.shape else now


@final
class PopCentred(PopStage):
    """The mean of the batch is taken off each skip."""

    @override
    def window(self, skip: Tensor, x: Tensor) -> Tensor:
        skip = super().window(skip, x)
        return skip - skip.mean(dim=0, keepdim=True)


@final
class PopTripled(PopStage):
    """An up-convolution of stride 3, resized to twice the size."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels)
        self.up = nn.Sequential(
            nn.ConvTranspose2d(in_channels, out_channels, kernel_size=3, stride=3),
            nn.Upsample(scale_factor=2 / 3, mode="bilinear"),
        )


@final
class PopAtHalfSize(PopStage):
    """The last upsampling keeps the size, and the output has half the resolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels)
        self.up = nn.Conv2d(in_channels, out_channels, kernel_size=1)

    @override
    def window(self, skip: Tensor, x: Tensor) -> Tensor:
        return super().window(functional.avg_pool2d(skip, 2), x)


@final
class TopUnused(TopStage):
    """The bottleneck's second convolution is computed and dropped."""

    @override
    def convolve(self, x: Tensor) -> Tensor:
        x = self.act(self.conv1(x))
        self.conv2(x)
        return x[..., 1:-1, 1:-1]


@final
class KeptPooled(Released):
    """Each skip is pooled to half its size and enlarged again."""

    @override
    def keep(self, x: Tensor) -> Tensor:
        return functional.interpolate(functional.avg_pool2d(x, 2), size=x.shape[2:])


@final
class KeptData(Released):
    """Each skip is kept as its data, which has no history."""

    @override
    def keep(self, x: Tensor) -> Tensor:
        return x.data


@final
class KeptResized(Released):
    """Each skip is resized to the upsampled map instead of being cropped."""

    @override
    def center(self, skip: Tensor, x: Tensor) -> Tensor:
        return functional.interpolate(skip, size=x.shape[2:], mode="bilinear")


@final
class CenterOfRows(Released):
    """The centre of the skip is one pixel low."""

    @override
    def center(self, skip: Tensor, x: Tensor) -> Tensor:
        return super().center(skip[..., 2:, :], x)


@final
class DropsAlways(Released):
    """Dropout is called as a function and stays on in evaluation."""

    @override
    def keep(self, x: Tensor) -> Tensor:
        return functional.dropout(x, 0.2)


def released_with_lone_padding() -> nn.Module:
    """The bottleneck's first convolution is padded, and no other."""
    net = Released()
    net.down[-1] = nn.Sequential(
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU()
    )
    return net


def released_with_shared_blocks() -> nn.Module:
    """The convolutions at the end of levels 1 and 2 share their weights with the contraction."""
    net = Released()
    for level in (1, 2):
        net.blocks[level][2] = net.down[level][2]  # type: ignore[index, operator]  # Sequentials
    return net


def machine(place: int, stage: type[TopStage]) -> nn.Module:
    """The stack machine with another stage in one place of its program."""
    net = StackMachine()
    net.program[place] = stage(*StackMachine.WIDTHS[place : place + 2])
    return net


def stacked(
    fault: str, place: int, stage: type[TopStage], level: Grade = "defect", **claims: str
) -> Mutant:
    """The stack machine, broken in the stage in one place."""
    factory = partial(machine, place, stage)
    sound = SOUND["stack_machine"]
    return broken("stack_machine", sound, fault, stage, factory=factory, level=level, claims=claims)


functional_valid = partial(broken, "functional_valid", SOUND["functional_valid"])
released = partial(broken, "released", SOUND["released"])

MUTANTS: Final[dict[str, Mutant]] = {
    "pad_one_left": functional_valid("misaligned_join", PadOneLeft),
    "pad_one_sided": functional_valid("misaligned_join", PadOneSided),
    "up_twice": functional_valid("skip_dead", UpTwice),
    "up_rolled": functional_valid("misaligned_join", UpRolled),
    "plain_biases": functional_valid("unregistered_params", PlainBiases),
    "weights_detached": functional_valid("dead_params", WeightsDetached),
    "weights_anew": functional_valid("unregistered_params", WeightsAnew),
    "cast_to_float": functional_valid("dtype", CastToFloat, level="warn"),
    "batch_scaled": functional_valid("batch_dependence", BatchScaled),
    "double_softmax": functional_valid("final_activation", DoubleSoftmax),
    "stage_dropped": functional_valid("decoder_stage_unused", StageDropped),
    "bottleneck_dropped": functional_valid("bottleneck_unused", BottleneckDropped),
    "no_second_relu": functional_valid("missing_activation", ReluOnLess),
    "pooling_then_skip": stacked("skip_after_pool", 1, PoolingThenSkip),
    "push_under_no_grad": stacked("skip_detached", 1, PushUnderNoGrad),
    "push_before_convolving": stacked("skip_wrong_place", 1, PushBeforeConvolving),
    "pop_twice": stacked("skip_used_twice", 4, PopTwice),
    "pop_off_centre": stacked("misaligned_join", 4, PopOffCentre),
    "pop_upside_down": stacked("skip_flipped", 4, PopUpsideDown),
    "pop_last": stacked("statefulness", 4, PopLast),
    "pop_centred": stacked("batch_dependence", 4, PopCentred),
    "pop_tripled": stacked("upsampling_factor", 4, PopTripled, upsampling="transposed"),
    "pop_at_half_size": stacked("upsampling_missing", 4, PopAtHalfSize),
    "pooling_of_three": stacked("half_pixel_drift", 1, PushPoolingThree, "warn"),
    "top_unused": stacked("bottleneck_unused", 2, TopUnused),
    "kept_pooled": released("skip_after_pool", KeptPooled),
    "kept_data": released("skip_detached", KeptData),
    "kept_resized": released("silent_resize", KeptResized),
    "center_one_low": released("misaligned_join", CenterOfRows),
    "drops_always": released("nondeterminism", DropsAlways),
    "released_with_lone_padding": released("mixed_padding", released_with_lone_padding),
    "released_with_shared_blocks": released("shared_params", released_with_shared_blocks),
}
