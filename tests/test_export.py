"""Nets leave Python whole: torch.export proves the size law, compiled nets agree with eager."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path

import pytest
import torch
from torch.export import Dim, ExportedProgram, export

from unet import UNet, UNetSpec, algebra
from unet.paddings import PADDINGS
from unet.skips import SKIPS
from unet.upsampling import UPSAMPLINGS

CHOICES = [
    pytest.param(
        UNetSpec(depth=2, base_channels=2, padding=padding, upsampling=upsampling, skip=skip),
        id=f"{padding}-{upsampling}-{skip}",
    )
    for padding, upsampling, skip in zip(
        PADDINGS, itertools.cycle(UPSAMPLINGS), itertools.cycle(SKIPS), strict=False
    )
]
"""Each padding, upsampling and skip at least once."""

PAPER_SMALL = UNetSpec(base_channels=1)


def image_for(spec: UNetSpec, rows: int = 2, columns: int = 3) -> torch.Tensor:
    """Two images, so many cells higher and wider than the smallest."""
    law = algebra.size_law(spec)
    return torch.rand(2, 1, law.smallest + rows * law.step, law.smallest + columns * law.step)


def export_for_all_sizes(net: UNet) -> ExportedProgram:
    """The net as a graph for any batch and any legal height and width."""
    law = net.size_law
    rest = law.smallest % law.step
    least = (law.smallest - rest) // law.step
    cells_down, cells_right = Dim("cells_down", min=least), Dim("cells_right", min=least)
    image = {0: Dim("batch"), 2: law.step * cells_down + rest, 3: law.step * cells_right + rest}
    return export(net, (image_for(net.spec),), dynamic_shapes={"image": image})


@pytest.mark.parametrize("spec", [*CHOICES, pytest.param(PAPER_SMALL, id="paper")])
def test_export_proves_the_size_law(spec: UNetSpec) -> None:
    """For all legal sizes at once: the graph's own output shape is its input's less the margin."""
    net = UNet(spec).eval()
    program = export_for_all_sizes(net)
    (image,) = [n for n in program.graph.nodes if n.name == "image"]
    (output,) = program.graph.output_node().args[0]
    batch, channels, *sides = output.meta["val"].shape
    taken = image.meta["val"].shape
    assert (batch, channels) == (taken[0], spec.num_classes)
    for produced, given_side in zip(sides, taken[2:], strict=True):
        assert not isinstance(produced, int)  # a symbol: no size was baked in
        assert produced.node.expr - given_side.node.expr == -net.size_law.margin
    other = image_for(spec, 1, 4)[:1]
    torch.testing.assert_close(program.module()(other), net(other))


@pytest.mark.parametrize("spec", CHOICES[1:3])
def test_a_compiled_net_agrees_with_the_eager_one(spec: UNetSpec) -> None:
    """Through torch's compiler, without a break in the graph, forward and backward."""
    torch.manual_seed(0)
    net = UNet(spec).double().eval()
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    image = image_for(spec).double()
    gradients = []
    for module in (net, compiled):
        net.zero_grad()
        logits = module(image)
        logits.square().sum().backward()
        gradients.append([logits.detach(), *(p.grad.clone() for p in net.parameters())])
    for eager, other in zip(*gradients, strict=True):
        torch.testing.assert_close(eager, other)


@pytest.mark.parametrize("spec", CHOICES[::2])
def test_onnx_agrees_with_eager(spec: UNetSpec, tmp_path: Path) -> None:
    """Run by ONNX Runtime on other sizes than it was exported with."""
    reason = "the extra 'onnx' is not installed: nox -s onnx"
    pytest.importorskip("onnxscript", reason=reason)
    onnxruntime = pytest.importorskip("onnxruntime", reason=reason)
    net = UNet(spec).eval()
    path = tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own dependencies
        torch.onnx.export(export_for_all_sizes(net), f=path, verbose=False)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    other = image_for(spec, 1, 4)[:1]
    (logits,) = session.run(None, {session.get_inputs()[0].name: other.numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), net(other).detach(), atol=1e-5, rtol=1e-4)
