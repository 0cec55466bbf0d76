"""The algebra agrees with the paper, and with nets that really run."""

from __future__ import annotations

import dataclasses
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.strategies import legal_sizes, specs
from unet import PAPER, RELEASE, SPECS, TUTORIAL, Refusal, UNetSpec, algebra
from unet.model import UNet
from unet.paddings import PADDINGS

FIGURE_1 = [
    ("input", 572, 1), ("contracting.0.conv1", 570, 64), ("contracting.0.conv2", 568, 64),
    ("pool.1", 284, 64), ("contracting.1.conv1", 282, 128), ("contracting.1.conv2", 280, 128),
    ("pool.2", 140, 128), ("contracting.2.conv1", 138, 256), ("contracting.2.conv2", 136, 256),
    ("pool.3", 68, 256), ("contracting.3.conv1", 66, 512), ("contracting.3.conv2", 64, 512),
    ("pool.4", 32, 512), ("bottleneck.conv1", 30, 1024), ("bottleneck.conv2", 28, 1024),
    ("upsampling.3", 56, 512), ("crop.3", 56, 512), ("join.3", 56, 1024),
    ("expansive.3.conv1", 54, 512), ("expansive.3.conv2", 52, 512),
    ("upsampling.2", 104, 256), ("crop.2", 104, 256), ("join.2", 104, 512),
    ("expansive.2.conv1", 102, 256), ("expansive.2.conv2", 100, 256),
    ("upsampling.1", 200, 128), ("crop.1", 200, 128), ("join.1", 200, 256),
    ("expansive.1.conv1", 198, 128), ("expansive.1.conv2", 196, 128),
    ("upsampling.0", 392, 64), ("crop.0", 392, 64), ("join.0", 392, 128),
    ("expansive.0.conv1", 390, 64), ("expansive.0.conv2", 388, 64), ("head", 388, 2),
]  # fmt: skip


def test_figure_1_map_by_map() -> None:
    """Every side and channel count that figure 1 of the paper shows."""
    maps = algebra.trace(PAPER, 572, 572)
    assert [(m.layer.name, m.shape[1], m.shape[0]) for m in maps] == FIGURE_1


def test_every_layer_says_what_it_is() -> None:
    """Names, operations and levels as the model's modules have them; whole numbers throughout."""
    algebra.layers.cache_clear()
    for spec in SPECS.values():
        for step in algebra.layers(spec):
            name, *rest = step.name.split(".")
            level = next((int(part) for part in rest if part.isdigit()), None)
            assert (step.operation, step.level) == {
                "input": ("input", 0),
                "contracting": ("convolution", level),
                "pool": ("pooling", level),
                "bottleneck": ("convolution", spec.depth),
                "upsampling": ("upsampling", level),
                "crop": ("crop", level),
                "join": ("join", level),
                "expansive": ("convolution", level),
                "head": ("head", 0),
            }[name]
            if name == "crop":
                assert step.channels == spec.channels(step.level)
        smallest = algebra.size_law(spec).smallest
        assert all(type(side) is int for side in algebra.sides(spec, smallest))


def test_the_paper_has_23_convolutional_layers() -> None:
    """Section 2 counts 23, up-convolutions and head included."""
    operations = Counter(layer.operation for layer in algebra.layers(PAPER))
    assert operations["convolution"] + operations["upsampling"] + operations["head"] == 23


def test_release_joins_192_channels_at_the_top() -> None:
    """phseg_v5's last up-convolution keeps 128 channels beside the skip's 64."""
    joins = {m.layer.name: m.shape for m in algebra.trace(RELEASE, 572, 572)}
    assert joins["join.0"] == (192, 392, 392)
    assert joins["head"] == (2, 388, 388)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("depth", range(1, 6))
def test_crops_take_equally_from_both_ends(padding: str, depth: int) -> None:
    """Every cut is even, and takes the skip to the upsampled map's side; nothing if padded."""
    spec = UNetSpec(padding=padding, depth=depth)
    size = algebra.size_law(spec).smallest + algebra.size_law(spec).step
    sides = {m.layer.name: m.vertical.size for m in algebra.trace(spec, size, size)}
    crops = algebra.crops(spec, size)
    assert [crop.level for crop in crops] == list(reversed(range(depth)))
    for crop in crops:
        assert crop.before == sides[f"contracting.{crop.level}.conv2"]
        assert crop.after == sides[f"upsampling.{crop.level}"]
        assert (crop.before - crop.after) % 2 == 0
        assert (crop.before == crop.after) == (padding != "valid")
    assert algebra.crops(dataclasses.replace(spec, skip="none"), size) == []


@given(specs())
def test_skip_and_upsampled_map_lie_on_one_grid(spec: UNetSpec) -> None:
    """At every join both sides have the same size, step and offset in input pixels."""
    spec = dataclasses.replace(spec, upsampling=spec.upsampling.removesuffix("_corners"))
    size = algebra.size_law(spec).smallest + 3 * algebra.size_law(spec).step
    maps = {m.layer.name: m for m in algebra.trace(spec, size, size)}
    for name, feature_map in maps.items():
        if name.startswith("crop"):
            assert feature_map.vertical == maps[name.replace("crop", "upsampling")].vertical


def test_an_unskipped_level_has_no_crop_and_no_more_channels() -> None:
    """Without the topmost skip the last block reads the upsampled map alone."""
    shapes = {m.layer.name: m.shape for m in algebra.trace(UNetSpec(unskipped=(0,)), 572, 572)}
    assert shapes["join.0"] == shapes["upsampling.0"] == (64, 392, 392)
    assert shapes["join.1"] == (256, 200, 200)
    assert [name for name in shapes if name.startswith("crop")] == ["crop.3", "crop.2", "crop.1"]


def ends(grid: algebra.Grid) -> tuple[Fraction, Fraction]:
    """Where its first and its last sample lie."""
    return grid.offset, grid.offset + (grid.size - 1) * grid.step


@given(specs())
def test_aligned_corners_end_half_a_pixel_inside_the_skip(spec: UNetSpec) -> None:
    """An upsampled map ends where the map below it does, and the skip half a pixel further out."""
    spec = dataclasses.replace(spec, skip="concat", unskipped=(), upsampling="bilinear_corners")
    maps = list(algebra.grids(spec, algebra.size_law(spec).smallest))
    for place, layer in enumerate(algebra.layers(spec)):
        if layer.operation == "upsampling":
            below, up, crop, join = maps[place - 1 : place + 3]
            assert ends(up) == ends(below)
            assert ends(up) == (ends(crop)[0] + crop.step / 2, ends(crop)[1] - crop.step / 2)
            assert join == crop


@given(specs())
def test_the_output_is_centred_on_the_input(spec: UNetSpec) -> None:
    """And lies on its pixels, unless corners were aligned since the last skip."""
    law = algebra.size_law(spec)
    *_, head = algebra.grids(spec, law.smallest)
    assert head.size == law.smallest - law.margin
    assert sum(ends(head)) == law.smallest - 1
    astray = spec.upsampling == "bilinear_corners" and spec.skip_at(0) == "none"
    assert (head.step == 1) == (not astray)


def runs(spec: UNetSpec, size: int) -> int | None:
    """The output side of a net walked layer by layer, or None where it cannot run.

    A second, plain account of the sizes: no closed form.
    """
    padding = PADDINGS[spec.padding]

    def block(side: int) -> int | None:
        for _ in range(2):
            if side < padding.smallest:
                return None
            side -= 2 * padding.loss
        return side if side > 0 else None

    side: int | None = size
    skips = []
    for _ in range(spec.depth):
        side = block(side)
        if side is None or side % 2:
            return None
        skips.append(side)
        side //= 2
    side = block(side)
    for skip in reversed(skips):
        if side is None or 2 * side > skip:
            return None
        side = block(2 * side)
    return side


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("depth", range(1, 6))
def test_the_size_law_is_what_the_layers_do(padding: str, depth: int) -> None:
    """Every side from 1 to 700: legality and output, for every padding and depth."""
    spec = UNetSpec(padding=padding, depth=depth)
    law = algebra.size_law(spec)
    for size in range(1, 701):
        expected = runs(spec, size)
        assert law.is_legal(size) == (expected is not None), size
        if expected is not None:
            assert law.output(size) == expected


def test_an_instance_norm_wants_more_than_a_pixel() -> None:
    """The bottleneck of a padded net is one pixel for its smallest input, then two."""
    spec = UNetSpec(padding="zeros", depth=2)
    assert algebra.size_law(spec) == algebra.SizeLaw(smallest=4, step=4, margin=0)
    spec = dataclasses.replace(spec, norm="instance")
    assert algebra.size_law(spec) == algebra.SizeLaw(smallest=8, step=4, margin=0)


@pytest.mark.parametrize("name", SPECS)
def test_the_net_itself_runs_on_just_the_legal_sizes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every side from 1 to 700 with the net's own refusal taken away: torch is the witness.

    A size counts as wrong where torch fails, and where a pooling would drop a last row.
    """
    spec = dataclasses.replace(SPECS[name], base_channels=1)
    law = algebra.size_law(spec)

    def pool(x: torch.Tensor, kernel: int, *_: object, **__: object) -> torch.Tensor:
        assert x.shape[-2] % 2 == 0
        return nn.functional.avg_pool2d(x, kernel)

    with torch.device("meta"):
        net = UNet(spec)
    monkeypatch.setattr(net, "_require_legal", lambda image: None)
    monkeypatch.setattr(nn.functional, "max_pool2d", pool)
    width = law.smallest
    for height in range(1, 701):
        image = torch.zeros(1, spec.in_channels, height, width, device="meta")
        try:
            output = net(image).shape[-2]
        except (RuntimeError, AssertionError):
            output = None
        assert output == (law.output(height) if law.is_legal(height) else None), height


def test_a_table_stands_for_every_height_and_width() -> None:
    """Of 700 x 700 inputs and each named net, two look-ups say what the law says."""
    for spec in SPECS.values():
        law, table = algebra.size_law(spec), algebra.size_table(spec, 700)
        outputs = [law.output(size) if law.is_legal(size) else 0 for size in range(701)]
        assert table.tolist() == outputs
        assert np.issubdtype(table.dtype, np.integer)
        for largest in range(660, 701):
            assert algebra.size_table(spec, largest).tolist() == outputs[: largest + 1]
        legal = table > 0
        assert int(np.logical_and.outer(legal, legal).sum()) == len(law.sizes(700)) ** 2


@given(specs())
def test_two_walks_find_the_same_sides(spec: UNetSpec) -> None:
    """The sides alone, and the grids with their steps and offsets."""
    size = algebra.size_law(spec).smallest
    assert list(algebra.sides(spec, size)) == [grid.size for grid in algebra.grids(spec, size)]


@given(
    st.data(),
    specs(),
    st.integers(1, 3),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)
def test_the_algebra_agrees_with_the_net(
    data: st.DataObject, spec: UNetSpec, batch: int, dtype: torch.dtype
) -> None:
    """Every feature map's shape and the parameters, for any spec and any legal height, width."""
    height, width = data.draw(legal_sizes(spec)), data.draw(legal_sizes(spec))
    with torch.device("meta"):
        net = UNet(spec).to(dtype).eval()
        image = torch.zeros(batch, spec.in_channels, height, width, dtype=dtype)
    seen: dict[str, tuple[int, ...]] = {}
    for name, module in net.named_modules():
        module.register_forward_hook(
            lambda _module, _inputs, output, name=name: seen.update({name: tuple(output.shape)})
        )
    assert net(image).dtype == dtype
    assert sum(p.numel() for p in net.parameters()) == algebra.parameters(spec)
    for feature_map in algebra.trace(spec, height, width):
        if feature_map.layer.name in seen:
            assert seen[feature_map.layer.name] == (batch, *feature_map.shape)
    assert {"head", "bottleneck.conv2", "upsampling.0", "expansive.0.conv1"} <= set(seen)


@given(st.data(), specs(deepest=3))
def test_macs_are_half_of_torchs_flops(data: st.DataObject, spec: UNetSpec) -> None:
    """Torch's own counter, which counts two FLOPs a multiply-add, agrees to the unit."""
    from torch.utils.flop_counter import FlopCounterMode

    height, width = data.draw(legal_sizes(spec)), data.draw(legal_sizes(spec))
    with torch.device("meta"):
        net, image = UNet(spec).eval(), torch.zeros(1, spec.in_channels, height, width)
    with FlopCounterMode(display=False) as counter:
        net(image)
    assert counter.get_total_flops() == algebra.cost(spec, height, width).flops


@pytest.mark.parametrize(
    ("name", "size", "macs"),
    [
        ("paper", 572, 150_428_424_448),
        ("tutorial", 576, 243_868_631_040),
        ("release", 572, 157_294_254_336),
    ],
)
def test_published_costs(name: str, size: int, macs: int) -> None:
    """Golden figures, with torch's counter on the real net as their second witness."""
    from torch.utils.flop_counter import FlopCounterMode

    spec = SPECS[name]
    with torch.device("meta"):
        net, image = UNet(spec), torch.zeros(1, spec.in_channels, size, size)
    with FlopCounterMode(display=False) as counter:
        net(image)
    assert algebra.cost(spec, size, size).macs == macs == counter.get_total_flops() // 2


@pytest.mark.parametrize(
    ("size", "nearest"), [(571, "556 (output 372) or 572 (output 388)"), (1, "188 (output 4)")]
)
def test_an_illegal_size_comes_with_the_way_out(size: int, nearest: str) -> None:
    """The refusal gives the nearest legal sizes and what they produce."""
    with pytest.raises(Refusal, match=str(size)) as caught:
        algebra.size_law(PAPER).output(size)
    assert nearest in str(caught.value)


@given(specs(), st.integers(-10, 3000))
def test_nearest_sizes_are_legal_and_near(spec: UNetSpec, size: int) -> None:
    """No legal size lies between `size` and its nearest."""
    law = algebra.size_law(spec)
    nearest = law.nearest(size)
    assert all(map(law.is_legal, nearest))
    assert min(abs(size - near) for near in nearest) <= max(law.step, law.smallest - size)
    if law.is_legal(size):
        assert nearest == (size,)


def test_sizes_lists_the_papers_inputs() -> None:
    """188, 204, 220, ... as the paper's net needs them."""
    law = algebra.size_law(PAPER)
    assert list(law.sizes(220)) == [188, 204, 220]
    assert list(law.sizes(219)) == [188, 204]
    assert list(algebra.size_law(TUTORIAL).sizes(48)) == [16, 32, 48]
