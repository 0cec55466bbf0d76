"""What stands in for torch's own modules in training computes the same."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ablations.runs.cell import Cell, TaskSettings, Training
from ablations.tasks.shapes import TASKS
from ablations.training.adam import Adam
from ablations.training.fused import (
    BatchNormRelu,
    Doubling,
    MaxPool,
    UpConvolution,
    entropy_and_dice,
    fuse,
)
from ablations.training.hardware import find_hardware
from ablations.training.kernels import norms
from ablations.training.layout import channels_last, crop, keep_layout
from ablations.training.learner import Learner, segmentation_loss, window_logits
from tests.strategies import legal_sizes, specs
from unet import UNet, UNetSpec
from unet.skips import center_crop

PRECISIONS = (torch.float32, torch.bfloat16)
ERROR = {torch.float32: 1e-6, torch.bfloat16: 4e-3}
"""Half a unit in the last place, and a little for sums."""

shapes = st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 6), st.integers(1, 6)).map(
    lambda shape: (shape[0], shape[1], 2 * shape[2], 2 * shape[3])
)


def maps(shape: tuple[int, ...], seed: int, precision: torch.dtype, *, mean: float = 0) -> Tensor:
    """Random maps, laid out as in training."""
    numbers = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) + mean
    return numbers.to(precision).contiguous(memory_format=torch.channels_last)


def differ(one: Tensor, other: Tensor) -> float:
    """How large their difference is, relative to the second."""
    one, other = one.double(), other.double()
    return ((one - other).norm() / other.norm().clamp_min(1e-30)).item()


def results(module: nn.Module, x: Tensor, gradient: Tensor) -> tuple[Tensor, ...]:
    """What a module makes of `x`, and its gradients by `x` and its parameters."""
    x = x.clone().requires_grad_()
    made = module(x)
    made.backward(gradient)
    assert x.grad is not None
    return made.detach(), x.grad, *(p.grad for p in module.parameters() if p.grad is not None)


@pytest.mark.parametrize("precision", PRECISIONS)
@given(shape=shapes, seed=st.integers(0, 99), mean=st.sampled_from([0.0, 3.0, -100.0]))
def test_batch_norm_and_relu_are_right(
    shape: tuple[int, ...], seed: int, mean: float, precision: torch.dtype
) -> None:
    """Against torch in double precision: the result, all gradients and the running statistics."""
    x, gradient = (maps(shape, seed + part, precision, mean=mean * (1 - part)) for part in (0, 1))
    fused, plain = BatchNormRelu(shape[1]), nn.BatchNorm2d(shape[1])
    for module in (fused, plain):
        torch.manual_seed(seed)
        nn.init.normal_(module.weight)
        nn.init.normal_(module.bias)
    # At its kink ReLU has either gradient, whichever way the last digit falls.
    with torch.no_grad():
        normalised = deepcopy(plain).double()(x.double())
    gradient[normalised.abs() < 1e-2] = 0
    truth = results(nn.Sequential(plain, nn.ReLU()).double(), x.double(), gradient.double())
    for ours, true in zip(results(fused, x, gradient), truth, strict=True):
        # A large mean costs digits, and of few pixels nearly all of a gradient is normalised away.
        error = (ours.double() - true).norm()
        scale = true.norm() + gradient.norm().double()
        assert error < ERROR[precision] * (1 + abs(mean)) * scale
    assert plain.running_mean is not None
    assert plain.running_var is not None
    assert fused.running_mean is not None
    assert fused.running_var is not None
    for ours, true in (
        (fused.running_mean, plain.running_mean),
        (fused.running_var, plain.running_var),
    ):
        torch.testing.assert_close(ours.double(), true, rtol=1e-5, atol=1e-6)
    for module in (fused, plain):
        module.eval()
    with torch.inference_mode():
        true = plain(x.double()).relu()
        scale = 1 + true.norm() + x.double().norm()
        # It writes over what it is given.
        error = (fused(x).double() - true).norm()
        assert error < ERROR[precision] * (1 + abs(mean)) * scale


def test_sums_over_many_pixels_are_as_good_as_those_over_few() -> None:
    """They are made in float64: float32 would lose three digits more, as torch's do."""
    x, gradient = (maps((4, 16, 128, 128), seed, torch.float32, mean=3 - seed) for seed in (0, 3))
    plain = nn.Sequential(nn.BatchNorm2d(16), nn.ReLU()).double()
    truth = results(plain, x.double(), gradient.double())
    for ours, true in zip(results(BatchNormRelu(16), x, gradient), truth, strict=True):
        assert differ(ours, true) < 1e-6


def test_a_single_pixel_has_no_variance() -> None:
    """As torch says of it, too."""
    with pytest.raises(ValueError, match="a single pixel has no variance"):
        BatchNormRelu(3)(torch.zeros(1, 3, 1, 1))


@given(numbers=st.lists(st.floats(width=32, allow_infinity=False, allow_nan=False), min_size=1))
def test_numbers_are_rounded_as_torch_rounds_them(numbers: list[float]) -> None:
    """To the nearest number in bfloat16, and of two to the even one."""
    x = torch.tensor(numbers).abs()
    scale, shift = x.numpy(), np.zeros(x.numel(), np.float32)
    one, made = torch.ones_like(x, dtype=torch.bfloat16), torch.empty_like(x, dtype=torch.bfloat16)
    bits = (each.view(torch.uint16).numpy() for each in (one, made))
    norms._scaled_relu(next(bits), scale, shift, next(bits))
    assert torch.equal(made, x.bfloat16())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_is_no_number_stays_none(precision: torch.dtype) -> None:
    """A run that has diverged must not look as if it had not."""
    for module in (BatchNormRelu(1), MaxPool(), Doubling()):
        for place in range(4):
            x = maps((1, 1, 2, 2), 0, precision)
            x.view(-1)[place] = torch.nan
            assert module(x).isnan().any()


@pytest.mark.parametrize("precision", PRECISIONS)
@given(shape=shapes, seed=st.integers(0, 99))
def test_max_pooling_is_torchs(shape: tuple[int, ...], seed: int, precision: torch.dtype) -> None:
    """To the bit; of equals, of which ReLU leaves many, the first gets the gradient."""
    x = maps(shape, seed, precision).relu()
    images, channels, height, width = shape
    gradient = maps((images, channels, height // 2, width // 2), seed, precision)
    ours, theirs = (results(module, x, gradient) for module in (MaxPool(), nn.MaxPool2d(2)))
    assert all(map(torch.equal, ours, theirs))


@pytest.mark.parametrize("precision", PRECISIONS)
@given(shape=shapes, seed=st.integers(0, 99))
def test_doubling_is_torchs(shape: tuple[int, ...], seed: int, precision: torch.dtype) -> None:
    """Against torch in double precision, down to maps of a single row."""
    x = maps(shape, seed, precision)
    images, channels, height, width = shape
    gradient = maps((images, channels, 2 * height, 2 * width), seed + 1, precision)
    plain = nn.Upsample(scale_factor=2, mode="bilinear")
    truth = results(plain, x.double(), gradient.double())
    for ours, true in zip(results(Doubling(), x, gradient), truth, strict=True):
        assert differ(ours, true) < ERROR[precision]


@given(
    images=st.integers(1, 3), classes=st.integers(1, 6), side=st.integers(1, 6),
    seed=st.integers(0, 99), scale=st.sampled_from([0.1, 1.0, 100.0]),
)  # fmt: skip
def test_the_loss_is_the_plain_one(
    images: int, classes: int, side: int, seed: int, scale: float
) -> None:
    """Against the plain one in double precision, and so is its gradient."""
    logits = scale * maps((images, classes, side, side), seed, torch.float32)
    label = torch.randint(classes, (images, side, side))
    found = []
    for way, start in ((entropy_and_dice, logits), (segmentation_loss, logits.double())):
        numbers = start.clone().requires_grad_()
        loss = way(numbers, label)
        (2 * loss).backward()
        assert numbers.grad is not None
        found.append((loss.detach(), numbers.grad))
    for ours, true in zip(*found, strict=True):
        torch.testing.assert_close(ours.double(), true, rtol=1e-5, atol=1e-6)


@given(shape=shapes, seed=st.integers(0, 99), out_channels=st.integers(1, 20))
def test_an_up_convolution_is_torchs(shape: tuple[int, ...], seed: int, out_channels: int) -> None:
    """In double precision, so that only a wrong order of pixels could differ."""
    torch.manual_seed(seed)
    plain = nn.ConvTranspose2d(shape[1], out_channels, kernel_size=2, stride=2).double()
    product = UpConvolution(shape[1], out_channels).double()
    product.load_state_dict(plain.state_dict())
    x = maps(shape, seed, torch.float64)
    gradient = torch.randn_like(plain(x))
    for ours, theirs in zip(
        *(results(module, x, gradient) for module in (product, plain)), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


@given(st.data())
def test_a_net_for_training_is_the_net(data: st.DataObject) -> None:
    """Whatever the spec: names, logits, statistics and gradients, to the rounding of sums."""
    spec = replace(data.draw(specs(deepest=2)), dropout_levels=0)
    side = data.draw(legal_sizes(spec, most_steps=1))
    plain, quick, exact = (UNet(spec) for _ in range(3))
    fuse(quick, "bfloat16")
    keep_layout(quick)
    image = maps((3, spec.in_channels, side, side), 0, torch.float32)
    start, found = deepcopy(plain.state_dict()), []
    for net, precision in ((exact, torch.float64), (plain, torch.float32), (quick, torch.float32)):
        net.load_state_dict(start)
        logits = net.to(precision, memory_format=torch.channels_last)(image.to(precision))
        logits.square().sum().backward()
        gradients = {name: each.grad for name, each in net.named_parameters()}
        statistics = {name: each for name, each in net.named_buffers() if "running" in name}
        found.append({"logits": logits} | gradients | statistics)
    truth, theirs, ours = found
    assert ours.keys() == truth.keys()
    for name, true in truth.items():
        error, usual = ((each[name].double() - true).norm() for each in (ours, theirs))
        assert error < 1e-4 * (1 + true.norm()) + 20 * usual, name


@pytest.mark.parametrize("padding", ["valid", "zeros"])
@pytest.mark.parametrize("upsampling", ["transposed", "bilinear", "nearest"])
@pytest.mark.parametrize("residual", [False, True])
def test_all_maps_and_their_gradients_are_channels_last(
    padding: str, upsampling: str, *, residual: bool
) -> None:
    """Those with gaps, or channel by channel, make all that meets them several times as slow."""
    spec = UNetSpec(base_channels=4, depth=2, norm="batch", padding=padding, upsampling=upsampling)
    net = UNet(replace(spec, residual=residual))
    fuse(net, "bfloat16")
    keep_layout(net)
    net.to(memory_format=torch.channels_last)
    laid_out: dict[str, bool] = {}

    def see(name: str, made: Tensor) -> None:
        assert made.is_contiguous(memory_format=torch.channels_last), name
        made.register_hook(
            lambda gradient: laid_out.__setitem__(
                name, gradient.is_contiguous(memory_format=torch.channels_last)
            )
        )

    for name, module in net.named_modules():
        if name and not isinstance(module, (nn.ModuleList, nn.ModuleDict, nn.Identity)):
            # Before what keeps the layout of what comes out.
            hook = partial(see, name)
            module.register_forward_hook(lambda _, __, made, hook=hook: hook(made), prepend=True)
    image = torch.rand(2, 1, 92, 92)
    crop(net(channels_last(image)), 4, 4).square().sum().backward()
    assert len(laid_out) > 20
    assert all(laid_out.values()), [name for name, well in laid_out.items() if not well]


@given(
    shape=shapes,
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
)
def test_a_crop_is_the_centre_crop(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    """With the same gradient."""
    size = min(size[0], shape[2]), min(size[1], shape[3])
    x = maps(shape, 0, torch.float32)
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    ours, theirs = crop(one, *size), center_crop(other, *size)
    assert torch.equal(ours, theirs)
    gradient = torch.randn_like(theirs)
    ours.backward(gradient)
    theirs.backward(gradient)
    assert one.grad is not None
    assert other.grad is not None
    assert torch.equal(one.grad, other.grad)


CELL = Cell(
    spec=UNetSpec(num_classes=5, base_channels=4, depth=2, norm="batch", dropout_levels=0),
    task=TaskSettings(name="labels", size=60, scored=20, noise=0.1),
    training=Training(steps=6, batch=2, learning_rate=5e-3, test_images=1),
    seed=1,
)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_weights_are_learnt_as_by_torchs_adam_under_autocast(precision: str) -> None:
    """Weights in bfloat16 with exact ones beside them, and autocast's way: step by step.

    torch computes the last few numbers of a tensor one by one, and then rounds otherwise.
    """
    hardware = find_hardware("cpu")._replace(precision=precision)
    learner = Learner(CELL, hardware)
    learner.begin(CELL)
    learner.draw(0)

    net = UNet(CELL.spec)
    fuse(net, precision)
    keep_layout(net)
    net.to(memory_format=torch.channels_last)
    plain = Learner(CELL, hardware._replace(precision="float32"))
    plain.begin(CELL)
    net.load_state_dict(plain.net.state_dict())
    rates = learner._rates.tolist()
    optimizer = torch.optim.Adam(net.parameters(), lr=torch.tensor(0.0), fused=True)
    assert learner._batches is not None
    for step, rate in enumerate(rates):
        learner.step()
        image, target = (each[step] for each in learner._batches)
        optimizer.param_groups[0]["lr"].fill_(rate)
        optimizer.zero_grad()
        loss = learner._loss(window_logits(net, image, CELL, hardware), target)
        loss.backward()
        optimizer.step()
        assert learner._losses[step] == loss, step
        for exact, weight in zip(learner._optimizer._exact_weights, net.parameters(), strict=True):
            torch.testing.assert_close(exact, weight.detach(), rtol=1e-6, atol=1e-7)
            weight.data.copy_(exact)


@pytest.mark.parametrize("task", ["labels", "objects"])
def test_a_net_that_is_trained_has_the_faster_parts(task: str) -> None:
    """Each where it computes the same as what it stands for, and nowhere else."""
    kinds = len(TASKS[task].classes)
    for upsampling, part in (("bilinear", Doubling), ("bilinear_corners", nn.Upsample)):
        spec = replace(CELL.spec, num_classes=kinds, upsampling=upsampling, norm="batch")
        spec = replace(spec, in_channels=TASKS[task].in_channels)
        cell = replace(CELL, spec=spec, task=CELL.task.model_copy(update={"name": task}))
        learner = Learner(cell, find_hardware("cpu"))
        assert [type(up[1]) for up in learner.net.upsampling] == [part] * spec.depth
        assert {type(pool) for pool in learner.net.pool.values()} == {MaxPool}
        assert type(learner.net.bottleneck.norm1) is BatchNormRelu
        assert (learner._loss is entropy_and_dice) == TASKS[task].exclusive


def test_adam_begins_anew() -> None:
    """A second run from the same start ends where the first did."""
    net, start = nn.Linear(3, 2), nn.Linear(3, 2)
    optimizer = Adam(net, torch.tensor(0.1))
    ends = []
    for _ in range(2):
        optimizer.begin(start)
        assert torch.equal(net.weight, start.weight)
        for _ in range(3):
            optimizer.forget_gradients()
            net(torch.ones(1, 3)).sum().backward()
            optimizer.step()
        ends.append(net.weight.detach().clone())
    assert torch.equal(*ends)
    assert not torch.equal(net.weight, start.weight)
