"""What every net of the tables keeps to, whatever its weights: shown exactly, in integers.

With small whole weights in double precision every sum is exact, so that equality means equality.
Default weights would hide a fault: its effect drowns in rounding.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tests.strategies import legal_sizes, specs
from tests.test_reach import open_net
from unet import UNet, UNetSpec, algebra
from unet.model import convolutions
from unet.paddings import PADDINGS
from unet.tiling import rim

FEWER = settings(max_examples=settings.default.max_examples // 2)


def whole_specs() -> st.SearchStrategy[UNetSpec]:
    """Nets that compute whole numbers of whole numbers: no quotients, and no statistics."""
    instead = {"group": "batch", "instance": "batch", "attention": "concat"}
    return specs(deepest=3).map(
        lambda spec: dataclasses.replace(
            spec,
            norm=instead.get(spec.norm, spec.norm),
            skip=instead.get(spec.skip, spec.skip),
            activation="relu",
            upsampling=spec.upsampling.removesuffix("_corners"),
        )
    )


def whole_net(spec: UNetSpec, seed: int) -> UNet:
    """A net in double precision, in eval mode, whose every weight is -1, 0, 1 or 2.

    Two weights of each output channel differ from 0, so that no number grows beyond 2^53.
    """
    generator = torch.Generator().manual_seed(seed)
    net = UNet(spec).double().eval()
    with torch.no_grad():
        for layer in convolutions(net).values():
            weight = layer.weight
            if isinstance(layer, nn.ConvTranspose2d):
                weight = weight.transpose(0, 1)
            chosen = torch.zeros(weight.shape[0], weight[0].numel(), dtype=torch.float64)
            for _ in range(2):
                places = torch.randint(0, chosen.shape[1], (len(chosen), 1), generator=generator)
                values = torch.randint(0, 2, (len(chosen), 1), generator=generator)
                chosen.scatter_(1, places, values.double() * 2 - 1)
            weight.copy_(chosen.view_as(weight))
            if layer.bias is not None:
                layer.bias.copy_(torch.randint(0, 3, layer.bias.shape, generator=generator))
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 0.0
    return net


def whole_image(spec: UNetSpec, batch: int, height: int, width: int, seed: int) -> Tensor:
    """(batch, in_channels, height, width) of whole numbers from -9 to 9."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, spec.in_channels, height, width)
    return torch.randint(-9, 10, shape, generator=generator).double()


@given(whole_specs(), st.integers(0, 2), st.integers(0, 2), st.integers(0, 99))
def test_translation_by_the_lattice_translates_the_output(
    spec: UNetSpec, down: int, right: int, seed: int
) -> None:
    """Exactly, beyond the rim that padding reaches, or the edge at which interpolation stops."""
    law, ring = algebra.size_law(spec), rim(spec)
    down, right = down * law.step, right * law.step
    cells = -(-(2 * ring + 1) // law.step)
    side = law.smallest + law.step * cells
    net = whole_net(spec, seed)
    image = whole_image(spec, 1, side + down, side + right, seed)
    with torch.no_grad():
        whole = net(image)[..., down:, right:]
        part = net(image[..., down:, right:])
    inside = (..., slice(ring, whole.shape[-2] - ring), slice(ring, whole.shape[-1] - ring))
    assert part[inside].numel() > 0
    assert torch.equal(whole[inside], part[inside])


def test_a_translation_off_the_lattice_shows() -> None:
    """By one pixel less than the lattice, pooling meets other pairs: the check above has teeth."""
    spec = UNetSpec(depth=2, base_channels=4)
    net = whole_net(spec, 0)
    image = whole_image(spec, 1, 60 + 16, 60 + 16, 0)
    with torch.no_grad():
        outputs = {shift: net(image[..., shift : shift + 60, :60]) for shift in range(5)}
    assert torch.equal(outputs[0][..., 4:, :], outputs[4][..., :-4, :])
    for shift in (1, 2, 3):
        assert not torch.equal(outputs[0][..., shift:, :], outputs[shift][..., :-shift, :])


@FEWER
@given(whole_specs(), st.integers(0, 3), st.integers(0, 3), st.integers(0, 99))
def test_a_circular_net_lives_on_a_torus(spec: UNetSpec, down: int, right: int, seed: int) -> None:
    """Rolled by the lattice, its output rolls, border and all; but bilinear clamps at the edge."""
    upsampling = "nearest" if spec.upsampling == "bilinear" else spec.upsampling
    spec = dataclasses.replace(spec, padding="circular", upsampling=upsampling)
    law = algebra.size_law(spec)
    net = whole_net(spec, seed)
    image = whole_image(spec, 1, law.smallest + 3 * law.step, law.smallest + 2 * law.step, seed)
    shift = (down * law.step, right * law.step)
    with torch.no_grad():
        assert torch.equal(net(image.roll(shift, (-2, -1))), net(image).roll(shift, (-2, -1)))


@FEWER
@given(st.data(), whole_specs(), st.integers(2, 4), st.integers(0, 99))
def test_a_sample_is_itself_in_any_batch(
    data: st.DataObject, spec: UNetSpec, batch: int, seed: int
) -> None:
    """Alone, among others, and in another order: the same logits."""
    height, width = (data.draw(legal_sizes(spec, most_steps=2)) for _ in range(2))
    order = data.draw(st.permutations(range(batch)))
    net, images = whole_net(spec, seed), whole_image(spec, batch, height, width, seed)
    with torch.no_grad():
        together = net(images)
        alone = torch.cat([net(image[None]) for image in images])
        assert torch.equal(together, alone)
        assert torch.equal(net(images[order]), together[order])


@FEWER
@given(specs(deepest=2), st.integers(0, 99))
def test_training_differs_from_evaluating_only_by_dropout_and_norm(
    spec: UNetSpec, seed: int
) -> None:
    """Without both the modes agree to the bit, and each of them alone makes a difference."""
    law = algebra.size_law(spec)
    side = law.smallest + 2 * law.step
    image = whole_image(spec, 2, side, side, seed)

    def modes_agree(norm: str, dropout_levels: int) -> bool:
        net = open_net(spec)
        other = UNet(dataclasses.replace(spec, norm=norm, dropout_levels=dropout_levels)).double()
        other.load_state_dict(net.state_dict(), strict=norm == "none")
        torch.manual_seed(seed)
        with torch.no_grad():
            return torch.equal(other.train()(image.abs()), other.eval()(image.abs()))

    assert modes_agree("none", 0)
    assert not modes_agree("batch", 0)
    assert not modes_agree("none", 1)


@FEWER
@given(specs(deepest=3))
def test_the_gradient_reaches_every_weight(spec: UNetSpec) -> None:
    """With every path open no single weight or bias is left without a gradient."""
    law = algebra.size_law(spec)
    # The smallest map of a padded net is one pixel wide: the outer taps then meet nothing.
    side = law.smallest + 2 * law.step
    net = open_net(spec)
    net(torch.rand(1, spec.in_channels, side, side, dtype=torch.float64)).sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad > 0).all(), name


@FEWER
@given(spec=specs(deepest=3), seed=st.integers(0, 99))
def test_weights_survive_a_file(
    tmp_path_factory: pytest.TempPathFactory, spec: UNetSpec, seed: int
) -> None:
    """Written as safetensors and read into another net of the same spec: the same logits."""
    path = Path(tmp_path_factory.mktemp("weights")) / "net.safetensors"
    net, other = whole_net(spec, seed), UNet(spec).double().eval()
    save_file(net.state_dict(), path)
    other.load_state_dict(load_file(path))
    for module in other.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.0
    side = algebra.size_law(spec).smallest
    image = whole_image(spec, 1, side, side, seed)
    with torch.no_grad():
        assert torch.equal(net(image), other(image))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("padding", PADDINGS)
def test_a_net_moves_whole_to_another_dtype(padding: str, dtype: torch.dtype) -> None:
    """No tensor stays behind, and the logits have the image's dtype."""
    spec = UNetSpec(depth=2, base_channels=2, padding=padding, norm="batch")
    side = algebra.size_law(spec).smallest
    with torch.no_grad():
        logits = UNet(spec).eval().to(dtype)(torch.ones(1, 1, side, side, dtype=dtype))
    assert logits.dtype == dtype
    assert logits.isfinite().all()
