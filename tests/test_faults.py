"""Faults planted in the algebra, the tables and the net are found: one for each rule.

`mutmut` changes the functions of the algebra one by one; here are the faults that it cannot
plant: in the entries of the tables, which both sides read, and in the net itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.test_algebra import FIGURE_1
from tests.test_cost import bias_adds
from tests.test_memory import kept_bytes, peak_bytes
from tests.test_reach import open_net, seen_by
from unet import PAPER, UNet, UNetSpec, algebra, model, reach
from unet.activations import ACTIVATIONS
from unet.cost import count_with_torch
from unet.downsamplings import DOWNSAMPLINGS
from unet.memory import memory
from unet.norms import NORMS
from unet.paddings import PADDINGS, Padding
from unet.skips import SKIPS
from unet.upsampling import UPSAMPLINGS, PixelShuffle, Resized, Transposed

SPECS = [
    UNetSpec(depth=2, base_channels=2),
    UNetSpec(depth=2, base_channels=2, up_relu=True, up_keeps_channels=(0,), dropout_levels=2),
    UNetSpec(depth=2, base_channels=2, unskipped=(1,), activation="gelu", residual=True),
    UNetSpec(depth=1, base_channels=2, padding="zeros", skip="attention", downsampling="strided"),
    UNetSpec(depth=2, base_channels=2, skip="add", upsampling="bilinear"),
    UNetSpec(depth=2, base_channels=2, padding="reflect", upsampling="pixel_shuffle"),
    UNetSpec(depth=1, base_channels=2, padding="circular", skip="none", norm="batch"),
    UNetSpec(depth=1, base_channels=2, padding="zeros", upsampling="nearest", norm="instance"),
    UNetSpec(depth=1, base_channels=2, upsampling="bilinear_corners", norm="group"),
]
"""Every kind of rule is read by one of them."""


def disagreements(spec: UNetSpec) -> Iterator[str]:
    """In what the algebra and the net that runs disagree, on one image that is not square."""
    law = algebra.size_law(spec)
    height, width = law.smallest + 2 * law.step, law.smallest + law.step
    net, image = UNet(spec), torch.zeros(1, spec.in_channels, height, width)
    maps, cost = algebra.trace(spec, height, width), algebra.cost(spec, height, width)
    if net.eval()(image).shape[1:] != maps[-1].shape:
        yield "output"
    if sum(parameter.numel() for parameter in net.parameters()) != cost.parameters:
        yield "parameters"
    if count_with_torch(net, image) != cost.flops:
        yield "multiply-adds"
    if bias_adds(net, image) != cost.bias_adds:
        yield "bias additions"
    predicted = memory(spec, height, width)
    if kept_bytes(net.train(), image) != predicted.training:
        yield "memory in training"
    if peak_bytes(net, image) != predicted.inference:
        yield "memory in inference"
    *_, seen = reach.reaches(spec, height)
    pixels = [0, 3, law.output(height) - 1]
    expected = np.zeros((3, height), dtype=bool)
    for row, pixel in zip(expected, pixels, strict=True):
        row[np.arange(seen.first[pixel], seen.last[pixel] + 1) % height] = True
    if not np.array_equal(seen_by(spec, height, pixels), expected):
        yield "receptive field"
    if SKIPS[spec.skip_at(0)].uses_skip and not sees_its_own_place_through_the_skip(spec):
        yield "place of a skip"


def sees_its_own_place_through_the_skip(spec: UNetSpec) -> bool:
    """With the upsampled map silenced, a pixel sees the 9 x 9 pixels around its own place.

    Four 3x3 convolutions stand between the image and the output along the skip of level 0.
    """
    law = algebra.size_law(spec)
    side = law.smallest + 6 * law.step
    net = open_net(spec)
    for parameter in net.upsampling[0].parameters():
        nn.init.zeros_(parameter)
    image = torch.ones(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    middle = law.output(side) // 2
    (gradient,) = torch.autograd.grad(net(image)[0, 0, middle, middle], image)
    rows, columns = gradient[0, 0].nonzero().T
    place = middle + law.margin // 2
    box = [place - 4, place + 4]
    return [rows.min(), rows.max(), columns.min(), columns.max()] == box + box


def departures_from_the_paper() -> Iterator[str]:
    """In what the algebra departs from the published figures."""
    maps = algebra.trace(PAPER, 572, 572)
    if [(m.layer.name, m.shape[1], m.shape[0]) for m in maps] != FIGURE_1:
        yield "figure 1"
    cost = algebra.cost(PAPER, 572, 572)
    if (cost.parameters, cost.macs) != (31_030_658, 150_428_424_448):
        yield "published cost"
    if [PAPER.drops_out(level) for level in range(5)] != [False] * 4 + [True]:
        yield "dropout"
    if maps[-1].vertical.offset != 92:
        yield "place of the output"
    places = {m.layer.name: m.vertical for m in maps}
    if any(places[f"upsampling.{level}"] != places.get(f"crop.{level}") for level in range(4)):
        yield "place of an upsampled map"
    if (
        reach.receptive_field(PAPER) != (188, 204)
        or reach.padding_ring(dataclasses.replace(PAPER, padding="zeros")) != 94
    ):
        yield "published reach"


def found() -> set[str]:
    """All that the witnesses say; a crash is a finding as well."""
    said: set[str] = set()
    witnesses = [departures_from_the_paper, *(partial(disagreements, spec) for spec in SPECS)]
    for witness in witnesses:
        try:
            said |= set(witness())
        except (RuntimeError, ValueError, IndexError) as error:
            said.add(type(error).__name__)
    return said


def shifted_crop(x: Tensor, height: int, width: int) -> Tensor:
    """A centre crop one pixel too low where there is room."""
    top = min((x.shape[-2] - height) // 2 + 1, x.shape[-2] - height)
    left = (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width]


def entry(table: dict[str, object], name: str, **changes: object) -> Callable[..., None]:
    """A fault in one entry of a choice table, which algebra and net both read."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setitem(table, name, dataclasses.replace(table[name], **changes))  # type: ignore[type-var]

    return plant


def attribute(thing: object, name: str, value: object) -> Callable[..., None]:
    """A fault in place of a function."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(thing, name, value)

    return plant


RING = reach._border_ring

FAULTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    # In the net.
    "the crop one pixel off": attribute(model, "center_crop", shifted_crop),
    "the crop at the corner": attribute(
        model, "center_crop", lambda x, height, width: x[..., :height, :width]
    ),
    "no ReLU": attribute(torch, "relu", lambda x: x),
    "pooling of stride 1": entry(
        DOWNSAMPLINGS, "max", build=lambda channels: nn.AvgPool2d(2, stride=1)
    ),
    "dropout forgotten": attribute(UNetSpec, "drops_out", lambda spec, level: False),
    # In the tables.
    "a convolution that loses too little": attribute(
        Padding, "size", lambda padding, size: size - padding.loss
    ),
    "valid padding that pads": entry(PADDINGS, "valid", loss=0),
    "zeros that write their border": entry(PADDINGS, "zeros", writes_border=True),
    "mirrored borders forgotten": entry(PADDINGS, "reflect", writes_border=False),
    "wrapped maps kept twice": entry(PADDINGS, "circular", keeps_map=True),
    "a bias missing": entry(NORMS, "none", conv_bias=False),
    "a bias before the norm": entry(NORMS, "batch", parameters=lambda channels: 3 * channels),
    "the norm's input forgotten": entry(NORMS, "batch", kept=lambda channels, pixels: 2 * channels),
    "repeated weights forgotten": entry(
        NORMS, "instance", kept=lambda channels, pixels: channels * pixels + 2 * channels
    ),
    "statistics of groups forgotten": entry(NORMS, "group", beside=lambda channels: 0),
    "channels lost in a concatenation": entry(
        SKIPS, "concat", channels=lambda upsampled, skipped: upsampled
    ),
    "an addition that concatenates": entry(SKIPS, "add", build=SKIPS["concat"].build),
    "a gate without its biases": entry(SKIPS, "attention", bias_adds=lambda upsampled, skipped: 0),
    "a gate that keeps nothing": entry(SKIPS, "attention", kept=lambda upsampled, skipped: 0),
    "a gated map forgotten": entry(SKIPS, "attention", beside=lambda upsampled, skipped: 0),
    "a gate that does not keep what comes up": entry(SKIPS, "attention", keeps_upsampled=False),
    "an activation that keeps what it reads": entry(ACTIVATIONS, "relu", keeps_result=False),
    "an activation that keeps its result": entry(ACTIVATIONS, "gelu", keeps_result=True),
    "places of maxima forgotten": entry(DOWNSAMPLINGS, "max", keeps_places=False),
    "a strided convolution without bias": entry(
        DOWNSAMPLINGS, "strided", parameters=lambda channels: 4 * channels**2
    ),
    "a skip that is not read": entry(SKIPS, "concat", uses_skip=False),
    "an up-convolution without bias": attribute(
        Transposed, "parameters", lambda rule, inputs, outputs: 4 * inputs * outputs
    ),
    "an up-convolution counted 4 times": attribute(
        Transposed, "macs", lambda rule, inputs, outputs, pixels: 16 * inputs * outputs * pixels
    ),
    "its biases at the coarse pixels": attribute(
        Transposed, "bias_adds", lambda rule, outputs, pixels: outputs * pixels
    ),
    "interpolation before the 1x1 convolution": attribute(
        Resized, "macs", lambda rule, inputs, outputs, pixels: 4 * inputs * outputs * pixels
    ),
    "a shuffle with too few biases": attribute(
        PixelShuffle, "parameters", lambda rule, inputs, outputs: (4 * inputs + 1) * outputs
    ),
    "bilinear that does not spread": entry(UPSAMPLINGS, "bilinear", spread=0),
    # In the algebra.
    "a ring one pixel too narrow": attribute(reach, "_border_ring", lambda spec: RING(spec) - 1),
    "a ring one pixel too wide": attribute(reach, "_border_ring", lambda spec: RING(spec) + 1),
    "a pooled map on the wrong pixel": attribute(
        algebra.Grid,
        "pooled",
        lambda grid: algebra.Grid(grid.size // 2, grid.step * 2, grid.offset),
    ),
}


def test_without_a_fault_nothing_is_found() -> None:
    """The witnesses raise no false alarm."""
    assert found() == set()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By at least one witness."""
    algebra.layers.cache_clear()
    FAULTS[fault](monkeypatch)
    try:
        assert found()
    finally:
        monkeypatch.undo()
        algebra.layers.cache_clear()
