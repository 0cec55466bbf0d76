"""Whether the skips arrive, and whether everything that is computed is used."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Final

from torch import Tensor

from unet.anatomy import ALMOST, RESIZES, Anatomy, Change, came_up, level_of, plain
from unet.checks.finding import Check, Finding, counted, fail, in_words, skip, warn
from unet.examination import Examination, Gradients
from unet.inference import encoder_convs, joined_levels, unskipped
from unet.tracing import CONSTANT, Step, Value


def levels_are_joined(x: Examination) -> Iterator[Finding]:
    """Yield a finding for each level on the way down whose map never meets what comes up."""
    anatomy = x.anatomy
    if not anatomy.output.spatial:
        yield skip("the output could not be followed back to the image")
        return
    if not anatomy.downs:
        lost = anatomy.loses_its_place
        yield (skip if lost else fail)(
            "where a map lies was lost on the way, so that levels are not known"
            if lost
            else "the net never halves its resolution: it has no contracting path"
        )
        return
    if not anatomy.ups:
        yield warn("no upsampling was seen: how maps get their resolution back is not understood")
        return
    missing = unskipped(anatomy)
    claimed = x.claims.get("unskipped", "").split(",")
    forgotten = [level for level in missing if str(level) not in claimed]
    if not forgotten:
        return
    how = how_else_joined(anatomy)
    if how:
        yield skip(f"maps that are joined have been through {how}, which is not followed")
    elif joined_levels(anatomy):
        yield from not_joined(anatomy, forgotten)
    elif any(join.level > 0 for join in anatomy.joins):
        yield fail(
            "every skip is taken after the pooling of its level: what the level's convolutions "
            "make never meets the map that comes up",
            levels=missing,
        )
    elif x.claims.get("skip") != "none":
        report = fail if attempts_at_skips(anatomy) else warn
        yield report(
            "no map of the contracting path meets what comes up: the net has no skips",
            levels=missing,
        )


def not_joined(anatomy: Anatomy, missing: list[int]) -> Iterator[Finding]:
    """Yield a finding for each level that is left out."""
    for level in missing:
        yield fail(
            f"level {level}: what its convolutions make on the way down never meets the map that "
            f"comes up{after_pooling(anatomy, level)}",
            level=level,
        )


def how_else_joined(anatomy: Anatomy) -> str:
    """The operation after which a join cannot be seen: writing, or samples taken anywhere."""
    for step in anatomy.trace.of("copy_"):
        written, *changed = step.outputs
        wider = any(whole.shape[1:2] > written.shape[1:2] for whole in changed)
        if wider and written.from_image and len(written.shape) > 3:
            return "copy_"
    for _, maps in anatomy.merges:
        for value in maps if any(map(came_up, maps)) else []:
            for step in anatomy.way_back(value):
                if not value.spatial and step.operation in GATHERING:
                    return step.operation
    return ""


GATHERING: Final = frozenset({"grid_sampler_2d", "grid_sampler_3d", "index", "gather"})
"""Operations that take samples from anywhere."""


def after_pooling(anatomy: Anatomy, level: int) -> str:
    """A word on a skip that was pooled and enlarged again, if there is one at the level."""
    for _, maps in anatomy.merges:
        for value in maps:
            if level_of(value.step) == level and bounced(anatomy, value):
                return ": it is pooled and enlarged again before it is joined"
    return ""


def attempts_at_skips(anatomy: Anatomy) -> bool:
    """Whether the way up has joins that only lack a skip: with itself, with zeros, from below."""
    for step in anatomy.trace.steps:
        if not anatomy.is_live(step.output) or plain(step.operation) not in ("cat", "add"):
            continue
        maps = [v for v in step.inputs if len(v.shape) == len(step.output.shape) > 2]
        risen = [v for v in maps if v.spatial and came_up(v)]
        if len(maps) < 2 or not risen:
            continue
        if step.operation == "cat" or any(not v.from_image for v in maps):
            return True
        if len({v.index for v in maps}) == 1:
            return True
    return False


def skips_are_alive(x: Examination) -> Iterator[Finding]:
    """Yield a finding for each join one side of which does not reach the output."""
    gradients = x.gradients.at
    for join in x.anatomy.joins:
        sides = {"skip": join.fresh, "map that comes up": join.risen}
        seen = {name: gradients.get(value.index) for name, value in sides.items()}
        known = [g for g in seen.values() if g]
        for name, gradient in seen.items():
            if gradient is not None and known and gradient <= 1e-12 * max(known):
                yield fail(
                    f"join at level {join.level}: the {name} does not change the output at all",
                    level=join.level,
                )
    for step, maps in x.anatomy.merges:
        if step.operation not in ("cat", "add", "add_") or not all(v.spatial for v in maps):
            continue
        different = len({v.index for v in maps})
        if different == 1 and came_up(maps[0]):
            yield fail(f"at level {level_of(maps[0].step)} a map is joined with itself")
            return
        if step.operation == "cat" and different < len(maps) and any(map(came_up, maps)):
            yield fail(f"at level {level_of(maps[0].step)} a map is joined twice")
            return
    for join in x.anatomy.joins:
        if zeroed(join.fresh):
            yield fail(f"join at level {join.level}: the skip is multiplied by zero")
            return
    yield from all_channels_arrive(x)


def zeroed(value: Value) -> bool:
    """Whether the value is a product with a constant zero; a weight that starts at zero learns."""
    step = value.made_by
    while step is not None and plain(step.operation) in ("slice", "constant_pad_nd", "clone"):
        value, step = step.inputs[0], step.inputs[0].made_by
    if step is None or plain(step.operation) != "mul":
        return False
    other = step.settings.get("other")
    if isinstance(other, (int, float)):
        return other == 0
    if not isinstance(other, Tensor) or step.inputs[-1].is_learnt:
        return False
    return other.numel() > 0 and not bool(other.detach().any())


def all_channels_arrive(x: Examination) -> Iterator[Finding]:
    """Yield a finding for a join before or after which channels of a skip are left out."""
    for join in x.anatomy.joins:
        before = [(s, s.output) for s in x.anatomy.way_back(join.fresh)]
        after = [(s, s.output) for s in itertools.islice(x.anatomy.way_on(join.step.output), 4)]
        for step, made in before + after:
            source = step.source
            if (
                source is None
                or step.index in x.anatomy.conv_of
                or len(source.shape) != len(made.shape)
            ):
                continue
            kept = channels_kept(step)
            if kept is not None and kept < source.shape[1] and alone(x.anatomy, step):
                yield fail(
                    f"join at level {join.level}: of {source.shape[1]} channels {kept} are taken "
                    f"({step.operation}), and nothing else reads the others there",
                    level=join.level,
                )
                return


def channels_kept(step: Step) -> int | None:
    """How many channels of a map the step lets through; None if it does not pick any."""
    name, settings = step.operation, step.settings
    if name in ("slice", "split", "split_with_sizes", "index_select"):
        if int(settings.get("dim") or 0) % len(step.output.shape) != 1:
            return None
        if name == "index_select":
            return int(settings["index"].unique().numel())
        read = [value for value in step.outputs if value.users]
        return sum(value.shape[1] for value in read)
    if name == "index":
        rows = list(settings["indices"])
        picked = len(rows) > 1 and rows[0] is None and isinstance(rows[1], Tensor)
        others = any(each is not None for each in rows[2:])
        return int(rows[1].unique().numel()) if picked and not others else None
    return None


def alone(anatomy: Anatomy, step: Step) -> bool:
    """Whether no other step takes other channels of the same map."""
    source = step.source
    assert source is not None
    return not any(
        user is not step and channels_kept(user) is not None and anatomy.is_live(user.output)
        for user in source.users
    )


def gradient_is_cut(x: Examination) -> Iterator[Finding]:
    """Yield a finding where a map on its way to the output loses its history."""
    anatomy = x.anatomy
    if not any(v.index in anatomy.trace.tensors for v in anatomy.trace.outputs):
        yield fail("the output asks for no gradient: the net cannot be trained")
        return
    for value in anatomy.trace.cuts:
        if not anatomy.is_live(value) or not value.from_image or len(value.shape) < 3:
            continue
        yield fail(
            f"a map of {value.shape[1]} channels at step {value.step:g} is taken out of the graph "
            f"({value.made_by.operation if value.made_by else 'copied'}): no gradient flows back "
            f"through it",
            operation=value.made_by.operation if value.made_by else "",
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


def silent_convs(anatomy: Anatomy, gradients: Gradients) -> set[int]:
    """The convolutions whose results have a gradient of nothing, by the index of the result."""
    largest = max((g for g in gradients.at.values() if g), default=0.0)
    outputs = {conv.output.index for conv in anatomy.convs}
    return {
        index
        for index, gradient in gradients.at.items()
        if index in outputs and gradient is not None and gradient <= 1e-30 * largest
    }


def skips_leave_from_the_end_of_their_level(x: Examination) -> Iterator[Finding]:
    """Yield a finding for a skip taken before its level's last convolution."""
    anatomy = x.anatomy
    fresh = [join.fresh for join in anatomy.joins]
    bottom = max((up.before for up in anatomy.ups), key=lambda v: v.step, default=None)
    for down in anatomy.downs:
        source = down.before
        # What is made coarser in a gate does not lead down.
        if came_up(source) or not (bottom is None or bottom.descends_from(down.after)):
            continue
        last = [conv for conv in anatomy.last_convs(source) if max(conv.kernel) > 1]
        last = [conv for conv in last if abs(conv.output.step / source.step - 1) < 0.3]
        skips = [v for v in fresh if abs(v.step / source.step - 1) < 0.3]
        if not last or not skips:
            continue
        if down.step.index in anatomy.conv_of and not any(
            v.descends_from(source) or source.descends_from(v) for v in skips
        ):
            continue
        if any(v.descends_from(conv.output) for v in skips for conv in last):
            continue
        if not looks_down_from_a_skip(anatomy, down, skips):
            level = level_of(source.step)
            yield fail(
                f"level {level}: the skip is taken before {last[-1].name}, the last convolution "
                f"of its level",
                level=level,
            )


def looks_down_from_a_skip(anatomy: Anatomy, down: Change, skips: list[Value]) -> bool:
    """Whether the level's end was skipped and led down elsewhere, and this is made of it later.

    As in a gate that compares it with what comes up.
    """
    for other in anatomy.downs:
        end = other.before
        if other is down or end is down.before or not down.before.descends_from(end):
            continue
        if abs(end.step / down.before.step - 1) < 0.3:
            last = anatomy.last_convs(end)
            if any(v.descends_from(conv.output) for v in skips for conv in last):
                return True
    return False


def what_goes_down_was_convolved(x: Examination) -> Iterator[Finding]:
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


def leads_on(anatomy: Anatomy, down: Change) -> bool:
    """Whether it is the only way down from its level, or the only one of its kind."""
    return not any(
        abs(other.before.step / down.before.step - 1) < 0.3 and not came_up(other.before)
        for other in anatomy.downs
        if other is not down
    )


def bounced(anatomy: Anatomy, value: Value) -> bool:
    """Whether the value is a map made coarser and finer again with no convolution between."""
    grown = False
    for step in anatomy.way_back(value):
        if step.source is None or not step.output.spatial or step.index in anatomy.conv_of:
            return False
        if grown and step.output.step > step.source.step * ALMOST:
            return True
        grown = grown or step.output.step * ALMOST < step.source.step
    return False


def nothing_is_overwritten(x: Examination) -> Iterator[Finding]:
    """Yield a finding if the net cannot go backward because a map was overwritten."""
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
    "every_level_is_joined": Check(
        title="What each level of the contracting path makes meets the map that comes up.",
        harm="Fine detail of that level is lost: contours get coarse.",
        cause="A skip forgotten, replaced by zeros, or joined with the wrong map. If one is left "
        "out on purpose, claim so: unskipped=0.",
        run=levels_are_joined,
    ),
    "both_sides_of_a_join_reach_the_output": Check(
        title="Skip and upsampled map both change the output.",
        harm="Half of the decoder's input is dead weight.",
        cause="A product with zero, a map joined with itself.",
        run=skips_are_alive,
    ),
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
    "skips_leave_from_the_end_of_their_level": Check(
        title="A skip is taken after the last convolution of its level.",
        harm="The decoder gets weaker features than the encoder has.",
        cause="The map is kept one line too early.",
        run=skips_leave_from_the_end_of_their_level,
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
