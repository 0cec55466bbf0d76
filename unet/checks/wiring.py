"""Whether everything that is computed is used, and learns."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Final

import torch

from unet.anatomy import ALMOST, RESIZES, Anatomy, Change, came_up, level_of, plain
from unet.checks.finding import Check, Finding, counted, fail, first_of, in_words, warn
from unet.checks.skips import zeroed
from unet.examination import Examination, Gradients
from unet.inference import encoder_convs
from unet.running import attempt
from unet.tracing import CONSTANT, Value


def gradient_is_cut(x: Examination) -> Iterator[Finding]:
    """Yield a finding where a map on its way to the output loses its history."""
    anatomy = x.anatomy
    if not any(v.index in anatomy.trace.tensors for v in anatomy.trace.outputs):
        yield fail("the output asks for no gradient: the net cannot be trained")
        return
    for value in anatomy.trace.cuts:
        if not anatomy.is_live(value) or not value.from_image or len(value.shape) < 3:
            continue
        if is_meant_without_gradient(value):
            continue
        yield fail(
            f"a map of {value.shape[1]} channels at step {value.step:g} is taken out of the graph "
            f"({value.made_by.operation if value.made_by else 'copied'}): no gradient flows back "
            f"through it",
            operation=value.made_by.operation if value.made_by else "",
        )
        return
    for step in anatomy.trace.of("sign", "round"):
        value = step.output
        between = anatomy.is_live(value) and value.is_learnt and step not in anatomy.final_steps()
        # To let the gradient pass by, what was rounded is subtracted from what was not.
        around = any(plain(user.operation) == "sub" for user in value.users)
        if between and value.from_image and len(value.shape) > 2 and not around:
            yield fail(
                f"a map of {value.shape[1]} channels at step {value.step:g} goes through "
                f"{step.operation}, which has no gradient: nothing is learnt through it",
                operation=step.operation,
            )
            return
    for value in anatomy.trace.values:
        found = value.kind == CONSTANT and value.made_by is None
        leaves = found and len(value.shape) > 2 and min(value.shape[2:]) > 8
        if leaves and value.floating and anatomy.is_live(value) and could_be_a_map(value):
            yield fail(
                "a map enters from outside the graph (through numpy, a list or a cache): no "
                "gradient flows back through it",
                shape=value.shape,
            )
            return


def is_meant_without_gradient(value: Value) -> bool:
    """Whether it is a largest value, as is taken off before a softmax, or becomes an index."""
    source = value.made_by
    while source is not None and source.operation == "detach":
        source = source.inputs[0].made_by
    largest = source is not None and source.operation in ("amax", "max")
    rounded = [plain(user.operation) in ("floor", "ceil", "round") for user in value.users]
    return largest or (bool(rounded) and all(rounded))


def could_be_a_map(value: Value) -> bool:
    """Whether a constant has the shape of a map of features for one image."""
    return not value.name and value.shape[0] == 1 and value.shape[1] > 1


def everything_is_used(x: Examination) -> Iterator[Finding]:
    """Yield a finding for each convolution whose result goes nowhere, or is multiplied away."""
    anatomy = x.anatomy
    dead = [conv for conv in anatomy.convs if not anatomy.is_live(conv.output)]
    if dead:
        only_trained = all(conv.weight.name in x.used_in_training for conv in dead)
        yield (warn if only_trained else fail)(
            f"computed and thrown away{' in evaluation' if only_trained else ''}: {dead[-1].name}"
            + (f" and {counted(len(dead) - 1, 'convolution')} before it" if len(dead) > 1 else ""),
            convolutions=[conv.name for conv in dead],
        )
        if not only_trained:
            return
    yield from itertools.islice(picked_or_ignored(x), 1)
    yield from itertools.islice(never_read(x), 1)
    # A narrow layer may be dead by the chance of its weights; not so with two sets of them.
    silent = silent_convs(anatomy, x.gradients)
    if silent:
        silent &= silent_convs(anatomy, x.exact_gradients)
    for conv in anatomy.convs:
        if conv.output.index in silent:
            yield fail(f"{conv.name} does not change the output at all", convolution=conv.name)
            return


def picked_or_ignored(x: Examination) -> Iterator[Finding]:
    """Yield a finding for what is returned in part, multiplied by zero, or asked for in vain."""
    anatomy = x.anatomy
    for step in anatomy.final_steps():
        source = next(v for v in step.inputs if v.from_image)
        channels = step.output.shape[1] if len(step.output.shape) == len(source.shape) else 1
        picks = step.operation in ("select", "slice") and int(step.settings.get("dim", 0)) == 1
        if picks and len(source.shape) == x.axes + 2 and channels < source.shape[1]:
            yield fail(
                f"of the {source.shape[1]} channels of the last convolution {channels} are "
                f"returned: the others never learn"
            )
    for step in anatomy.trace.of("mul", "mul_"):
        if zeroed(step.output) and anatomy.is_live(step.output) and step.inputs[0].is_learnt:
            yield fail("what layers have computed is multiplied by zero")
    for name in x.ignored_inputs:
        yield fail(f"the output does not depend on {name}, which forward asks for")


def never_read(x: Examination) -> Iterator[Finding]:
    """Yield a finding for channels of the image, or parts of a map, that nothing reads."""
    for channel in x.unread_channels:
        yield fail(f"channel {channel} of the image does not change the output")
    # What is left out of a skip is another check's matter.
    skipped = {s.index for join in x.anatomy.joins for s in x.anatomy.way_back(join.fresh)}
    for step in x.anatomy.trace.of("split", "split_with_sizes", "unbind"):
        learnt = step.inputs[0].from_image and step.inputs[0].is_learnt
        if not learnt or step.index in skipped:
            continue
        dead = [made for made in step.outputs if not x.anatomy.is_live(made)]
        if dead and len(dead) < len(step.outputs):
            yield fail(
                f"a map is parted in {len(step.outputs)} and {counted(len(dead), 'part')} thrown "
                f"away: {in_words(dead[0].shape[1:])}",
                shape=dead[0].shape,
            )


def silent_convs(anatomy: Anatomy, gradients: Gradients) -> set[int]:
    """The convolutions whose results have a gradient of nothing, by the index of the result."""
    largest = max((g for g in gradients.at.values() if g), default=0.0)
    outputs = {conv.output.index for conv in anatomy.convs}
    return {
        index
        for index, gradient in gradients.at.items()
        if index in outputs and gradient is not None and gradient <= 1e-30 * largest
    }


def what_goes_down_was_convolved(x: Examination) -> Iterator[Finding]:
    """A finding for a level that is left out on the way down, as a whole or in part."""
    return first_of(skip_alone(x), bypassed(x), read_in_part(x))


def skip_alone(x: Examination) -> Iterator[Finding]:
    """Yield a finding for a level whose convolutions serve its skip alone."""
    convolved = encoder_convs(x.anatomy)
    for down in x.anatomy.downs:
        source = down.before
        convs = convolved.get(level_of(source.step), [])
        if came_up(source) or not convs or not leads_on(x.anatomy, down):
            continue
        conv = x.anatomy.conv_of.get(down.step.index)
        if conv is not None and min(conv.stride) > 2 and not x.anatomy.last_convs(source):
            continue  # a transformer's patches are cut from the image itself
        if not any(source.descends_from(conv.output) for conv in convs):
            yield fail(
                f"level {level_of(source.step)}: what is pooled has not been "
                f"through {convs[-1].name}, which serves the skip alone",
            )
            return


def bypassed(x: Examination) -> Iterator[Finding]:
    """Yield a finding for a level that what lies below it has not been through."""
    convolved = encoder_convs(x.anatomy)
    deepest = [up.before for up in x.anatomy.ups if not came_up(up.before)]
    bottom = max(deepest, key=lambda value: value.step, default=None)
    if bottom is None:
        return
    for level, convs in convolved.items():
        if level >= level_of(bottom.step) or any(bottom.descends_from(c.output) for c in convs):
            continue
        # In a pyramid each level convolves the image anew.
        finer = [conv for each, found in convolved.items() if each < level for conv in found]
        if any(convs[-1].output.descends_from(conv.output) for conv in finer):
            yield fail(
                f"level {level}: the levels below have not been through {convs[-1].name}: the way "
                f"down passes the level by"
            )
            return


def read_in_part(x: Examination) -> Iterator[Finding]:
    """Yield a finding for a level whose pixels are left out on the way down."""
    reading: dict[int, list[Change]] = {}
    for down in x.anatomy.downs:
        if not came_up(down.before):
            reading.setdefault(level_of(down.before.step), []).append(down)
    for level, downs in reading.items():
        convs = [x.anatomy.conv_of.get(down.step.index) for down in downs]
        sparse = [c for c in convs if c is not None and max(c.kernel) < min(c.stride)]
        if sparse and len(sparse) == len(downs):
            yield fail(
                f"level {level}: of {in_words(sparse[0].stride)} pixels {sparse[0].name} reads "
                f"one, and nothing reads the others on the way down"
            )
            return


def leads_on(anatomy: Anatomy, down: Change) -> bool:
    """Whether it is the only way down from its level, or the only one of its kind."""
    return not any(
        abs(other.before.step / down.before.step - 1) < 0.3 and not came_up(other.before)
        for other in anatomy.downs
        if other is not down
    )


def nothing_is_overwritten(x: Examination) -> Iterator[Finding]:
    """Yield a finding if the image is overwritten, or a map that is needed to go backward."""
    image = x.image(x.sides).to(x.dtype)
    given = image.clone()
    attempt(x.net, image)
    if not torch.equal(image, given):
        yield fail("forward overwrites the image that it is given, in place")
        return
    for where, error in (("", x.gradients.error), (" in training", x.lesson.error)):
        if "inplace" in error:
            yield fail(
                f"a map that the backward pass needs has been overwritten in place{where}",
                error=error,
            )
            return


def upsampling_doubles(x: Examination) -> Iterator[Finding]:
    """Yield a finding where a map is resized one way and back again before any convolution."""
    anatomy = x.anatomy
    for up in anatomy.ups:
        for user in anatomy.way_on(up.after):
            source = user.source
            if source is None or not user.output.spatial or not anatomy.is_live(user.output):
                continue
            ratio = user.output.step / source.step
            if ratio > 1.001 and user.index not in anatomy.conv_of:
                # What is read at its full size as well was enlarged for a reason.
                wasted = plain(user.operation) in RESIZES or len(up.after.users) == 1
                yield (fail if wasted else warn)(
                    f"a map is enlarged to {size_of(up.after)} and made smaller again, to "
                    f"{size_of(user.output)} ({user.operation}), before any convolution",
                    operation=user.operation,
                )
                return
    for up in anatomy.ups:
        source = pooled_too_far(anatomy, up)
        if source is not None:
            yield fail(
                f"a map of {size_of(source)} is pooled to {size_of(up.before)} and enlarged "
                f"again, to {size_of(up.after)}, before any convolution",
                operation=up.step.operation,
            )
            return


def size_of(value: Value) -> str:
    """The sides of a map, in words."""
    return in_words(value.shape[-len(value.spatial) :])


def pooled_too_far(anatomy: Anatomy, up: Change) -> Value | None:
    """The map that was made coarser than `up` makes it, from as fine or finer; None if none was."""
    learnt = up.step.index in anatomy.conv_of
    for step in anatomy.way_back(up.before):
        source = step.source
        if source is None or not step.output.spatial or step.index in anatomy.conv_of:
            return None
        # A map that is read elsewhere, too, may want its own blurred beside it.
        alone = len(source.users) == 1 and not learnt
        lost = alone and source.step < up.after.step * ALMOST
        if lost or source.step * ALMOST < up.after.step:
            return source
        # A level of a pyramid is there for its own sake.
        if source.step * ALMOST < up.before.step and len(source.users) > 1:
            return None
    return None


CHECKS: Final[Mapping[str, Check]] = {
    "gradients_flow_through_every_path": Check(
        title="No map on its way to the output is taken out of the graph.",
        harm="What stands before it is not trained along this path.",
        cause="detach(), .data, torch.no_grad(), a round trip through numpy.",
        run=gradient_is_cut,
    ),
    "everything_computed_is_used": Check(
        title="Each convolution's result reaches an output.",
        harm="A stage costs time and memory and does nothing.",
        cause="A wrong variable is handed on.",
        run=everything_is_used,
    ),
    "what_goes_down_was_convolved": Check(
        title="What is pooled has been through the convolutions of its level.",
        harm="The deeper levels see less than they could.",
        cause="A wrong variable is pooled.",
        run=what_goes_down_was_convolved,
    ),
    "nothing_is_overwritten": Check(
        title="No map that is still needed is overwritten.",
        harm="Training fails, or trains on something else.",
        cause="An in-place operation on a map that is kept for its skip.",
        run=nothing_is_overwritten,
    ),
    "upsampling_doubles": Check(
        title="No map is resized one way and back again.",
        harm="Work is wasted, detail is lost, and pixels are mixed that should not be.",
        cause="A wrong factor, mended by a resize.",
        run=upsampling_doubles,
    ),
}
