"""The bytes of the feature maps agree with what a real net keeps and holds."""

from __future__ import annotations

import dataclasses
import weakref

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.strategies import legal_sizes, specs
from unet import UNet, UNetSpec, algebra
from unet.memory import memory


def kept_bytes(net: nn.Module, image: Tensor) -> int:
    """Bytes of all that autograd keeps of one forward pass, but for the net's own tensors."""
    own = {tensor.untyped_storage()._cdata for tensor in [*net.parameters(), *net.buffers()]}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logits = net(image)
    assert logits.requires_grad
    return sum(storage.nbytes() for storage in kept.values())


class Peak(TorchDispatchMode):
    """The most bytes of tensors that are alive after any operation."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.alive: dict[int, int] = {}
        self.most = 0
        self.watch(image)

    def watch(self, tensor: Tensor) -> None:
        """Count the tensor's storage until it is freed."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self.alive:
            self.alive[key] = storage.nbytes()
            weakref.finalize(storage, self.alive.pop, key)
        self.most = max(self.most, sum(self.alive.values()))

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # noqa: ANN001, ANN204
        """Run the operation and watch what it returns."""
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self.watch(leaf)
        return out


def peak_bytes(net: nn.Module, image: Tensor) -> int:
    """The most that is alive during a forward pass in inference, image included."""
    with torch.no_grad(), Peak(image) as peak:
        net.eval()(image)
    return peak.most


def test_many_classes_are_what_is_alive_at_the_end() -> None:
    """With more classes than channels the logits, beside what they read, are the most."""
    spec = UNetSpec(depth=1, base_channels=1, num_classes=64)
    peak = memory(spec, 40, 44).inference
    assert peak == 4 * (40 * 44 + 24 * 28 + 64 * 24 * 28)
    assert peak == peak_bytes(UNet(spec), torch.zeros(1, 1, 40, 44))


def test_dropout_stands_at_the_end_of_its_block() -> None:
    """Its mask and its result are as large as what the block's second convolution makes."""
    spec = UNetSpec(depth=1, base_channels=2, dropout_levels=2, dropout=0.5)
    without = dataclasses.replace(spec, dropout=0.0)
    kept = memory(spec, 40, 40).training
    assert kept - memory(without, 40, 40).training == 2 * 4 * (2 * 36**2 + 4 * 14**2)
    assert kept == kept_bytes(UNet(spec), torch.zeros(1, 1, 40, 40))


@given(st.data(), specs(deepest=3), st.sampled_from([0.0, 0.5]))
def test_memory_is_what_a_net_keeps_and_holds(
    data: st.DataObject, spec: UNetSpec, dropout: float
) -> None:
    """To the byte, for any spec and any legal height and width."""
    spec = dataclasses.replace(spec, dropout=dropout)
    height, width = (data.draw(legal_sizes(spec, most_steps=2)) for _ in range(2))
    # Batch norm cannot be trained on one value.
    height += algebra.size_law(spec).step
    image = torch.zeros(1, spec.in_channels, height, width)
    predicted = memory(spec, height, width)
    assert predicted.training == kept_bytes(UNet(spec), image)
    assert predicted.inference == peak_bytes(UNet(spec), image)
