"""Bookkeeping: which parameters there are, which are used, and by whom."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Final

from unet.anatomy import NORMS, Anatomy, plain
from unet.checks.activations import leads_out
from unet.checks.finding import Check, Finding, counted, fail, skip, warn
from unet.examination import Examination
from unet.inference import UNKNOWN, infer
from unet.tracing import BUFFER, PARAMETER, Step, Value


def every_parameter_is_used(x: Examination) -> Iterator[Finding]:
    """Yield a finding for parameters that no output depends on."""
    live = x.anatomy.live
    used = {v.name for v in x.anatomy.trace.values if v.kind == PARAMETER and live >> v.index & 1}
    idle = [name for name, p in x.net.named_parameters() if name not in used | x.used_in_training]
    if idle:
        yield fail(
            f"{counted(len(idle), 'parameter', ('is', 'are'))} never used, {idle[0]} first",
            parameters=idle,
        )


def no_parameter_is_frozen(x: Examination) -> Iterator[Finding]:
    """Yield a finding for parameters that ask for no gradient."""
    frozen = [
        name
        for name, p in x.net.named_parameters()
        if p.is_floating_point() and not p.requires_grad
    ]
    if frozen:
        yield fail(
            f"{counted(len(frozen), 'parameter', ('asks', 'ask'))} for no gradient, "
            f"{frozen[0]} first",
            parameters=frozen,
        )


def weights_serve_one_place(x: Examination) -> Iterator[Finding]:
    """Yield a finding for weights that stand in several places of the net."""
    uses: dict[int, list[Step]] = {}
    names: dict[int, str] = {}
    for step in x.anatomy.trace.steps:
        kind = plain(step.operation)
        if kind not in ("convolution", *NORMS) or not x.anatomy.is_live(step.output):
            continue
        # A norm without weights still keeps statistics.
        weight = next((v for v in step.inputs[1:] if v.kind in (PARAMETER, BUFFER)), None)
        if weight is not None:
            uses.setdefault(weight.index, []).append(step)
            names[weight.index] = weight.name
    several = {
        names[index]: steps
        for index, steps in uses.items()
        if len(steps) > 1 and not is_recurrent(steps) and not weighs_one_map(steps)
    }
    for name, steps in itertools.islice(several.items(), 1):
        # Several outputs may have one head on purpose.
        heads = all(leads_out(x.anatomy, step.output) for step in steps)
        more = counted(len(several) - 1, "other weight", ("does", "do"))
        yield (warn if heads else fail)(
            f"{name} serves {len(steps)} places of the net: they can only learn the same"
            + (f"; so {more}" if len(several) > 1 else ""),
            parameters=list(several),
            uses=len(steps),
        )


def is_recurrent(steps: list[Step]) -> bool:
    """Whether each use reads what the one before made, on a map of one size and place."""
    places = {(s.output.shape, s.output.step, s.output.deepest) for s in steps}
    if len(places) > 1:
        return False
    pairs = list(itertools.pairwise(steps))
    chained = all(later.inputs[0].descends_from(one.output) for one, later in pairs)
    return chained and (len(steps) > 2 or all(reads_anew(*pair) for pair in pairs))


def reads_anew(one: Step, later: Step) -> bool:
    """Whether the later use reads a sum of what the first one read and of what came of that."""
    made = read_by(later).made_by
    return made is not None and plain(made.operation) == "add" and read_by(one) in made.inputs


def read_by(step: Step) -> Value:
    """The map that a convolution reads, or that right before a norm."""
    source, before = step.inputs[0], step.inputs[0].made_by
    if plain(step.operation) in NORMS and before and before.operation == "convolution":
        return before.inputs[0]
    return source


def weighs_one_map(steps: list[Step]) -> bool:
    """Whether all uses see single pixels that one map was pooled to, as its means and maxima."""
    pooled = {map_before(step.output) for step in steps}
    return None not in pooled and len(pooled) == 1


def map_before(value: Value) -> Value | None:
    """The map of several pixels that a map of one pixel was made of; None for any other."""
    if math.prod(value.shape[2:]) > 1:
        return None
    while value.made_by is not None and math.prod(value.shape[2:]) == 1:
        value = next(v for v in value.made_by.inputs if v.from_image)
    return value


def weights_are_registered(x: Examination) -> Iterator[Finding]:
    """Yield a finding for weights that are no parameters of the net."""
    for conv in x.anatomy.convs:
        for value in (conv.weight, conv.bias):
            if value is not None and not is_registered(x.anatomy, value):
                yield fail(
                    f"a weight of {value.shape} at {conv.words} is no parameter of the net: "
                    f"optimisers, checkpoints and device moves do not find it",
                    shape=value.shape,
                )
                return


def is_registered(anatomy: Anatomy, value: Value) -> bool:
    """Whether it is a parameter or buffer, or computed from one."""
    return any(
        v.kind in (PARAMETER, BUFFER) and value.descends_from(v) for v in anatomy.trace.values
    )


def used_parameters_get_gradients(x: Examination) -> Iterator[Finding]:
    """Yield a finding for a parameter that is used and gets no gradient."""
    used = x.used_in_training | {
        value.name
        for value in x.anatomy.trace.values
        if value.kind == PARAMETER and x.anatomy.is_live(value)
    }
    if x.lesson.error:
        yield skip(f"a step of training does not run: {x.lesson.error}")
        return
    silent = sorted(name for name in used if name in x.untaught)
    if silent:
        yield fail(
            f"{silent[0]} is used and gets no gradient: it is never trained", parameters=silent
        )


def no_bias_before_a_norm(x: Examination) -> Iterator[Finding]:
    """Yield a note on biases that the next norm takes away again."""
    redundant = []
    for conv in x.anatomy.convs:
        users = conv.output.users
        if conv.bias is not None and len(users) == 1 and NORMS.get(users[0].operation) == "batch":
            redundant.append(conv.bias.name or f"that of {conv.name}")
    if redundant:
        yield warn(
            f"biases right before a batch norm, which takes them away again: {len(redundant)}, "
            f"{redundant[0]} first",
            parameters=redundant,
        )


def claims_hold(x: Examination) -> Iterator[Finding]:
    """Yield a finding for each claim that what was inferred contradicts."""
    if not x.claims:
        return
    inferred = infer(x)
    for name, claimed in x.claims.items():
        if inferred[name] in (UNKNOWN, None):
            yield skip(f"{name} is claimed to be {claimed}, and could not be told from the net")
        elif str(inferred[name]) != str(claimed):
            yield fail(
                f"{name} is claimed to be {claimed} and is {inferred[name]}",
                claimed=claimed,
                inferred=inferred[name],
            )


CHECKS: Final[Mapping[str, Check]] = {
    "every_parameter_is_used": Check(
        title="Each parameter has a part in the output.",
        harm="The parameter count lies, and checkpoints carry weights that never learn.",
        cause="A layer defined and never called.",
        run=every_parameter_is_used,
    ),
    "no_parameter_is_frozen": Check(
        title="Each parameter asks for a gradient.",
        harm="It stays as it started.",
        cause="requires_grad=False left over from fine-tuning.",
        run=no_parameter_is_frozen,
    ),
    "weights_serve_one_place": Check(
        title="No two places of the net share their weights.",
        harm="Levels that should learn different things learn one.",
        cause="One module called twice, or [block] * n.",
        run=weights_serve_one_place,
    ),
    "weights_are_registered": Check(
        title="Each weight is a parameter of the net.",
        harm="It is not trained, saved, or moved to the GPU.",
        cause="Layers in a plain list or dict, or made anew in forward.",
        run=weights_are_registered,
    ),
    "used_parameters_get_gradients": Check(
        title="Each parameter that is used gets a gradient.",
        harm="It stays as it started.",
        cause="Its data is read in place of itself, or what it feeds is rounded.",
        run=used_parameters_get_gradients,
    ),
    "claims_hold": Check(
        title="What is claimed of the net is so.",
        harm="The net is not the one that is meant.",
        cause="An argument that is ignored, or a description copied from another net.",
        run=claims_hold,
    ),
    "no_bias_stands_before_a_norm": Check(
        title="No bias stands right before a batch norm.",
        harm="None but for a few dead parameters.",
        cause="bias=False forgotten.",
        run=no_bias_before_a_norm,
    ),
}
