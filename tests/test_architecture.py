"""What the architecture report says of three nets is so; its table names these tests."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from ablations.pages.architecture import DIFFERENCES, ladder_rows
from ablations.pages.costs import EQUALS, cost_lines, cost_table
from unet import PAPER, RELEASE, SPECS, TUTORIAL, UNet, UNetSpec, algebra
from unet.model import convolutions
from unet.paddings import PADDINGS
from unet.reach import receptive_field
from unet.skips import SKIPS
from unet.upsampling import UPSAMPLINGS


def small(spec: UNetSpec) -> UNet:
    """The net of `spec` with few channels."""
    return UNet(dataclasses.replace(spec, base_channels=2))


def operations(spec: UNetSpec) -> list[str]:
    """The calls that one forward pass in training dispatches, in order."""
    size = algebra.size_law(spec).smallest
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        small(spec)(torch.zeros(1, spec.in_channels, size, size))
    names = ("aten::relu", "aten::conv_transpose2d", "aten::conv2d", "aten::dropout", "aten::cat")
    events = sorted(profile.events(), key=lambda event: event.time_range.start)
    return [event.name.removeprefix("aten::") for event in events if event.name in names]


def test_every_difference_is_held_by_a_test() -> None:
    """The report names a test of this file for each of its lines."""
    for difference in DIFFERENCES:
        file, name = difference.test.split("::")
        assert file == "test_architecture.py"
        assert callable(globals()[name])


def test_padding() -> None:
    """0 in the paper and the release, 1 in the tutorial, for every 3x3 convolution."""
    for spec, padding in ((PAPER, 0), (RELEASE, 0), (TUTORIAL, 1)):
        layers = [c for c in convolutions(small(spec)).values() if c.kernel_size == (3, 3)]
        assert len(layers) == 18
        assert all(layer.padding == (padding, padding) for layer in layers)


def test_sides() -> None:
    """572 to 388, 572 to 388, 576 to 576; and 572 is not for the tutorial's net."""
    for spec, side, output in ((PAPER, 572, 388), (RELEASE, 572, 388), (TUTORIAL, 576, 576)):
        image = torch.zeros(1, spec.in_channels, side, side)
        with torch.no_grad():
            assert small(spec)(image).shape == (1, 2, output, output)
    with pytest.raises(ValueError, match="572 is not legal"):
        small(TUTORIAL)(torch.zeros(1, 3, 572, 572))


def test_input_channels() -> None:
    """Grey, grey, RGB."""
    first = [next(iter(convolutions(small(spec)).values())) for spec in SPECS.values()]
    assert [convolution.in_channels for convolution in first] == [1, 1, 3]


def test_up_relu() -> None:
    """A ReLU follows each up-convolution in the release, none in the others."""
    for spec, relus in ((PAPER, 0), (RELEASE, 4), (TUTORIAL, 0)):
        names = operations(spec)
        followed = [b == "relu" for a, b in zip(names, names[1:]) if a == "conv_transpose2d"]  # noqa: B905, RUF007  # pairs
        assert len(followed) == 4
        assert sum(followed) == relus


def test_channels_at_the_top() -> None:
    """64 beside 64, but 128 beside 64 in the release."""
    joined = []
    for spec in SPECS.values():
        (join,) = [layer for layer in algebra.layers(spec) if layer.name == "join.0"]
        joined.append(join.channels)
    assert joined == [128, 192, 128]
    assert convolutions(small(RELEASE))["upsampling.0"].out_channels == 4


def test_order_does_not_matter() -> None:
    """Another order of a concatenation is the same net with the next weights' inputs permuted."""
    skip, upsampled = torch.randn(1, 3, 5, 5), torch.randn(1, 3, 5, 5)
    weight = torch.randn(4, 6, 3, 3)
    one = nn.functional.conv2d(torch.cat([skip, upsampled], 1), weight)
    other = nn.functional.conv2d(torch.cat([upsampled, skip], 1), weight.roll(3, 1))
    torch.testing.assert_close(one, other)


def test_dropout() -> None:
    """After the bottleneck; in the release after level 3 as well, in its skip too; or nowhere."""
    assert [operations(spec).count("dropout") for spec in SPECS.values()] == [1, 2, 0]
    assert PAPER.dropout == RELEASE.dropout == 0.5


def test_no_norm() -> None:
    """None of the three normalises."""
    for spec in SPECS.values():
        assert not [m for m in small(spec).modules() if "Norm" in type(m).__name__]


def test_initial_weights() -> None:
    """Normal with the paper's deviation; uniform within torch's bound in the tutorial's net."""
    torch.manual_seed(0)
    paper = UNet(PAPER).contracting[0].conv2.weight.detach()
    assert abs(paper.std().item() / (2 / 576) ** 0.5 - 1) < 0.02
    tutorial = UNet(TUTORIAL).contracting[0].conv2.weight.detach()
    assert tutorial.abs().max().item() <= 1 / 576**0.5 < paper.abs().max().item()


def test_parameters() -> None:
    """Counted on the real nets."""
    with torch.device("meta"):
        counts = [sum(p.numel() for p in UNet(spec).parameters()) for spec in SPECS.values()]
    assert counts == [31_030_658, 31_100_354, 31_031_810]


def test_the_ladder_is_figure_1() -> None:
    """Its first column is the paper's figure; all three nets see equally far."""
    rows = {row["layer"]: row for row in ladder_rows()}
    assert rows["bottleneck.conv2"]["PAPER at 572"] == "28 x 28 x 1024"
    assert rows["head"]["PAPER at 572"] == "388 x 388 x 2"
    assert rows["join.0"]["RELEASE at 572"] == "392 x 392 x 192"
    assert all(row["PAPER sees"] == row["TUTORIAL sees"] for row in rows.values())
    assert len({receptive_field(spec) for spec in SPECS.values()}) == 1


def test_the_cost_report_compares_at_equal_what_it_says() -> None:
    """Each side is the smallest legal one that covers the image, or the wanted output."""
    table = cost_table()
    assert len(table) == 2 * len(PADDINGS) * len(SKIPS) * len(UPSAMPLINGS)
    inputs = table[table["equal"] == "input"]
    assert set(inputs["input"]) == {572, 576}
    outputs = table[table["equal"] == "output"]
    assert set(outputs["output"]) == {388, 400}
    for equal in EQUALS:
        lines = cost_lines(equal)
        assert len(lines) == len(PADDINGS) + len(SKIPS) - 1 + len(UPSAMPLINGS) - 1
        assert lines[0]["MACs"] == "150,428,424,448"
