"""Whether a net is that of Ronneberger, Fischer and Brox 2015, difference by difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from unet import algebra
from unet.anatomy import is_activation
from unet.checks.activations import operations_in_training
from unet.checks.finding import Check, Finding, fail, warn
from unet.examination import Examination
from unet.inference import infer
from unet.spec import PAPER, RELEASE

SAYS: Final[Mapping[str, tuple[object, str]]] = {
    "in_channels": (PAPER.in_channels, "figure 1 has one input channel"),
    "depth": (PAPER.depth, "the paper pools 4 times (figure 1)"),
    "base_channels": (PAPER.base_channels, "the paper starts with 64 channels (figure 1)"),
    "padding": (PAPER.padding, "the paper's convolutions are unpadded (section 2)"),
    "skip": (PAPER.skip, "the paper concatenates cropped skips (section 2)"),
    "upsampling": (PAPER.upsampling, "the paper's authors use 2x2 transposed convolutions"),
    "norm": (PAPER.norm, "the paper has no normalisation"),
    "final_activation": ("none", "the paper's soft-max is part of its energy function (section 3)"),
}
"""What the paper says of each thing that is inferred."""


def is_the_papers(x: Examination) -> Iterator[Finding]:
    """Yield a finding for each difference from the paper's text and figure."""
    inferred = infer(x)
    for name, (paper, source) in SAYS.items():
        if str(inferred[name]) != str(paper):
            yield fail(
                f"{name} is {inferred[name]}, and {paper} in the paper: {source}",
                inferred=inferred[name],
                paper=paper,
            )
    here, there = inferred["parameters"], algebra.parameters(PAPER)
    if here == algebra.parameters(RELEASE):
        yield warn(f"{here:,} parameters are those of the network that the authors released")
    elif here != there:
        yield fail(f"{here:,} parameters against {there:,} of the paper's net", parameters=here)


def up_convolutions_are_linear(x: Examination) -> Iterator[Finding]:
    """Yield a note if a ReLU follows each up-convolution, as in the released network."""
    anatomy = x.anatomy
    ups = [conv for conv in anatomy.convs if anatomy.is_up(conv.step)]
    bent = [up for up in ups if any(is_activation(user) for user in up.output.users)]
    if bent:
        yield warn(
            f"a ReLU follows {len(bent)} of {len(ups)} up-convolutions: it departs from the "
            f"paper's text and is what its authors shipped"
        )


def drops_out(x: Examination) -> Iterator[Finding]:
    """Yield a finding if training has no dropout at the end of the contracting path."""
    if not any("bernoulli" in name or "dropout" in name for name in operations_in_training(x)):
        yield fail(
            "no dropout at the end of the contracting path, where the paper has it (section 3.1)"
        )


CHECKS: Final[Mapping[str, Check]] = {
    "is_the_papers_net": Check(
        title="Sizes, channels and operations are those of the paper's text and figure 1.",
        harm="Results are not comparable with the paper's.",
        cause="A variant that is called the U-Net.",
        run=is_the_papers,
    ),
    "up_convolutions_are_linear": Check(
        title="No ReLU follows an up-convolution.",
        harm="None: the authors' released network has one.",
        cause="Taken from the released network and not from the paper.",
        run=up_convolutions_are_linear,
    ),
    "the_contracting_path_ends_in_dropout": Check(
        title="Dropout stands at the end of the contracting path.",
        harm="Less augmentation than the paper has.",
        cause="Left out.",
        run=drops_out,
    ),
}
