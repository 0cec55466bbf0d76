"""What a net does when it is run: batches, repetition, dtypes, the first signal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final

import torch
from torch import Tensor, nn

from unet.anatomy import NORMS, PADS, is_activation, plain
from unet.checks.finding import (
    UNSTEADY,
    Check,
    Finding,
    counted,
    fail,
    first_of,
    in_words,
    skip,
    warn,
)
from unet.examination import Examination, Witness
from unet.running import Run, attempt, difference
from unet.tracing import BUFFER


def samples_do_not_mix(x: Examination) -> Iterator[Finding]:
    """A finding if a sample's logits depend on what else is in its batch."""
    return first_of(mixed_in_a_batch(x), mixed_where_padded(x), mixed_by_their_numbers(x))


def mixed_in_a_batch(x: Examination) -> Iterator[Finding]:
    """Yield a finding if two images get other logits together than one by one."""
    if not x.repeats:
        yield skip(UNSTEADY)
        return
    alone = [x.repetition.first, x.repetition.other]
    outputs = [run.output for run in alone if run.output is not None]
    if len(outputs) < len(alone):
        yield skip(f"one image alone does not run: {alone[0].error or alone[1].error}")
        return
    images = [x.image(x.sides, seed=1), 3 * x.image(x.sides, seed=2)]
    together = x.witness.run(torch.cat(images))
    if together.output is None:
        yield fail(f"runs on one image and not on a batch of two: {together.error}")
        return
    if together.output.shape[0] != len(images):
        yield fail(f"a batch of {len(images)} comes out as {together.output.shape[0]}")
        return
    gap = difference(together.output, torch.cat(outputs))
    if gap > x.witness.equal and x.witness.exact:
        # Some nets make much of what single precision rounds.
        gap = gap_in_company(x.witness.in_double(), images, otherwise=gap)
    if gap > x.witness.equal:
        yield fail(
            f"an image in a batch of two gets other logits than alone: they differ by {gap:.2g} "
            f"of their range",
            difference=gap,
        )


def gap_in_company(witness: Witness, images: list[Tensor], otherwise: float = 0.0) -> float:
    """How far logits of two images differ if they are run together or one by one.

    `otherwise` if one of the ways fails.
    """
    one, other, both = (witness.run(each).output for each in (*images, torch.cat(images)))
    if one is None or other is None or both is None:
        return otherwise
    return difference(both, torch.cat([one, other]))


def mixed_where_padded(x: Examination) -> Iterator[Finding]:
    """Yield a finding if they do at a size that is padded, whatever it is padded with."""
    for sides in x.off_grid:
        anatomy = x.at_other_sizes.get(sides)
        if anatomy is None or not any(step.operation in PADS for step in anatomy.trace.steps):
            continue
        images = [x.image(sides, seed=1), 3 * x.image(sides, seed=2)]
        gap = gap_in_company(x.witness, images)
        if gap > x.witness.equal and x.witness.exact:
            gap = gap_in_company(x.witness.in_double(), images, otherwise=gap)
        if gap > x.witness.equal:
            yield fail(
                f"of {in_words(sides)}, which is padded, an image in a batch of two gets other "
                f"logits than alone: they differ by {gap:.2g} of their range",
                difference=gap,
            )
        return


def mixed_by_their_numbers(x: Examination) -> Iterator[Finding]:
    """Yield a finding if images of a batch are made to share a time, or a label."""
    for name in x.further_inputs:
        gap = x.gap_by_number(name)
        if gap > x.witness.equal:
            yield fail(
                f"an image in a batch is given another one's {name}: its logits differ by "
                f"{gap:.2g} of their range from those that it gets alone",
                argument=name,
                difference=gap,
            )
            return


def evaluation_repeats(x: Examination) -> Iterator[Finding]:
    """Yield a finding if the same image gets other logits later, or a buffer changes."""
    found = x.repetition
    if any(run.output is None for run in found.runs):
        error = next(run.error for run in found.runs if run.output is None)
        yield fail(f"a second call fails: {error}")
        return
    gaps = [difference(found.first.output, run.output) for run in (found.again, found.later)]
    if max(gaps) > x.witness.equal:
        drawn = not x.repeats and x.random_operations
        cause = "at random" if drawn else "after another image"
        yield fail(
            f"the same image gets other logits when it is given again ({cause}): they differ by "
            f"{max(gaps):.2g} of their range",
            differences=gaps,
        )
    elif found.changed:
        yield fail(f"evaluation changes {found.changed[0]}", changed=found.changed)
    elif x.sets_the_seed:
        yield fail(
            "forward sets torch's seed: dropout, and whatever else is drawn in training, is the "
            "same in every step"
        )


def runs_alike_unwatched(x: Examination) -> Iterator[Finding]:
    """Yield a finding if the net gives other logits where it can see that it is looked at."""
    if not x.repeats:
        yield skip(UNSTEADY)
        return
    image = x.image(x.sides)
    watched, alone = x.followed.run, x.witness.run_unwatched(image)
    if watched.output is None:
        yield skip(f"it cannot be followed with other weights: {watched.error}")
        return
    if alone.output is None:
        yield fail(f"runs only while it is looked at: {alone.error}")
        return
    gap = gap_unwatched(alone, watched, x.witness.run(image))
    if gap > x.witness.equal and x.witness.exact:
        # Another way through torch's kernels may round otherwise.
        exact = x.witness.in_double()
        ways = (exact.run_unwatched(image), exact.followed(image).run, exact.run(image))
        gap = gap_unwatched(*ways)
    if gap > x.witness.equal:
        yield fail(
            f"gives other logits while it is looked at than when it is just called: they differ "
            f"by {gap:.2g} of their range; what else is said of it may not hold",
            difference=gap,
        )


def gap_unwatched(alone: Run, *watched: Run) -> float:
    """How far the logits of a run lie at most from those of others."""
    return max(difference(alone.output, run.output) for run in watched)


def left_behind(x: Examination) -> Iterator[tuple[str, str]]:
    """What would stay on the CPU when the net is moved, and what torch says of it.

    It is put on torch's meta device, which minds what lies elsewhere as a GPU does.
    """
    image = x.image(x.sides).to(x.dtype)

    def problem(net: nn.Module) -> str:
        error = attempt(net, image).error
        return error if "same device" in error or "expected device" in error else ""

    with torch.device("meta"):
        error = problem(x.copy())
    if error:
        yield "a tensor that forward makes without a device", error
    for name, module in x.net.named_modules():
        for attribute, kept in vars(module).items():
            if not isinstance(kept, Tensor) or kept.dim() == 0:
                continue
            net = x.copy()
            setattr(net.get_submodule(name), attribute, kept.detach().to("meta"))
            error = problem(net)
            if error:
                yield f"{name}.{attribute}".lstrip(".") + ", a tensor that is no buffer,", error


def moves_elsewhere(x: Examination) -> Iterator[Finding]:
    """Yield a finding if the net does not follow to another device, or to double and bfloat16."""
    for what, error in left_behind(x):
        yield fail(f"does not follow to another device: {what} stays on the CPU", error=error)
        return
    for step in x.anatomy.trace.of("_to_copy"):
        kind = step.settings.get("dtype")
        rounded = kind in (torch.float16, torch.bfloat16) and x.dtype is torch.float32
        if rounded and step.inputs[0].from_image and x.anatomy.is_live(step.output):
            yield warn(f"forward brings a map to {kind}, whatever the net's own type is")
            return
    # There is nothing in a tensor on torch's meta device that could be brought back.
    away = attempt(x.copy().to("meta"), x.image(x.sides).to("meta", x.dtype))
    if "Cannot copy out of meta tensor" in away.error:
        yield warn("forward brings a map back to the CPU: on a GPU that fails, or waits")
        return
    for dtype in (torch.float64, torch.bfloat16):
        net = x.copy().to(dtype)
        run = attempt(net, x.image(x.sides).to(dtype))
        if run.output is None:
            if dtype is torch.bfloat16 and "not implemented" in run.error:
                continue
            # A cast in forward is a limit of the net; a weight left behind is a defect, and
            # the check of registered weights names it.
            yield warn(
                f"does not run after .to({dtype}): {run.error}", dtype=str(dtype), error=run.error
            )
            return
        if run.output.dtype != dtype and run.output.is_floating_point():
            # Logits in single precision are what many a loss is given on purpose.
            meant = run.output.dtype is torch.float32
            report = warn if meant else fail
            yield report(f"returns {run.output.dtype} after .to({dtype})", dtype=str(dtype))
            return


def gain(parameter: Tensor) -> float:
    """The weights' standard deviation in units of what a sum over its inputs keeps at 1."""
    values = parameter.detach().double()
    return float(values.std()) * math.sqrt(values[0].numel())


def weights_start_sanely(x: Examination) -> Iterator[Finding]:
    """Yield a finding if weights start alike, far too large, or far too small."""
    convs = {conv.weight.name: conv for conv in x.anatomy.convs}
    kernels = [
        (name, parameter)
        for name, parameter in x.net.named_parameters()
        if name in convs and parameter.numel() > 8 and parameter.is_floating_point()
    ]
    for name, parameter in kernels:
        size = gain(parameter)
        if not math.isfinite(size):
            yield fail(f"{name} holds values that are not numbers", parameter=name)
            return
        after = x.anatomy.way_on(convs[name].output)
        steps = list(after)
        sampled = any(plain(s.operation) in ("floor", "grid_sampler_2d", "gather") for s in steps)
        if not parameter.any() and (sampled or not any(map(is_activation, steps))):
            continue  # a head, the end of a residual branch, or an offset starts at zero: it learns
        if size == 0.0:
            start = parameter.flatten()[0].item()
            yield fail(
                f"all weights of {name} start at {start:g}: its channels stay alike for ever",
                parameter=name,
            )
            return
        if size > 15:
            yield fail(
                f"{name} starts {size:.0f} times larger than what keeps a signal's size",
                parameter=name,
                gain=size,
            )
            return
    sizes = sorted(gain(parameter) for _, parameter in kernels)
    if sizes and sizes[len(sizes) // 2] < 0.02:
        yield fail(
            f"most weights start {1 / sizes[len(sizes) // 2]:.0f} times smaller than what keeps a "
            f"signal's size: the first logits say nothing of the image",
            gains=sizes,
        )


def norms_follow_the_data(x: Examination) -> Iterator[Finding]:
    """Yield a finding for norms whose statistics do not become those of the data in training."""
    anatomy = x.lesson.anatomy
    if anatomy is None or x.lesson.error:
        yield skip(f"a step of training does not run: {x.lesson.error}")
        return
    if not x.lesson.in_training:
        yield fail("train() leaves the net in evaluation mode: it is trained as it is evaluated")
        return
    norms = [s for s in anatomy.trace.steps if NORMS.get(s.operation) == "batch"]
    for step in norms:
        eps = float(step.settings.get("eps", step.settings.get("epsilon", 0.0)))
        if eps >= LARGEST_EPS:
            yield fail(f"a norm adds {eps:g} (eps) to the variance, which hardly matters then")
            return
    norms = [s for s in norms if any(v.kind == BUFFER for v in s.inputs)]
    frozen = [step for step in norms if not step.settings.get("training")]
    if frozen:
        yield warn(
            f"in training {counted(len(frozen), 'norm')} of {len(norms)} keep the statistics that "
            f"they came with: sound if those were learnt elsewhere, and no norm at all if not"
        )
    for step in norms:
        momentum = float(step.settings.get("momentum", 0.1))
        if step in frozen or not (momentum == 0 or HIGH_MOMENTUM <= momentum < 1):
            continue
        yield (warn if momentum else fail)(
            f"a batch norm has momentum {momentum:g}: "
            + (
                "its statistics are nearly those of the last batch alone; torch's momentum is one "
                "minus that of others"
                if momentum
                else "its statistics stay as they start, and evaluation runs another net"
            )
        )
        return


ENORMOUS: Final = 5000
LARGEST_EPS: Final = 0.1
HIGH_MOMENTUM: Final = 0.9


def first_logits_are_sane(x: Examination) -> Iterator[Finding]:
    """Yield a finding if the first logits are not finite, enormous, or the same everywhere."""
    output = x.run(x.sides).output
    if output is None or not output.is_floating_point():
        return
    if not bool(output.isfinite().all()):
        yield fail("the first logits are not finite")
        return
    amiss = [
        number
        for number, value in enumerate(x.anatomy.trace.outputs)
        for made in [x.anatomy.trace.tensors.get(value.index)]
        if made is not None and not bool(made.isfinite().all())
    ]
    if amiss:
        yield fail(f"output number {amiss[0]} is not finite at first")
    elif output.abs().max().item() > ENORMOUS:
        yield fail(f"the first logits reach {output.abs().max().item():.2g}")
    elif output.dim() == x.axes + 2 and output[0, 0].numel() > 1:
        flat = output.flatten(2)
        # A head that starts at zero learns all the same.
        heads = [conv.weight.name for conv in x.anatomy.last_convs(x.anatomy.output)]
        weights = dict(x.net.named_parameters())
        zero = any(name in weights and not bool(weights[name].any()) for name in heads)
        same = bool((flat.amax(-1) == flat.amin(-1)).all())
        # Of what is the same with any weights, another check tells.
        later = x.repetition.first.output
        varies = later is not None and bool((later.flatten(2) != later.flatten(2)[..., :1]).any())
        if same and varies and not zero and heads:
            yield fail("the first logits are the same at every place of the image")


CHECKS: Final[Mapping[str, Check]] = {
    "samples_of_a_batch_do_not_mix": Check(
        title="In evaluation an image's logits do not depend on its batch.",
        harm="The same image is segmented differently in other company.",
        cause="Batch statistics in evaluation, a reduction over the batch, softmax over axis 0.",
        run=samples_do_not_mix,
    ),
    "evaluation_repeats": Check(
        title="In evaluation the same image always gets the same logits.",
        harm="Results cannot be repeated.",
        cause="F.dropout without training=self.training, noise, a map kept from the last call.",
        run=evaluation_repeats,
    ),
    "runs_alike_unwatched": Check(
        title="The net gives the same logits whether its operations are followed or not.",
        harm="What was verified is not the net that segments.",
        cause="A branch on torch's modes, on whether gradients are asked for, or on who calls.",
        run=runs_alike_unwatched,
    ),
    "follows_to_other_devices_and_dtypes": Check(
        title="The net follows to another device, and .double() and .bfloat16().",
        harm="It cannot be trained on a GPU, or in another precision.",
        cause="Layers in a plain list, tensors made in forward without dtype and device.",
        run=moves_elsewhere,
    ),
    "first_logits_are_sane": Check(
        title="The first logits are finite and not enormous.",
        harm="Training does not start.",
        cause="Weights far too large, a product where a sum was meant.",
        run=first_logits_are_sane,
    ),
    "norms_follow_the_data": Check(
        title="In training the statistics of norms become those of the data.",
        harm="Evaluation runs another net than the one that was trained.",
        cause="momentum=0, a value from another library, train() overridden, or eval() in it.",
        run=norms_follow_the_data,
    ),
    "weights_start_sanely": Check(
        title="Weights start different from each other, at a size that keeps a signal.",
        harm="Training does not start.",
        cause="A wrong standard deviation, or weights filled with one number.",
        run=weights_start_sanely,
    ),
}
