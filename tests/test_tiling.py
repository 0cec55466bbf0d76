"""Tiles come together to what one pass over the whole would give, without a seam."""

from __future__ import annotations

import dataclasses
from typing import cast

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.nn import functional

from tests.test_behaviour import FEWER, whole_net, whole_specs
from unet import Refusal, UNet, UNetSpec, predict_tiled
from unet.tiling import rim

SMALL = UNetSpec(depth=1, base_channels=2)


@FEWER
@given(
    spec=whole_specs().filter(lambda spec: spec.depth < 3),
    sides=st.tuples(st.integers(40, 90), st.integers(40, 90)),
    extra=st.integers(0, 3),
)
def test_tiles_are_the_whole(spec: UNetSpec, sides: tuple[int, int], extra: int) -> None:
    """Bit for bit, for any padding, wherever the whole has what it needs around it."""
    (height, width), net, lost = sides, whole_net(spec, seed=1), rim(spec)
    law = net.size_law
    smallest = law.nearest(law.margin + 2 * lost + law.step)[-1]
    tile = smallest + extra * law.step
    image = torch.randint(0, 9, (2, spec.in_channels, height, width)).double()
    assume(tile < min(height, width))
    tiled = predict_tiled(net, image, tile)
    assert tiled.shape == (2, spec.num_classes, height, width)
    # One pass over the image with its mirrored rim, which is wide enough to be cut off again.
    around = law.margin // 2 + lost
    right, below = (law.nearest(side + 2 * around)[-1] - side - around for side in (width, height))
    whole = functional.pad(image, (around, right, around, below), mode="reflect")
    with torch.inference_mode():
        expected = net(whole)[..., lost : lost + height, lost : lost + width]
    assert torch.equal(tiled, expected)


@pytest.mark.parametrize("upsampling", ["bilinear", "nearest", "transposed"])
@pytest.mark.parametrize("padding", ["valid", "zeros"])
def test_the_rim_is_no_wider_than_it_has_to_be(padding: str, upsampling: str) -> None:
    """One row less of it, and tiles would not agree; where there is none, nothing is lost."""
    spec = UNetSpec(depth=2, base_channels=2, padding=padding, upsampling=upsampling)
    torch.manual_seed(0)
    net, lost = UNet(spec).double().eval(), rim(spec)
    large, small = (net.size_law.nearest(side)[-1] for side in (120, 80))
    image = torch.rand(1, 1, large, large, dtype=torch.float64)
    with torch.inference_mode():
        whole, part = net(image), net(image[..., :small, :small])
    seen = part.shape[-1]
    # Along the middle row, which the tile's lower edge does not reach.
    apart = (whole[..., seen // 2, :seen] - part[..., seen // 2, :]).abs()
    differs = apart.amax(dim=(0, 1)) > 1e-12
    assert not differs[: seen - lost].any()
    assert lost == 0 or differs[seen - lost]


@pytest.mark.parametrize(
    ("spec", "size", "tile", "message"),
    [
        (SMALL, 64, 21, "tile 21 is too small or no legal size: give one of 18 \\+ 2k"),
        (SMALL, 64, 16, "tile 16 is too small"),
        (SMALL, 64, cast("int", "18"), "tile '18' is too small or no legal size"),
        (SMALL, 6, 18, "a side of 6 cannot be mirrored 8 pixels deep"),
        (dataclasses.replace(SMALL, upsampling="bilinear_corners"), 64, 40, "tiles disagree"),
    ],
)
def test_what_cannot_be_tiled_is_refused(
    spec: UNetSpec, size: int, tile: int, message: str
) -> None:
    """With the size that would do."""
    with pytest.raises(Refusal, match=message):
        predict_tiled(UNet(spec).eval(), torch.zeros(1, 1, size, size), tile)


@pytest.mark.parametrize("shape", [(1, 64, 64), (1, 2, 64, 64), (1, 1, 0, 64), (0, 1, 64, 64)])
def test_images_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    """With the shape that would do."""
    with pytest.raises(Refusal, match=r"images of shape .*: give \(N, 1, H, W\)"):
        predict_tiled(UNet(SMALL).eval(), torch.zeros(shape), 18)
    with pytest.raises(Refusal, match=r"torch.uint8 for a net of torch.float32: images.to"):
        predict_tiled(UNet(SMALL).eval(), torch.zeros(1, 1, 64, 64, dtype=torch.uint8), 18)


def test_a_long_image_is_mirrored_as_far_as_each_side_allows() -> None:
    """A depth that is too much for the short side is none of the long one's."""
    net = UNet(dataclasses.replace(SMALL, padding="zeros")).eval()
    assert predict_tiled(net, torch.zeros(1, 1, 400, 30), 60).shape == (1, 2, 400, 30)


def test_a_net_in_training_is_refused() -> None:
    """Its statistics would be those of each tile."""
    with pytest.raises(Refusal, match=r"training mode.*net\.eval\(\)"):
        predict_tiled(UNet(SMALL), torch.zeros(1, 1, 64, 64), 18)
