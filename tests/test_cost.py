"""Four counters on one net: where they agree, and by how much each is off."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ablations.pages.costs import counter_rows
from tests.strategies import legal_sizes, specs
from unet import SPECS, Refusal, UNet, UNetSpec, algebra
from unet.cost import COUNTERS, DEVIATIONS, Deviation, count_with_fvcore
from unet.model import convolutions
from unet.paddings import PADDINGS
from unet.skips import SKIPS
from unet.upsampling import UPSAMPLINGS

IMAGE = torch.zeros(1, 4, 10, 10)


@given(st.data(), specs(deepest=3))
def test_fvcore_and_half_of_torch_are_the_algebra(data: st.DataObject, spec: UNetSpec) -> None:
    """To the unit, for any spec and any legal height and width."""
    height, width = (data.draw(legal_sizes(spec, most_steps=2)) for _ in range(2))
    net, image = UNet(spec), torch.zeros(1, spec.in_channels, height, width)
    macs = algebra.cost(spec, height, width).macs
    assert COUNTERS["fvcore"](net, image) == macs
    assert COUNTERS["torch"](net, image) == 2 * macs


@pytest.mark.parametrize("depth", range(1, 6))
@pytest.mark.parametrize("padding", PADDINGS)
def test_every_combination_at_every_depth(padding: str, depth: int) -> None:
    """All skips and upsamplings: MACs = fvcore = half of torch, parameters, on H unlike W."""
    for skip, upsampling in itertools.product(SKIPS, UPSAMPLINGS):
        spec = UNetSpec(
            padding=padding, skip=skip, upsampling=upsampling, depth=depth, base_channels=1
        )
        law = algebra.size_law(spec)
        height, width = law.smallest + law.step, law.smallest
        net, image = UNet(spec), torch.zeros(1, 1, height, width)
        cost = algebra.cost(spec, height, width)
        assert COUNTERS["torch"](net, image) == 2 * cost.macs
        assert COUNTERS["fvcore"](net, image) == cost.macs
        assert sum(parameter.numel() for parameter in net.parameters()) == cost.parameters


def bias_adds(net: nn.Module, image: torch.Tensor) -> int:
    """One for each value that a convolution with a bias returns."""
    found = []
    for layer in convolutions(net).values():
        if layer.bias is not None:
            layer.register_forward_hook(lambda _layer, _inputs, out: found.append(out.numel()))
    net(image)
    return sum(found)


@given(st.data(), specs(deepest=3))
def test_bias_additions_are_those_of_the_net(data: st.DataObject, spec: UNetSpec) -> None:
    """Counted at every convolution that has a bias."""
    height, width = (data.draw(legal_sizes(spec)) for _ in range(2))
    with torch.device("meta"):
        net, image = UNet(spec).eval(), torch.zeros(1, spec.in_channels, height, width)
    assert bias_adds(net, image) == algebra.cost(spec, height, width).bias_adds


def torchinfo_expected(spec: UNetSpec, side: int) -> int:
    """By torchinfo's rule: each convolution's parameters times its output pixels."""
    with torch.device("meta"):
        layers = convolutions(UNet(spec))
    shapes = {m.layer.name: m.vertical.size for m in algebra.trace(spec, side, side)}
    return sum(
        sum(parameter.numel() for parameter in layer.parameters()) * shapes[name] ** 2
        for name, layer in layers.items()
    )


@pytest.mark.parametrize(
    ("name", "side", "torchinfo"),
    [
        ("paper", 572, 167_456_910_112),
        ("tutorial", 576, 276_685_922_304),
        ("release", 572, 178_109_020_960),
    ],
)
def test_published_figures_of_every_tool(name: str, side: int, torchinfo: int) -> None:
    """Golden, and explained to the unit by each tool's own rule."""
    spec = SPECS[name]
    macs = algebra.cost(spec, side, side).macs
    with torch.device("meta"):
        net, image = UNet(spec), torch.zeros(1, spec.in_channels, side, side)
    assert COUNTERS["torch"](net, image) == 2 * macs
    assert torchinfo_expected(spec, side) == torchinfo
    (row,) = [row for row in counter_rows() if row["net"].lower().startswith(name)]
    figures = (row["MACs"], row["fvcore"], row["torch"], row["torchinfo"])
    assert [int(figure.replace(",", "")) for figure in figures] == [macs, macs, 2 * macs, torchinfo]


def test_the_papers_count_splits_as_published() -> None:
    """144,797,047,040 of convolution and 5,631,377,408 of up-convolution."""
    maps = algebra.trace(SPECS["paper"], 572, 572)
    up = sum(m.macs for m in maps if m.layer.operation == "upsampling")
    assert up == 5_631_377_408
    assert sum(m.macs for m in maps) - up == 144_797_047_040


def test_torchinfo_really_counts_so() -> None:
    """The rule above, on a real net of few channels."""
    spec = UNetSpec(base_channels=2)
    said = COUNTERS["torchinfo"](UNet(spec), torch.zeros(1, 1, 188, 188))
    assert said == torchinfo_expected(spec, 188)


@pytest.mark.parametrize("deviation", DEVIATIONS, ids=lambda d: f"{d.tool}: {d.rule}")
def test_a_deviation_is_still_there(deviation: Deviation) -> None:
    """When a release mends it, this fails, and the table loses a row."""
    net = deviation.build()
    assert COUNTERS[deviation.tool](net, IMAGE) == deviation.says
    if deviation.tool != "torch":
        assert COUNTERS["torch"](net, IMAGE) == 2 * deviation.macs
    assert deviation.says != deviation.macs


def test_counting_leaves_the_net_as_it_was() -> None:
    """No tool changes batch statistics or modes, though fvcore runs the net as it finds it."""
    net = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    net[2].eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    for count in COUNTERS.values():
        count(net, IMAGE)
    assert [module.training for module in net] == [True, True, False]
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_fvcore_runs_batch_norm_in_training_mode() -> None:
    """What the guard is for: fvcore itself counts one more batch."""
    from fvcore.nn import FlopCountAnalysis

    net = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4))
    FlopCountAnalysis(net, IMAGE).total()
    assert net[1].num_batches_tracked == 1


def test_fvcore_is_kept_off_the_meta_device() -> None:
    """It fails there with a riddle; we say what to do."""
    with pytest.raises(Refusal, match="give it a real image"):
        count_with_fvcore(nn.Conv2d(4, 4, 3), IMAGE.to("meta"))
