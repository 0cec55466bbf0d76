"""A net under examination: what it does at several sizes, run once and shared by all checks."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, final

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from unet.anatomy import Anatomy
from unet.arguments import filled, required, ways_to_fill, ways_to_offer
from unet.claims import require_claims
from unet.refusal import Refusal
from unet.running import (
    SEEDS,
    Run,
    attempt,
    attempt_unwatched,
    difference,
    in_one_line,
    main_output,
    random_states,
    seeded,
)
from unet.tracing import PARAMETER, Trace, trace

SIDES: Final[Mapping[int, tuple[int, ...]]] = {
    2: (64, 96, 128, 188, 220, 256, 192, 160, 316, 444, 512, 572, 224, 140, 92, 48, 32),
    3: (32, 16, 24, 48, 64, 40, 28, 36, 92),
}
"""Sides to try, by the number of axes; the first that runs is brought onto the grid."""

FEW: Final = 5
"""So many of these sides are tried where much else has to be tried with each."""

MANY: Final = 8
"""Of more channels of the image nobody expects that each is read, and each takes a run."""

DRAWS: Final = 12
"""A net that draws at random is repeated so often: one of five may come out alike twice."""

LARGE: Final = 2_000_000
"""Double precision has no fast convolutions: nets of more parameters are examined in single."""


@final
@dataclass(frozen=True)
class Gradients:
    """The largest gradient of a random sum of all outputs at each traced tensor, by its index."""

    at: Mapping[int, float | None]
    error: str = ""
    sizes: Mapping[int, float] = field(default_factory=dict)
    """The largest value of each of these tensors, by its index."""


@final
@dataclass(frozen=True)
class Followed:
    """A pass with a look at every tensor: what came out, and the gradients on the way."""

    run: Run
    gradients: Gradients


@final
@dataclass(frozen=True)
class Witness:
    """The copy of a net that experiments are made on, and what counts as equal in its type.

    `exact` if its weights were drawn anew such that all of them matter; a net that does not run
    with other weights keeps its own.
    """

    net: nn.Module
    dtype: torch.dtype
    equal: float
    exact: bool

    def run(self, image: Tensor) -> Run:
        """What it makes of an image."""
        return attempt(self.net, image.to(self.dtype))

    def run_unwatched(self, image: Tensor) -> Run:
        """The same where the net cannot see that it is looked at."""
        return attempt_unwatched(self.net, image.to(self.dtype))

    def followed(self, image: Tensor) -> Followed:
        """The same with a look at every tensor, and the gradients there."""
        try:
            with seeded(), torch.enable_grad():
                found = trace(self.net, image.to(self.dtype))
            output = main_output(found.returned)
            return Followed(Run(output if output is None else output.detach()), gradients_in(found))
        except Exception as error:  # noqa: BLE001  # whatever a net may raise
            return Followed(Run(None, in_one_line(error)), Gradients({}, in_one_line(error)))

    def copy(self) -> Witness:
        """Another one, whose weights may be changed."""
        return Witness(copied(self.net), self.dtype, self.equal, self.exact)

    def in_double(self) -> Witness:
        """One of the same weights, without what single precision rounds."""
        return Witness(copied(self.net).double(), torch.float64, self.equal, self.exact)


@final
@dataclass(frozen=True)
class Repetition:
    """Runs on one image, on it again, on another one, and on the first once more.

    `changed` names the buffers and parameters that these runs have changed.
    """

    first: Run
    again: Run
    other: Run
    later: Run
    changed: list[str]

    @property
    def runs(self) -> tuple[Run, ...]:
        """All four, in their order."""
        return self.first, self.again, self.other, self.later


@final
@dataclass(frozen=True)
class Lesson:
    """A forward and backward pass in training mode; `error` says why there was none."""

    anatomy: Anatomy | None
    untaught: frozenset[str] = frozenset()
    """The parameters that got no gradient."""
    still: frozenset[str] = frozenset()
    """The kernels whose gradient was zero throughout; few units of a layer may be so by chance."""
    in_training: bool = True
    """Whether `train()` has brought the net to training mode."""
    error: str = ""


@final
class Examination:
    """A net in evaluation mode, with what checks want to know of it, worked out on demand.

    `net` is left as it came, but for the shapes of lazy layers: every experiment is made on a
    copy. Raises `Refusal` if it cannot be run on any image.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        in_channels: int | None = None,
        claims: Mapping[str, str] | None = None,
    ) -> None:
        self.net = net.eval()
        require_claims(claims or {})
        self.claims = dict(claims or {})
        SEEDS.seed(0)
        self._runs: dict[tuple[int, ...], Run] = {}
        self._lay_out(in_channels)
        kernels = [p for p in self.net.parameters() if p.dim() > 2]
        if kernels and max(p.dim() for p in kernels) == 3:
            raise Refusal("the net convolves along one axis: only images and volumes are verified")
        kernels = [p for p in kernels if p.dim() > 3]
        self.axes = kernels[0].dim() - 2 if kernels else 2
        first = kernels[0].shape[1] if kernels else 3
        tried = (in_channels,) if in_channels else dict.fromkeys((first, 1, 3, 4, 2))
        self.asked: nn.Module = self.net
        """The net as it came, which asks for further inputs as well."""
        self.further_inputs: Mapping[str, str] = {}
        self._last_error = "there are too many"
        self._take_one_image(tuple(tried))
        try:
            self.in_channels, side = self._find_side(tuple(tried))
        except Refusal:
            # What may be left out is asked for by some nets all the same, as a time.
            if self.further_inputs or not self._fill(ways_to_offer(self.net), tuple(tried)):
                raise
            self.in_channels, side = self._find_side(tuple(tried))
        self.side, self.anatomy = self._onto_the_grid(side)

    def _lay_out(self, in_channels: int | None) -> None:
        """Give lazy layers their shapes, by a run on an image."""
        if not any(map(is_lazy, self.net.parameters())):
            return
        errors = []
        for axes in SIDES:
            for side in SIDES[axes][:FEW]:
                # On the net itself: what has no shape yet cannot be copied.
                run = attempt(self.net, torch.zeros(1, in_channels or 3, *(side,) * axes))
                if run.output is not None:
                    return
                errors.append(run.error)
        raise Refusal(f"the net has lazy layers and ran on no image: {errors[0]}")

    def _take_one_image(self, channels: tuple[int, ...]) -> None:
        """Fill what else forward asks for, so that it takes an image alone."""
        asked = ", ".join(argument.name for argument in required(self.net))
        if asked and not self._fill(ways_to_fill(self.net), channels):
            raise Refusal(
                f"forward also asks for {asked}, and neither numbers nor a second image would do"
                f" ({self._last_error}): wrap the net in a module whose forward takes one image "
                f"alone"
            )

    def _fill(self, ways: Iterator[dict[str, str]], channels: tuple[int, ...]) -> bool:
        """Give forward further arguments in the first way in which it runs, if there is one."""
        net = self.net
        for way, count in itertools.product(ways, channels):
            if "forward" in vars(net):
                break
            self.net = filled(net, way)
            # In a batch of two a number for each image cannot pass for a map.
            for side in SIDES[self.axes][:FEW]:
                image = torch.zeros(2, count, *(side,) * self.axes, dtype=self.dtype)
                run = attempt(self.net, image)
                if run.output is not None:
                    self.further_inputs = way
                    return True
                self._last_error = run.error
        self.net = net
        return False

    def _find_side(self, channels: tuple[int, ...]) -> tuple[int, int]:
        errors = []
        for count, side in itertools.product(channels, SIDES[self.axes]):
            self.in_channels = count
            self._runs.clear()
            run = self.run((side,) * self.axes)
            if run.output is not None and run.output.dim() >= 3 and min(run.output.shape) > 0:
                return count, side
            errors.append(run.error or "it returned no map")
        sides = SIDES[self.axes]
        raise Refusal(
            f"the net ran on no image: {errors[0]}; tried were sides of {min(sides)} to "
            f"{max(sides)}"
        )

    def _onto_the_grid(self, side: int) -> tuple[int, Anatomy]:
        """The next side at which every pooling halves exactly, if there is one nearby."""
        first = None
        for _ in range(12):
            try:
                with torch.enable_grad():
                    anatomy = self.traced((side,) * self.axes)
            except Exception as error:  # whatever a net may raise on a size
                if first is None:
                    raise Refusal(f"the net cannot be traced: {error}") from error
                break
            first = first or (side, anatomy)
            odd = next((down for down in anatomy.downs if not down.is_exact), None)
            if odd is None:
                return side, anatomy
            side += max(1, round(odd.before.step))
        assert first is not None
        return first

    @cached_property
    def lattice(self) -> int:
        """Input pixels from one cell of the deepest map to the next, along any axis."""
        live = [v for v in self.anatomy.trace.values if v.from_image and self.anatomy.is_live(v)]
        steps = [abs(place.step) for value in live for place in value.spatial]
        least = max(2, round(max(steps, default=1.0)))
        if not self.anatomy.loses_its_place:
            return least
        # What happens where the trace is blind is found out by trying.
        tried = (least, *(2**power for power in range(2, 7) if 2**power > least))
        sizes = {step: (self.side + step,) * self.axes for step in tried}
        return next((step for step in tried if self.run(sizes[step]).output is not None), least)

    @property
    def sides(self) -> tuple[int, ...]:
        """The base size, equal along all axes."""
        return (self.side,) * self.axes

    @property
    def oblong(self) -> tuple[int, ...]:
        """A legal size whose axes differ."""
        return (*self.sides[:-1], self.side + 2 * self.lattice)

    @property
    def off_grid(self) -> tuple[tuple[int, ...], ...]:
        """Sizes that a pooling cannot halve exactly: a square and, if it pools, an oblong."""
        square = (self.side + 1,) * self.axes
        if not self.anatomy.downs:
            return (square,)
        oblong = (*square[:-1], self.side + self.lattice - 1)
        return tuple(dict.fromkeys((square, oblong)))

    @cached_property
    def dtype(self) -> torch.dtype:
        """The type of its first floating-point parameter."""
        kinds = [p.dtype for p in self.net.parameters() if p.is_floating_point()]
        return kinds[0] if kinds else torch.float32

    @cached_property
    def parameters(self) -> int:
        """How many weights and biases it has."""
        return sum(parameter.numel() for parameter in self.net.parameters())

    def image(self, sides: tuple[int, ...], batch: int = 1, seed: int = 0) -> Tensor:
        """(batch, in_channels, *sides) of normal numbers."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(batch, self.in_channels, *sides, generator=generator)

    @cached_property
    def is_one_of_a_kind(self) -> bool:
        """Whether no copy would do: a hook of the net's may hold on to the net itself."""
        if isinstance(self.net, torch.jit.ScriptModule) and not hasattr(
            copied(self.net), "forward"
        ):
            return True
        kinds = ("_forward_hooks", "_forward_pre_hooks")
        tables = [getattr(m, kind, {}) for m in self.net.modules() for kind in kinds]
        return any(getattr(hook, "__closure__", None) for t in tables for hook in t.values())

    def copy(self) -> nn.Module:
        """Another net with the same weights; raises `Refusal` if there can be only one."""
        if self.is_one_of_a_kind:
            raise Refusal("the net's hooks hold on to it, or it is a script that no copy runs")
        try:
            return copied(self.net)
        except RuntimeError:
            # What it kept of its last pass can be copied once it has no history.
            attempt(self.net, self.image(self.sides).to(self.dtype))
            return copied(self.net)

    def run(self, sides: tuple[int, ...]) -> Run:
        """The net as it came, on an image of this size."""
        if sides not in self._runs:
            self._runs[sides] = attempt(self.net, self.image(sides).to(self.dtype))
        return self._runs[sides]

    def traced(self, sides: tuple[int, ...]) -> Anatomy:
        """The parts of the net at one size; raises what the net raises there."""
        with seeded():
            return Anatomy(trace(self.net, self.image(sides).to(self.dtype)))

    @cached_property
    def at_other_sizes(self) -> dict[tuple[int, ...], Anatomy]:
        """The parts at an oblong legal size and at sizes off the grid, where it runs there."""
        found = {}
        for sides in (self.oblong, *self.off_grid):
            with suppress(Exception), torch.no_grad():  # not to run is another check's matter
                found[sides] = self.traced(sides)
        return found

    @property
    def at_all_sizes(self) -> dict[tuple[int, ...], Anatomy]:
        """The parts at the base size and at the others."""
        return {self.sides: self.anatomy, **self.at_other_sizes}

    @cached_property
    def magnification(self) -> int:
        """Output pixels for each input pixel along an axis, where that is more than one."""
        first = self.run(self.sides).output
        second = self.run(tuple(side + self.lattice for side in self.sides)).output
        if first is None or second is None or first.dim() < self.axes:
            return 1
        factor = (second.shape[-1] - first.shape[-1]) / self.lattice
        return int(factor) if factor > 1 and factor == int(factor) else 1

    @cached_property
    def witness(self) -> Witness:
        """The copy to experiment on: exact, unless the net does not run with other weights."""
        if self.is_one_of_a_kind:
            return Witness(self.net, self.dtype, equal=1e-3, exact=False)
        large = self.parameters >= LARGE
        exact = Witness(
            net=self.copy().to(torch.float32 if large else torch.float64),
            dtype=torch.float32 if large else torch.float64,
            equal=1e-4 if large else 1e-7,
            exact=True,
        )
        randomise(exact.net)
        output = exact.run(self.image(self.sides)).output
        if output is not None and bool(output.isfinite().all()):
            return exact
        return Witness(self.copy(), self.dtype, equal=1e-3, exact=False)

    @cached_property
    def repetition(self) -> Repetition:
        """The witness on one image, again, on another one three times as bright, and again."""
        witness = self.witness if self.is_one_of_a_kind else self.witness.copy()
        held = (*witness.net.named_buffers(), *witness.net.named_parameters())
        before = {name: tensor.clone() for name, tensor in held}
        one, bright = self.image(self.sides, seed=1), 3 * self.image(self.sides, seed=2)
        first = witness.run(one)
        runs = [witness.run(one) for _ in range(DRAWS if self.random_operations else 1)]
        again = max(runs, key=lambda run: difference(first.output, run.output))
        other, later = witness.run(bright), witness.run(one)
        changed = [
            name
            for name, tensor in (*witness.net.named_buffers(), *witness.net.named_parameters())
            if name in before and not torch.equal(tensor, before[name])
        ]
        return Repetition(first, again, other, later, changed)

    @cached_property
    def random_operations(self) -> list[str]:
        """Operations in the trace that draw random numbers."""
        names = ("bernoulli", "rand", "native_dropout", "normal", "uniform")
        return [s.operation for s in self.anatomy.trace.steps if s.operation.startswith(names)]

    @property
    def repeats(self) -> bool:
        """Whether the same image gets the same logits when it is given again at once."""
        first, again = self.repetition.first, self.repetition.again
        return difference(first.output, again.output) <= self.witness.equal

    @cached_property
    def ignored_inputs(self) -> list[str]:
        """Which of the further inputs change nothing, in nets of several weights."""
        return [
            name
            for name in self.further_inputs
            if self.repeats and not any(self._depends_on(name, anew) for anew in (False, True))
        ]

    @cached_property
    def unread_channels(self) -> list[int]:
        """The channels of the image that change nothing, unless none changes anything."""
        if not self.repeats or self.in_channels > MANY:
            return []
        image, other = self.image(self.sides, seed=1), self.image(self.sides, seed=2)
        seen = self.repetition.first.output
        unread = []
        for channel in range(self.in_channels):
            changed = image.clone()
            changed[:, channel] = other[:, channel]
            if difference(seen, self.witness.run(changed).output) == 0:
                unread.append(channel)
        return unread if len(unread) < self.in_channels else []

    @cached_property
    def sets_the_seed(self) -> bool:
        """Whether forward brings torch's random numbers to the same state each time."""
        image = self.image(self.sides).to(self.dtype)
        began, ended = zip(*(random_states(self.net, image, seed) for seed in (1, 2)), strict=True)
        return not torch.equal(began[0], ended[0]) and torch.equal(*ended)

    def gap_by_number(self, name: str) -> float:
        """How far logits of two images differ if they are given together or one by one.

        Each is given another value of the further input `name`; 0 if one of the ways fails.
        """
        gap = 0.0
        for dtype in (self.witness.dtype, torch.float64):
            net = copied(self.asked).to(dtype)
            if self.witness.exact:
                randomise(net)
            images = [self.image(self.sides, seed=seed).to(dtype) for seed in (1, 2)]
            nets = (
                filled(net, self.further_inputs),
                filled(net, self.further_inputs, name),
                filled(net, self.further_inputs, name, in_turn=True),
            )
            runs = map(attempt, nets, (*images, torch.cat(images)))
            one, other, both = (run.output for run in runs)
            if one is None or other is None or both is None:
                return 0.0
            gap = difference(both, torch.cat([one, other]))
            # What single precision rounds is looked at again.
            if gap <= self.witness.equal:
                break
        return gap

    def _depends_on(self, name: str, anew: bool) -> bool:
        net = copied(self.asked)
        if anew:
            randomise(net)
        one, other = (filled(net, self.further_inputs, other=each) for each in ("", name))
        image = self.image(self.sides).to(self.dtype)
        # A norm right behind takes away again all but what is rounded.
        return difference(attempt(one, image).output, attempt(other, image).output) > 1e-5

    @cached_property
    def lesson(self) -> Lesson:
        """One forward and backward pass of a copy in training mode, on a batch of two."""
        if self.is_one_of_a_kind:
            return Lesson(None, error="the net's hooks hold on to it, so that it has no copy")
        return self._taught(self.copy())

    @cached_property
    def untaught(self) -> frozenset[str]:
        """The parameters that got no gradient, or zeros alone whatever the weights are."""
        lesson = self.lesson
        if not lesson.still or not self.witness.exact:
            return lesson.untaught
        return lesson.untaught | lesson.still & self._taught(self.witness.copy().net).still

    def _taught(self, net: nn.Module) -> Lesson:
        net.train()
        # Some nets take squares alone.
        sides = self.sides if self.run(self.oblong).output is None else self.oblong
        kinds = [p.dtype for p in net.parameters() if p.is_floating_point()]
        image = self.image(sides, batch=2, seed=4).to(kinds[0] if kinds else self.dtype)
        try:
            with seeded(), torch.enable_grad():
                anatomy = Anatomy(trace(net, image))
        except Exception as error:  # noqa: BLE001  # whatever a net may raise
            return Lesson(None, error=in_one_line(error))
        outputs = outputs_of(anatomy.trace)
        try:
            if outputs:
                torch.autograd.backward(outputs, [torch.randn_like(out) for out in outputs])
        except RuntimeError as error:
            return Lesson(anatomy, error=in_one_line(error))
        untaught = {
            name
            for name, parameter in net.named_parameters()
            if outputs and parameter.requires_grad and parameter.grad is None
        }
        still = {
            name
            for name, parameter in net.named_parameters()
            if parameter.dim() > 2 and parameter.grad is not None
            if not bool(parameter.grad.any())
        }
        anatomy.trace.tensors.clear()
        return Lesson(anatomy, frozenset(untaught), frozenset(still), net.training)

    @cached_property
    def used_in_training(self) -> frozenset[str]:
        """The parameters that an output depends on in training, where some nets return more."""
        anatomy = self.lesson.anatomy
        if anatomy is None:
            return frozenset()
        parameters = (v for v in anatomy.trace.values if v.kind == PARAMETER)
        return frozenset(v.name for v in parameters if anatomy.is_live(v))

    @cached_property
    def gradients(self) -> Gradients:
        """How much each tensor of the net as it came matters to its outputs."""
        return gradients_in(self.anatomy.trace)

    @cached_property
    def followed(self) -> Followed:
        """The witness, looked at as it runs."""
        return self.witness.followed(self.image(self.sides))

    @property
    def exact_gradients(self) -> Gradients:
        """The same as `gradients` in the witness, where no weight is zero by chance."""
        return self.followed.gradients


def copied(net: nn.Module) -> nn.Module:
    """A copy whose parameters are leaves, a scripted net's as well."""
    with torch.no_grad():
        return copy.deepcopy(net)


def outputs_of(found: Trace) -> list[Tensor]:
    """The tensors returned that a gradient can be asked of."""
    return [found.tensors[v.index] for v in found.outputs if v.index in found.tensors]


def gradients_in(found: Trace) -> Gradients:
    """The gradients at every traced tensor of a random sum of all outputs."""
    outputs = outputs_of(found)
    indices = [i for i, t in found.tensors.items() if not any(t is o for o in outputs)]
    if not outputs or not indices:
        return Gradients({})
    generator = torch.Generator().manual_seed(2)
    weights = [torch.randn(o.shape, generator=generator).to(o.dtype) for o in outputs]
    tensors = [found.tensors[i] for i in indices]
    try:
        gradients = torch.autograd.grad(outputs, tensors, weights, allow_unused=True)
    except RuntimeError as error:
        return Gradients({}, in_one_line(error))
    return Gradients(
        {
            i: g.abs().max().item() if g is not None and g.numel() else None
            for i, g in zip(indices, gradients, strict=True)
        },
        sizes={i: found.tensors[i].abs().max().item() for i in indices if found.tensors[i].numel()},
    )


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
            elif parameter.numel() == 1 and not parameter.any():
                parameter.fill_(0.5)  # the weight of a branch that starts switched off
        for name, buffer in net.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(noise(buffer, 0.2))
            elif name.endswith("running_var"):
                buffer.copy_(1 + noise(buffer, 0.2))


Built = nn.Module | Callable[[], nn.Module]


def built(subject: Built) -> nn.Module:
    """The net itself, or what its factory makes; raises `Refusal` for anything else."""
    net: Any = subject if isinstance(subject, nn.Module) or not callable(subject) else subject()
    if not isinstance(net, nn.Module):
        raise Refusal(f"{type(net).__name__} is not a torch.nn.Module")
    return net
