"""What the operations of a traced net amount to: convolutions, descents, ascents, joins."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import or_
from typing import Final, final

from unet.places import Place
from unet.tracing import Step, Trace, Value

ACTIVATIONS: Final = frozenset(
    {
        "relu", "leaky_relu", "_prelu_kernel", "gelu", "silu", "elu", "hardtanh", "hardswish",
        "mish", "softplus", "sigmoid", "tanh", "celu", "threshold", "clamp", "clamp_min",
        "clamp_max", "log_sigmoid_forward", "hardsigmoid", "softshrink", "hardshrink",
        "rrelu_with_noise", "_softmax", "_log_softmax", "selu", "sin", "abs", "exp", "erf",
        "maximum", "glu",
    }
)  # fmt: skip

NORMS: Final[Mapping[str, str]] = {
    "native_batch_norm": "batch",
    "cudnn_batch_norm": "batch",
    "_native_batch_norm_legit": "batch",
    "_native_batch_norm_legit_no_training": "batch",
    "native_group_norm": "group",
    "native_layer_norm": "layer",
}

PADS: Final[Mapping[str, str]] = {
    "constant_pad_nd": "zeros",
    "reflection_pad2d": "reflect",
    "reflection_pad3d": "reflect",
    "replication_pad2d": "replicate",
    "replication_pad3d": "replicate",
    "copy_": "circular",
}

RESIZES: Final[Mapping[str, str]] = {
    "upsample_nearest2d": "nearest",
    "_upsample_nearest_exact2d": "nearest",
    "upsample_nearest3d": "nearest",
    "upsample_bilinear2d": "bilinear",
    "_upsample_bilinear2d_aa": "bilinear",
    "upsample_trilinear3d": "trilinear",
    "upsample_bicubic2d": "bicubic",
    "pixel_shuffle": "pixel_shuffle",
    "max_unpool2d": "unpooling",
}

PRODUCTS: Final = frozenset({"mm", "addmm", "bmm", "baddbmm"})
"""Products of matrices: with weights for one factor they are what a 1x1 convolution is."""

ALMOST: Final = 1.3
"""Steps whose ratio is nearer to 1 than this are one step: `align_corners` bends small maps."""


def level_of(step: float) -> int:
    """The level of maps with this step: 0 at the resolution of the image."""
    return round(math.log2(max(step, 1.0)))


def plain(operation: str) -> str:
    """The name of an operation without the mark of its in-place form."""
    return operation[:-1] if operation.endswith("_") and operation != "copy_" else operation


def is_activation(step: Step) -> bool:
    """Whether the step bends a map sample by sample."""
    if plain(step.operation) in ("mul", "div"):
        # x * sigmoid(x) and its like: a product of two maps bends both.
        maps = {value.index for value in step.inputs if value.from_image}
        return len(maps) > 1 and all(len(v.shape) > 2 for v in step.inputs if v.from_image)
    return plain(step.operation) in ACTIVATIONS and not is_straight(step)


def is_straight(step: Step) -> bool:
    """Whether the step is a leaky ReLU that leaks all: `nn.LeakyReLU(True)` has a slope of 1."""
    return plain(step.operation) == "leaky_relu" and step.settings["negative_slope"] >= 1


@final
@dataclass(eq=False, frozen=True)
class Conv:
    """One call of a convolution on a map that descends from the image."""

    step: Step
    source: Value
    weight: Value
    bias: Value | None
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    transposed: bool
    groups: int

    @property
    def output(self) -> Value:
        """What it returns."""
        return self.step.output

    @property
    def out_channels(self) -> int:
        """Channels of what it returns."""
        return self.output.shape[1]

    @property
    def is_spatial(self) -> bool:
        """Whether its window is wider than one pixel along every axis."""
        return min(self.kernel) > 1

    @property
    def is_ordinary(self) -> bool:
        """Whether it is one of those that blocks are made of: wide, and of stride 1."""
        return self.is_spatial and max(self.stride) == 1 and not self.transposed

    @property
    def is_resampling(self) -> bool:
        """Whether it changes the resolution with a window wider than one pixel."""
        return self.is_spatial and (self.transposed or max(self.stride) > 1)

    @property
    def is_learnt(self) -> bool:
        """Whether its weights learn; others are filters, such as wavelets or a blur."""
        return self.weight.is_learnt

    @property
    def is_depthwise(self) -> bool:
        """Whether each channel is convolved on its own."""
        return self.groups > 1 and self.groups == self.source.shape[1]

    @property
    def name(self) -> str:
        """What a person would look for: its parameter's name, or its place in the net."""
        name = self.weight.name.removesuffix(".weight") or f"number {self.step.index}"
        return f"{name} ({self.words})"

    @property
    def words(self) -> str:
        """Kind, window and channels."""
        window = "x".join(map(str, self.kernel))
        kind = "transposed " if self.transposed else ""
        return f"{kind}{window}, {self.source.shape[1]} -> {self.out_channels} channels"


@final
@dataclass(eq=False, frozen=True)
class Change:
    """A step that makes a map coarser or finer."""

    step: Step
    before: Value
    after: Value

    @property
    def is_exact(self) -> bool:
        """Whether no row or column of what it read is left out."""
        count = len(self.before.spatial)
        if count != len(self.after.spatial):
            return True
        sizes = zip(self.before.shape[-count:], self.after.shape[-count:], strict=True)
        places = zip(self.before.spatial, self.after.spatial, strict=True)
        return all(
            abs(size - small * abs(b.step / a.step)) <= 1e-6
            for (size, small), (a, b) in zip(sizes, places, strict=True)
        )


@final
@dataclass(eq=False, frozen=True)
class Join:
    """Where a skip meets the map that comes up: `fresh` was never coarser, `risen` was."""

    step: Step
    fresh: Value
    risen: Value
    kind: str

    @property
    def level(self) -> int:
        """The level by its step: 0 at full resolution."""
        return level_of(self.fresh.step)


@final
class Anatomy:
    """The parts of a traced net."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    @cached_property
    def output(self) -> Value:
        """The main output: of those that descend from the image, the finest, then the first.

        Of several of its shape the one that most went into: a deeply supervised net returns the
        others to help it learn.
        """
        outputs = [v for v in self.trace.outputs if v.from_image and len(v.shape) >= 3]
        outputs = outputs or self.trace.outputs
        first = max(outputs, key=lambda value: math.prod(value.shape[2:]))
        alike = [value for value in outputs if value.shape == first.shape]
        return max(alike, key=lambda value: value.ancestors.bit_count())

    @cached_property
    def live(self) -> int:
        """A bit for each value that some output was computed from."""
        return reduce(or_, (output.ancestors for output in self.trace.outputs), 0)

    def is_live(self, value: Value) -> bool:
        """Whether some output was computed from it."""
        return bool(self.live >> value.index & 1)

    @cached_property
    def loses_its_place(self) -> bool:
        """Whether some map on its way to the output was not understood."""
        return any(
            self.is_live(value) and value.from_image and len(value.shape) > 3 and not value.spatial
            for value in self.trace.values
        )

    @cached_property
    def convs(self) -> list[Conv]:
        """Every convolution of a map, in the order of its call."""
        found = []
        for step in self.trace.of("convolution", "_convolution", "convolution_overrideable"):
            source = step.inputs[0]
            if not source.from_image:
                continue
            s = step.settings
            count = len(source.shape) - 2
            numbers = {
                name: tuple(int(v) for v in s[name]) * (count if len(s[name]) == 1 else 1)
                for name in ("stride", "padding", "dilation")
            }
            found.append(
                Conv(
                    step=step,
                    source=source,
                    weight=step.inputs[1],
                    bias=step.inputs[2] if len(step.inputs) > 2 else None,
                    kernel=step.inputs[1].shape[2:],
                    transposed=bool(s["transposed"]),
                    groups=int(s["groups"]),
                    **numbers,
                )
            )
        return found

    @cached_property
    def conv_of(self) -> dict[int, Conv]:
        """The convolutions by the index of their step."""
        return {conv.step.index: conv for conv in self.convs}

    @cached_property
    def _changes(self) -> list[Change]:
        return [
            Change(step, step.source, step.output)
            for step in self.trace.steps
            if step.source and step.output.spatial and len(step.output.shape) > 2
            if self.is_live(step.output)
        ]

    @cached_property
    def downs(self) -> list[Change]:
        """Where a live map is made coarser."""
        return [c for c in self._changes if c.after.step > c.before.step * ALMOST]

    @cached_property
    def ups(self) -> list[Change]:
        """Where a live map is made finer."""
        return [c for c in self._changes if c.after.step * ALMOST < c.before.step]

    def is_up(self, step: Step) -> bool:
        """Whether the step makes a live map finer."""
        return any(up.step is step for up in self.ups)

    @cached_property
    def deepest(self) -> float:
        """The coarsest step of any live map."""
        steps = [v.step for v in self.trace.values if self.is_live(v) and v.from_image]
        return max(steps, default=1.0)

    @cached_property
    def depth(self) -> int:
        """How often the resolution is halved."""
        return level_of(self.deepest)

    @cached_property
    def merges(self) -> list[tuple[Step, list[Value]]]:
        """Steps that bring several maps of one size together, with those maps."""
        found = []
        for step in self.trace.steps:
            name = plain(step.operation)
            if name not in ("cat", "add", "sub", "mul", "maximum", "where", "stack", "lerp"):
                continue
            maps = [v for v in step.inputs if len(v.shape) == len(step.output.shape) > 2]
            maps = [v for v in maps if v.from_image and math.prod(v.shape[2:]) > 1]
            if len(maps) > 1 and self.is_live(step.output):
                found.append((step, maps))
        return found

    @cached_property
    def joins(self) -> list[Join]:
        """Where skips meet what comes up, in the order of the call."""
        found: list[Join] = []
        for step, maps in self.merges:
            fresh = [v for v in maps if v.deepest <= v.step * ALMOST and v.spatial]
            if plain(step.operation) in ("mul", "where") or not fresh:
                continue
            # A map whose place is unknown has come up if it has been coarser than the other.
            risen = [v for v in maps if v.deepest > (v.step or fresh[0].step) * ALMOST]
            if not risen:
                continue
            kind = "concat" if step.operation == "cat" else "add"
            found.extend(Join(step, f, risen[-1], kind) for f in fresh)
        return found

    def back(self, value: Value) -> Iterator[Value]:
        """The values from `value` back to the last convolutions, those of the latter included."""
        seen: set[int] = set()
        waiting = [value]
        while waiting:
            here = waiting.pop()
            if here.index in seen or not here.from_image:
                continue
            seen.add(here.index)
            yield here
            step = here.made_by
            if step is None or step.index in self.conv_of:
                continue
            waiting.extend(step.inputs)

    def last_convs(self, value: Value) -> list[Conv]:
        """The convolutions that stand last before `value`."""
        return [
            self.conv_of[v.made_by.index]
            for v in self.back(value)
            if v.made_by is not None and v.made_by.index in self.conv_of
        ]

    def way_back(self, value: Value) -> Iterator[Step]:
        """The steps that made `value`, the last first, to a convolution or a meeting of maps."""
        while value.made_by is not None:
            step = value.made_by
            yield step
            maps = {v.index: v for v in step.inputs if v.from_image}
            if len(maps) != 1 or step.index in self.conv_of:
                return
            (value,) = maps.values()

    def way_on(self, value: Value) -> Iterator[Step]:
        """The steps that read `value` alone, and so on, to convolutions and meetings of maps."""
        waiting = list(value.users)
        while waiting:
            step = waiting.pop()
            if len({v.index for v in step.inputs if v.from_image}) > 1:
                continue
            yield step
            if step.index not in self.conv_of:
                waiting.extend(user for output in step.outputs for user in output.users)

    def final_steps(self) -> list[Step]:
        """What stands between the last layer that mixes channels and the main output, in order."""
        steps = []
        for step in self.way_back(self.output):
            product = step.operation in PRODUCTS and any(v.is_learnt for v in step.inputs)
            if product or step.index in self.conv_of:
                break
            steps.append(step)
        return steps[::-1]


def came_up(value: Value) -> bool:
    """Whether the map has been coarser than it is."""
    return value.deepest > value.step * ALMOST


def apart(one: Value, other: Value) -> list[tuple[Place, Place, float]]:
    """For each axis the two places and how far apart they are, in samples of `one`, at worst.

    Empty if a place is unknown.
    """
    if len(one.spatial) != len(other.spatial) or not one.spatial:
        return []
    sizes = [size for size, place in zip(one.shape, one.places, strict=True) if place]
    found = []
    for a, b, size in zip(one.spatial, other.spatial, sizes, strict=True):
        ends = [b.at(i) - a.at(i) for i in (0, size - 1)]
        found.append((a, b, max(ends, key=abs) / abs(a.step)))
    return found
