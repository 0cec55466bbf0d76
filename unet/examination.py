"""A net under examination: what it does at several sizes, run once and shared by all checks."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, final

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from unet.anatomy import Anatomy
from unet.refusal import Refusal
from unet.tracing import Step, plain_outputs, trace

SIDES: Final[Mapping[int, tuple[int, ...]]] = {
    2: (64, 96, 128, 188, 220, 256, 192, 160, 316, 444, 512, 572, 224, 140, 92, 48, 32),
    3: (32, 16, 24, 48, 64, 40, 28, 36, 92),
}
"""Sides to try, by the number of axes; the first that runs is brought onto the grid."""


@final
@dataclass(frozen=True)
class Run:
    """One forward pass in evaluation: the main output, or the error that there was instead."""

    output: Tensor | None
    error: str = ""


@final
class Examination:
    """A net in evaluation mode, with what checks want to know of it, worked out on demand.

    `net` is left as it came: every experiment is made on a copy. Raises `Refusal` if it cannot
    be run on any image.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        in_channels: int | None = None,
        claims: Mapping[str, str] | None = None,
    ) -> None:
        self.net = net.eval()
        self.claims = dict(claims or {})
        kernels = [p for p in self.net.parameters() if p.dim() > 3]
        self.axes = kernels[0].dim() - 2 if kernels else 2
        first = kernels[0].shape[1] if kernels else 3
        tried = (in_channels,) if in_channels else dict.fromkeys((first, 1, 3, 4, 2))
        self.in_channels, side = self._find_side(tuple(tried))
        self.side, self.anatomy = self._onto_the_grid(side)

    def _find_side(self, channels: tuple[int, ...]) -> tuple[int, int]:
        errors = []
        for count, side in itertools.product(channels, SIDES[self.axes]):
            self.in_channels = count
            run = self.run((side,) * self.axes)
            if run.output is not None and run.output.dim() >= 3 and min(run.output.shape) > 0:
                return count, side
            errors.append(run.error or "it returned no map")
        raise Refusal(f"the net ran on no image: {errors[0]}")

    def _onto_the_grid(self, side: int) -> tuple[int, Anatomy]:
        """The next side at which every pooling halves exactly, if there is one nearby."""
        first = None
        for _ in range(12):
            try:
                anatomy = self.traced((side,) * self.axes)
            except Exception as error:  # whatever a net may raise on a size
                if first is None:
                    raise Refusal(f"the net cannot be traced: {error}") from error
                break
            first = first or (side, anatomy)
            odd = next((down for down in anatomy.downs if not halves_exactly(down)), None)
            if odd is None:
                return side, anatomy
            side += max(1, round(odd.inputs[0].step))
        assert first is not None
        return first

    @property
    def lattice(self) -> int:
        """Input pixels from one cell of the deepest map to the next."""
        return max(2, round(self.anatomy.deepest))

    @cached_property
    def repeats(self) -> bool:
        """Whether the same image gets the same logits when it is given again."""
        net, dtype, equal = self.witness
        image = self.image(self.sides, seed=1).to(dtype)
        return difference(attempt(net, image).output, attempt(net, image).output) <= equal

    @cached_property
    def magnification(self) -> int:
        """Output pixels for each input pixel along an axis, where that is more than one."""
        first = self.run(self.sides).output
        second = self.run(tuple(side + self.lattice for side in self.sides)).output
        if first is None or second is None or first.dim() < self.axes:
            return 1
        factor = (second.shape[-1] - first.shape[-1]) / self.lattice
        return int(factor) if factor > 1 and factor == int(factor) else 1

    @property
    def sides(self) -> tuple[int, ...]:
        """The base size, equal along all axes."""
        return (self.side,) * self.axes

    @property
    def oblong(self) -> tuple[int, ...]:
        """A legal size whose axes differ."""
        return (*self.sides[:-1], self.side + 2 * self.lattice)

    def image(self, sides: tuple[int, ...], batch: int = 1, seed: int = 0) -> Tensor:
        """(batch, in_channels, *sides) of normal numbers."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(batch, self.in_channels, *sides, generator=generator)

    def run(self, sides: tuple[int, ...], batch: int = 1, seed: int = 0) -> Run:
        """The net as it came, on a random image."""
        return attempt(self.net, self.image(sides, batch, seed).to(self.dtype))

    @cached_property
    def dtype(self) -> torch.dtype:
        """The type of its first floating-point parameter."""
        kinds = [p.dtype for p in self.net.parameters() if p.is_floating_point()]
        return kinds[0] if kinds else torch.float32

    def traced(self, sides: tuple[int, ...]) -> Anatomy:
        """The parts of the net at one size."""
        with torch.enable_grad():
            _, found = trace(self.net, self.image(sides).to(self.dtype))
        return Anatomy(found)

    @cached_property
    def in_training(self) -> Anatomy | None:
        """The parts of the net in training mode; None where it does not run so."""
        try:
            with torch.enable_grad():
                _, found = trace(
                    self.copy().train(), self.image(self.oblong, batch=2).to(self.dtype)
                )
        except Exception:  # noqa: BLE001  # whatever a net may raise
            return None
        return Anatomy(found)

    @cached_property
    def at_other_sizes(self) -> dict[tuple[int, ...], Anatomy]:
        """The parts at an oblong legal size and at sizes off the grid, where it runs there."""
        found = {}
        for sides in (self.oblong, *self.off_grid):
            with suppress(Exception):  # not to run there is another check's matter
                found[sides] = self.traced(sides)
        return found

    @property
    def off_grid(self) -> tuple[tuple[int, ...], ...]:
        """Sizes that a pooling cannot halve exactly."""
        more = [1, self.lattice - 1] if self.anatomy.downs else [1]
        return tuple((self.side + extra,) * self.axes for extra in dict.fromkeys(more))

    @cached_property
    def exact(self) -> nn.Module:
        """A copy whose weights all matter, in double precision unless it is too large for that."""
        net = self.copy().to(self.exact_dtype)
        randomise(net)
        return net

    @cached_property
    def exact_dtype(self) -> torch.dtype:
        """Double precision has no fast convolutions: large nets are examined in single."""
        return torch.float64 if self.parameters < LARGE else torch.float32

    @cached_property
    def parameters(self) -> int:
        """How many weights and biases it has."""
        return sum(parameter.numel() for parameter in self.net.parameters())

    def copy(self) -> nn.Module:
        """Another net with the same weights."""
        with torch.no_grad():
            return copy.deepcopy(self.net)

    @cached_property
    def exact_runs(self) -> bool:
        """Whether that copy runs at all."""
        return attempt(self.exact, self.image(self.sides).to(self.exact_dtype)).output is not None

    @property
    def witness(self) -> tuple[nn.Module, torch.dtype, float]:
        """The net to experiment on, its type, and what counts as equal."""
        if self.exact_runs:
            return self.exact, self.exact_dtype, 1e-7 if self.parameters < LARGE else 1e-4
        return self.net, self.dtype, 1e-3


LARGE: Final = 2_000_000


def attempt(net: nn.Module, image: Tensor) -> Run:
    """Run a net without gradients and take its main output; an error is kept as text."""
    try:
        with torch.no_grad(), seeded():
            return Run(main_output(net(image)))
    except Exception as error:  # noqa: BLE001  # whatever a net may raise
        text = str(error).strip().splitlines()
        return Run(None, f"{type(error).__name__}: {text[0] if text else ''}"[:300])


class WithoutImageStatistics(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's
    """Group and instance norms let everything through: what is left of a net is local."""

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


@contextmanager
def seeded() -> Iterator[None]:
    """The global random state is another each time and is put back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(next(SEEDS))
        yield


SEEDS: Final = itertools.count()


def main_output(returned: object) -> Tensor | None:
    """Of all tensors returned the first of the finest."""
    found = [v for v in tree_leaves(plain_outputs(returned)) if isinstance(v, Tensor)]
    maps = [v for v in found if v.dim() >= 3] or found
    return max(maps, key=lambda v: math.prod(v.shape[2:])) if maps else None


def halves_exactly(down: Step) -> bool:
    """Whether no row or column of what it read is left out."""
    source = next(v for v in down.inputs if v.from_image and v.spatial)
    if len(source.spatial) != len(down.output.spatial):
        return True
    for size, small, a, b in zip(
        source.shape[-len(source.spatial) :],
        down.output.shape[-len(source.spatial) :],
        source.spatial,
        down.output.spatial,
        strict=True,
    ):
        if abs(size - small * abs(b.step / a.step)) > 1e-6:
            return False
    return True


def randomise(net: nn.Module) -> None:
    """Weights that keep the signal's size, biases and statistics that differ everywhere."""
    generator = torch.Generator().manual_seed(1)

    def noise(tensor: Tensor, size: float) -> Tensor:
        return torch.empty_like(tensor).uniform_(-size, size, generator=generator)

    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.dim() > 2:
                bound = math.sqrt(6 / max(parameter[0].numel(), 1))
                parameter.uniform_(-bound, bound, generator=generator)
            elif parameter.dim() == 1 and parameter.numel() > 1:
                parameter.add_(noise(parameter, 0.2))
        for name, buffer in net.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(noise(buffer, 0.2))
            elif name.endswith("running_var"):
                buffer.copy_(1 + noise(buffer, 0.2))


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


Built = nn.Module | Callable[[], nn.Module]


def built(subject: Built) -> nn.Module:
    """The net itself, or what its factory makes; raises `Refusal` for anything else."""
    net: Any = subject if isinstance(subject, nn.Module) or not callable(subject) else subject()
    if not isinstance(net, nn.Module):
        raise Refusal(f"{type(net).__name__} is not a torch.nn.Module")
    return net
