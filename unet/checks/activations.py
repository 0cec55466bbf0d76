"""Where non-linearities stand, and where they must not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, final

from unet.anatomy import NORMS, Anatomy, Conv, came_up, is_activation, is_straight, plain
from unet.checks.finding import Check, Finding, fail, first_of, in_words, warn
from unet.examination import Examination
from unet.inference import FINAL, padding_kind, stands_in_upsampling
from unet.running import WatchedProducts, attempt
from unet.tracing import Step, Value


@final
@dataclass(frozen=True)
class Way:
    """How a convolution's result reaches the next ones: without an activation, or with one.

    Of those in `bare` some are reached through a sum with another map alone, as along the stream
    of a residual net.
    """

    bare: list[Conv]
    summed: set[int]
    upsampled: bool
    activated: bool


def way_onward(anatomy: Anatomy, conv: Conv) -> Way:
    """The convolutions that read what `conv` made without an activation between."""
    bare: list[Conv] = []
    direct: set[int] = set()
    upsampled = activated = branched = False
    seen: set[int] = set()
    everything = (0, conv.out_channels)
    waiting = [(user, conv.output, everything, False) for user in conv.output.users]
    while waiting:
        step, value, part, summed = waiting.pop()
        if step.index in seen or not step.outputs or not anatomy.is_live(step.output):
            continue
        seen.add(step.index)
        maps = [v for v in step.inputs if v.from_image]
        branched = branched or any(len(v.users) > 1 for v in maps)
        summed = summed or (plain(step.operation) == "add" and len(maps) > 1)
        if step.index in anatomy.conv_of:
            bare.append(anatomy.conv_of[step.index])
            direct |= set() if summed else {step.index}
        # A norm over the channels of each pixel bends as well; it opens a residual branch.
        elif is_activation(step) or (branched and step.operation == "native_layer_norm"):
            activated = True
        elif len(step.output.shape) > 2:
            upsampled = upsampled or anatomy.is_up(step)
            waiting.extend(
                (user, made, channels, summed)
                for made, channels in carried(step, value, part)
                for user in made.users
            )
    bare.sort(key=lambda c: c.step.index)
    return Way(bare, {c.step.index for c in bare} - direct, upsampled, activated)


def carried(
    step: Step, value: Value, part: tuple[int, int]
) -> Iterator[tuple[Value, tuple[int, int]]]:
    """What a step returns that holds some of these channels of the map, and where it holds them.

    Of a concatenation others may have been cut off again.
    """
    name, dim = step.operation, int(step.settings.get("dim") or 0) % len(value.shape)
    if name == "cat" and dim == 1 and value in step.inputs:
        before = sum(v.shape[1] for v in step.inputs[: step.inputs.index(value)])
        yield step.output, (before + part[0], before + part[1])
    elif name in ("slice", "split", "split_with_sizes") and dim == 1:
        begin = int(step.settings.get("start") or 0) if name == "slice" else 0
        begin += value.shape[1] if begin < 0 else 0
        for made in step.outputs:
            end = begin + made.shape[1]
            if part[0] < end and begin < part[1]:
                yield made, (max(part[0] - begin, 0), min(part[1], end) - begin)
            begin = end
    else:
        for made in step.outputs:
            same = made.shape[1:2] == value.shape[1:2]
            yield made, part if same else (0, made.shape[1] if len(made.shape) > 1 else 1)


def convolutions_are_separated(x: Examination) -> Iterator[Finding]:
    """A finding for the first of the ways in which layers are not separated."""
    return first_of(
        straight_activations(x.anatomy),
        followed_at_once(x.anatomy),
        opened_at_once(x.anatomy),
        mixed_at_once(x.anatomy),
        bent_at_first(x.anatomy),
    )


def straight_activations(anatomy: Anatomy) -> Iterator[Finding]:
    """Yield a finding if there are activations that bend nothing."""
    straight = [s for s in anatomy.trace.steps if is_straight(s) and anatomy.is_live(s.output)]
    if straight:
        yield fail(
            f"leaky ReLUs have a slope of {straight[0].settings['negative_slope']:g} "
            f"({len(straight)}), as nn.LeakyReLU(True) has one of 1: they bend nothing, or what is "
            f"negative grows"
        )


def followed_at_once(anatomy: Anatomy) -> Iterator[Finding]:
    """Yield a finding for convolutions that others follow without an activation."""
    outputs = {value.index for value in anatomy.trace.outputs}
    bare: list[tuple[Conv, Conv]] = []
    for conv in anatomy.convs:
        plain_block = (
            conv.is_ordinary
            and conv.is_learnt
            and not conv.is_depthwise
            and anatomy.is_live(conv.output)
            and not is_head(anatomy, conv)
        )
        if conv.is_resampling and conv.is_learnt and anatomy.is_live(conv.output):
            bare.extend(resampled_twice(anatomy, conv))
        if not plain_block or stands_in_upsampling(anatomy, conv) or conv.output.index in outputs:
            continue
        way = way_onward(anatomy, conv)
        # One that only joins what comes up projects a skip; a shortcut may branch off before
        # the activation.
        projects = not came_up(conv.output) and all(came_up(c.source) for c in way.bare)
        # Where it is bent on its way down, though, its skip was taken a line too early.
        projects = projects and not (way.activated and goes_down(anatomy, conv))
        branches = [c for c in way.bare if c.is_spatial and max(c.stride) == 1]
        branches = [c for c in branches if c.step.index not in way.summed]
        following = branches if way.activated else way.bare
        if way.upsampled or projects or not following or is_pre_activated(anatomy, conv):
            continue
        if min(following[0].kernel) < max(following[0].kernel) != min(conv.kernel):
            continue
        if opens_a_stream(anatomy, conv, following):
            continue
        bare.append((conv, following[0]))
    if bare:
        first, then = bare[0]
        yield fail(
            f"no activation between {first.name} and {then.name}"
            + (f", nor after {len(bare) - 1} other convolutions" if len(bare) > 1 else "")
            + ": two convolutions in a row are one",
            pairs=[(a.name, b.name) for a, b in bare],
        )


def opened_at_once(anatomy: Anatomy) -> Iterator[Finding]:
    """Yield a finding for a block that opens without the activation of the others.

    Where a net activates before its convolutions, a block opens with a norm of a sum or of a
    concatenation, and an activation.
    """
    bare: list[Conv] = []
    bent = 0
    for conv in anatomy.convs:
        if not conv.is_spatial or conv.transposed or not conv.is_learnt or conv.is_depthwise:
            continue
        steps = list(anatomy.way_back(conv.source))
        meets = bool(steps) and len({v.index for v in steps[-1].inputs if v.from_image}) > 1
        normed = any(NORMS.get(plain(step.operation), "layer") != "layer" for step in steps)
        if not anatomy.is_live(conv.output) or not meets or not normed:
            continue
        if any(map(is_activation, steps[:-1])):
            bent += 1
        else:
            bare.append(conv)
    if bare and bent >= 3 * len(bare):
        yield fail(
            f"no activation before {bare[0].name}, whose input is normalised where maps have met: "
            f"{bent} other convolutions have one there",
            convolutions=[conv.name for conv in bare],
        )


def bent_at_first(anatomy: Anatomy) -> Iterator[Finding]:
    """Yield a finding for an activation that the image meets before any layer."""
    for step in anatomy.trace.steps:
        name = plain(step.operation)
        raw = bool(step.output.spatial) and not step.output.is_learnt and step.output.from_image
        if (
            raw
            and anatomy.is_live(step.output)
            and name in ("relu", "leaky_relu", "elu", "gelu", "silu", "threshold", "clamp_min")
        ):
            yield warn(f"{name} stands before the first layer: negative pixels are lost or bent")


def mixed_at_once(anatomy: Anatomy) -> Iterator[Finding]:
    """Yield a finding for two layers in a row that only mix the channels of each pixel."""
    for one, other in mixed_twice(anatomy):
        last = leads_out(anatomy, other.step.output)
        # The end of a linear bottleneck and the head: one too many, and no harm done.
        yield (warn if last else fail)(
            f"no activation between {one.name} and {other.name}: both only mix the channels of a "
            f"pixel, so that two in a row are one",
            pairs=[(one.name, other.name)],
        )


def resampled_twice(anatomy: Anatomy, conv: Conv) -> list[tuple[Conv, Conv]]:
    """A convolution that resamples, with the next if that does so, too, and nothing bends between.

    Many nets let one that stands for a pooling be followed by a block's first as it is.
    """
    way = way_onward(anatomy, conv)
    following = [c for c in way.bare if c.is_resampling and c.step.index not in way.summed]
    return [(conv, following[0])] if following and not is_pre_activated(anatomy, conv) else []


def goes_down(anatomy: Anatomy, conv: Conv) -> bool:
    """Whether what it made is made coarser later, and was never coarser before."""
    downs = (down.before for down in anatomy.downs if not came_up(down.before))
    return any(before.descends_from(conv.output) for before in downs)


def opens_a_stream(anatomy: Anatomy, conv: Conv, following: list[Conv]) -> bool:
    """Whether blocks add to what it made, and what they add to goes on as it is.

    Such a stream has no activations of its own, in contrast to the sums of a residual net; but its
    blocks have.
    """
    value = conv.output
    while len(value.users) == 1 and not made_of_several(value.users[0]):
        value = value.users[0].output
    for step in value.users:
        others = [v for v in step.inputs if v is not value]
        branch = any(is_bent_between(anatomy, c.output, v) for v in others for c in following)
        if plain(step.operation) == "add" and branch:
            return not any(map(is_activation, anatomy.way_on(step.output)))
    return False


def is_bent_between(anatomy: Anatomy, first: Value, last: Value) -> bool:
    """Whether an activation stands on a way from one map to another."""
    between = (s for s in anatomy.trace.steps if last.descends_from(s.output))
    return any(is_activation(s) for s in between if s.output.descends_from(first))


def made_of_several(step: Step) -> bool:
    """Whether the step is a meeting of maps, or mixes the channels of one."""
    maps = {v.index for v in step.inputs if v.from_image}
    return len(maps) > 1 or any(len(v.shape) > 1 and v.is_learnt for v in step.inputs[1:])


@final
@dataclass(frozen=True)
class Mixing:
    """A layer that mixes the channels of each pixel: a 1x1 convolution, or a linear layer."""

    step: Step
    weight: Value
    before: int
    after: int

    @property
    def name(self) -> str:
        """What a person would look for."""
        name = self.weight.name.removesuffix(".weight") or f"number {self.step.index}"
        return f"{name} ({self.before} -> {self.after} channels)"


def mixing_layers(anatomy: Anatomy) -> dict[int, Mixing]:
    """The live ones, by the index of their step."""
    found = {
        conv.step.index: Mixing(conv.step, conv.weight, conv.source.shape[1], conv.out_channels)
        for conv in anatomy.convs
        if max(conv.kernel) == max(conv.stride) == conv.groups == 1 and not conv.transposed
    }
    for step in anatomy.trace.of("mm", "addmm"):
        source, weight = step.inputs[-2:]
        if not source.from_image or weight.from_image:
            continue
        made = weight.made_by  # a linear layer turns its weight round
        held = made.inputs[0] if made is not None and made.operation == "t" else weight
        found[step.index] = Mixing(step, held, *weight.shape)
    return {i: layer for i, layer in found.items() if anatomy.is_live(layer.step.output)}


def merely_linear(step: Step, layers: Mapping[int, Mixing]) -> bool:
    """Whether the step keeps channels apart and bends nothing: norms, biases, other shapes.

    A sum of what two of the layers made is one of what a single layer makes of both maps.
    """
    maps = {value.index: value for value in step.inputs if value.from_image}
    if plain(step.operation) == "add" and len(maps) == 2:
        return all(made_by_layer(value, layers) for value in maps.values())
    # A norm over the channels of each pixel bends.
    norms = NORMS.keys() - {"native_layer_norm"}
    return len(maps) == 1 and plain(step.operation) in KEEPING | norms


def made_by_layer(value: Value, layers: Mapping[int, Mixing]) -> bool:
    """Whether nothing but norms and biases came after the layer that made the value."""
    step = value.made_by
    while step is not None and step.index not in layers:
        maps = [v for v in step.inputs if v.from_image]
        if len(maps) != 1 or not merely_linear(step, layers):
            return False
        step = maps[0].made_by
    return step is not None


KEEPING: Final = frozenset(
    {"add", "mul", "view", "_unsafe_view", "clone", "contiguous", "native_dropout", "squeeze",
     "unsqueeze"}
)  # fmt: skip


def mixed_twice(anatomy: Anatomy) -> Iterator[tuple[Mixing, Mixing]]:
    """Two of them in a row that no activation parts, and no bottleneck either."""
    layers = mixing_layers(anatomy)
    for first in layers.values():
        value = first.step.output
        while len(value.users) == 1:
            step = value.users[0]
            then = layers.get(step.index)
            if then is not None:
                if first.after == then.before and first.after >= min(first.before, then.after):
                    yield first, then
                break
            if not merely_linear(step, layers):
                break
            value = step.output


def is_head(anatomy: Anatomy, conv: Conv) -> bool:
    """Whether nothing but pointwise steps stands between it and an output."""
    return leads_out(anatomy, conv.output)


def leads_out(anatomy: Anatomy, value: Value) -> bool:
    """Whether a value is an output but for steps that no convolution is among."""
    ends = {v.index for v in anatomy.trace.outputs}
    between = [step for step in anatomy.way_on(value) if step.index not in anatomy.conv_of]
    made = [made for step in between for made in step.outputs]
    return any(each.index in ends for each in (value, *made))


def is_pre_activated(anatomy: Anatomy, conv: Conv) -> bool:
    """Whether the net activates before its convolutions, and this one ends a branch of a block.

    The branch is added to another, or laid beside it as in a dense block; a shortcut needs no
    activation of its own where the branch beside it has one.
    """
    step = meeting_after(anatomy, conv)
    if step is None:
        return False
    users = step.output.users
    normed = any(plain(user.operation) in NORMS for user in users)
    if step.operation == "cat":
        return activated_before(anatomy, conv, after_meeting=not normed)
    # Only where the net activates before its convolutions is the sum left as it is.
    if any(map(is_activation, users)) and not normed:
        return False
    branches = [conv, *(c for v in step.inputs for c in anatomy.last_convs(v))]
    return any(activated_before(anatomy, each) for each in branches)


def meeting_after(anatomy: Anatomy, conv: Conv) -> Step | None:
    """The sum or concatenation of maps that alone reads what the convolution made."""
    value = conv.output
    for _ in range(4):
        users = [user for user in value.users if anatomy.is_live(user.output)]
        if len(users) != 1:
            return None
        (step,) = users
        maps = {v.index for v in step.inputs if v.from_image}
        if plain(step.operation) in ("add", "cat") and len(maps) > 1:
            return step
        if step.index in anatomy.conv_of:
            return None
        value = step.output
    return None


def activated_before(anatomy: Anatomy, conv: Conv, after_meeting: bool = False) -> bool:
    """Whether an activation stands before it, and before that a meeting of maps if asked for."""
    activated = False
    for step in anatomy.way_back(conv.source):
        activated = activated or is_activation(step)
        if activated and not after_meeting:
            return True
        if plain(step.operation).startswith(("max_pool", "upsample")):
            return False
        if len({v.index for v in step.inputs if v.from_image}) > 1:
            return activated
    return False


def output_is_logits(x: Examination) -> Iterator[Finding]:
    """Yield a finding for what follows the last convolution."""
    anatomy = x.anatomy
    names = [plain(step.operation) for step in anatomy.final_steps()]
    squashed = [step for step in anatomy.final_steps() if is_final(step)]
    for step in anatomy.final_steps():
        name = plain(step.operation)
        if name.startswith(("native_batch_norm", "native_group_norm", "cudnn_batch_norm")):
            yield fail(
                f"a norm follows the last convolution ({name}): it fixes the mean of the "
                f"logits over the image"
            )
            return
    if len(squashed) > 1:
        yield fail(
            f"{len(squashed)} activations follow the last convolution, one upon the other: "
            f"{', '.join(plain(step.operation).strip('_') for step in squashed)}",
            activations=names,
        )
        return
    for step in squashed:
        yield from judge(anatomy, step)
    if dropped_out(x):
        yield fail("dropout follows the last convolution: logits are set to zero in training")


def is_final(step: Step) -> bool:
    """Whether the step bends, clips or decides logits."""
    return plain(step.operation) in FINAL


def judge(anatomy: Anatomy, step: Step) -> Iterator[Finding]:
    """What to say of one activation after the last convolution."""
    name = plain(step.operation)
    shape = step.output.shape
    if name in ("argmax", "max", "round", "gt", "ge", "sign"):
        yield fail(f"the output is a decision ({name}), which has no gradient")
    elif name in ("_softmax", "_log_softmax"):
        dim = int(step.settings["dim"]) % len(shape)
        words = name.strip("_")
        # Where sides are known, what is no side and not the batch are the classes.
        places = step.output.places
        if dim == 0 or (places[dim] if any(places) else dim != 1):
            axis = "the images of a batch" if dim == 0 else f"axis {dim}, a side of the image"
            yield fail(f"{words} runs over {axis}, not over the classes", dim=dim)
        elif shape[dim] == 1:
            yield fail(f"{words} over a single class is the same everywhere")
        else:
            yield warn(
                f"the output has gone through {words}: a loss on logits would apply it again"
            )
    elif name in ("sigmoid", "hardsigmoid", "tanh", "log_sigmoid_forward"):
        if saturated(anatomy, step):
            yield fail(f"{name} is saturated: it hardly lets any gradient pass")
        else:
            yield warn(f"the output has gone through {name}: a loss on logits would apply it again")
    else:
        yield fail(f"{name} follows the last convolution: logits are clipped or bent")


def saturated(anatomy: Anatomy, step: Step) -> bool:
    """Whether what it reads was multiplied by a large number."""
    for before in anatomy.way_back(step.inputs[0]):
        other = before.settings.get("other")
        if plain(before.operation) in ("mul", "div") and isinstance(other, (int, float)):
            factor = other if plain(before.operation) == "mul" else 1 / (other or 1)
            if abs(factor) >= 20:
                return True
    return False


def operations_in_training(x: Examination) -> list[str]:
    """All operations of a pass in training mode."""
    anatomy = x.lesson.anatomy
    return [] if anatomy is None else [step.operation for step in anatomy.trace.steps]


def dropped_out(x: Examination) -> bool:
    """Whether in training the main output has been through dropout after its last convolution."""
    anatomy = x.lesson.anatomy
    if anatomy is None:
        return False
    for step in anatomy.final_steps():
        masks = [v.made_by.operation for v in step.inputs if v.made_by and not v.from_image]
        if step.operation.startswith(("native_dropout", "bernoulli")) or any(
            name in ("bernoulli_", "bernoulli", "div_") for name in masks
        ):
            return True
    return False


def attention_sums_to_one(x: Examination) -> Iterator[Finding]:
    """Yield a finding for weights that do not add up to 1 over what they weigh."""
    final = x.anatomy.final_steps()
    for step in x.anatomy.trace.of("_softmax"):
        source = step.inputs[0]
        along = source.places[int(step.settings["dim"]) % len(source.shape)]
        if (
            along
            and len(source.spatial) > 1
            and x.anatomy.is_live(step.output)
            and step not in final
        ):
            yield fail("softmax runs along one side of a map, row by row or column by column")
            return
    names = {step.operation for step in x.anatomy.trace.steps}
    if "_softmax" not in names or not names & {"bmm", "mm"}:
        return
    products = WatchedProducts()
    with products:
        attempt(x.net, x.image(x.sides).to(x.dtype))
    for shape in products.crosswise[:1]:
        yield fail(
            f"weights of {in_words(shape)} add up to 1 along one axis, and the product that reads "
            f"them sums over the other",
            shape=shape,
        )


def padding_is_of_one_kind(x: Examination) -> Iterator[Finding]:
    """Yield a finding if some convolutions of the blocks pad otherwise than the others."""
    kinds: dict[str, list[Conv]] = {}
    beside: list[tuple[str, Conv]] = []
    for conv in x.anatomy.convs:
        if not conv.is_ordinary or not conv.is_learnt or not all(k % 2 for k in conv.kernel):
            continue
        kind = padding_kind(x.anatomy, conv)
        if stands_in_upsampling(x.anatomy, conv):
            # It must keep its size even in a net that pads nowhere else.
            beside.append((kind, conv))
        else:
            kinds.setdefault(kind, []).append(conv)
    if kinds and "valid" not in kinds:
        for kind, conv in beside:
            kinds.setdefault(kind, []).append(conv)
    if len(kinds) > 1:
        few = min(kinds, key=lambda kind: len(kinds[kind]))
        counts = ", ".join(f"{len(convs)} {kind}" for kind, convs in kinds.items())
        yield fail(
            f"{kinds[few][0].name} has padding {few!r} and others not: {counts}",
            kinds={kind: [conv.name for conv in convs] for kind, convs in kinds.items()},
        )


CHECKS: Final[Mapping[str, Check]] = {
    "convolutions_are_separated_by_activations": Check(
        title="An activation stands between the convolutions of a block, and after the last.",
        harm="Two convolutions without one are a single one: the net is shallower than it looks.",
        cause="A ReLU forgotten in one place of a block.",
        run=convolutions_are_separated,
    ),
    "output_is_logits": Check(
        title="Nothing bends, clips or normalises the logits.",
        harm="Losses that expect logits get something else; clipped values have no gradient.",
        cause="The last block is reused as the head, or a softmax runs over the wrong axis.",
        run=output_is_logits,
    ),
    "attention_sums_to_one": Check(
        title="Attention weights add up to 1 over what they weigh.",
        harm="Pixels get sums of others that are too large or too small, and learn slowly.",
        cause="softmax over the queries in place of the keys.",
        run=attention_sums_to_one,
    ),
    "padding_is_of_one_kind": Check(
        title="All convolutions of the blocks treat the border in one way.",
        harm="Sizes come out right by luck, and the border is treated differently by level.",
        cause="padding=1 forgotten, or added, in one place.",
        run=padding_is_of_one_kind,
    ),
}
