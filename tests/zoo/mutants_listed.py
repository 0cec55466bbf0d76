"""`Listed` and `Even`, whose levels are entries of lists, broken in one way each."""

from __future__ import annotations

from functools import partial
from typing import Final, Self, final

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from tests.zoo.records import Mutant, broken
from tests.zoo.sound_same import SOUND, Even, Listed


@final
class BiasesBeforeNorms(Listed):
    """Each convolution has a bias, which the batch norm behind it takes away again."""

    @override
    def block(self, in_channels: int, out_channels: int) -> nn.Sequential:
        block = super().block(in_channels, out_channels)
        block[0] = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        return block


@final
class PairsSwapped(Listed):
    """The rows of the deepest map change places in pairs, a reshape gone wrong."""

    @override
    def grow(self, level: int, x: Tensor) -> Tensor:
        if level == 2:
            even = x.shape[2] // 2 * 2
            swapped = x[:, :, :even].unflatten(2, (-1, 2)).flip(3).flatten(2, 3)
            x = torch.cat([swapped, x[:, :, even:]], dim=2)
        return super().grow(level, x)


@final
class KeptPooled(Listed):
    """Each skip is taken after pooling and enlarged again."""

    @override
    def keep(self, x: Tensor) -> Tensor:
        return functional.interpolate(self.shrink(x), scale_factor=2, mode="bilinear")


@final
class KeptDetached(Listed):
    """Each skip is detached where it is kept."""

    @override
    def keep(self, x: Tensor) -> Tensor:
        return x.detach()


@final
class KeptNothing(Listed):
    """Each skip is multiplied by zero."""

    @override
    def keep(self, x: Tensor) -> Tensor:
        return 0 * x


@final
class KeptMirrored(Listed):
    """Top and bottom of each skip are swapped."""

    @override
    def keep(self, x: Tensor) -> Tensor:
        return x.flip(2)


@final
class KeptTransposed(Listed):
    """Rows and columns of each skip are swapped, and the result is resized to fit."""

    @override
    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        skip = functional.interpolate(skip.transpose(2, 3), size=up.shape[2:])
        return super().join(skip, up)


@final
class KeptShifted(Listed):
    """Each skip is padded on the left and cut on the right by one pixel."""

    @override
    def keep(self, x: Tensor) -> Tensor:
        return functional.pad(x, [1, -1, 0, 0])


@final
class KeptInPlace(Listed):
    """The skip is cleared in place once its level has been pooled."""

    @override
    def shrink(self, x: Tensor) -> Tensor:
        smaller = super().shrink(x)
        with torch.no_grad():
            x.zero_()
        return smaller


@final
class JoinedUpTwice(Listed):
    """The upsampled map is joined with itself, and the skip forgotten."""

    @override
    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        return super().join(up, up)


@final
class JoinedSkipTwice(Listed):
    """The skip is joined with itself, and the upsampled map forgotten."""

    @override
    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        return super().join(skip, skip)


@final
class JoinedWithLast(Listed):
    """The join at each level takes the upsampled map of the image before, if it fits."""

    def __init__(self) -> None:
        super().__init__()
        self.before: dict[torch.Size, Tensor] = {}

    @override
    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        before = self.before.get(up.shape, up)
        self.before[up.shape] = up.detach()
        return super().join(skip, before)


@final
class JoinedWithNoise(Listed):
    """Noise is added to each skip, in evaluation too."""

    @override
    def keep(self, x: Tensor) -> Tensor:
        return x + 0.1 * torch.rand_like(x)


@final
class ReversedSkips(Listed):
    """The skips arrive in reversed order, each resized to the map that it meets."""

    def __init__(self) -> None:
        super().__init__()
        for level, (up, skip) in enumerate(((4, 16), (8, 8), (16, 4))):
            self.expand[level] = self.block(up + skip, up)
        self.pending: list[Tensor] = []

    @override
    def forward(self, image: Tensor) -> Tensor:
        self.pending = []
        return super().forward(image)

    @override
    def keep(self, x: Tensor) -> Tensor:
        self.pending.append(x)
        return x

    @override
    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        first = self.pending.pop(0)
        return super().join(functional.interpolate(first, size=up.shape[2:], mode="area"), up)


@final
class UpsampledByFour(Listed):
    """One up-convolution enlarges by 4, and a resize drops three quarters of what it made."""

    def __init__(self) -> None:
        super().__init__()
        self.ups[1] = nn.ConvTranspose2d(16, 8, kernel_size=4, stride=4)

    @override
    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        return super().join(skip, functional.interpolate(up, size=skip.shape[2:]))


@final
class UpsamplingMissing(Listed):
    """The finest level is never upsampled: 1x1 at half resolution, the skip pooled to it."""

    def __init__(self) -> None:
        super().__init__()
        self.ups[0] = nn.Conv2d(8, 4, 1)

    @override
    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        return super().join(functional.avg_pool2d(skip, skip.shape[2] // up.shape[2]), up)


@final
class UpMisplaced(Listed):
    """A 4x4 up-convolution without padding loses its last two rows and columns, not its margin."""

    def __init__(self) -> None:
        super().__init__()
        self.ups[0] = nn.ConvTranspose2d(8, 4, 4, stride=2)

    @override
    def join(self, skip: Tensor, up: Tensor) -> Tensor:
        return super().join(skip, up[..., : skip.shape[2], : skip.shape[3]])


@final
class BatchSoftmax(Listed):
    """A softmax runs over the images of the batch, not over the classes."""

    @override
    def finish(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=0)


@final
class Saturated(Listed):
    """A steep sigmoid turns the logits into zeros and ones, and lets hardly any gradient pass."""

    @override
    def finish(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(1000 * logits)


@final
class Clamped(Listed):
    """The logits are clamped to 0...1, and have no gradient beyond."""

    @override
    def finish(self, logits: Tensor) -> Tensor:
        return logits.clamp(0, 1)


@final
class Decided(Listed):
    """The output is the best class of each pixel, as numbers that have no gradient."""

    @override
    def finish(self, logits: Tensor) -> Tensor:
        return functional.one_hot(logits.argmax(dim=1), 2).movedim(-1, 1).to(logits.dtype)


@final
class Levelled(Listed):
    """Every pixel gets the largest logit of the whole image."""

    @override
    def finish(self, logits: Tensor) -> Tensor:
        return logits.amax((2, 3), keepdim=True).expand_as(logits)


@final
class Averaged(Listed):
    """A running mean of earlier logits is taken off the output, in evaluation too."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(2, 1, 1))

    @override
    def finish(self, logits: Tensor) -> Tensor:
        self.mean = 0.9 * self.mean + 0.1 * logits.detach().mean((0, 2, 3))[:, None, None]
        return logits - self.mean


def head_normalised() -> nn.Module:
    """Batch norm stands behind the head."""
    net = Listed()
    net.head = nn.Sequential(net.head, nn.BatchNorm2d(2))  # type: ignore[assignment]
    return net


def head_dropped_out() -> nn.Module:
    """Dropout stands behind the head, and sets logits to zero in training."""
    net = Listed()
    net.head = nn.Sequential(net.head, nn.Dropout(0.5))  # type: ignore[assignment]
    return net


@final
class BatchStatistics(Listed):
    """Batch norm takes the statistics of the batch in evaluation too."""

    @override
    def block(self, in_channels: int, out_channels: int) -> nn.Sequential:
        block = super().block(in_channels, out_channels)
        block[1] = nn.BatchNorm2d(out_channels, track_running_stats=False)
        return block


def statistics(**settings: float) -> type[Listed]:
    """The net with norms of these settings."""

    class WithStatistics(Listed):
        @override
        def block(self, in_channels: int, out_channels: int) -> nn.Sequential:
            block = super().block(in_channels, out_channels)
            block[1] = nn.BatchNorm2d(out_channels, **settings)
            return block

    return WithStatistics


def statistics_never_move() -> nn.Module:
    """Batch norms have a momentum of 0."""
    return statistics(momentum=0.0)()


def statistics_of_the_last_batch() -> nn.Module:
    """Batch norms have a momentum of 0.99, as it is counted elsewhere."""
    return statistics(momentum=0.99)()


def statistics_outweighed() -> nn.Module:
    """Batch norms add 10 to the variance."""
    return statistics(eps=10.0)()


@final
class NeverInTraining(Listed):
    """The net stays in evaluation mode when it is trained."""

    @override
    def train(self, mode: bool = True) -> Self:
        return super().train(False)


@final
class OneChannelRead(Listed):
    """The first channel of the image stands in for the others."""

    @override
    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image[:, :1].repeat(1, 3, 1, 1))


@final
class ImageScaledInPlace(Listed):
    """The image is scaled in place, for whoever uses it next."""

    @override
    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image.div_(2))


@final
class SeedSet(Listed):
    """Each pass sets torch's seed."""

    @override
    def forward(self, image: Tensor) -> Tensor:
        torch.manual_seed(0)
        return super().forward(image)


@final
class KeptSigned(Listed):
    """Of each skip the sign is kept."""

    @override
    def keep(self, x: Tensor) -> Tensor:
        return torch.sign(x - 0.1)


@final
class KeptNegative(Listed):
    """Each skip is turned round and bent a second time, which leaves zeros."""

    @override
    def keep(self, x: Tensor) -> Tensor:
        return torch.relu(-x)


@final
class KeptLevelled(Listed):
    """Of each skip the mean of its channels is kept, in place of each."""

    @override
    def keep(self, x: Tensor) -> Tensor:
        return x.mean(1, keepdim=True).expand_as(x)


@final
class NoReluAtAll(Listed):
    """No block has a ReLU after its second convolution."""

    @override
    def block(self, in_channels: int, out_channels: int) -> nn.Sequential:
        return nn.Sequential(*list(super().block(in_channels, out_channels))[:-1])


@final
class LinearBlocks(Listed):
    """No block has any ReLU: but for the pooling the net is linear."""

    @override
    def block(self, in_channels: int, out_channels: int) -> nn.Sequential:
        layers = super().block(in_channels, out_channels)
        return nn.Sequential(*(layer for layer in layers if not isinstance(layer, nn.ReLU)))


@final
class ValidThenPadded(Listed):
    """One convolution of each block is not padded, and a ring of zeros goes around what it made."""

    @override
    def block(self, in_channels: int, out_channels: int) -> nn.Sequential:
        block = super().block(in_channels, out_channels)
        block[3] = nn.Conv2d(out_channels, out_channels, 3, bias=False)
        block.append(nn.ZeroPad2d(1))
        return block


def one_block_for_all() -> nn.Module:
    """The blocks of the contracting path are one block, listed four times."""
    net = Even()
    net.left = nn.ModuleList([net.block()] * 4)
    return net


def one_upsampling_for_all() -> nn.Module:
    """The three up-convolutions are one."""
    net = Even()
    net.up = nn.ModuleList([nn.ConvTranspose2d(8, 8, 2, 2)] * 3)
    return net


def blocks_in_a_plain_list() -> nn.Module:
    """The blocks of the expansive path stand in a plain list, where torch does not find them."""
    net = Even()
    blocks = list(net.right)
    del net.right
    net.right = blocks  # type: ignore[assignment]  # the fault itself
    return net


def block_too_many() -> nn.Module:
    """The contracting path has a fifth block, which nothing calls."""
    net = Even()
    net.spare = Even.block()
    return net


def frozen_contraction() -> nn.Module:
    """The contracting path asks for no gradient."""
    net = Even()
    net.left.requires_grad_(requires_grad=False)
    return net


def pointwise_from_the_bottleneck() -> nn.Module:
    """The convolutions of the bottleneck are 1x1, and so are those of the expansive path."""
    net = Even()
    for block in (net.left[-1], *net.right):
        for place in (0, 2):
            block[place] = nn.Conv2d(8, 8, 1)
    return net


@final
class OneSkipForAll(Even):
    """Every level gets the finest skip, resized."""

    @override
    def ascend(self, skips: list[Tensor], x: Tensor) -> Tensor:
        sizes = [skip.shape[2:] for skip in skips]
        finest = [functional.interpolate(skips[0], size=size, mode="area") for size in sizes]
        return super().ascend(finest, x)


@final
class SkipsInWrongOrder(Even):
    """The skips go to the levels in reversed order, each resized."""

    @override
    def ascend(self, skips: list[Tensor], x: Tensor) -> Tensor:
        sizes = [skip.shape[2:] for skip in skips]
        pairs = zip(skips[::-1], sizes, strict=True)
        fitted = [functional.interpolate(skip, size, mode="area") for skip, size in pairs]
        return super().ascend(fitted, x)


@final
class SkipsTooEarly(Even):
    """Each skip is what enters the block of its level, not what leaves it."""

    @override
    def descend(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        skips = []
        for block in list(self.left)[:-1]:
            skips.append(x)
            x = functional.avg_pool2d(block(x), 2)
        return skips, self.left[-1](x)


@final
class LevelsBypassed(Even):
    """What is pooled is what entered the block: the block's output goes into the skip alone."""

    @override
    def descend(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        skips = []
        for block in list(self.left)[:-1]:
            skips.append(block(x))
            x = functional.avg_pool2d(x, 2)
        return skips, self.left[-1](x)


@final
class BottleneckBypassed(Even):
    """What the bottleneck makes is dropped, and what entered it is handed on."""

    @override
    def descend(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        skips, _ = super().descend(x)
        return skips, functional.avg_pool2d(skips[-1], 2)


@final
class StageIgnored(Even):
    """The block of the middle expansive level is computed, and its input handed on."""

    @override
    def ascend(self, skips: list[Tensor], x: Tensor) -> Tensor:
        for level, up in reversed(list(enumerate(reversed(self.up)))):
            joined = up(x) + skips[level]
            convolved = self.right[2 - level](joined)
            x = joined if level == 1 else convolved
        return x


@final
class DeepestSkipOnly(Even):
    """Only the deepest skip is joined, and the others are dropped."""

    @override
    def ascend(self, skips: list[Tensor], x: Tensor) -> Tensor:
        return super().ascend([torch.zeros_like(skip) for skip in skips[:-1]] + skips[-1:], x)


@final
class LevelNotPooled(Even):
    """One level is pooled with stride 1, and its upsampling resized to make up for it."""

    @override
    def descend(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        skips = []
        for level, block in enumerate(list(self.left)[:-1]):
            x = block(x)
            skips.append(x)
            same = functional.avg_pool2d(x, 3, stride=1, padding=1)
            x = same if level == 2 else functional.avg_pool2d(x, 2)
        return skips, self.left[-1](x)

    @override
    def ascend(self, skips: list[Tensor], x: Tensor) -> Tensor:
        for skip, up, block in zip(skips[::-1], self.up, self.right, strict=True):
            x = block(functional.interpolate(up(x), size=skip.shape[2:]) + skip)
        return x


@final
class NothingPooled(Even):
    """No level is pooled or upsampled, so that the net sees a small neighbourhood only."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ModuleList(nn.Conv2d(8, 8, 1) for _ in range(3))

    @override
    def descend(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        skips = []
        for block in list(self.left)[:-1]:
            x = block(x)
            skips.append(x)
        return skips, self.left[-1](x)


listed = partial(broken, "listed", SOUND["listed"])
even = partial(broken, "even", SOUND["even"])

MUTANTS: Final[dict[str, Mutant]] = {
    "listed_kept_pooled": listed("skip_after_pool", KeptPooled),
    "listed_kept_detached": listed("skip_detached", KeptDetached),
    "listed_kept_nothing": listed("skip_dead", KeptNothing),
    "listed_kept_mirrored": listed("skip_flipped", KeptMirrored),
    "listed_kept_transposed": listed("skip_transposed", KeptTransposed),
    "listed_kept_shifted": listed("misaligned_join", KeptShifted),
    "listed_kept_signed": listed("skip_without_gradient", KeptSigned),
    "listed_kept_negative": listed("skip_dead", KeptNegative),
    "listed_kept_levelled": listed("skip_channels_lost", KeptLevelled),
    "listed_one_channel_read": listed("image_channels_unread", OneChannelRead),
    "listed_image_scaled_in_place": listed("image_overwritten", ImageScaledInPlace),
    "listed_seed_set": listed("seed_set", SeedSet),
    "listed_kept_in_place": listed("skip_overwritten", KeptInPlace),
    "listed_joined_up_twice": listed("skip_dead", JoinedUpTwice),
    "listed_joined_skip_twice": listed("skip_used_twice", JoinedSkipTwice),
    "listed_joined_with_last": listed("statefulness", JoinedWithLast),
    "listed_with_noise": listed("nondeterminism", JoinedWithNoise),
    "listed_reversed_skips": listed("skip_wrong_level", ReversedSkips),
    "listed_upsampled_by_four": listed("upsampling_factor", UpsampledByFour),
    "listed_upsampling_missing": listed("upsampling_missing", UpsamplingMissing),
    "listed_up_misplaced": listed("misaligned_join", UpMisplaced),
    "listed_batch_softmax": listed("final_activation", BatchSoftmax),
    "listed_saturated": listed("final_activation", Saturated),
    "listed_clamped": listed("final_activation", Clamped),
    "listed_decided": listed("final_activation", Decided),
    "listed_levelled": listed("global_output", Levelled),
    "listed_averaged": listed("statefulness", Averaged),
    "listed_head_normalised": listed("after_the_head", head_normalised),
    "listed_head_dropped_out": listed("after_the_head", head_dropped_out),
    "listed_batch_statistics": listed("batch_dependence", BatchStatistics),
    "listed_statistics_never_move": listed("norm_statistics", statistics_never_move),
    "listed_statistics_of_the_last_batch": listed(
        "norm_statistics", statistics_of_the_last_batch, level="warn"
    ),
    "listed_statistics_outweighed": listed("norm_statistics", statistics_outweighed),
    "listed_never_in_training": listed("norm_statistics", NeverInTraining),
    "listed_biases_before_norms": listed("dead_params", BiasesBeforeNorms, level="warn"),
    "listed_pairs_swapped": listed("scrambled_pixels", PairsSwapped),
    "listed_no_second_relu": listed("missing_activation", NoReluAtAll),
    "listed_linear_blocks": listed("missing_activation", LinearBlocks),
    "listed_valid_then_padded": listed("mixed_padding", ValidThenPadded),
    "even_one_block_for_all": even("shared_params", one_block_for_all),
    "even_one_upsampling_for_all": even("shared_params", one_upsampling_for_all),
    "even_blocks_in_a_plain_list": even("unregistered_params", blocks_in_a_plain_list),
    "even_block_too_many": even("dead_params", block_too_many),
    "even_frozen_contraction": even("frozen_params", frozen_contraction),
    "even_pointwise": even("kernel", pointwise_from_the_bottleneck, claims={"kernel": "3x3"}),
    "even_one_skip_for_all": even("skip_wrong_level", OneSkipForAll),
    "even_skips_in_wrong_order": even("skip_wrong_level", SkipsInWrongOrder),
    "even_skips_too_early": even("skip_wrong_place", SkipsTooEarly),
    "even_levels_bypassed": even("encoder_stage_unused", LevelsBypassed),
    "even_bottleneck_bypassed": even("bottleneck_unused", BottleneckBypassed),
    "even_stage_ignored": even("decoder_stage_unused", StageIgnored),
    "even_deepest_skip_only": even("skip_dead", DeepestSkipOnly),
    "even_nothing_pooled": even("pooling_missing", NothingPooled, claims={"depth": "3"}),
    "even_level_not_pooled": even("pooling_missing", LevelNotPooled, claims={"depth": "3"}),
}
