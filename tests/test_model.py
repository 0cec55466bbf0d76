"""The net does what its spec says."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import unet
from tests.strategies import legal_sizes, specs
from unet import PAPER, RELEASE, SPECS, Refusal, UNet, UNetSpec

PARAMETERS = {"paper": 31_030_658, "release": 31_100_354, "tutorial": 31_031_810}


@pytest.mark.parametrize("name", SPECS)
def test_named_nets_have_the_published_parameters(name: str) -> None:
    """Counted on the real net."""
    with torch.device("meta"):
        net = UNet(SPECS[name])
    assert sum(parameter.numel() for parameter in net.parameters()) == PARAMETERS[name]


def test_the_papers_net_takes_572_to_388() -> None:
    """Figure 1, on real tensors with few channels, and in full on the meta device."""
    with torch.inference_mode():
        assert UNet(UNetSpec(base_channels=2))(torch.zeros(1, 1, 572, 572)).shape == (
            1,
            2,
            388,
            388,
        )
    with torch.device("meta"):
        assert UNet()(torch.zeros(1, 1, 572, 572)).shape == (1, 2, 388, 388)


@pytest.mark.parametrize("name", ["paper", "release"])
def test_dropout_stands_where_the_source_has_it(name: str) -> None:
    """The paper's net drops out after the bottleneck, the released one after level 3 too."""
    with torch.device("meta"):
        net = UNet(SPECS[name])
    found = [name for name, module in net.named_modules() if isinstance(module, nn.Dropout)]
    expected = ["bottleneck.dropout"]
    assert found == (["contracting.3.dropout", *expected] if name == "release" else expected)


def test_only_release_has_a_relu_after_the_up_convolution() -> None:
    """Negative up-convolutions reach the join in the paper's net, and not in the released one."""
    seen: dict[str, float] = {}
    for name in ("paper", "release"):
        spec = dataclasses.replace(SPECS[name], base_channels=2)
        net = UNet(spec).eval()

        def remember(_module: nn.Module, inputs: tuple[Tensor], name: str = name) -> None:
            upsampled = inputs[0][:, 2:]  # the skip has the first two channels
            seen[name] = upsampled.min().item()

        net.expansive[0].register_forward_pre_hook(remember)
        net(torch.rand(1, 1, 188, 188))
    assert seen["paper"] < 0 <= seen["release"]


@given(st.data(), specs(deepest=2))
def test_any_spec_runs_and_every_parameter_learns(data: st.DataObject, spec: UNetSpec) -> None:
    """Real tensors of any legal height and width; the gradient reaches every parameter."""
    height, width = data.draw(legal_sizes(spec)), data.draw(legal_sizes(spec))
    net = UNet(dataclasses.replace(spec, dropout_levels=0)).double()
    image = torch.randn(2, spec.in_channels, height, width, dtype=torch.float64)
    logits = net(image)
    law = net.size_law
    assert logits.shape == (2, spec.num_classes, law.output(height), law.output(width))
    logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 1, 512, 572), r"input height 512 is not legal: .* 508 \(output 324\) or 524"),
        ((1, 1, 572, 512), "input width 512 is not legal"),
        ((1, 1, 4, 4), r"the nearest legal is 188 \(output 4\)"),
        ((1, 3, 572, 572), r"input shape \(1, 3, 572, 572\) is not \(N, 1, H, W\)"),
        ((1, 572, 572), "is not"),
    ],
)
def test_an_illegal_input_is_refused(shape: tuple[int, ...], message: str) -> None:
    """A ValueError that gives the way out; nothing is padded or resized silently."""
    with torch.device("meta"):
        net, image = UNet(), torch.zeros(shape)
    with pytest.raises(ValueError, match=message) as caught:
        net(image)
    assert caught.type is Refusal


def test_a_seed_makes_a_net() -> None:
    """As with any torch module, torch.manual_seed decides the weights."""
    nets = []
    for _ in range(2):
        torch.manual_seed(3)
        nets.append(UNet(UNetSpec(base_channels=2, depth=1)))
    first, second = (torch.cat([p.flatten() for p in net.parameters()]) for net in nets)
    assert torch.equal(first, second)


def test_the_package_offers_its_public_names_and_no_others() -> None:
    """`from unet import UNet` works although torch is imported late."""
    assert all(hasattr(unet, name) for name in unet.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Unet'"):
        _ = unet.Unet  # type: ignore[attr-defined]


def test_specs_are_what_their_names_say() -> None:
    """The table holds the constants themselves."""
    assert SPECS["paper"] is PAPER
    assert SPECS["release"] is RELEASE
