"""Whether the skips arrive."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Final

from torch import Tensor

from unet.anatomy import ALMOST, Anatomy, Change, Join, came_up, level_of, plain
from unet.checks.finding import Check, Finding, fail, first_of, skip, warn
from unet.examination import Examination
from unet.inference import joined_levels, unskipped
from unet.tracing import Step, Value


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
    yield from sides_without_gradient(x)
    yield from first_of(
        joined_amiss(x), zeros_joined(x), skips_of_nothing(x), all_channels_arrive(x)
    )


def sides_without_gradient(x: Examination) -> Iterator[Finding]:
    """Yield a finding for each side of a join that the output does not know of."""
    gradients = x.gradients.at
    for join in x.anatomy.joins:
        sides = {"skip": join.fresh, "map that comes up": join.risen}
        seen = {name: gradients.get(value.index) for name, value in sides.items()}
        most = max((g for g in seen.values() if g), default=0.0)
        for name, gradient in seen.items():
            if gradient is not None and most and gradient <= 1e-12 * most:
                yield fail(
                    f"join at level {join.level}: the {name} does not change the output at all",
                    level=join.level,
                )


def joined_amiss(x: Examination) -> Iterator[Finding]:
    """Yield a finding for maps that are joined with themselves, or several times."""
    for step, maps in x.anatomy.merges:
        kind = plain(step.operation)
        if kind not in ("cat", "add") or not all(v.spatial for v in maps):
            continue
        level = level_of(maps[0].step)
        different = len({v.index for v in maps})
        if different == 1 and came_up(maps[0]):
            yield fail(f"at level {level} a map is joined with itself")
        if kind == "cat" and different < len(maps) and any(map(came_up, maps)):
            yield fail(f"at level {level} a map is joined twice")
        added = [v.made_by for v in maps if v.made_by and plain(v.made_by.operation) == "add"]
        again = any(v in earlier.inputs for earlier in added for v in maps)
        if kind == "add" and again and any(map(came_up, maps)):
            yield fail(f"at level {level} a map is added twice")


def zeros_joined(x: Examination) -> Iterator[Finding]:
    """Yield a finding for zeros that are concatenated with what comes up."""
    for step in x.anatomy.trace.of("cat"):
        risen = [v for v in step.inputs if v.spatial and came_up(v)]
        made = [v.made_by.operation for v in step.inputs if v.made_by and not v.from_image]
        if risen and x.anatomy.is_live(step.output) and ZEROS.intersection(made):
            yield fail(f"at level {level_of(risen[0].step)} zeros are joined in place of a map")


def skips_of_nothing(x: Examination) -> Iterator[Finding]:
    """Yield a finding for a skip that is zero, whatever the image and the weights."""
    for join in x.anatomy.joins:
        if zeroed(join.fresh):
            yield fail(f"join at level {join.level}: the skip is multiplied by zero")
            continue
        shares = [share_of(join, found.sizes) for found in (x.gradients, x.exact_gradients)]
        if max(shares) <= SHUT:
            how = (
                f"at most {max(shares):.0e} of what it meets" if max(shares) else "zero everywhere"
            )
            yield fail(f"join at level {join.level}: the skip is {how}", level=join.level)


def share_of(join: Join, sizes: Mapping[int, float]) -> float:
    """How large a skip is in units of what it meets; 1 if nobody knows."""
    skip_size, other = sizes.get(join.fresh.index), sizes.get(join.risen.index)
    return skip_size / other if skip_size is not None and other else 1.0


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


ZEROS: Final = frozenset({"zeros", "zeros_like", "new_zeros"})


SHUT: Final = 1e-8
"""A share of what comes up at which a skip is nothing."""


def all_channels_arrive(x: Examination) -> Iterator[Finding]:
    """Yield a finding for a join before or after which channels of a skip are left out."""
    for join in x.anatomy.joins:
        before = list(x.anatomy.way_back(join.fresh))
        after = list(itertools.islice(x.anatomy.way_on(join.step.output), 4))
        for step in before + after:
            source, made = step.source, step.output
            if (
                source is None
                or step.index in x.anatomy.conv_of
                or len(source.shape) != len(made.shape)
            ):
                continue
            # Behind a join the mean is there for a gate, which weighs what the join has made.
            if step in before and is_levelled(step):
                yield fail(
                    f"join at level {join.level}: of the skip's {source.shape[1]} channels "
                    f"{step.operation} makes one",
                    level=join.level,
                )
                return
            kept = channels_kept(step)
            if kept is not None and kept < source.shape[1] and alone(x.anatomy, step):
                yield fail(
                    f"join at level {join.level}: of {source.shape[1]} channels {kept} are taken "
                    f"({step.operation}), and nothing else reads the others there",
                    level=join.level,
                )
                return


def is_levelled(step: Step) -> bool:
    """Whether the step makes one channel of all."""
    dims = step.settings.get("dim")
    over = [dims] if isinstance(dims, int) else list(dims or ())
    wide = step.inputs[0].shape[1] > 1 and len(step.inputs[0].shape) > 3
    channels = [dim % len(step.inputs[0].shape) for dim in over] == [1]
    return step.operation in ("mean", "sum", "amax", "amin") and wide and channels


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
    "skips_leave_from_the_end_of_their_level": Check(
        title="A skip is taken after the last convolution of its level.",
        harm="The decoder gets weaker features than the encoder has.",
        cause="The map is kept one line too early.",
        run=skips_leave_from_the_end_of_their_level,
    ),
}
