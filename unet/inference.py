"""What a net is: its design, read off the operations of its trace."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Final

from unet.anatomy import (
    ALMOST,
    NORMS,
    PADS,
    PRODUCTS,
    RESIZES,
    Anatomy,
    Conv,
    Join,
    came_up,
    is_activation,
    level_of,
    plain,
)
from unet.examination import Examination
from unet.tracing import SQUASHING, VIEWS, Step, Value

UNKNOWN = "unknown"
FOLLOWED: Final = ("depth", "skip", "unskipped", "upsampling", "legal_sizes", "receptive_field")
"""What is read off maps that are followed to the output."""

MIXED = "mixed"


def infer(x: Examination) -> dict[str, Any]:
    """The design of a net by the names of `UNetSpec`, with its size law, reach and counts."""
    anatomy = x.anatomy
    output = anatomy.output
    places = output.spatial
    lost = {} if is_followed(anatomy) else dict.fromkeys(FOLLOWED, UNKNOWN)
    return {
        "in_channels": x.in_channels,
        "further_inputs": dict(x.further_inputs),
        "num_classes": output.shape[1] if len(output.shape) > 1 else None,
        "depth": anatomy.depth,
        "padding": padding(anatomy),
        "skip": skip_kind(anatomy),
        "unskipped": ",".join(map(str, unskipped(anatomy))) or "none",
        "upsampling": upsampling(anatomy),
        "norm": norm(anatomy),
        "base_channels": base_channels(anatomy),
        "kernel": kernel(anatomy),
        "parameters": x.parameters,
        "macs": macs(anatomy),
        "macs_at": list(x.sides),
        "final_activation": final_activation(anatomy),
        "legal_sizes": f"{x.side % x.lattice} + {x.lattice}k" if anatomy.downs else "any",
        "margin": x.side * x.magnification - output.shape[-1],
        "off_grid": off_grid(x),
        "receptive_field": "the whole image"
        if looks_at_the_whole_image(anatomy)
        else [math.ceil(place.before) + math.ceil(place.after) + 1 for place in places],
    } | lost


def is_followed(anatomy: Anatomy) -> bool:
    """Whether it is known where the output lies, and how coarse maps became on the way."""
    return bool(anatomy.output.spatial and (anatomy.downs or not anatomy.loses_its_place))


def commonest(found: list[str], none: str) -> str:
    """The one that there is, `mixed` for several, or `none`."""
    kinds = Counter(found)
    return none if not kinds else next(iter(kinds)) if len(kinds) == 1 else MIXED


def stands_in_upsampling(anatomy: Anatomy, conv: Conv) -> bool:
    """Whether it upsamples, or convolves what was just upsampled and joined with nothing yet."""
    if anatomy.is_up(conv.step):
        return True
    for step in anatomy.way_back(conv.source):
        if anatomy.is_up(step):
            return True
        if is_activation(step):
            return False
    return False


def padding_kind(anatomy: Anatomy, conv: Conv) -> str:
    """How the border of what it reads is treated."""
    wanted = tuple(d * (k - 1) // 2 for k, d in zip(conv.kernel, conv.dilation, strict=True))
    if all(p > 0 for p, w in zip(conv.padding, wanted, strict=True) if w):
        return "zeros"
    for step in anatomy.way_back(conv.source):
        # Wrapping around is done by copies of parts into a larger map.
        if step.operation == "copy_" and step.output.shape != conv.source.shape:
            return PADS[step.operation]
        if step.operation in PADS and step.operation != "copy_":
            sizes = zip(step.output.shape[2:], step.inputs[0].shape[2:], strict=True)
            same = [grown - size for grown, size in sizes] == [2 * w for w in wanted]
            return PADS[step.operation] if same else "valid"
    return "valid"


def padding(anatomy: Anatomy) -> str:
    """How the blocks treat the border."""
    convs = [c for c in anatomy.convs if c.is_ordinary and not stands_in_upsampling(anatomy, c)]
    return commonest([padding_kind(anatomy, conv) for conv in convs], UNKNOWN)


def skip_kind(anatomy: Anatomy) -> str:
    """How skips are joined; a sum that is only made to weigh a skip joins nothing."""
    gates = [join for join in anatomy.joins if only_weighs(anatomy, join.step.output)]

    def kind(join: Join) -> str:
        gated = any(join.fresh.descends_from(gate.step.output) for gate in gates)
        return "attention" if gated and join.kind == "concat" else join.kind

    # The image itself is added to what comes out, in a net that learns differences.
    skips = [join for join in anatomy.joins if join not in gates and join.fresh.is_learnt]
    return commonest([kind(join) for join in skips], "none")


def unskipped(anatomy: Anatomy) -> list[int]:
    """The levels whose map from the way down never meets what comes up; all if there is no skip."""
    finest, joined = level_of(anatomy.output.step), joined_levels(anatomy)
    convolved = sorted(encoder_convs(anatomy))
    return [level for level in convolved if level >= finest and level not in joined]


def joined_levels(anatomy: Anatomy) -> set[int]:
    """Those of maps that meet what comes up and, where there are any, come from convolutions."""
    convolved = encoder_convs(anatomy)
    return {
        level
        for join in anatomy.joins
        if anatomy.is_live(join.step.output) and not only_weighs(anatomy, join.step.output)
        for level in [level_of(join.fresh.step)]
        if level not in convolved
        or any(join.fresh.descends_from(conv.output) for conv in convolved[level])
        or is_strided_here(anatomy, join.fresh)
    }


def is_strided_here(anatomy: Anatomy, value: Value) -> bool:
    """Whether the convolution that made the map coarser is the last one before it."""
    convs = anatomy.last_convs(value)
    return any(max(conv.stride) > 1 and not conv.transposed for conv in convs)


def encoder_convs(anatomy: Anatomy) -> dict[int, list[Conv]]:
    """The live convolutions of the contracting path at each step, but for the deepest."""
    found: dict[int, list[Conv]] = {}
    for conv in anatomy.convs:
        fresh = conv.output.spatial and not came_up(conv.output)
        if fresh and conv.output.step * ALMOST < anatomy.deepest and max(conv.kernel) > 1:
            same = abs(conv.source.step / conv.output.step - 1) < 0.3
            if same and not conv.transposed:
                found.setdefault(level_of(conv.output.step), []).append(conv)
    return found


def only_weighs(anatomy: Anatomy, value: Value) -> bool:
    """Whether all that is made of a map is weights between 0 and 1, as in an attention gate."""
    seen: set[int] = set()
    waiting, squashed = [value], False
    while waiting:
        here = waiting.pop()
        if any(here is output for output in anatomy.trace.outputs):
            return False
        for step in here.users:
            conv = anatomy.conv_of.get(step.index)
            if conv is not None and conv.is_spatial:
                return False
            if plain(step.operation) in SQUASHING:
                squashed = True
            elif step.index not in seen:
                seen.add(step.index)
                waiting.extend(step.outputs)
    return squashed


def upsampling(anatomy: Anatomy) -> str:
    """How the expansive path enlarges what it joins; side outputs may be enlarged otherwise."""
    joins = anatomy.joins
    found = []
    for up in anatomy.ups:
        if joins and not any(join.risen.descends_from(up.after) for join in joins):
            continue
        if up.step.index in anatomy.conv_of:
            found.append("transposed")
        else:
            corners = "_corners" if up.step.settings.get("align_corners") else ""
            by_hand = up.step.operation in VIEWS | {"index_select"}
            kind = "nearest" if by_hand else RESIZES.get(up.step.operation, UNKNOWN)
            found.append(kind + corners)
    return commonest(found, "none")


def norm(anatomy: Anatomy) -> str:
    """What normalises."""
    found = []
    for step in anatomy.trace.steps:
        kind = NORMS.get(step.operation)
        if kind is not None and anatomy.is_live(step.output):
            folded = step.inputs[0].shape[0] == 1 and bool(step.settings.get("training"))
            source = step.inputs[0].made_by
            viewed = source is not None and source.operation in ("view", "_unsafe_view")
            found.append("instance" if folded and viewed else kind)
    return commonest(found, "none")


def base_channels(anatomy: Anatomy) -> int | None:
    """Channels of the first map that goes down, or of the first wide convolution's."""
    for down in anatomy.downs[:1]:
        if anatomy.last_convs(down.before):
            return down.before.shape[1]
    wide = (c for c in anatomy.convs if c.is_spatial and not c.transposed)
    return next((conv.out_channels for conv in wide), None)


def kernel(anatomy: Anatomy) -> str:
    """The windows of all convolutions that stand in blocks."""
    ends = {v.index for v in anatomy.trace.outputs}
    found = []
    for conv in anatomy.convs:
        head = any(conv.output.index == end for end in ends) or (
            max(conv.kernel) == 1 and (conv is anatomy.convs[-1])
        )
        gate = only_weighs(anatomy, conv.output)
        if head or gate or conv.transposed or stands_in_upsampling(anatomy, conv):
            continue
        reach = [d * (k - 1) + 1 for k, d in zip(conv.kernel, conv.dilation, strict=True)]
        found.append("x".join(map(str, reach)))
    return commonest(found, UNKNOWN)


def macs(anatomy: Anatomy) -> int:
    """Multiply-adds of all convolutions for one image of the size examined."""
    total = 0
    for conv in anatomy.convs:
        pixels = conv.source if conv.transposed else conv.output
        window = math.prod(conv.kernel) * conv.source.shape[1] * conv.out_channels // conv.groups
        total += window * math.prod(pixels.shape[2:]) * pixels.shape[0]
    return total


def looks_at_the_whole_image(anatomy: Anatomy) -> str:
    """The operation by which every pixel reaches every other; empty if none is seen."""
    for step in anatomy.trace.steps:
        if not anatomy.is_live(step.output) or not step.output.from_image:
            continue
        mixes = step.operation in ATTENDING and not is_layer(step)
        if mixes or runs_along_a_side(step):
            return step.operation
        source = step.source
        if step.operation not in REDUCING or len(step.inputs[0].shape) < 3:
            continue
        # Of pixels in a row, as where a norm is written out, it is one number of many.
        row = not step.inputs[0].spatial and step.inputs[0].shape[-1] > MANY_PIXELS
        many = row and step.output.shape[-1:] != step.inputs[0].shape[-1:]
        if many or (source is not None and len(step.output.spatial) < len(source.spatial)):
            return step.operation
    return ""


def is_layer(step: Step) -> bool:
    """Whether the step is a product with weights, as a linear layer is."""
    return step.operation in PRODUCTS and sum(v.from_image for v in step.inputs) < 2


def runs_along_a_side(step: Step) -> bool:
    """Whether the step is a softmax over pixels or tokens, in place of channels."""
    if step.operation != "_softmax":
        return False
    (source, *_) = step.inputs
    dim = int(step.settings["dim"]) % len(source.shape)
    return not source.spatial or source.places[dim] is not None


ATTENDING: Final = frozenset(
    {
        "bmm", "baddbmm", "_scaled_dot_product_flash_attention_for_cpu",
        "_scaled_dot_product_attention_math", "scaled_dot_product_attention", "_fft_r2c",
    }
)  # fmt: skip
"""Operations by which each pixel may reach all others."""

REDUCING: Final = frozenset(
    {
        "mean", "sum", "amax", "amin", "max", "_adaptive_avg_pool2d", "adaptive_max_pool2d",
        "_adaptive_avg_pool3d", "var_mean", "std", "var", "linalg_vector_norm", "avg_pool2d",
        "avg_pool3d", "max_pool2d_with_indices", "max_pool3d_with_indices",
    }
)  # fmt: skip
"""Operations that make one number of a whole side."""

MANY_PIXELS: Final = 256
"""A row of so many numbers is a map's, and not a pixel's channels."""

FINAL: Final = frozenset(
    {
        "relu", "leaky_relu", "_prelu_kernel", "elu", "gelu", "silu", "hardtanh", "clamp",
        "clamp_min", "clamp_max", "sigmoid", "hardsigmoid", "tanh", "_softmax", "_log_softmax",
        "softplus", "threshold", "log_sigmoid_forward", "argmax", "max", "round", "gt", "ge",
        "mish", "hardswish", "celu", "sign",
    }
)  # fmt: skip


def final_activation(anatomy: Anatomy) -> str:
    """What bends the logits last; `none` for raw logits."""
    names = [
        plain(step.operation).strip("_")
        for step in anatomy.final_steps()
        if plain(step.operation) in FINAL
    ]
    return names[-1] if names else "none"


def off_grid(x: Examination) -> str:
    """What happens to a size that the poolings cannot halve."""
    if not x.anatomy.downs and is_followed(x.anatomy):
        return "accepts"
    base = x.run(x.sides).output
    run = x.run(x.off_grid[0])
    if run.output is None or base is None:
        return "refuses"
    grown = run.output.shape[-1] - base.shape[-1]
    return "accepts" if grown == x.off_grid[0][-1] - x.side else "shrinks"
