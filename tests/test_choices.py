"""Each entry of a choice table keeps its own rules: sizes, channels, parameters."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from unet.downsamplings import DOWNSAMPLINGS
from unet.inits import INITS
from unet.norms import NORMS, groups
from unet.paddings import PADDINGS
from unet.skips import SKIPS, center_crop
from unet.upsampling import UPSAMPLINGS


def count(module: nn.Module) -> int:
    """Weights and biases."""
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", PADDINGS)
def test_a_padding_follows_its_size_rule(name: str) -> None:
    """From its smallest size on, and not below."""
    padding = PADDINGS[name]
    convolution = padding.build(2, 3, bias=True)
    for size in range(padding.smallest, padding.smallest + 5):
        out = convolution(torch.zeros(1, 2, size, size + 1))
        assert out.shape == (1, 3, padding.size(size), padding.size(size + 1))
    if padding.smallest > 1:
        too_small = torch.zeros(1, 2, padding.smallest - 1, 9)
        with pytest.raises(RuntimeError):
            convolution(too_small)


@pytest.mark.parametrize("name", UPSAMPLINGS)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 6), st.integers(1, 6))
def test_an_upsampling_follows_its_rules(
    name: str, in_channels: int, out_channels: int, height: int, width: int
) -> None:
    """Sizes, channels and parameters, for any of them."""
    rule = UPSAMPLINGS[name]
    layer = rule.build(in_channels, out_channels)
    out = layer(torch.zeros(1, in_channels, height, width))
    assert out.shape == (1, out_channels, rule.size(height), rule.size(width))
    assert count(layer) == rule.parameters(in_channels, out_channels)


@pytest.mark.parametrize("name", ["bilinear", "bilinear_corners"])
@pytest.mark.parametrize("size", range(2, 10))
def test_an_interpolation_has_its_step_and_keeps_the_centre(name: str, size: int) -> None:
    """A ramp tells where each fine sample was read."""
    layer = UPSAMPLINGS[name].build(1, 1).double()
    assert isinstance(layer, nn.Sequential)
    ramp = torch.arange(size, dtype=torch.float64).expand(1, 1, 2, size)
    read = layer[1](ramp)[0, 0, 0]
    assert (read[size] - read[size - 1]).item() == pytest.approx(UPSAMPLINGS[name].step(size))
    assert (read + read.flip(0)).tolist() == pytest.approx([size - 1] * 2 * size)


@pytest.mark.parametrize("name", ["bilinear", "bilinear_corners", "nearest"])
def test_convolving_before_interpolating_is_convolving_after(name: str) -> None:
    """The cheaper order of a resize upsampling computes the same function."""
    layer = UPSAMPLINGS[name].build(3, 2).double()
    assert isinstance(layer, nn.Sequential)
    image = torch.randn(1, 3, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(layer(image), layer[0](layer[1](image)))


def test_pixel_shuffle_can_be_the_transposed_convolution() -> None:
    """With equal weights both are one linear map, so only the biases' number differs."""
    transposed = UPSAMPLINGS["transposed"].build(3, 2)
    shuffle = UPSAMPLINGS["pixel_shuffle"].build(3, 2)
    assert isinstance(shuffle, nn.Sequential)
    weight, bias = transposed.weight.detach(), transposed.bias.detach()  # type: ignore[union-attr, operator]
    with torch.no_grad():
        shuffle[0].weight.copy_(weight.permute(1, 2, 3, 0).reshape(8, 3, 1, 1))  # type: ignore[operator, union-attr]
        shuffle[0].bias.copy_(bias.repeat_interleave(4))  # type: ignore[operator, union-attr]
    image = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(shuffle(image), transposed(image))


@pytest.mark.parametrize("name", SKIPS)
def test_a_skip_follows_its_channel_rule(name: str) -> None:
    """The join has as many channels as the rule says, and reads the skip only if it says so."""
    skip = SKIPS[name]
    upsampled = torch.randn(1, 4, 6, 6)
    skipped = torch.randn(1, 4, 6, 6, requires_grad=True)
    join = skip.build(4, 4)
    joined = join(upsampled, skipped) if skip.uses_skip else join(upsampled)
    assert count(join) == skip.parameters(4, 4)
    assert joined.shape == (1, skip.channels(4, 4), 6, 6)
    assert joined.requires_grad == skip.uses_skip


@given(st.integers(1, 9), st.integers(1, 9))
def test_an_attention_gate_counts_its_parameters(upsampled: int, skipped: int) -> None:
    """For any channels, a single one of the skip included."""
    skip = SKIPS["attention"]
    assert count(skip.build(upsampled, skipped)) == skip.parameters(upsampled, skipped)


def test_an_attention_gate_weighs_each_pixel_of_the_skip() -> None:
    """By one number from 0 to 1 for all channels; the upsampled map passes as it is."""
    upsampled, skipped = torch.randn(2, 3, 5, 4), torch.randn(2, 6, 5, 4)
    weighed, beside = SKIPS["attention"].build(3, 6)(upsampled, skipped).split([6, 3], dim=1)
    weights = weighed / skipped
    assert torch.equal(beside, upsampled)
    torch.testing.assert_close(weights, weights[:, :1].expand_as(weights))
    assert ((weights > 0) & (weights < 1)).all()


@pytest.mark.parametrize("name", DOWNSAMPLINGS)
@given(st.integers(1, 9), st.integers(1, 6), st.integers(1, 6))
def test_a_downsampling_follows_its_rules(
    name: str, channels: int, height: int, width: int
) -> None:
    """Halved sides, the same channels, and parameters, for any of them."""
    rule = DOWNSAMPLINGS[name]
    layer = rule.build(channels)
    assert layer(torch.zeros(1, channels, 2 * height, 2 * width)).shape == (
        1, channels, height, width,
    )  # fmt: skip
    assert count(layer) == rule.parameters(channels)


@given(st.integers(1, 20), st.integers(1, 20), st.data())
def test_the_crop_is_central(height: int, width: int, data: st.DataObject) -> None:
    """As much is cut off the left as off the right, or one pixel less; likewise top and bottom."""
    kept_h, kept_w = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    window = center_crop(torch.stack([rows, columns]), kept_h, kept_w)
    assert window.shape == (2, kept_h, kept_w)
    for axis, size in ((0, height), (1, width)):
        before, after = window[axis].min().item(), size - 1 - window[axis].max().item()
        assert 0 <= after - before <= 1


@pytest.mark.parametrize("name", NORMS)
def test_a_norm_follows_its_parameter_rule(name: str) -> None:
    """Its own parameters, and none from a bias that it would undo."""
    assert count(NORMS[name].build(7)) == NORMS[name].parameters(7)


@pytest.mark.parametrize("name", NORMS)
def test_a_norm_takes_its_smallest_size_and_no_smaller(name: str) -> None:
    """Of one image, in evaluation as in the size law."""
    norm = NORMS[name]
    layer = norm.build(4).eval()
    layer(torch.zeros(1, 4, norm.smallest, norm.smallest))
    if norm.smallest > 1:
        with pytest.raises(ValueError, match="more than 1"):
            layer(torch.zeros(1, 4, norm.smallest - 1, norm.smallest - 1))


@given(st.integers(1, 300))
def test_groups_are_equal_and_no_instances(channels: int) -> None:
    """They divide the channels, and have two or more unless there is but one."""
    assert channels % groups(channels) == 0
    assert channels // groups(channels) >= min(channels, 2)
    assert groups(channels) <= 32


@pytest.mark.parametrize(
    ("layer", "nodes"),
    [
        (nn.Conv2d(64, 64, 3), 576),
        (nn.Conv2d(64, 8, 1), 64),
        (nn.ConvTranspose2d(64, 64, 2, stride=2), 64),
    ],
)
def test_he_has_the_papers_deviation(layer: nn.Conv2d, nodes: int) -> None:
    """Section 3: N(0, sqrt(2 / N)), N = 9 * 64 = 576 for a 3x3 convolution of 64 channels."""
    torch.manual_seed(0)
    INITS["he"].apply(layer)
    expected = math.sqrt(2 / nodes)
    spread = layer.weight.std().item() / expected
    # The standard deviation of n normal numbers scatters by 1 / sqrt(2 n); this allows five.
    assert abs(spread - 1) < 5 / math.sqrt(2 * layer.weight.numel())
    assert layer.bias is not None
    assert not layer.bias.any()


def test_torchs_init_is_torchs() -> None:
    """The same seed gives the weights of a fresh layer."""
    layer = nn.Conv2d(3, 4, 3)
    torch.manual_seed(5)
    INITS["torch"].apply(layer)
    torch.manual_seed(5)
    assert torch.equal(layer.weight, nn.Conv2d(3, 4, 3).weight)
