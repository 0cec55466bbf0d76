"""Nets that work, and of which something is claimed that is not so."""

from __future__ import annotations

from functools import partial
from typing import Final, final

from torch import nn
from typing_extensions import override

from tests.zoo.records import Mutant, broken
from tests.zoo.sound_same import SOUND, Ascent, Even, Level, Listed, PaddedUp, Recursive
from tests.zoo.sound_valid import SOUND as VALID
from tests.zoo.sound_valid import FlatPaper


@final
class PaddedWithZeros(Level):
    """Every convolution is padded with zeros, and reflection is claimed."""

    def __init__(self, in_channels: int, width: int, below: int) -> None:
        super().__init__(in_channels, width, below)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.padding_mode = "zeros"


@final
class RepeatedPixels(Ascent):
    """Each pixel is repeated, and bilinear upsampling is claimed."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")


@final
class WithoutNorm(Listed):
    """No layer normalises, and batch norm is claimed."""

    @override
    def block(self, in_channels: int, out_channels: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
            nn.ReLU(),
        )


def skips_added() -> nn.Module:
    """The skips are added, and concatenation is claimed."""
    return Even()


def two_classes() -> nn.Module:
    """The head has two classes, and three are claimed."""
    return Listed()


def two_levels() -> nn.Module:
    """The net pools twice, and a depth of four is claimed."""
    return FlatPaper()


def four_channels() -> nn.Module:
    """The finest level has four channels, and 64 are claimed."""
    return FlatPaper()


def nothing_padded() -> nn.Module:
    """No convolution is padded, and an output of the size of the input is claimed."""
    return FlatPaper()


flat_paper = partial(broken, "flat_paper", VALID["flat_paper"], "false_claim")
even = partial(broken, "even", SOUND["even"], "false_claim")
listed = partial(broken, "listed", SOUND["listed"], "false_claim")
recursive = partial(broken, "recursive", SOUND["recursive"], "false_claim")
padded_up = partial(broken, "padded_up", SOUND["padded_up"], "false_claim")

MUTANTS: Final[dict[str, Mutant]] = {
    "claims_reflection": recursive(
        PaddedWithZeros, factory=partial(Recursive, PaddedWithZeros), claims={"padding": "reflect"}
    ),
    "claims_bilinear": padded_up(
        RepeatedPixels, factory=partial(PaddedUp, RepeatedPixels), claims={"upsampling": "bilinear"}
    ),
    "claims_batch_norm": listed(WithoutNorm, claims={"norm": "batch"}),
    "claims_concatenation": even(skips_added, claims={"skip": "concat"}),
    "claims_three_classes": listed(two_classes, claims={"num_classes": "3"}),
    "claims_depth_four": flat_paper(two_levels, claims={"depth": "4"}),
    "claims_64_channels": flat_paper(four_channels, claims={"base_channels": "64"}),
    "claims_padding": flat_paper(nothing_padded, claims={"padding": "zeros"}),
}
