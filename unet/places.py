"""Where maps lie: the place of one axis, and how each operation moves it.

A map's place along one axis is a `Place`: sample i is centred on input pixel offset + i * step.
After an operation that is not understood the place is unknown, never guessed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, final


@final
@dataclass(frozen=True, slots=True)
class Place:
    """Where the samples of one axis lie, in pixels of the input's axis `origin`.

    Sample i is centred on `offset + i * step`; a negative step runs backwards. It sees the
    input from `before` below its centre to `after` above.
    """

    origin: int
    step: float
    offset: float
    before: float = 0.0
    after: float = 0.0

    def windowed(self, kernel: int, stride: int, left: int, dilation: int) -> Place:
        """After a window of `kernel` taps over a map padded by `left` at its beginning."""
        half = dilation * (kernel - 1) / 2
        return replace(
            self,
            step=self.step * stride,
            offset=self.offset + self.step * (half - left),
            before=self.before + abs(self.step) * half,
            after=self.after + abs(self.step) * half,
        )

    def spread(self, kernel: int, stride: int, left: int, dilation: int) -> Place:
        """After a transposed window: the inverse of `windowed` in step and offset."""
        step = self.step / stride
        offset = self.offset + step * (left - dilation * (kernel - 1) / 2)
        reach = abs(step) * max(0.0, (dilation * (kernel - 1) + 1 - stride) / 2)
        return replace(
            self, step=step, offset=offset, before=self.before + reach, after=self.after + reach
        )

    def resized(self, size: int, wanted: int, *, corners: bool, reach: float) -> Place:
        """After interpolation from `size` samples to `wanted`; `reach` in samples of the input."""
        if corners and wanted > 1:
            step, offset = self.step * (size - 1) / (wanted - 1), self.offset
        else:
            step = self.step * size / wanted
            offset = self.offset + step / 2 - self.step / 2
        beyond = abs(self.step) * reach
        return replace(
            self, step=step, offset=offset, before=self.before + beyond, after=self.after + beyond
        )

    def shifted(self, samples: float) -> Place:
        """After so many samples have been cut off the beginning."""
        return replace(self, offset=self.offset + samples * self.step)

    def strided(self, start: int, stride: int) -> Place:
        """After keeping every `stride`-th sample from `start` on."""
        return replace(self, offset=self.offset + start * self.step, step=self.step * stride)

    def laid(self, start: int, stride: int) -> Place:
        """After being written to every `stride`-th sample of a finer map, from `start` on."""
        step = self.step / stride
        return replace(self, offset=self.offset - start * step, step=step)

    def reversed(self, size: int) -> Place:
        """After the order of the samples has been turned round."""
        return replace(self, offset=self.offset + (size - 1) * self.step, step=-self.step)

    def at(self, sample: int) -> float:
        """The centre of `sample` in input pixels."""
        return self.offset + sample * self.step

    def joined(self, other: Place) -> Place:
        """A merged map lies where this one does and sees what either sees."""
        apart = other.offset - self.offset
        return replace(
            self,
            before=max(self.before, other.before - apart),
            after=max(self.after, other.after + apart),
        )


Places = tuple[Place | None, ...]
"""One entry for each dimension; None for batch, channels, and what is not known."""


@final
@dataclass(frozen=True, slots=True)
class Call:
    """What a rule may read: the map before, the shape after, and the operation's settings.

    `number` is that of the result, for an operation that returns several.
    """

    before: tuple[int, ...]
    places: Places
    shape: tuple[int, ...]
    settings: Mapping[str, Any]
    number: int

    @property
    def axes(self) -> int:
        """How many dimensions have a place."""
        return sum(place is not None for place in self.places)

    def moved(self, count: int, change: Callable[[Place, int], Place]) -> Places:
        """The places with the last `count` changed, each by its own number."""
        places = list(self.places)
        for axis in range(count):
            dim = len(places) - count + axis
            place = places[dim]
            if place is not None:
                places[dim] = change(place, axis)
        return tuple(places)

    def dim(self, name: str = "dim", default: int = 0) -> int:
        """A dimension of the map before, counted from the front."""
        return int(self.settings.get(name, default)) % max(len(self.before), 1)

    def each(self, name: str, count: int, default: int = 0) -> list[int]:
        """A setting that may be missing, one number, or one for each axis."""
        return numbers(self.settings.get(name) or default, count)


def numbers(setting: Any, count: int) -> list[int]:  # noqa: ANN401  # one number or several
    """One number for each of `count` axes."""
    values = list(setting) if isinstance(setting, (list, tuple)) else [setting]
    return [int(value) for value in (values * count if len(values) == 1 else values)]


def _convolution(call: Call) -> Places:
    count = len(call.shape) - 2
    kernel = tuple(call.settings["weight"].shape[2:])
    stride, padding, dilation = (
        call.each(name, count) for name in ("stride", "padding", "dilation")
    )
    move = Place.spread if call.settings["transposed"] else Place.windowed
    return call.moved(
        count, lambda place, a: move(place, kernel[a], stride[a], padding[a], dilation[a])
    )


def _pooling(call: Call) -> Places:
    kernel = numbers(call.settings["kernel_size"], call.axes)
    stride = numbers(call.settings.get("stride") or kernel, call.axes)
    padding, dilation = call.each("padding", call.axes), call.each("dilation", call.axes, 1)
    places = call.moved(
        len(kernel),
        lambda place, a: place.windowed(kernel[a], stride[a], padding[a], dilation[a]),
    )
    # One window over all there is makes a number of a side, and no coarser map.
    taken = dict(zip(range(-len(kernel), 0), kernel, strict=True))
    rank = len(call.before)
    whole = {d % rank for d, size in taken.items() if size == call.before[d] > 2}
    return tuple(None if dim in whole else place for dim, place in enumerate(places))


def _resizing(call: Call) -> Places:
    corners = bool(call.settings.get("align_corners", False))
    reach = 0.0 if call.settings.get("align_corners") is None else 1.0
    return _scaled(call, len(call.shape) - 2, reach, corners=corners)


def _scaled(call: Call, count: int, reach: float, *, corners: bool = False) -> Places:
    sizes, wanted = call.before[-count:], call.shape[-count:]
    return call.moved(
        count,
        lambda place, a: (
            place
            if sizes[a] == wanted[a]
            else place.resized(sizes[a], wanted[a], corners=corners, reach=reach)
        ),
    )


def _adaptive(call: Call) -> Places:
    places = _scaled(call, call.axes, 0.5)
    return tuple(
        None if size == 1 else place for place, size in zip(places, call.shape, strict=True)
    )


def _shuffle(call: Call) -> Places:
    return _scaled(call, 2, 0.0)


def _pad(call: Call) -> Places:
    amounts = [int(a) for a in call.settings.get("pad", call.settings.get("padding", ()))]
    count = len(amounts) // 2
    return call.moved(count, lambda place, a: place.shifted(-amounts[2 * (count - 1 - a)]))


def _changed(call: Call, dim: int, change: Callable[[Place], Place]) -> Places:
    """The places with that of one dimension changed, if it is known."""
    places = list(call.places)
    place = places[dim]
    places[dim] = None if place is None else change(place)
    return tuple(places)


def _slice(call: Call) -> Places:
    size = call.before[call.dim()]
    start = call.settings.get("start") or 0
    start = max(0, start + size) if start < 0 else min(start, size)
    stride = int(call.settings.get("step") or 1)
    return _changed(call, call.dim(), lambda place: place.strided(int(start), stride))


def _select(call: Call) -> Places:
    return call.places[: call.dim()] + call.places[call.dim() + 1 :]


def _split(call: Call) -> Places:
    sizes = call.settings.get("split_size", call.settings.get("split_sizes"))
    several = isinstance(sizes, (list, tuple))
    start = sum(sizes[: call.number]) if several else int(sizes) * call.number
    return _changed(call, call.dim(), lambda place: place.shifted(start))


def _flip(call: Call) -> Places:
    turned = {dim % len(call.shape) for dim in call.settings["dims"]}
    return tuple(
        place.reversed(call.shape[dim]) if place and dim in turned else place
        for dim, place in enumerate(call.places)
    )


def _roll(call: Call) -> Places:
    shifts = numbers(call.settings["shifts"], 1)
    places = list(call.places)
    for shift, dim in zip(shifts, call.settings.get("dims") or (), strict=False):
        place = places[dim]
        places[dim] = place and place.shifted(-shift)
    return tuple(places)


def _permute(call: Call) -> Places:
    return tuple(call.places[dim] for dim in call.settings["dims"])


def _transpose(call: Call) -> Places:
    places = list(call.places)
    named = "dim0" in call.settings
    a, b = (call.dim("dim0"), call.dim("dim1")) if named else (0, -1)
    places[a], places[b] = places[b], places[a]
    return tuple(places)


def _view(call: Call) -> Places:
    """Dimensions that keep their sizes, counted from the end, keep their places."""
    places: list[Place | None] = [None] * len(call.shape)
    for back in range(1, min(len(call.shape), len(call.before)) + 1):
        if call.shape[-back] != call.before[-back]:
            break
        places[-back] = call.places[-back]
    # A map whose rows were merged with something is no map any more.
    whole = sum(place is not None for place in places) == call.axes
    return tuple(places) if whole else (None,) * len(call.shape)


def _unsqueeze(call: Call) -> Places:
    places = list(call.places)
    places.insert(call.settings["dim"] % len(call.shape), None)
    return tuple(places)


def _squeeze(call: Call) -> Places:
    dims = call.settings.get("dim")
    rank = len(call.before)
    chosen = range(rank) if dims is None else [dim % rank for dim in numbers(dims, 1)]
    gone = {dim for dim in chosen if call.before[dim] == 1}
    return tuple(place for dim, place in enumerate(call.places) if dim not in gone)


def _reduce(call: Call) -> Places:
    dims = call.settings.get("dim")
    rank = len(call.before)
    gone = set(range(rank)) if not dims and dims != 0 else {d % rank for d in numbers(dims, 1)}
    kept = [None if dim in gone else place for dim, place in enumerate(call.places)]
    if call.settings.get("keepdim"):
        return tuple(kept)
    return tuple(place for dim, place in enumerate(kept) if dim not in gone)


def _repeat(call: Call) -> Places:
    lead = len(call.shape) - len(call.before)
    places = (None,) * lead + call.places
    sizes = (1,) * lead + call.before
    return tuple(
        place if size == after else None
        for place, size, after in zip(places, sizes, call.shape, strict=True)
    )


def _index_select(call: Call) -> Places:
    places = list(call.places)
    dim = call.settings["dim"] % len(call.before)
    place, chosen = places[dim], call.settings["index"].tolist()
    steps = {after - before for before, after in itertools.pairwise(chosen)}
    size, wanted = call.before[dim], len(chosen)
    if place is not None:
        # Only what lies evenly is a map still: samples with gaps, or each as often as the others.
        if len(steps) == 1:
            places[dim] = place.strided(chosen[0], steps.pop())
        elif chosen == sorted([*range(size)] * (wanted // size)):
            places[dim] = place.resized(size, wanted, corners=False, reach=0.0)
        else:
            places[dim] = None
    return tuple(places)


RULES: Final[Mapping[str, Callable[[Call], Places]]] = {
    "convolution": _convolution,
    "convolution_overrideable": _convolution,
    "_convolution": _convolution,
    "max_pool2d_with_indices": _pooling,
    "max_pool3d_with_indices": _pooling,
    "max_pool2d": _pooling,
    "avg_pool2d": _pooling,
    "avg_pool3d": _pooling,
    "_adaptive_avg_pool2d": _adaptive,
    "_adaptive_avg_pool3d": _adaptive,
    "adaptive_max_pool2d": _adaptive,
    "upsample_nearest2d": _resizing,
    "_upsample_nearest_exact2d": _resizing,
    "upsample_bilinear2d": _resizing,
    "upsample_bicubic2d": _resizing,
    "_upsample_bilinear2d_aa": _resizing,
    "upsample_nearest3d": _resizing,
    "upsample_trilinear3d": _resizing,
    "max_unpool2d": _resizing,
    "max_unpool3d": _resizing,
    "constant_pad_nd": _pad,
    "reflection_pad2d": _pad,
    "reflection_pad3d": _pad,
    "replication_pad2d": _pad,
    "replication_pad3d": _pad,
    "slice": _slice,
    "select": _select,
    "index_select": _index_select,
    "split": _split,
    "split_with_sizes": _split,
    "flip": _flip,
    "roll": _roll,
    "permute": _permute,
    "transpose": _transpose,
    "t": _transpose,
    "view": _view,
    "_unsafe_view": _view,
    "_reshape_alias": _view,
    "reshape": _view,
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    "mean": _reduce,
    "sum": _reduce,
    "amax": _reduce,
    "amin": _reduce,
    "expand": _repeat,
    "repeat": _repeat,
    "pixel_shuffle": _shuffle,
    "pixel_unshuffle": _shuffle,
}
"""How each operation moves a map."""

ALIKE: Final = frozenset(
    {
        "native_batch_norm", "cudnn_batch_norm", "_native_batch_norm_legit",
        "_native_batch_norm_legit_no_training", "native_group_norm", "native_layer_norm",
        "_softmax", "_log_softmax", "native_dropout", "bernoulli", "clone", "contiguous",
        "_to_copy", "copy", "cumsum", "_prelu_kernel", "channel_shuffle", "detach", "alias",
        "lift_fresh", "glu", "hardswish", "hardswish_", "rrelu_with_noise", "rrelu_with_noise_",
        "log_sigmoid_forward",
    }
)  # fmt: skip
"""Operations that return a map in the place of the one they read."""

MERGES: Final = frozenset({"where", "lerp", "addcmul", "copy_", "minimum", "maximum"})
"""Operations on several maps that torch does not call pointwise."""
