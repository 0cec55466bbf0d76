"""How far a net sees, and where padding reaches, measured on real nets."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import specs
from unet import PAPER, UNet, UNetSpec, algebra
from unet.joins import AttentionGate
from unet.paddings import PADDINGS
from unet.reach import padding_ring, reaches, receptive_field
from unet.upsampling import UPSAMPLINGS

SAME = [name for name, padding in PADDINGS.items() if not padding.loss]


def open_net(spec: UNetSpec) -> UNet:
    """A net in double precision through which every path is open.

    All weights are positive, so that no ReLU closes and nothing cancels.
    """
    open_spec = dataclasses.replace(
        spec,
        dropout_levels=0,
        norm="none",
        # The gradient of a maximum reaches one of four pixels.
        downsampling="average" if spec.downsampling == "max" else spec.downsampling,
    )
    net = UNet(open_spec).double()
    with torch.no_grad():
        for parameter in net.parameters():
            # A unit gain keeps the numbers near 1 however deep the net is.
            parameter.uniform_(0.5, 1.5)
            if parameter.dim() > 1:
                parameter.div_(parameter[0].numel())
    for module in net.modules():
        if isinstance(module, AttentionGate):
            # Where residual blocks add up, a sigmoid would be so wide open that its slope is 0.
            module.weight.register_forward_pre_hook(
                lambda _, seen: seen[0] / seen[0].detach().max()
            )
    return net


def has_gradient(spec: UNetSpec, gradient: torch.Tensor) -> torch.Tensor:
    """Where it is not 0.

    Where corners are aligned the last fine sample lies on the last coarse one, but torch rounds
    its place, so that the one before may get a part of 1e-16.
    """
    rounded = 1e-16 if spec.upsampling == "bilinear_corners" else 0.0
    return gradient > rounded * gradient.max()


def seen_by(spec: UNetSpec, side: int, pixels: list[int]) -> npt.NDArray[np.bool_]:
    """(outputs, side): the rows of the input that have a gradient at an output pixel."""
    net = open_net(spec)
    image = torch.rand(1, spec.in_channels, side, side, dtype=torch.float64, requires_grad=True)
    logits = net(image)
    rows = []
    for pixel in pixels:
        # The diagonal tells rows and columns at once; a box is the product of both.
        (gradient,) = torch.autograd.grad(logits[0, 0, pixel, pixel], image, retain_graph=True)
        seen = has_gradient(spec, gradient).any(dim=1)[0]
        rows.append(seen.any(dim=1))
        assert torch.equal(seen, seen.any(dim=1)[:, None] & seen.any(dim=0)[None, :])
        assert torch.equal(seen.any(dim=1), seen.any(dim=0))
    return torch.stack(rows).numpy()


@settings(max_examples=settings.default.max_examples // 2)
@given(st.data(), specs(deepest=2))
def test_the_gradient_reaches_just_what_the_algebra_says(
    data: st.DataObject, spec: UNetSpec
) -> None:
    """Its support is the predicted box, for any output pixel of any spec, borders included."""
    law = algebra.size_law(spec)
    side = law.smallest + law.step * data.draw(st.integers(0, 12))
    *_, reach = reaches(spec, side)
    pixels = data.draw(st.lists(st.integers(0, law.output(side) - 1), min_size=1, max_size=4))
    for pixel, seen in zip(pixels, seen_by(spec, side, pixels), strict=True):
        expected = np.zeros(side, dtype=bool)
        expected[np.arange(reach.first[pixel], reach.last[pixel] + 1) % side] = True
        np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize("padding", ["valid", "reflect", "circular"])
@settings(max_examples=settings.default.max_examples // 4)
@given(data=st.data(), spec=specs(deepest=2))
def test_every_layer_sees_what_the_algebra_says(
    padding: str, data: st.DataObject, spec: UNetSpec
) -> None:
    """Each convolution, upsampling, crop and join, at a random sample of its map."""
    spec = dataclasses.replace(spec, padding=padding)
    law = algebra.size_law(spec)
    side = law.smallest + law.step * data.draw(st.integers(0, 12))
    net, seen = open_net(spec), {}
    for name, module in net.named_modules():
        module.register_forward_hook(
            lambda _module, _inputs, out, name=name: seen.update({name: out})
        )
    for level, block in enumerate(net.expansive):
        block.register_forward_pre_hook(
            lambda _block, inputs, level=level: seen.update({f"join.{level}": inputs[0]})
        )
    for level, join in enumerate(net.join):
        join.register_forward_pre_hook(
            lambda _join, inputs, level=level: seen.update({f"crop.{level}": inputs[1]})
        )
    image = torch.rand(1, spec.in_channels, side, side, dtype=torch.float64, requires_grad=True)
    net(image)
    for layer, reach in zip(algebra.layers(spec), reaches(spec, side), strict=True):
        assert reach.padded.shape == reach.first.shape == reach.last.shape
        if layer.operation == "projection":
            continue  # it sees less than what it is added to
        if layer.name not in seen:
            assert layer.operation == "input"
            continue
        place = data.draw(st.integers(0, len(reach.first) - 1))
        sample = seen[layer.name][0, -1, place, place]
        (gradient,) = torch.autograd.grad(sample, image, retain_graph=True)
        expected = np.zeros(side, dtype=bool)
        expected[np.arange(reach.first[place], reach.last[place] + 1) % side] = True
        rows = has_gradient(spec, gradient).any(dim=1)[0].any(dim=1).numpy()
        np.testing.assert_array_equal(rows, expected, err_msg=layer.name)
    assert {"head", "upsampling.0", "join.0", "contracting.0.conv1"} <= set(seen)


def test_the_papers_receptive_field() -> None:
    """Derived, then measured on the paper's net with few channels: 188 or 204 by phase."""
    assert receptive_field(PAPER) == (188, 204)
    spec = UNetSpec(base_channels=1)
    *_, reach = reaches(spec, 220)
    seen = seen_by(spec, 220, [0, 7, 8, 35])
    np.testing.assert_array_equal(seen.sum(axis=1), (reach.last - reach.first + 1)[[0, 7, 8, 35]])
    assert set(seen.sum(axis=1)) <= {188, 204}


@pytest.mark.parametrize(("depth", "field"), [(1, 18), (2, 44), (3, 100), (4, 204), (5, 412)])
def test_receptive_fields_by_depth(depth: int, field: int) -> None:
    """13 * 2^depth - 4 from depth 3 on, whatever the padding and the skip."""
    for padding in ("valid", "zeros"):
        for skip in ("concat", "none"):
            spec = UNetSpec(depth=depth, padding=padding, skip=skip)
            assert receptive_field(spec)[1] == field
    if depth > 2:
        assert field == 13 * 2**depth - 4


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@pytest.mark.parametrize("depth", range(1, 6))
def test_the_ring_is_what_the_layers_do(depth: int, upsampling: str) -> None:
    """The closed form against the walk through every layer, for both edges."""
    spec = UNetSpec(depth=depth, upsampling=upsampling, padding="zeros")
    ring = padding_ring(spec)
    side = 2**depth * (2 * ring // 2**depth + 3)
    *_, reach = reaches(spec, side)
    expected = np.zeros(side, dtype=bool)
    expected[:ring] = expected[-ring:] = True
    np.testing.assert_array_equal(reach.padded, expected)
    assert padding_ring(dataclasses.replace(spec, padding="valid")) == 0


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_padding_changes_the_ring_and_nothing_else(depth: int, upsampling: str) -> None:
    """Bit for bit the same inside the ring's inner edge; different everywhere in it."""
    spec = UNetSpec(depth=depth, upsampling=upsampling, padding="zeros", base_channels=2)
    ring = padding_ring(spec)
    side = 2**depth * (2 * ring // 2**depth + 2)
    net = open_net(spec)
    image = torch.rand(1, 1, side, side, dtype=torch.float64)
    outputs = {}
    with torch.no_grad():
        for padding in SAME:
            # In an open net no maximum hides a change of the other three pixels.
            other = UNet(dataclasses.replace(net.spec, padding=padding)).double()
            other.load_state_dict(net.state_dict())
            outputs[padding] = other(image)[0, 0]
    inner = slice(ring, side - ring)
    for padding in SAME[1:]:
        changed = outputs[padding] != outputs["zeros"]
        assert not changed[inner, inner].any()
        changed[inner, inner] = True
        assert changed.all()


def test_every_layer_of_a_padded_net_keeps_inside_the_image() -> None:
    """Only wrapping around sees beyond the border."""
    for padding in PADDINGS:
        spec = UNetSpec(depth=2, padding=padding)
        beyond = [
            (reach.first < 0).any() or (reach.last >= 60).any() for reach in reaches(spec, 60)
        ]
        assert any(beyond) == (padding == "circular")
