"""Where maps lie when they meet, and where the output lies."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Final

import torch
from torch import Tensor, nn

from unet.anatomy import Anatomy, apart, came_up, plain
from unet.checks.finding import UNSTEADY, Check, Finding, fail, first_of, in_words, skip, warn
from unet.examination import Examination
from unet.inference import ATTENDING, looks_at_the_whole_image, macs, only_weighs
from unet.running import WithoutImageStatistics, WithoutPositions, difference
from unet.tracing import SHAPE_ONLY, Value

DOWN_AND_RIGHT: Final = (("above", "below"), ("left of", "right of"), ("before", "behind"))


def misplaced(one: Value, other: Value, name: str) -> tuple[str, float] | None:
    """How `one` lies to `other`, in words and in pixels; None if they agree or are unknown.

    The words call the other one `name`.
    """
    worst, sides, stretched = 0.0, [], False
    for a, b, samples in apart(one, other):
        if a.origin != b.origin:
            return f"with rows for columns on {name}", float("inf")
        if a.step * b.step < 0:
            return f"the wrong way round on {name}", float("inf")
        if abs(samples) <= 1e-6:
            continue
        before, behind = DOWN_AND_RIGHT[min(a.origin, 2)]
        side = before if samples * a.step > 0 else behind
        stretched = stretched or abs(a.step - b.step) > 1e-6 * abs(a.step)
        sides.append(f"{abs(samples):.3g} px {side}")
        worst = max(worst, abs(samples))
    words = f"{' and '.join(sides)} {name}"
    words += " where it is most, as one of them was resized" if stretched else ""
    return (words, worst) if sides else None


def joins_are_aligned(x: Examination) -> Iterator[Finding]:
    """Yield a finding for every join whose sides lie a pixel or more apart."""
    amiss = list(first_of(laid_side_by_side(x), unpooled_amiss(x), weighed_amiss(x)))
    if amiss:
        yield from amiss
        return
    seen: set[int] = set()
    for sides, anatomy in x.at_all_sizes.items():
        legal = sides in (x.sides, x.oblong)
        for join in anatomy.joins:
            found = misplaced(join.fresh, join.risen, "the upsampled map")
            if found is None or found[1] < 1 - 1e-6:
                continue
            words, pixels = found
            same_size = anatomy.output.shape[2:] == anatomy.trace.image.shape[2:]
            if join.level in seen:
                continue
            seen.add(join.level)
            where = "" if legal else f" for the size {in_words(sides)}, which it accepts"
            # A gate is felt by what it weighs, and lies as coarsely as what it is made of.
            gate = only_weighs(anatomy, join.step.output)
            report = fail if (legal or same_size) and not gate else warn
            yield report(
                f"join at level {join.level}: the skip lies {words}{where}",
                level=join.level,
                pixels=pixels,
                size=sides,
            )


def laid_side_by_side(x: Examination) -> Iterator[Finding]:
    """Yield a finding for a map that is repeated as a whole."""
    for step in x.anatomy.trace.of("repeat"):
        source = step.inputs[0]
        tiled = [n for n, place in zip(source.shape, source.places, strict=True) if place]
        if tiled and list(step.output.shape[-len(tiled) :]) != tiled and min(tiled) > 1:
            yield fail(
                f"a map of {in_words(tuple(tiled))} is laid side by side with itself, to "
                f"{in_words(step.output.shape[-len(tiled) :])}, where it should be enlarged"
            )


def unpooled_amiss(x: Examination) -> Iterator[Finding]:
    """Yield a finding for indices by which a map is unpooled that are not its pooling's."""
    for step in x.anatomy.trace.of("max_unpool2d", "max_unpool3d"):
        source, indices = step.inputs[:2]
        found = misplaced(source, indices, "the indices by which it is unpooled")
        pooling = indices.made_by
        if found is not None:
            yield fail(f"a map lies {found[0]}")
        elif pooling is None or not pooling.operation.startswith(("max_pool", "adaptive_max")):
            yield fail("the indices by which a map is unpooled are not as a pooling returned them")
        elif came_up(pooling.inputs[0]):
            yield fail("the indices by which a map is unpooled are those of one that had come up")


def weighed_amiss(x: Examination) -> Iterator[Finding]:
    """Yield a finding for a gate that lies beside what it weighs, or the wrong way round."""
    for step in x.anatomy.trace.of("mul"):
        maps = [value for value in step.inputs if value.from_image and value.spatial]
        if len(maps) != 2 or maps[0].shape[2:] != maps[1].shape[2:]:
            continue
        found = misplaced(maps[0], maps[1], "what it is multiplied with")
        # What was resized may be felt as coarsely as it is.
        resized = any(abs(a.step) != abs(b.step) for a, b, _ in apart(*maps))
        if found is not None and found[1] >= 1 - 1e-6 and not resized:
            yield fail(f"a map lies {found[0]}", pixels=found[1])


def drifts(x: Examination) -> Iterator[Finding]:
    """Yield a warning for every join whose sides lie less than a pixel apart."""
    said: set[tuple[int, str]] = set()
    for join in x.anatomy.joins:
        found = misplaced(join.fresh, join.risen, "the upsampled map")
        if found is None or found[1] >= 1 - 1e-6 or (join.level, found[0]) in said:
            continue
        words, pixels = found
        said.add((join.level, words))
        yield warn(
            f"join at level {join.level}: the skip lies {words}", level=join.level, pixels=pixels
        )
    for place in x.anatomy.output.spatial:
        centre = place.at(0) - round(place.at(0))
        if abs(abs(place.step) - 1) < 1e-6 and abs(centre) > 1e-6:
            yield warn(f"the output lies {abs(centre):.3g} px beside the pixels of the input")
            break


def output_is_aligned(x: Examination) -> Iterator[Finding]:
    """Yield a finding if an output is not centred on the image."""
    for sides, anatomy in x.at_all_sizes.items():
        legal = sides in (x.sides, x.oblong)
        main = anatomy.output
        alike = [v for v in anatomy.trace.outputs if v.shape[2:] == main.shape[2:] and v.from_image]
        for output in (main, *(value for value in alike if value is not main)):
            full = output.shape[-x.axes :] == sides
            if output.spatial and (legal or full):
                found = next(misplaced_output(output, sides, legal), None)
                if found is not None:
                    yield found
                    return


def misplaced_output(output: Value, sides: tuple[int, ...], legal: bool) -> Iterator[Finding]:
    """Yield a finding if an output of an image with these sides is not centred on it."""
    if len(output.spatial) == len(sides):
        order = [place.origin for place in output.spatial]
        if order != sorted(order):
            yield fail("the output has rows for columns", order=order)
            return
    for place, size in zip(output.spatial, output.shape[-len(output.spatial) :], strict=True):
        if place.step < 0:
            yield fail("the output lies the wrong way round", step=place.step)
            return
        if abs(place.step - 1) > 1e-6:
            continue
        low, high = place.at(0), sides[place.origin] - 1 - place.at(size - 1)
        whole = abs(low - round(low)) < 1e-6
        if abs(low - high) >= (1 if whole else 2) - 1e-6 and (legal or abs(low) >= 1 - 1e-6):
            yield fail(
                f"the output {left_out(low)} at one end and {left_out(high)} at the other: it "
                f"is not centred on the image of {in_words(sides)}",
                before=low,
                behind=high,
            )


def left_out(pixels: float) -> str:
    """What an output does at one end of the image, in words."""
    if pixels < 0:
        return f"reaches {-pixels:.3g} px beyond the image"
    return f"leaves out {pixels:.3g} px"


def mirrors_commute(x: Examination) -> Iterator[Finding]:
    """Yield a finding if a net of mirrored kernels does not mirror its output with its input."""
    if not x.witness.exact:
        yield skip("the net does not run with other weights, so that nothing can be told exactly")
        return
    reason = no_mirror(x)
    if reason:
        yield skip(reason)
        return
    if not x.repeats:
        yield skip(UNSTEADY)
        return
    if has_drift(x.anatomy):
        yield skip("maps lie parts of a pixel apart, or off the centre, so that nothing mirrors")
        return
    witness = x.witness.copy()
    symmetrise(witness.net, x.axes)
    image = x.image(x.sides)
    with WithoutPositions(image):
        straight = witness.run(image).output
    for axis in range(-x.axes, 0):
        mirrored = image.flip(axis)
        with WithoutPositions(mirrored):
            turned = witness.run(mirrored).output
        if straight is None or turned is None or straight.dim() < x.axes:
            continue
        gap = difference(straight, turned.flip(axis))
        if gap > 10 * witness.equal:
            name = {-1: "left and right", -2: "top and bottom"}.get(axis, "front and back")
            yield fail(
                f"with symmetric kernels, mirroring the image ({name}) does not mirror the output: "
                f"it differs by {gap:.2g} of its range, so that something lies off its centre",
                axis=axis,
                difference=gap,
            )
            return


def no_mirror(x: Examination) -> str:
    """Why symmetric kernels do not make this net symmetric; empty if they do."""
    for step in x.anatomy.trace.steps:
        for beginning, reason in UNMIRRORED.items():
            if step.operation.startswith(beginning):
                return reason
    if any(not conv.is_learnt for conv in x.anatomy.convs):
        return "some kernels do not learn, and may be of any symmetry"
    if x.magnification > 1:
        return UNMIRRORED["pixel_"]
    if x.anatomy.loses_its_place and not x.anatomy.downs:
        return "pixels are reshaped into channels, which no symmetry of kernels mirrors"
    return ""


UNMIRRORED: Final[Mapping[str, str]] = {
    "pixel_": "pixels are shuffled from channels, which no symmetry of kernels mirrors",
    "max_unpool": "of equal values a pooling with indices takes the first, from either side",
    "im2col": "pixels are laid beside their neighbours, which no symmetry of kernels mirrors",
    "_fft": "weights stand in the frequency domain, where no kernel can be made symmetric",
}
"""Why nothing mirrors after an operation whose name begins so."""


def has_drift(anatomy: Anatomy) -> bool:
    """Whether maps meet less than a pixel apart, or a map lies off the centre by less than one."""
    values = [v for v in anatomy.trace.values if anatomy.is_live(v) and v.spatial]
    sides = anatomy.trace.image.shape[2:]
    for value in values:
        for place, size in zip(value.spatial, value.shape[-len(value.spatial) :], strict=True):
            middle = place.offset + place.step * (size - 1) / 2 - (sides[place.origin] - 1) / 2
            if 1e-6 < abs(middle) / abs(place.step) < 1 - 1e-6:
                return True
    return False


def symmetrise(net: nn.Module, axes: int) -> None:
    """Make every kernel its own mirror image along each axis."""
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.dim() != axes + 2:
                continue
            for axis in range(2, parameter.dim()):
                parameter.copy_((parameter + parameter.flip(axis)) / 2)


def no_interior(x: Examination) -> str:
    """Why the output of this net cannot be expected to shift with the image; empty if it can."""
    if not x.repeats:
        return UNSTEADY
    if is_stretched(x.anatomy):
        return "maps are stretched by parts of a pixel, so that nothing shifts exactly"
    if is_wrapped(x.anatomy):
        return "the image is wrapped around, so that it has no border to keep away from"
    other = any(abs(abs(place.step) - 1) > 1e-6 for place in x.anatomy.output.spatial)
    if other or x.magnification > 1:
        return "the output has another resolution than the image"
    return ""


def is_wrapped(anatomy: Anatomy) -> bool:
    """Whether a piece of a map is copied to where another piece of it was to be expected."""
    return any(
        gap
        for step in anatomy.trace.of("copy_")
        if len(step.inputs) == 2
        for _, _, gap in apart(*step.inputs)
    )


def translations_commute(x: Examination) -> Iterator[Finding]:
    """Yield a finding if an image shifted by one cell gives other logits, far from the border.

    How far the border is felt is measured: by the rows that change with the last cell of rows.
    """
    reason = no_interior(x)
    if reason:
        yield skip(reason)
        return
    rows = list(shifted_along(x, 2))
    if macs(x.anatomy) > LIGHT:
        yield from rows
        return
    columns = list(shifted_along(x, x.axes + 1))
    attends = any(s.operation in ATTENDING for s in x.anatomy.trace.steps)
    differ = bool(rows) != bool(columns)
    if differ and "felt" in (rows or columns)[0].evidence and not attends:
        whole, local = ("columns", "rows") if columns else ("rows", "columns")
        yield fail(
            f"each part of the output feels what changes in a few {whole} of the image, and not so "
            f"with {local}: a norm or a softmax runs along one side of the maps"
        )
        return
    yield from rows or columns


def shifted_along(x: Examination, axis: int) -> Iterator[Finding]:
    """Yield a finding if it is so where images are shifted along their rows, or another axis."""
    witness, step = x.witness, x.lattice
    reach = max((p.before + p.after for p in x.anatomy.output.spatial), default=0.0)
    if not reach or x.anatomy.loses_its_place:
        reach = max(reach, 14.0 * step)
    side = x.side + -(-max(0, round(reach) + 4 * step - x.side) // step) * step
    side = min(side, x.side + max(0, LARGEST[x.axes] - x.side) // step * step)
    # As if along rows: few columns do, if the net takes such an image.
    narrow = x.side if x.run(x.oblong).output is not None else side
    image = x.image((side + step,) + (narrow,) * (x.axes - 1), seed=3)
    other = image.narrow(2, 0, side).clone()
    other.narrow(2, side - step, step).copy_(x.image((step, *image.shape[3:]), seed=4))
    pictures = (image.narrow(2, 0, side), other, image.narrow(2, step, side))
    with WithoutImageStatistics():  # type: ignore[no-untyped-call]  # torch's
        outputs = [witness.run(picture.transpose(2, axis)).output for picture in pictures]
    turned = [o.transpose(2, axis) for o in outputs if o is not None and o.dim() == x.axes + 2]
    if len(turned) < len(pictures):
        yield skip("the net does not return a map of the image's axes")
        return
    whole, changed, moved = turned
    if not all(bool(output.isfinite().all()) for output in (whole, changed, moved)):
        yield skip("without statistics over the image its signal grows beyond all numbers")
        return
    felt = far_rows(whole, changed, witness.equal)
    rows = whole.shape[2]
    if max((b - a for a, b in itertools.pairwise([*felt, rows])), default=0) > 2 * step:
        lines = "rows" if axis == 2 else "columns"
        yield fail(
            f"what changes in the last {step} {lines} of the image changes number {felt[0]} of the "
            f"output's and not all behind it: maps are turned round or mixed up",
            rows=felt[:8],
        )
        return
    border = rows - min(felt, default=rows) + 1
    one, two = interior(whole, border + step, border), interior(moved, border, border + step)
    if one.numel() == 0:
        reason = looks_at_the_whole_image(x.anatomy)
        # A 3x3 net sees some 7 cells to each side, and this image has 14 and more.
        if len(felt) > 0.8 * rows and x.anatomy.loses_its_place and not reason:
            yield fail(
                "what changes at one border of the image changes the output at the other, and no "
                "operation that looks at the whole image is to be seen: pixels are mixed up"
            )
        else:
            through = f", through {reason}" if reason else ""
            yield skip(
                f"on {side} pixels every part of the output feels the border{through}", felt=side
            )
    elif difference(one, two) > witness.equal:
        positions = holds_positions(x.anatomy)
        yield (warn if positions else fail)(
            f"an image shifted by {step} pixels does not shift the output: far from the border it "
            f"differs by {difference(one, two):.2g} of its range"
            + (" (the net is given positions)" if positions else ""),
            step=step,
        )


def holds_positions(anatomy: Anatomy) -> bool:
    """Whether a map that does not come from the image, as a grid of coordinates, is joined."""
    return any(
        not value.from_image
        and len(value.shape) > 2
        and min(value.shape[-2:]) > 3
        and not (value.made_by and value.made_by.operation in UNIFORM)
        for step in anatomy.trace.steps
        if plain(step.operation) in ("cat", "add") and anatomy.is_live(step.output)
        for value in step.inputs
    )


UNIFORM: Final = frozenset({"zeros", "ones", "full", "empty", *SHAPE_ONLY})
"""Operations that make a map of one number."""


def interior(output: Tensor, above: int, below: int) -> Tensor:
    """Without so many rows at the two ends."""
    return output[:, :, above : max(above, output.shape[2] - below)]


def far_rows(one: Tensor, other: Tensor, equal: float) -> list[int]:
    """The rows in which two outputs differ."""
    scale = one.abs().max().clamp_min(1e-30)
    gaps = (one - other).abs().transpose(0, 2).flatten(1).amax(dim=1) / scale
    return [int(row) for row in (gaps > equal * 1e-3).nonzero().flatten()]


def is_stretched(anatomy: Anatomy) -> bool:
    """Whether a live map's step is no power of two, as align_corners makes them."""
    for value in anatomy.trace.values:
        if anatomy.is_live(value) and value.from_image:
            for place in value.spatial:
                ratio = math.log2(abs(place.step)) if place.step else 0.5
                if abs(ratio - round(ratio)) > 1e-6:
                    return True
    return False


def places_differ(x: Examination) -> Iterator[Finding]:
    """Yield a finding if the output is the same everywhere, whatever the image."""
    output = x.repetition.first.output
    if output is None or output.dim() < 3 or not output.is_floating_point():
        return
    flat = output.flatten(2) if output.dim() > 3 else output.flatten(1)[None]
    if flat.shape[-1] > 1 and (flat.max(-1).values == flat.min(-1).values).all():
        yield fail("the output is the same at every place of the image", value=flat[0, 0, 0].item())


LARGEST: Final = {2: 400, 3: 64}

LIGHT: Final = 2 * 10**9
"""Multiply-adds of a net that is looked at along its columns, too; it takes as long as all else."""

CHECKS: Final[Mapping[str, Check]] = {
    "skips_lie_where_they_are_joined": Check(
        title="At every join both maps have one step and one offset in input pixels.",
        harm="Contours from the skip and regions from below lie apart: edges blur or double.",
        cause="A crop that is not centred, a pad on one side, or a resize in place of a crop.",
        run=joins_are_aligned,
    ),
    "maps_do_not_drift_by_parts_of_a_pixel": Check(
        title="Maps meet without a shift by parts of a pixel.",
        harm="A small, steady shift of contours; training mostly learns it away.",
        cause="align_corners=True, a 3x3 transposed convolution of stride 2, a strided 3x3 window.",
        run=drifts,
    ),
    "output_lies_on_the_image": Check(
        title="The output is centred on the image, the right way round.",
        harm="All contours are shifted.",
        cause="A crop or pad that takes more from one side than from the other.",
        run=output_is_aligned,
    ),
    "mirrored_images_give_mirrored_outputs": Check(
        title="With symmetric kernels, the mirrored image gives the mirrored output.",
        harm="Something lies off its centre: contours are shifted.",
        cause="Crops, pads or shifts that are not symmetric.",
        run=mirrors_commute,
    ),
    "output_differs_from_place_to_place": Check(
        title="The output is not one number for the whole image.",
        harm="Nothing is segmented.",
        cause="A reduction over the image after the last convolution, or weights that are zero.",
        run=places_differ,
    ),
    "shifted_images_give_shifted_outputs": Check(
        title="An image shifted by a cell of the deepest map shifts the output, border aside.",
        harm="What a pixel is called depends on where in the image it stands.",
        cause="Flipped or transposed maps, positions learned by heart, pixels reshaped.",
        run=translations_commute,
    ),
}
