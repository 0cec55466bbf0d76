"""Which sizes a net takes, and what comes out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final

from torch import Tensor

from unet.anatomy import PADS, RESIZES, plain
from unet.checks.finding import Check, Finding, fail, first_of, in_words, skip, warn
from unet.examination import Examination


def takes_other_sizes(x: Examination) -> Iterator[Finding]:
    """Yield a finding if it runs on the base size and on no other."""
    for cells in (1, 2):
        side = x.side + cells * x.lattice
        run = x.run((side,) * x.axes)
        if run.output is None:
            yield fail(
                f"runs on {in_words(x.sides)} and not on {in_words((side,) * x.axes)}, which its "
                f"{x.anatomy.depth} halvings allow: {run.error}",
                size=side,
                error=run.error,
            )
            return


def takes_oblong_images(x: Examination) -> Iterator[Finding]:
    """Yield a finding if height and width are not treated alike."""
    if any(takes_other_sizes(x)):
        yield skip("it runs on no other size, square or not")
        return
    for sides in (x.oblong, x.oblong[::-1]):
        run = x.run(sides)
        if run.output is None:
            yield fail(f"does not run on {in_words(sides)}: {run.error}", size=sides)
            return
        square = x.run(x.sides).output
        assert square is not None
        got = run.output.shape[-x.axes :]
        expected = tuple(
            out + side - x.side for out, side in zip(square.shape[-x.axes :], sides, strict=True)
        )
        if tuple(got) == expected[::-1] != expected:
            yield fail(
                f"returns {in_words(tuple(got))} for {in_words(sides)}: height and width are "
                f"swapped",
                size=sides,
            )
            return


def output_has_the_images_resolution(x: Examination) -> Iterator[Finding]:
    """Yield a finding if an output pixel is not as large as an input pixel."""
    if x.magnification > 1:
        yield warn(f"an input pixel becomes {x.magnification} output pixels along each axis")
        return
    # Off the grid a skip may be resized to what comes up, which other checks are about.
    for sides in (x.sides, x.oblong):
        anatomy = x.at_all_sizes.get(sides)
        if anatomy is None:
            continue
        spatial = anatomy.output.spatial
        for place, size, given in zip(
            spatial, anatomy.output.shape[-len(spatial) :], sides, strict=False
        ):
            if abs(abs(place.step) - 1) < 1e-6:
                continue
            if size == given:
                yield fail(
                    f"the output of {size} pixels covers only {abs(place.step) * size:.4g} of the "
                    f"{given} input pixels: it has been stretched to their number",
                    step=place.step,
                )
            else:
                yield fail(
                    f"an output pixel is {abs(place.step):.4g} input pixels wide where 1 was "
                    f"expected",
                    step=place.step,
                )
            return
    first, second = x.run(x.sides).output, x.run((x.side + x.lattice,) * x.axes).output
    if first is not None and second is not None:
        grown = second.shape[-1] - first.shape[-1]
        if grown != x.lattice:
            yield fail(
                f"an image {x.lattice} pixels larger gives an output {grown} pixels larger",
                grown=grown,
            )


def image_is_not_resized(x: Examination) -> Iterator[Finding]:
    """Yield a finding if every image is first brought to a size of the net's own."""
    for sides, anatomy in x.at_all_sizes.items():
        for step in anatomy.trace.image.users:
            if plain(step.operation) not in RESIZES:
                continue
            ratio = step.output.shape[-1] / sides[-1]
            if abs(math.log2(ratio) - round(math.log2(ratio))) > 1e-6:
                yield fail(
                    f"an image of {in_words(sides)} is resized to "
                    f"{in_words(step.output.shape[2:])} before anything else",
                    size=sides,
                )
                return


def output_is_no_larger(x: Examination) -> Iterator[Finding]:
    """Yield a finding if the output has pixels that the image does not have."""
    for sides, anatomy in x.at_all_sizes.items():
        if x.magnification > 1:
            return
        output = anatomy.output
        padded = any(step.operation in PADS for step in anatomy.trace.image.users)
        if sides != x.sides and not padded:
            continue  # it is off the grid, which another check is about
        for size, given in zip(output.shape[2:], sides, strict=False):
            if size > given and (not output.spatial or abs(abs(output.spatial[0].step) - 1) < 1e-6):
                yield fail(
                    f"an image of {given} pixels gives {size}: {size - given} more than there are",
                    output=size,
                    input=given,
                )
                return


def off_grid_is_refused_or_handled(x: Examination) -> Iterator[Finding]:
    """Yield a finding for what happens to sizes that the poolings cannot halve."""
    if x.anatomy.downs:
        yield from first_of(stretched_to_fit(x), refused_or_cut(x), one_axis_for_another(x))


def stretched_to_fit(x: Examination) -> Iterator[Finding]:
    """Yield a warning if an output is resized to the size of the image."""
    astray, sides = max((stretched(x, sides), sides) for sides in x.off_grid)
    if astray >= 1:
        yield warn(
            f"{in_words(sides)} is accepted, and the output stretched: its pixels lie up to "
            f"{astray:.3g} px off those of the image",
            size=sides,
            pixels=astray,
        )


def refused_or_cut(x: Examination) -> Iterator[Finding]:
    """Yield a finding for a size that fails inside torch, is cut, or filled up."""
    base = x.run(x.sides).output
    assert base is not None
    margin = x.side - base.shape[-1]
    for sides in x.off_grid:
        run = x.run(sides)
        if run.output is None:
            square = x.run((sides[-1],) * x.axes)
            if is_mismatch(run.error) and square.output is None:
                yield warn(
                    f"{in_words(sides)} fails inside torch, without a word on which sizes are "
                    f"legal: {run.error}",
                    size=sides,
                )
        elif run.output.shape[-1] != sides[-1] - margin:
            yield warn(
                f"{in_words(sides)} is cut silently: {sides[-1] - margin} pixels were to be "
                f"expected and {run.output.shape[-1]} come out",
                size=sides,
            )
        elif filled_up(run.output):
            yield fail(
                f"{in_words(sides)} is accepted, and the last row or column of the output is "
                f"{run.output[0, 0, -1, -1].item():g} throughout: filled up, not computed",
                size=sides,
            )


def is_mismatch(error: str) -> bool:
    """Whether torch says that two maps have different sizes."""
    return "Sizes of tensors" in error or "must match the size" in error


def one_axis_for_another(x: Examination) -> Iterator[Finding]:
    """Yield a finding for an oblong size that fails although squares of its sides do not."""
    square, *oblong = x.off_grid
    by_one = (tuple(x.side + (each == axis) for each in range(x.axes)) for axis in range(x.axes))
    for sides in (*oblong, *by_one):
        run = x.run(sides)
        if run.output is None and all(x.run((side,) * x.axes).output is not None for side in sides):
            yield fail(
                f"{in_words(square)} is accepted and {in_words(sides)} is not: where "
                f"sizes are mended, one axis is taken for another: {run.error}",
                size=sides,
            )


def filled_up(output: Tensor) -> bool:
    """Whether the last row or column of a map is one number, and the map is not."""
    if output.dim() < 4 or min(output.shape[-2:]) < 3 or not output.is_floating_point():
        return False
    ends = (output[..., -1, :], output[..., :, -1])
    inner = output[..., 1:-1, 1:-1]
    one_number = any(bool((end == end.flatten()[0]).all()) for end in ends)
    return one_number and not bool((inner == inner.flatten()[0]).all())


def stretched(x: Examination, sides: tuple[int, ...]) -> float:
    """How far off the last pixel of an output lies that was resized at this size and not before."""
    anatomy = x.at_all_sizes.get(sides)
    if anatomy is None or any(abs(place.step - 1) > 1e-6 for place in x.anatomy.output.spatial):
        return 0.0
    output = anatomy.output
    ends = zip(output.spatial, output.shape[-len(output.spatial) :], strict=False)
    return max((abs((place.step - 1) * (size - 1)) for place, size in ends), default=0.0)


CHECKS: Final[Mapping[str, Check]] = {
    "takes_every_legal_size": Check(
        title="Every size that the poolings can halve is accepted.",
        harm="Only images of one size can be segmented.",
        cause="A size written into a view, a linear layer or a table of positions.",
        run=takes_other_sizes,
    ),
    "takes_images_that_are_not_square": Check(
        title="Height and width are independent.",
        harm="Images that are not square fail, or come out turned.",
        cause="One crop computed for both axes, or height and width swapped.",
        run=takes_oblong_images,
    ),
    "output_has_the_resolution_of_the_image": Check(
        title="An output pixel is as large as an input pixel.",
        harm="Every contour is off, the more the farther from the centre.",
        cause="A missing upsampling, or a resize that hides a mismatch of sizes.",
        run=output_has_the_images_resolution,
    ),
    "image_is_not_resized": Check(
        title="The image is not resized to a size that the net prefers.",
        harm="Detail is lost, and every contour is interpolated.",
        cause="A resize that makes any size fit.",
        run=image_is_not_resized,
    ),
    "output_is_no_larger_than_the_image": Check(
        title="The output has no more pixels than the image.",
        harm="Pixels at the rim belong to nothing that was seen.",
        cause="A border that was padded and never cropped.",
        run=output_is_no_larger,
    ),
    "sizes_off_the_grid_are_refused_or_handled": Check(
        title="A size that cannot be halved is refused in words, or padded and cropped back.",
        harm="Users meet an error from inside torch, or an output smaller than they expect.",
        cause="Pooling drops the last row of an odd map without a word.",
        run=off_grid_is_refused_or_handled,
    ),
}
