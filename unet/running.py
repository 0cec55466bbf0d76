"""Runs nets of which nothing is known: what they return, or the error that they end with."""

from __future__ import annotations

import math
import random
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from unet.tracing import plain_outputs


@final
@dataclass(frozen=True)
class Run:
    """One forward pass: the main output, or the error that there was instead."""

    output: Tensor | None
    error: str = ""


def attempt(net: nn.Module, image: Tensor) -> Run:
    """Run a net without gradients and take its main output; an error is kept as text."""
    try:
        with torch.no_grad(), seeded():
            return Run(main_output(net(image)))
    except Exception as error:  # noqa: BLE001  # whatever a net may raise
        return Run(None, in_one_line(error))


def attempt_unwatched(net: nn.Module, image: Tensor) -> Run:
    """The same as a user has it: no mode is on, and on the stack is nothing of ours.

    So the net runs in a thread of its own.
    """
    plain_call = torch.no_grad()(net.__call__)
    try:
        with seeded(), ThreadPoolExecutor(max_workers=1) as thread:
            return Run(main_output(thread.submit(plain_call, image).result()))
    except Exception as error:  # noqa: BLE001  # whatever a net may raise
        return Run(None, in_one_line(error))


def in_one_line(error: Exception) -> str:
    """The kind of an error, the first line of its text, and the line of code that it came from."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else ''}"[:300] + line_of(error)


def line_of(error: BaseException) -> str:
    """As in ` (net.py:42)`: the last line on the way to an error that its author can change.

    That is one in neither torch, Python nor this package, nor in other packages if there is one
    outside of them. Empty if there is none.
    """
    found: list[tuple[bool, str]] = []
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        installed = "site-packages" in file
        theirs = file.startswith(NOT_THEIRS) or (file.startswith(PYTHON) and not installed)
        if file.endswith(".py") and not theirs:
            found.append((not installed, f" ({Path(file).name}:{line})"))
    own = [place for is_own, place in found if is_own]
    return (own or [place for _, place in found] or [""])[-1]


NOT_THEIRS: Final = (str(Path(__file__).parent), str(Path(torch.__file__).parent))
PYTHON: Final = sysconfig.get_paths()["stdlib"]


def main_output(returned: object) -> Tensor | None:
    """Of all tensors returned the first of the finest."""
    found = [v for v in tree_leaves(plain_outputs(returned)) if isinstance(v, Tensor)]
    maps = [v for v in found if v.dim() >= 3] or found
    return max(maps, key=lambda v: math.prod(v.shape[2:])) if maps else None


def random_states(net: nn.Module, image: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """The state of torch's random numbers before and after a forward pass."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        before = torch.random.get_rng_state()
        with suppress(Exception):  # whatever a net may raise
            net(image)
        return before, torch.random.get_rng_state()


@contextmanager
def seeded() -> Iterator[None]:
    """The global random state is another each time and is put back; compiled parts run as written.

    What a compiler has made of operations is not what the trace wants to see.
    """
    compiler = "torch._dynamo" in sys.modules
    eager = torch.compiler.set_stance("force_eager") if compiler else nullcontext()
    with eager, torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEEDS.getrandbits(32))
        yield


SEEDS: Final = random.Random()
"""Seeds of the runs; begun anew with every net: what is said of one depends on no other."""


class WithoutImageStatistics(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's
    """Group and instance norms let everything through: what is left of a net is local."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # as in the trace

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401  # what passes through torch's dispatcher has no type
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Run an operation, unless it takes statistics over the image."""
        name = func.overloadpacket.__name__
        group = name == "native_group_norm"
        if group or (name == "native_batch_norm" and args[5]):
            nothing = args[0].new_zeros(0)
            return args[0].clone(), nothing, nothing
        return func(*args, **(kwargs or {}))


class WithoutPositions(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's
    """What a net adds to its maps that differs from place to place is levelled to its mean.

    Positions of tokens, grids of coordinates: all that does not come from the image.
    """

    def __init__(self, image: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.image = image
        self.kept: list[object] = []
        self.from_image: set[int] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # as in the trace

    def _comes_from_image(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage().data_ptr() in self.from_image

    def _level(self, leaf: object) -> object:
        if not isinstance(leaf, Tensor) or not leaf.is_floating_point() or leaf.dim() < 3:
            return leaf
        if self._comes_from_image(leaf) or min(leaf.shape[-2:]) <= 3:
            return leaf
        # Of tokens by channels, of rows by columns, or what attention adds for each pair of tokens.
        pairs = leaf.dim() == 3 and leaf.shape[1] == leaf.shape[2]
        sides = (1,) if leaf.dim() == 3 and not pairs else tuple(range(1 + (not pairs), leaf.dim()))
        return leaf.mean(sides, keepdim=True).expand_as(leaf)

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401  # what passes through torch's dispatcher has no type
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Run an operation, on levelled positions if it brings them to a map."""
        if not self.from_image:
            # The image may have been brought to another type: it is what comes first.
            first = next((a for a in tree_leaves(args) if isinstance(a, Tensor)), None)
            if first is not None and first.shape == self.image.shape:
                self._note(first)
        read = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        touched = any(map(self._comes_from_image, read))
        if touched and func.overloadpacket.__name__ in ("add", "add_", "cat"):
            args, kwargs = tree_map(self._level, (args, kwargs))
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out) if touched else ():
            if isinstance(leaf, Tensor):
                self._note(leaf)
        return out

    def _note(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        self.kept.append(storage)
        self.from_image.add(storage.data_ptr())


class WatchedProducts(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's
    """Notes weights that add up to 1 along one axis where a matrix product sums over the other."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.crosswise: list[tuple[int, ...]] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # as in the trace

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401  # what passes through torch's dispatcher has no type
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Run an operation, with a look at the factors of a product."""
        if func.overloadpacket.__name__ in ("bmm", "mm"):
            for factor, summed, other in ((args[0], -1, -2), (args[1], -2, -1)):
                if adds_up(factor, other) and not adds_up(factor, summed):
                    self.crosswise.append(tuple(factor.shape))
        return func(*args, **(kwargs or {}))


def adds_up(weights: Tensor, axis: int) -> bool:
    """Whether they are a mean's: none negative, all sums along the axis 1."""
    if not bool((weights >= 0).all()):
        return False
    return bool(((weights.sum(axis) - 1).abs() < 1e-3).all())  # bfloat16's, too


def difference(one: Tensor | None, other: Tensor | None) -> float:
    """The largest difference as a share of the largest value; infinite where shapes differ."""
    if one is None or other is None or one.shape != other.shape:
        return math.inf
    if one.numel() == 0:
        return 0.0
    scale = max(one.abs().max().item(), other.abs().max().item())
    if not math.isfinite(scale):
        return 0.0 if torch.equal(one.isfinite(), other.isfinite()) else math.inf
    return (one - other).abs().max().item() / scale if scale else 0.0
