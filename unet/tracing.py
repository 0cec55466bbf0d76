"""Follows every tensor through a net, operation by operation, with its place in input pixels.

Works below autograd and above the kernels, where any net, however written, is a sequence of a
few hundred operations.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from unet.places import ALIKE, MERGES, RULES, Call, Place, Places

IMAGE: Final = "image"
PARAMETER: Final = "parameter"
BUFFER: Final = "buffer"
CONSTANT: Final = "constant"
COMPUTED: Final = "computed"


@final
@dataclass(eq=False, slots=True)
class Value:
    """One tensor at one moment: its shape, its place, and the operation that made it."""

    index: int
    shape: tuple[int, ...]
    places: Places
    kind: str
    made_by: Step | None = None
    name: str = ""
    ancestors: int = 0
    """A bit for each value that it was computed from, itself included."""
    deepest: float = 0.0
    """The coarsest step that its samples have passed through; 0 without the image."""
    users: list[Step] = field(default_factory=list)
    floating: bool = True
    is_learnt: bool = False
    """Whether a parameter is among its ancestors, or it is one."""

    @property
    def from_image(self) -> bool:
        """Whether the image is among its ancestors."""
        return bool(self.ancestors & 1)

    @property
    def spatial(self) -> tuple[Place, ...]:
        """The places that are known, in the order of its dimensions."""
        return tuple(place for place in self.places if place is not None)

    @property
    def step(self) -> float:
        """Input pixels from one sample to the next along its first axis; 0 if unknown."""
        return abs(self.spatial[0].step) if self.spatial else 0.0

    def descends_from(self, other: Value) -> bool:
        """Whether `other` is this value or one of its ancestors."""
        return bool(self.ancestors >> other.index & 1)

    def __repr__(self) -> str:
        return f"<{self.index} {self.name or self.kind} {self.shape} step {self.step:g}>"


@final
@dataclass(eq=False, slots=True)
class Step:
    """One operation: its name in torch's own table, what it read and what it returned."""

    index: int
    operation: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    settings: Mapping[str, Any]

    @property
    def output(self) -> Value:
        """Its first result."""
        return self.outputs[0]

    @property
    def source(self) -> Value | None:
        """The first map of the image that it read, if one with a known place is among them."""
        return next((v for v in self.inputs if v.from_image and v.spatial), None)

    def __repr__(self) -> str:
        return f"<{self.index} {self.operation} {self.inputs} -> {self.outputs}>"


@final
@dataclass(eq=False, slots=True)
class Trace:
    """All operations of one forward pass; `outputs` are the tensors that the net returned."""

    steps: list[Step]
    image: Value
    outputs: list[Value]
    values: list[Value]
    cuts: list[Value]
    """Results that ask for no gradient although what they were computed from does."""
    tensors: dict[int, Tensor]
    """The tensors of values that a gradient can be asked for, by index."""
    returned: object
    """What the net returned, as it came."""

    def of(self, *operations: str) -> Iterator[Step]:
        """The steps with one of these operations."""
        return (step for step in self.steps if step.operation in operations)


def trace(net: nn.Module, image: Tensor) -> Trace:
    """Run `net` on `image`, (N, C, ...), and write down what it does."""
    recorder = _Recorder(net, image)
    watch = _GradientWatch(recorder)
    with watch, recorder:
        returned = net(image)
    outputs = [leaf for leaf in tree_leaves(plain_outputs(returned)) if isinstance(leaf, Tensor)]
    for output in outputs:
        # The watch sees calls from Python; a scripted net makes none.
        if output.requires_grad:
            watch.tensors.setdefault(recorder.value_of(output).index, output)
    return Trace(
        steps=recorder.steps,
        image=recorder.values[0],
        outputs=[recorder.value_of(output) for output in outputs],
        values=recorder.values,
        cuts=watch.lasting_cuts(),
        tensors=watch.tensors,
        returned=returned,
    )


def plain_outputs(returned: object) -> object:
    """Dictionaries and lists in place of what merely behaves like one; logits first."""
    if isinstance(returned, Mapping):
        named = {str(key): plain_outputs(value) for key, value in returned.items()}
        return {name: named[name] for name in sorted(named, key=lambda name: name not in LOGITS)}
    if isinstance(returned, (list, tuple)):
        return [plain_outputs(value) for value in returned]
    if hasattr(returned, "__dict__") and not isinstance(returned, (Tensor, nn.Module)):
        return [plain_outputs(value) for value in vars(returned).values()]
    return returned


VIEWS: Final = frozenset({"view", "_unsafe_view"})

LOGITS: Final = ("logits", "out")
"""What the main one of several outputs is called where outputs have names; it comes first."""

SQUASHING: Final = frozenset(
    {"sigmoid", "sigmoid_", "_softmax", "hardsigmoid", "hardsigmoid_", "tanh"}
)
RESHAPING: Final = frozenset(
    {
        "expand", "view", "unsqueeze", "squeeze", "repeat", "clone", "_unsafe_view", "slice",
        "upsample_nearest2d", "upsample_bilinear2d", "upsample_trilinear3d", "permute",
        "native_batch_norm", "alias", "transpose", "detach", "roll", "flip", "round", "div",
        "sum", "mean", "avg_pool2d", "constant_pad_nd",
    }
)  # fmt: skip

SHAPE_ONLY: Final = frozenset(
    {
        "empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like",
        "new_empty", "new_zeros", "new_ones", "new_full", "new_empty_strided",
    }
)  # fmt: skip
"""Operations that read the shape of a map and nothing else."""

Key = tuple[int, int, tuple[int, ...], tuple[int, ...]]


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's
    """Writes down each operation; keeps every tensor alive so that no storage is used twice."""

    def __init__(self, net: nn.Module, image: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[Step] = []
        self.values: list[Value] = []
        self.known: dict[Key, Value] = {}
        self.aliases: dict[int, set[Key]] = {}
        self.kept: list[object] = []
        places = (None, None, *(Place(axis, 1.0, 0.0) for axis in range(image.dim() - 2)))
        self._add(image, IMAGE, places, name="image", deepest=1.0)
        for name, parameter in net.named_parameters():
            self._add(parameter, PARAMETER, (None,) * parameter.dim(), name=name, is_learnt=True)
        for name, buffer in net.named_buffers():
            self._add(buffer, BUFFER, (None,) * buffer.dim(), name=name)

    def value_of(self, tensor: Tensor) -> Value:
        """The value that `tensor` holds now; a tensor never seen before is a constant."""
        found = self.known.get(_key(tensor))
        return found or self._add(tensor, CONSTANT, (None,) * tensor.dim())

    def _add(self, tensor: Tensor, kind: str, places: Places, **more: Any) -> Value:
        value = Value(
            index=len(self.values),
            shape=tuple(tensor.shape),
            places=places,
            kind=kind,
            floating=tensor.is_floating_point(),
            **more,
        )
        value.ancestors |= 1 << value.index
        self.values.append(value)
        self._bind(tensor, value)
        return value

    def _bind(self, tensor: Tensor, value: Value) -> None:
        key = _key(tensor)
        self.known[key] = value
        self.aliases.setdefault(key[0], set()).add(key)
        # A storage's address is its name only as long as it lives.
        self.kept.append(tensor.untyped_storage() if not tensor.is_sparse else tensor)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # True would have torch import its compiler, for seconds, at the first operation.
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        tensors = [leaf for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, Tensor)]
        inputs = tuple(self.value_of(tensor) for tensor in tensors)
        # Compiled script comes here by itself, where autograd has not yet done its part.
        with torch._C.DisableTorchFunction():
            out = func(*args, **(kwargs or {}))
        results = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        self._record(func, inputs, tensors, results, _named(func, args, kwargs or {}))
        return out

    def _record(
        self,
        func: Any,
        inputs: tuple[Value, ...],
        tensors: list[Tensor],
        results: list[Tensor],
        settings: Mapping[str, Any],
    ) -> None:
        operation = _name(func)
        step = Step(len(self.steps), operation, inputs, (), settings)
        outputs: list[Value] = []
        changed: list[Value] = []
        for number, result in enumerate(results):
            places = _places(func, inputs, tuple(result.shape), (settings, number))
            same = next((t for t in tensors if _key(t) == _key(result)), None)
            value = self._add(result, COMPUTED if inputs else CONSTANT, places, made_by=step)
            if same is not None and func._schema.is_mutable:
                changed += self._overwrite(result, value)
            for source in () if operation in SHAPE_ONLY else inputs:
                value.ancestors |= source.ancestors
                value.is_learnt |= source.is_learnt
            content = (
                [source for source in inputs if not _is_gate(source)]
                if operation in ("mul", "mul_")
                else inputs
            )
            value.deepest = max([value.step, *(source.deepest for source in content or inputs)])
            if not value.from_image:
                value.deepest = 0.0
            outputs.append(value)
        outputs += changed
        step.outputs = tuple(outputs)
        if outputs:
            self.steps.append(step)
            for source in dict.fromkeys(inputs):
                source.users.append(step)

    def _overwrite(self, tensor: Tensor, value: Value) -> list[Value]:
        """Every other view of the memory that was written to now holds something else."""
        found = []
        mine = _key(tensor)
        for key in list(self.aliases.get(mine[0], ())):
            if key == mine:
                continue
            old = self.known[key]
            places = old.places
            if not old.spatial and len(old.shape) == len(value.shape):
                places = tuple(
                    place and place.laid(start, stride)
                    for place, (start, stride) in zip(value.places, _laid(mine, key), strict=True)
                )
            changed = replace(
                old,
                index=len(self.values),
                places=places,
                kind=COMPUTED,
                made_by=value.made_by,
                ancestors=old.ancestors | value.ancestors | 1 << len(self.values),
                deepest=max(old.deepest, value.deepest),
                is_learnt=old.is_learnt or value.is_learnt,
                users=[],
            )
            for source in value.made_by.inputs if value.made_by else ():
                changed.ancestors |= source.ancestors
                changed.deepest = max(changed.deepest, source.deepest)
            self.values.append(changed)
            self.known[key] = changed
            found.append(changed)
        return found


def is_detached(value: Value) -> bool:
    """Whether it lies in the memory of what it was taken from."""
    return value.made_by is not None and value.made_by.operation in ("detach", "alias")


class _GradientWatch(TorchFunctionMode):
    """Notes each result that asks for no gradient although it was computed from what does."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self.recorder = recorder
        self.cuts: list[Value] = []
        self.learning: set[int] = set()
        """Values of their own memory that were read with a history, by index."""
        self.tensors: dict[int, Tensor] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        learning = [self.recorder.known.get(_key(leaf)) for leaf in given if leaf.requires_grad]
        self.learning |= {v.index for v in learning if v and not is_detached(v)}
        out = func(*args, **kwargs)
        for result in tree_leaves(out):
            if isinstance(result, Tensor) and result.requires_grad:
                self.tensors[self.recorder.value_of(result).index] = result
        ends = isinstance(out, Tensor) and out.is_floating_point() and not out.requires_grad
        if ends and any(leaf.requires_grad for leaf in given):
            self.cuts.append(self.recorder.value_of(out))
        return out

    def lasting_cuts(self) -> list[Value]:
        """The results without a history but those inside of functions with a backward of their own.

        What such a function returns has one, though nothing that it computes has.
        """
        cuts = {value.index: value for value in self.cuts}
        inside = self.learning & cuts.keys()
        for index, value in reversed(cuts.items()):
            onward = [{made.index for made in user.outputs} for user in value.users]
            if onward and not is_detached(value) and all(each & inside for each in onward):
                inside.add(index)
        return [value for index, value in cuts.items() if index not in inside]


def _is_gate(value: Value) -> bool:
    """Whether it is a weight between 0 and 1, perhaps resized: it weighs a map and is none."""
    while value.made_by is not None:
        if value.made_by.operation in SQUASHING:
            return True
        if value.made_by.operation not in RESHAPING:
            return False
        value = value.made_by.inputs[0]
    return False


def _key(tensor: Tensor) -> Key:
    storage = tensor.untyped_storage()._cdata
    return storage, int(tensor.storage_offset()), tuple(tensor.shape), tuple(tensor.stride())


def _laid(part: Key, whole: Key) -> list[tuple[int, int]]:
    """For each dimension the sample of `whole` at which its view `part` begins, and its stride."""
    rest = part[1] - whole[1]
    strides = [max(1, a // b) if b else 1 for a, b in zip(part[3], whole[3], strict=True)]
    starts = [0] * len(whole[2])
    for stride, dim in sorted(((s, d) for d, s in enumerate(whole[3])), reverse=True):
        if stride > 0 and rest > 0:
            starts[dim], rest = divmod(rest, stride)
    return list(zip(starts, strides, strict=True))


def _named(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a call by their names in torch's table."""
    names = [argument.name for argument in func._schema.arguments]
    defaults = {a.name: a.default_value for a in func._schema.arguments if a.has_default_value()}
    return {**defaults, **dict(zip(names, args, strict=False)), **kwargs}


def _places(
    func: Any,
    inputs: tuple[Value, ...],
    shape: tuple[int, ...],
    setting: tuple[Mapping[str, Any], int],
) -> Places:
    """The places of a result, by the rule of its operation."""
    operation = _name(func)
    unknown: Places = (None,) * len(shape)
    source = next((value for value in inputs if value.from_image and value.spatial), None)
    if operation in VIEWS and source is None and inputs[0].from_image:
        return _restored(inputs[0], shape) or _unflattened(inputs[0], shape) or unknown
    if source is None or operation in SHAPE_ONLY:
        return unknown
    settings, number = setting
    found: Places = unknown
    if operation == "cat":
        dim = int(settings.get("dim", 0)) % len(shape)
        # Pieces laid end to end along an axis: what lies where depends on all of them.
        found = unknown if source.places[dim] else _merged(inputs, shape, besides=dim)
    elif operation in VIEWS and (repeated := _repeated(source, shape)):
        found = repeated
    elif operation in RULES:
        found = RULES[operation](Call(source.shape, source.places, shape, settings, number))
    elif operation in ALIKE:
        found = source.places
    elif torch.Tag.pointwise in func.tags or operation in MERGES:
        found = _merged(inputs, shape)
    return found if len(found) == len(shape) else unknown


def _restored(rows: Value, shape: tuple[int, ...]) -> Places | None:
    """The places of a map whose pixels were rows of a matrix for a while, as for a linear layer.

    None unless it is as many pixels as before, in the same order.
    """
    while rows.made_by is not None and len(rows.shape) == 2:
        step = rows.made_by
        if step.operation in VIEWS:
            pixels = step.inputs[0]
            same = pixels.shape[:-1] == shape[:-1] and bool(pixels.spatial)
            return (*pixels.places[:-1], None) if same and pixels.places[-1] is None else None
        if step.operation in ("mm", "addmm"):
            rows = step.inputs[-2]
        elif len(step.inputs) == 1 and step.inputs[0].shape == rows.shape:
            rows = step.inputs[0]
        else:
            return None
    return None


def _unflattened(flat: Value, shape: tuple[int, ...]) -> Places | None:
    """The places of a map that was looked at in another shape for a while, as to normalise it.

    None unless nothing but pointwise steps were taken meanwhile.
    """
    value = flat
    while value.made_by is not None and value.shape == flat.shape:
        step = value.made_by
        if step.operation in VIEWS:
            whole = step.inputs[0]
            return whole.places if whole.shape == shape and whole.spatial else None
        alike = [v for v in step.inputs if v.from_image and v.shape == flat.shape]
        if step.operation.removesuffix("_") not in SCALING or not alike:
            return None
        value = alike[0]
    return None


SCALING: Final = frozenset({"add", "sub", "mul", "div"})
"""What is done to a map that is normalised by hand."""


def _repeated(source: Value, shape: tuple[int, ...]) -> Places | None:
    """The places of a map each sample of which a view lays down several times in a row.

    None unless a new dimension has been expanded right behind that of the samples, which is how
    `repeat_interleave` works; the view makes one of both.
    """
    step = source.made_by
    while step is not None and step.operation in ("clone", "contiguous"):
        step = step.inputs[0].made_by
    if step is None or step.operation != "expand":
        return None
    narrow = step.inputs[0].shape
    sizes: list[int] = []
    places: list[Place | None] = []
    for before, after, place in zip(narrow, source.shape, source.places, strict=False):
        last = places[-1] if places else None
        if before == 1 < after and place is None and last is not None:
            places[-1] = last.resized(sizes[-1], sizes[-1] * after, corners=False, reach=0.0)
            sizes[-1] *= after
        else:
            places.append(place)
            sizes.append(after)
    return tuple(places) if tuple(sizes) == shape else None


def _is_bent(step: float) -> bool:
    """Whether a step is no power of two."""
    return step > 0 and math.frexp(step)[0] != 0.5


def _name(func: Any) -> str:
    """An operation's name in torch's table."""
    return str(func._schema.name).removeprefix("aten::")


def _merged(inputs: tuple[Value, ...], shape: tuple[int, ...], besides: int = -1) -> Places:
    """Where a merge of several maps lies: where the one does that was never coarser.

    That is the skip, whose samples lie where pooling left them. Where all were coarser, as behind a
    gate that knows of what comes up, it is the one that no interpolation has stretched.
    """
    places: list[Place | None] = [None] * len(shape)
    maps = [value for value in inputs if value.from_image]
    # Of equals, as the four parts of a wavelet, it is the one that was named first.
    for value in sorted(maps, key=lambda v: (v.deepest, _is_bent(v.step))):
        lead = len(shape) - len(value.shape)
        for dim, place in enumerate(value.places):
            known = place is not None and lead + dim >= 0 and lead + dim != besides
            if not known or value.shape[dim] != shape[lead + dim]:
                continue
            assert place is not None
            mine = places[lead + dim]
            places[lead + dim] = place if mine is None else mine.joined(place)
    return tuple(places)
