"""What checks say of nets that the zoo has no room for: each message has a net that earns it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from unet import Refusal
from unet.examination import Examination
from unet.verify import Result, results_of, run_check, verify


class Small(nn.Module):
    """A sound U-Net of one level; each net below overrides one part of it."""

    classes: ClassVar[int] = 2
    wide: ClassVar[int] = 8

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(1, 4, 3, padding=1)
        self.deep = nn.Conv2d(4, 8, 3, padding=1)
        self.up = nn.ConvTranspose2d(8, 4, 2, 2)
        self.leave = nn.Conv2d(self.wide, 4, 3, padding=1)
        self.head = nn.Conv2d(4, self.classes, 1)

    def down(self, skip: Tensor) -> Tensor:
        return torch.relu(self.deep(functional.max_pool2d(skip, 2)))

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return torch.cat([skip, risen], 1)

    def end(self, logits: Tensor) -> Tensor:
        return logits

    def begin(self, x: Tensor) -> Tensor:
        return torch.relu(self.enter(x))

    def forward(self, x: Tensor) -> Tensor:
        skip = self.begin(x)
        joined = self.join(skip, self.up(self.down(skip)))
        return self.end(self.head(torch.relu(self.leave(joined))))


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


class OneImageOnly(Small):
    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 1 and not self.training:
            raise ValueError("one image at a time")
        return super().forward(x)


class FirstImageOnly(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[:1])


class Dark(Small):
    def forward(self, x: Tensor) -> Tensor:
        if x.std() > 2:
            raise ValueError("too bright")
        return super().forward(x)


class SingleOnly(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float())


class Promoted(Small):
    def end(self, logits: Tensor) -> Tensor:
        return logits.float()


class Filled(Small):
    start: ClassVar[float] = 0.5

    def __init__(self) -> None:
        super().__init__()
        nn.init.constant_(self.leave.weight, self.start)


class NotNumbers(Filled):
    start = float("nan")


class Enormous(Small):
    def end(self, logits: Tensor) -> Tensor:
        return logits * 1e9


class Infinite(Small):
    def end(self, logits: Tensor) -> Tensor:
        return logits / torch.zeros(())


class Turned(Small):
    def end(self, logits: Tensor) -> Tensor:
        return logits.flip(-1)


class Transposed(Small):
    def end(self, logits: Tensor) -> Tensor:
        return logits.transpose(-1, -2)


class Uncentred(Small):
    def end(self, logits: Tensor) -> Tensor:
        return logits[..., 2:, 2:]


class Unsteady(Small):
    def end(self, logits: Tensor) -> Tensor:
        return logits + torch.rand(())


class Wrapped(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.pad(x, (2, 2, 2, 2), mode="circular"))[..., 2:-2, 2:-2]


class Positioned(Small):
    """Is told where it is, as some nets are on purpose."""

    wide = 9

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        rows = torch.linspace(0, 1, skip.shape[2], dtype=skip.dtype)[:, None]
        return torch.cat([skip, risen, rows.expand(len(skip), 1, *skip.shape[2:])], 1)


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


class Zeroed(Small):
    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(skip * 0.0, risen)


class Copied(Small):
    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(risen, risen)


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


class Flat(Small):
    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Conv2d(8, 4, 1)  # type: ignore[assignment]

    def down(self, skip: Tensor) -> Tensor:
        return torch.relu(self.deep(skip))


class Untrainable(Small):
    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            raise NotImplementedError("evaluation only")
        return super().forward(x)


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


class Bounced(Small):
    """Pools further than its level and stretches the map to fit."""

    def down(self, skip: Tensor) -> Tensor:
        far = functional.max_pool2d(skip, 4)
        return torch.relu(self.deep(functional.interpolate(far, scale_factor=2)))


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


class Silenced(Small):
    """Computes something of weights alone and multiplies it by zero."""

    def __init__(self) -> None:
        super().__init__()
        self.beside = nn.Linear(1, 1)

    def end(self, logits: Tensor) -> Tensor:
        return logits + 0 * self.beside(logits.new_ones(1, 1)).sum()


class TwiceJoined(Small):
    wide = 12

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return torch.cat([skip, skip, risen], 1)


class HalfTheChannels(Small):
    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return torch.cat([skip[:, :2].repeat(1, 2, 1, 1), risen], 1)


class PickedAfterwards(Small):
    """Every channel twice, and only those of the one map."""

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(skip, risen)[:, torch.arange(8) // 2]


class OnTheCPU(Small):
    """Adds a tensor of the CPU's, wherever the net is."""

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(skip, risen) + torch.ones(8, 1, 1)


class Attached(Small):
    """Keeps a tensor that is neither parameter nor buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = torch.ones(8, 1, 1)

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(skip, risen) + self.shift.to(skip.dtype)


class AxesSwapped(Small):
    """Mends odd sizes, with the height's difference given to the width."""

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        below, right = (s - r for s, r in zip(skip.shape[2:], risen.shape[2:], strict=True))
        return super().join(skip, functional.pad(risen, (0, below, 0, right)))


class Deaf(Small):
    """Asks for a time and does not listen."""

    def forward(self, x: Tensor, time: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x * time.isfinite().all())


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


class Located(Small):
    """Knows where its pixels are."""

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        rows = torch.linspace(-1, 1, skip.shape[2], dtype=skip.dtype, device=skip.device)
        return super().join(skip + rows[:, None].expand(1, 1, *skip.shape[2:]), risen)


class Accumulated(Small):
    """Adds its maps to zeros, one after the other."""

    wide = 4

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        total = torch.zeros(skip.shape, dtype=skip.dtype, device=skip.device)
        for each in (skip, risen):
            total = total + each
        return total


class Written(Small):
    """Writes both maps into one tensor, in place of a concatenation."""

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        joined = skip.new_empty(len(skip), 8, *skip.shape[2:])
        joined[:, :4], joined[:, 4:] = skip, risen
        return joined


class Sampled(Small):
    """Crops nothing, by indices."""

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(skip.index_select(2, torch.arange(skip.shape[2])), risen)


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


class Straight(Small):
    """Says how to work in place where the slope is asked for."""

    def down(self, skip: Tensor) -> Tensor:
        leaky = nn.LeakyReLU(True)  # as it is met with
        return leaky(self.deep(functional.max_pool2d(skip, 2)))


class HardZeros(Small):
    """Has an activation that torch does not call pointwise, and a skip of zeros."""

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(torch.zeros_like(skip), functional.hardswish(risen))


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


class Axial(Small):
    """Adds to what its first convolution made those of its rows and columns, and bends nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Conv2d(4, 4, (1, 3), padding="same", groups=4)
        self.columns = nn.Conv2d(4, 4, (3, 1), padding="same", groups=4)

    def begin(self, x: Tensor) -> Tensor:
        entered = self.enter(x)
        return entered + self.rows(entered) + self.columns(entered)


class StridedTwice(Small):
    """Goes down and up by convolutions that resample, with no activation between."""

    def __init__(self) -> None:
        super().__init__()
        self.deep = nn.Conv2d(4, 8, 4, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1)

    def down(self, skip: Tensor) -> Tensor:
        return self.deep(skip)


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


class ToTheCPU(Small):
    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(skip.cpu(), risen.cpu())


class NormedAlong(Small):
    """Normalises each row of its maps, where the channels of a pixel were meant."""

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(skip, functional.layer_norm(risen, risen.shape[-1:]))


class Stretched(Small):
    """Makes any size fit by a resize, and stretches its output back."""

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = (side + side % 2 for side in x.shape[2:])
        padded = functional.pad(x, (0, columns - x.shape[3], 0, rows - x.shape[2]))
        padded = functional.pad(padded, (0, 2 * (columns % 4), 0, 2 * (rows % 4)))
        return functional.interpolate(super().forward(padded), size=x.shape[2:], mode="bilinear")


SAID = [
    (
        Circular,
        "convolutions_are_separated_by_activations",
        "fail",
        r"no activation between enter .* and again",
    ),
    (Straight, "convolutions_are_separated_by_activations", "fail", "have a slope of 1"),
    (HardZeros, "every_level_is_joined", "fail", "the net has no skips"),
    (OneStatistic, "weights_serve_one_place", "fail", "norm.running_mean serves 2 places"),
    (OneHead, "weights_serve_one_place", "warn", "head.weight serves 2 places"),
    (OverwrittenInTraining, "nothing_is_overwritten", "fail", "in place in training"),
    (HalfResolved, "upsampling_doubles", "fail", "is pooled to .* and enlarged again"),
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
    (PooledSkip, "every_level_is_joined", "fail", "every skip is taken after the pooling"),
    (Stretched, "sizes_off_the_grid_are_refused_or_handled", "warn", "and the output stretched"),
    (NormedAlong, "shifted_images_give_shifted_outputs", "fail", "along one side of the maps"),
    (ToTheCPU, "follows_to_other_devices_and_dtypes", "warn", "brings a map back"),
    (OneImageOnly, "samples_of_a_batch_do_not_mix", "fail", "one image and not on a batch of two"),
    (FirstImageOnly, "samples_of_a_batch_do_not_mix", "fail", "a batch of 2 comes out as 1"),
    (Dark, "evaluation_repeats", "fail", "a second call fails: ValueError: too bright"),
    (Dark, "samples_of_a_batch_do_not_mix", "skip", "one image alone does not run"),
    (Unsteady, "samples_of_a_batch_do_not_mix", "skip", "other logits each time"),
    (Unsteady, "evaluation_repeats", "fail", r"given again \(at random\)"),
    (Unsteady, "mirrored_images_give_mirrored_outputs", "skip", "other logits each time"),
    (Unsteady, "shifted_images_give_shifted_outputs", "skip", "other logits each time"),
    (
        SingleOnly,
        "follows_to_other_devices_and_dtypes",
        "warn",
        r"does not run after .to\(torch.float64\)",
    ),
    (
        Promoted,
        "follows_to_other_devices_and_dtypes",
        "warn",
        r"returns torch.float32 after .to\(torch.float64\)",
    ),
    (Filled, "weights_start_sanely", "fail", "all weights of leave.weight start at 0.5"),
    (NotNumbers, "weights_start_sanely", "fail", "leave.weight holds values that are not numbers"),
    (NotNumbers, "first_logits_are_sane", "fail", "the first logits are not finite"),
    (Enormous, "first_logits_are_sane", "fail", "the first logits reach"),
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
    (Decided, "output_is_logits", "fail", r"is a decision \(argmax\)"),
    (Decided, "gradients_flow_through_every_path", "fail", "asks for no gradient"),
    (SoftRows, "output_is_logits", "fail", "axis 2, a side of the image"),
    (SoftBatch, "output_is_logits", "fail", "the images of a batch"),
    (SoftAlone, "output_is_logits", "fail", "over a single class"),
    (Steep, "output_is_logits", "fail", "saturated"),
    (Zeroed, "both_sides_of_a_join_reach_the_output", "fail", "the skip is multiplied by zero"),
    (Copied, "both_sides_of_a_join_reach_the_output", "fail", "a map is joined with itself"),
    (Copied, "every_level_is_joined", "fail", "the net has no skips"),
    (Frozen, "gradients_flow_through_every_path", "fail", "asks for no gradient"),
    (ThroughNumpy, "gradients_flow_through_every_path", "fail", "from outside the graph"),
    (Overwritten, "nothing_is_overwritten", "fail", "overwritten in place"),
    (Flat, "every_level_is_joined", "fail", "never halves its resolution"),
    (Untrainable, "used_parameters_get_gradients", "skip", "evaluation only"),
    (OneSize, "takes_every_legal_size", "fail", "64 x 64 only"),
    (OneSize, "takes_images_that_are_not_square", "skip", "on no other size, square or not"),
    (Squares, "takes_images_that_are_not_square", "fail", "squares only"),
    (Framed, "output_is_no_larger_than_the_image", "fail", "an image of 64 pixels gives 80"),
    (Bounced, "upsampling_doubles", "fail", "64 x 64 is pooled to 16 x 16 and enlarged"),
    (
        UnpooledTurned,
        "skips_lie_where_they_are_joined",
        "fail",
        "the wrong way round on the indices",
    ),
    (MixedTwice, "convolutions_are_separated_by_activations", "fail", "widen .* and narrow .* mix"),
    (Silenced, "everything_computed_is_used", "fail", "is multiplied by zero"),
    (TwiceJoined, "both_sides_of_a_join_reach_the_output", "fail", "a map is joined twice"),
    (HalfTheChannels, "both_sides_of_a_join_reach_the_output", "fail", "of 4 channels 2 are"),
    (PickedAfterwards, "both_sides_of_a_join_reach_the_output", "fail", "map that comes up does"),
    (OnTheCPU, "follows_to_other_devices_and_dtypes", "fail", "forward makes without a device"),
    (Attached, "follows_to_other_devices_and_dtypes", "fail", "shift, a tensor that is no buffer"),
    (
        AxesSwapped,
        "sizes_off_the_grid_are_refused_or_handled",
        "fail",
        "65 x 65 is accepted and 65 x 64 is not",
    ),
    (Deaf, "everything_computed_is_used", "fail", "does not depend on time"),
    (GatedDeaf, "every_level_is_joined", "fail", "never meets|has no skips"),
    (GatedUnbent, "convolutions_are_separated_by_activations", "fail", "of_skip .* and weight"),
    (Written, "every_level_is_joined", "skip", "been through copy_, which is not followed"),
]


def says(net: nn.Module, check: str) -> Result:
    """What a check says first of a net with one input channel."""
    return run_check(check, Examination(net, in_channels=1))[0]


@pytest.mark.parametrize(
    ("factory", "check", "status", "message"), SAID, ids=lambda v: getattr(v, "__name__", str(v))
)
def test_what_is_wrong_is_said(
    factory: Callable[[], nn.Module], check: str, status: str, message: str
) -> None:
    """By the check whose matter it is, in words that name it."""
    torch.manual_seed(0)
    result = says(factory(), check)
    assert result.status == status
    assert re.search(message, result.message), result.message


def test_nothing_is_said_of_the_sound_net_that_they_share() -> None:
    """Whatever is said above is said of the part that differs."""
    torch.manual_seed(0)
    x = Examination(Small(), in_channels=1)
    said = {check: run_check(check, x)[0] for check in {check for _, check, _, _ in SAID}}
    off_grid = {"sizes_off_the_grid_are_refused_or_handled"}  # it fails inside torch there
    assert {check for check, result in said.items() if result.status != "pass"} == off_grid


class Nothing(nn.Module):
    def forward(self, x: Tensor) -> list[Tensor]:
        return []


def test_a_net_that_returns_no_map_is_refused() -> None:
    """With what it was that came back."""
    with pytest.raises(Refusal, match="the net ran on no image: it returned no map"):
        Examination(Nothing())


@torch.jit.script
def cropped(skip: Tensor, risen: Tensor) -> Tensor:
    edge = (skip.shape[2] - risen.shape[2]) // 2
    return skip[:, :, edge : edge + risen.shape[2], edge : edge + risen.shape[3]]


class Scripted(Small):
    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(cropped(skip, risen), risen)


def test_compiled_script_is_followed_like_the_rest() -> None:
    """Its operations are steps as all others, and it cuts no gradient."""
    torch.manual_seed(0)
    x = Examination(Scripted(), in_channels=1)
    assert run_check("gradients_flow_through_every_path", x)[0].status == "pass"
    assert [join.level for join in x.anatomy.joins] == [0]


class Hooked(Small):
    """Hands its skip on through a hook that holds on to this very net."""

    def __init__(self) -> None:
        super().__init__()
        kept: list[Tensor] = []
        self.kept = kept
        self.enter.register_forward_hook(lambda _module, _inputs, made: kept.append(made))

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(torch.relu(self.kept.pop()), risen)


class ZeroHead(Small):
    """Starts at zero at its end: it learns all the same."""

    def __init__(self) -> None:
        super().__init__()
        nn.init.zeros_(self.head.weight)


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


class SwitchedOff(Small):
    """Has a branch whose weight is one number that starts at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.branch, self.weight = nn.Conv2d(8, 8, 1), nn.Parameter(torch.zeros(1))

    def down(self, skip: Tensor) -> Tensor:
        deep = super().down(skip)
        return deep + self.weight * self.branch(deep)


class Stream(Small):
    """Adds blocks to what its first convolution made, as EDSR does: the sum goes on as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))

    def begin(self, x: Tensor) -> Tensor:
        stream = self.enter(x)
        return stream + self.other(torch.relu(self.one(stream)))


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


class Filtered(Small):
    """Lays differences to the right beside the image: a filter neither even nor learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", torch.tensor([[[[0.0, 0, 0], [0, -1, 1], [0, 0, 0]]]]))
        self.enter = nn.Conv2d(2, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        edges = functional.conv2d(functional.pad(x, (1,) * 4, mode="replicate"), self.kernel)
        return super().forward(torch.cat([x, edges], 1))


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


@pytest.mark.parametrize(
    "factory",
    [
        Weighed,
        Recurrent,
        SwitchedOff,
        Stream,
        StridedSkip,
        Filtered,
        NormedHead,
        LaidDown,
        Hooked,
        ZeroHead,
        Trained,
        Rearranged,
        lambda: torch.jit.script(Rearranged()),
        Unpooled,
        Bottlenecked,
        Gated,
        Located,
        Accumulated,
        Written,
        Sampled,
        Streamed,
    ],
)
def test_unusual_nets_raise_no_alarm(factory: Callable[[], nn.Module]) -> None:
    """What a check cannot decide of them it says so, and calls nothing a defect."""
    torch.manual_seed(0)
    failed = [r for r in verify(factory(), in_channels=1) if r.status == "fail"]
    assert not failed


class Timed(Small):
    """Asks for a time, as the nets of diffusion models do."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(1, 8), nn.SiLU(), nn.Linear(8, 4))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:  # type: ignore[override]
        skip = torch.relu(self.enter(x)) + self.embed(time[:, None])[:, :, None, None]
        return self.head(torch.relu(self.leave(self.join(skip, self.up(self.down(skip))))))


class TimedAfterAll(Timed):
    """Says that it can do without a time, and cannot."""

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:  # type: ignore[override]
        if time is None:
            raise ValueError("give a time")
        return super().forward(x, time)


class Labelled(Timed):
    """Asks for a class and for nothing by place."""

    def __init__(self) -> None:
        super().__init__()
        self.names = nn.Embedding(10, 1)

    def forward(self, x: Tensor, *, label: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x, self.names(label)[:, 0])


class Compared(Small):
    """Asks for two images, before and after."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(2, 4, 3, padding=1)

    def forward(self, before: Tensor, after: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(torch.cat([before, after], 1))


class Lazy(Small):
    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.LazyConv2d(4, 3, padding=1)
        self.norm = nn.LazyBatchNorm2d()

    def down(self, skip: Tensor) -> Tensor:
        return super().down(self.norm(skip))


@pytest.mark.parametrize(
    ("factory", "further"),
    [
        (Timed, {"time": "a number for each image"}),
        (TimedAfterAll, {"time": "a number for each image"}),
        (Labelled, {"label": "an integer for each image"}),
        (Compared, {"after": "a second image"}),
        (Lazy, {}),
    ],
)
def test_nets_that_ask_for_more_are_given_it(factory: type[Small], further: dict[str, str]) -> None:
    """They are sound, and with a skip out of place they are not."""

    class Shifted(factory):  # type: ignore[valid-type, misc]
        def join(self, skip: Tensor, risen: Tensor) -> Tensor:
            return super().join(skip.roll(2, -1), risen)

    given = factory()
    x = Examination(given, in_channels=1)
    assert x.further_inputs == further
    assert type(given) is factory
    assert not [r for r in results_of(x) if r.status == "fail"]
    assert [r for r in verify(Shifted(), in_channels=1) if r.status == "fail"]


class Reading(Small):
    def forward(self, x: Tensor, text: list[str]) -> Tensor:  # type: ignore[override]
        return super().forward(x) * len(text[0].strip())


class LazyAndBroken(Lazy):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[:, :, :-1])


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (Reading, "forward also asks for text, and neither numbers nor a second image"),
        (LazyAndBroken, "lazy layers and ran on no image: RuntimeError: Sizes of tensors"),
        (lambda: nn.Conv1d(1, 1, 3), "convolves along one axis"),
    ],
)
def test_what_cannot_be_examined_is_refused(factory: Callable[[], nn.Module], message: str) -> None:
    """In one line, with what would do."""
    with pytest.raises(Refusal, match=message):
        Examination(factory())
