"""Strategies that draw nets and sizes."""

from __future__ import annotations

from hypothesis import strategies as st

from unet import UNetSpec
from unet.activations import ACTIVATIONS
from unet.algebra import size_law
from unet.downsamplings import DOWNSAMPLINGS
from unet.inits import INITS
from unet.norms import NORMS
from unet.paddings import PADDINGS
from unet.skips import SKIPS
from unet.upsampling import UPSAMPLINGS


@st.composite
def specs(draw: st.DrawFn, *, deepest: int = 4) -> UNetSpec:
    """Any spec with few channels."""
    depth = draw(st.integers(1, deepest))
    skip = draw(st.sampled_from(sorted(SKIPS)))
    levels = st.sets(st.integers(0, depth - 1)).map(lambda found: tuple(sorted(found)))
    unskipped = levels.filter(lambda found: len(found) < depth)
    return UNetSpec(
        in_channels=draw(st.integers(1, 4)),
        num_classes=draw(st.integers(1, 4)),
        base_channels=draw(st.integers(1, 6)),
        depth=depth,
        padding=draw(st.sampled_from(sorted(PADDINGS))),
        skip=skip,
        unskipped=draw(unskipped) if SKIPS[skip].uses_skip else (),
        upsampling=draw(st.sampled_from(sorted(UPSAMPLINGS))),
        downsampling=draw(st.sampled_from(sorted(DOWNSAMPLINGS))),
        norm=draw(st.sampled_from(sorted(NORMS))),
        activation=draw(st.sampled_from(sorted(ACTIVATIONS))),
        residual=draw(st.booleans()),
        up_relu=draw(st.booleans()),
        up_keeps_channels=() if SKIPS[skip].same_channels else draw(levels),
        dropout_levels=draw(st.integers(0, depth + 1)),
        init=draw(st.sampled_from(sorted(INITS))),
    )


def legal_sizes(spec: UNetSpec, *, most_steps: int = 4) -> st.SearchStrategy[int]:
    """A legal input side of `spec`, near the smallest."""
    law = size_law(spec)
    return st.integers(0, most_steps).map(lambda steps: law.smallest + steps * law.step)
