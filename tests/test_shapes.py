"""Samples are pure functions of (seed, split, index), and look as they should."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ablations.tasks.painters import (
    crowded,
    labels,
    objects,
    randomness,
    raster,
    texture,
    thin,
)
from ablations.tasks.painters.randomness import between, grey_noise, random_bits
from ablations.tasks.painters.raster import Run, pixels, rows_about
from ablations.tasks.shapes import TASKS, Batch, Look

Shape = Callable[[torch.Tensor, torch.Tensor], Run]


def sample(task: str = "labels", seed: int = 0, split: str = "train", count: int = 8) -> Batch:
    """The first images of a stream."""
    index = torch.arange(count)
    return TASKS[task].sample(seed=seed, split=split, index=index, size=88, look=Look(0.1))


@pytest.mark.parametrize("task", TASKS)
@given(
    st.integers(0, 2**31),
    st.sampled_from(["train", "test"]),
    st.lists(st.integers(0, 2**31), min_size=1, max_size=5),
)
def test_a_sample_does_not_depend_on_its_batch(
    task: str, seed: int, split: str, index: list[int]
) -> None:
    """Alone or in a batch, a sample is the same to the bit."""

    def draw(places: list[int]) -> Batch:
        return TASKS[task].sample(
            seed=seed, split=split, index=torch.tensor(places), size=40, look=Look(0.2, 0.7)
        )

    together = draw(index)
    for place, number in enumerate(index):
        alone = draw([number])
        assert torch.equal(together.image[place], alone.image[0])
        assert torch.equal(together.target[place], alone.target[0])


@pytest.mark.parametrize("task", TASKS)
def test_seeds_splits_and_indices_differ(task: str) -> None:
    """No two images of a few streams are the same."""
    images = torch.cat(
        [sample(task, seed, split).image for seed in (0, 1) for split in ("train", "test")]
    )
    assert len({image.numpy().tobytes() for image in images}) == len(images)


@pytest.mark.parametrize("task", TASKS)
def test_shapes_and_types(task: str) -> None:
    """Images and targets are as `Batch` says, and every class turns up."""
    batch, kind = sample(task, count=32), TASKS[task]
    assert batch.image.shape == (32, kind.in_channels, 88, 88)
    assert batch.image.dtype == torch.float32
    if kind.exclusive:
        assert batch.target.shape == (32, 88, 88)
        assert batch.target.unique().tolist() == list(range(len(kind.classes)))
    else:
        assert batch.target.shape == (32, len(kind.classes), 88, 88)
        assert batch.target.flatten(2).any(2).all(), "some object is empty"
        assert (batch.target.sum(1) > 1).any(), "no two objects overlap"


def test_the_noise_is_nearly_normal() -> None:
    """Mean 0, variance 1, no skew, and the small deficit of kurtosis that four bytes have."""
    noise = grey_noise(0, 0, torch.arange(50), 60).flatten().double()
    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 1) < 0.01
    assert abs((noise**3).mean()) < 0.03
    assert abs((noise**4).mean() - 2.7) < 0.06


def test_random_bits_are_uniform_and_independent() -> None:
    """Each bit is set half of the time, and neighbours in any direction share half their bits."""
    bits = random_bits(1, 0, torch.arange(256), 256)
    as_bits = (bits[..., None] >> torch.arange(32)) & 1
    assert (as_bits.double().mean(dim=(0, 1)) - 0.5).abs().max() < 0.01
    for axis in (0, 1):
        agree = (as_bits.diff(dim=axis) == 0).double().mean(dim=(0, 1))
        assert (agree - 0.5).abs().max() < 0.01
    other = random_bits(2, 0, torch.arange(256), 256)
    assert not (bits == other).any()


@given(st.integers(0, 2**32 - 1), st.integers(-1000, 1000), st.integers(0, 1000))
def test_between_stays_within(bits: int, least: int, extent: int) -> None:
    """Both ends included, for the smallest and the largest random number."""
    drawn = between(torch.tensor(bits), least, least + extent).item()
    assert least <= drawn <= least + extent
    assert between(torch.tensor(2**32 - 1), least, least + extent) == least + extent


def tutorial_masks(kind: str, row: int, column: int, size: int, side: int) -> np.ndarray:
    """The tutorial's objects pixel by pixel, from their description; a second account."""
    half, mask = size // 2, np.zeros((side, side), dtype=bool)
    for x in range(side):
        for y in range(side):
            far = math.hypot(x - row, y - column)
            mask[x, y] = {
                "filled square": abs(x - row) < half and abs(y - column) < half,
                "mesh square": abs(x - row) < half and abs(y - column) < half,
                "filled circle": far < size,
                "ring": size * 0.7 <= far < size,
                "triangle": 0 <= y - column + half <= x - row + half < size,
                "plus": (x in (row - 1, row) and column - half <= y < column + half)
                or (y in (column - 1, column) and row - half <= x < row + half),
            }[kind]
    return mask


@pytest.mark.parametrize("kind", objects.KINDS)
def test_objects_are_the_tutorials_to_the_pixel(kind: str) -> None:
    """Every size that the tutorial draws at 192 x 192, and its floating-point ring."""
    place = list(objects.KINDS).index(kind)
    side, row, column, sizes = 64, 31, 33, torch.arange(1, 28)
    masks = objects._object_masks(
        torch.arange(-32, 33),
        torch.full((len(sizes), 6), row),
        torch.full((len(sizes), 6), column),
        sizes[:, None, None].expand(-1, 6, 1),
        side,
    )
    for size, mask in zip(sizes.tolist(), masks[:, place].bool().numpy(), strict=True):
        np.testing.assert_array_equal(mask, tutorial_masks(kind, row, column, size, side))


def labelled_masks(kind: str, row: int, column: int, reach: int, side: int) -> np.ndarray:
    """The four labelled shapes pixel by pixel, from their description; a second account."""
    mask = np.zeros((side, side), dtype=bool)
    for x in range(side):
        for y in range(side):
            down, right = x - row, abs(y - column)
            far, near = max(abs(down), right), min(abs(down), right)
            mask[x, y] = {
                "_triangle": abs(down) <= reach and 2 * right <= down + reach,
                "_circle": down**2 + right**2 <= reach**2,
                "_square": 9 * far <= 8 * reach,
                "_cross": far <= reach and 3 * near <= reach,
            }[kind]
    return mask


@pytest.mark.parametrize("shape", labels.KINDS)
@pytest.mark.parametrize(("row", "column"), [(15, 16), (2, 28)])
def test_labelled_shapes_are_what_they_should_be(shape: Shape, row: int, column: int) -> None:
    """Of any extent, inside the image and over its edge."""
    side, reaches = 32, torch.arange(1, 12)
    run = shape(torch.arange(-12, 13), reaches[:, None])
    centres = (torch.full((len(reaches),), place) for place in (row, column))
    masks = pixels(run, *centres, side)
    for reach, mask in zip(reaches.tolist(), masks.bool().numpy(), strict=True):
        expected = labelled_masks(shape.__name__, row, column, reach, side)
        np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("size", [16, 17, 18, 20, 59, 60, 199])
def test_no_object_reaches_farther_than_the_rows_that_are_painted(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Painted into twice as many rows, every image stays the same; at any size, odd ones too."""

    def draw() -> list[Batch]:
        index = torch.arange(40)
        return [
            task.sample(seed=0, split="test", index=index, size=size) for task in TASKS.values()
        ]

    before = draw()
    for painter in (crowded, labels, objects, texture, thin):
        monkeypatch.setattr(
            painter, "rows_about", lambda reach, device: rows_about(2 * reach, device)
        )
    for batch, more in zip(before, draw(), strict=True):
        assert torch.equal(batch.image, more.image)
        assert torch.equal(batch.target, more.target)


@pytest.mark.parametrize("size", [17, 40, 60])
@given(seed=st.integers(-(2**63), 2**63 - 1), first=st.integers(0, 2**40))
def test_a_gpu_draws_what_a_cpu_draws(size: int, seed: int, first: int) -> None:
    """Whole tensors at a time or in compiled loops, every image is the same to the bit."""

    def draw() -> list[Batch]:
        index, look = torch.arange(first, first + 3), Look(0.1, 0.7, 0.3)
        return [
            task.sample(seed=seed, split="test", index=index, size=size, look=look)
            for task in TASKS.values()
        ]

    compiled = draw()
    with pytest.MonkeyPatch.context() as patch:
        for module in (randomness, raster):
            patch.setattr(module, "is_on_cpu", lambda _: False)
        assert all(map(torch.equal, sum(compiled, ()), sum(draw(), ())))


def test_a_mesh_square_shows_only_its_odd_pixels() -> None:
    """The image is the union of the objects, but of the mesh square's only a quarter."""
    batch = TASKS["objects"].sample(seed=0, split="train", index=torch.arange(20), size=88)
    odd = torch.arange(88) % 2 == 1
    mesh = odd[:, None] & odd[None, :]
    others = [place for place, name in enumerate(TASKS["objects"].classes) if "mesh" not in name]
    union = batch.target[:, others].any(1) | (batch.target[:, 4].bool() & mesh)
    assert torch.equal(batch.image[:, 0] > 0, union)
    assert torch.equal(batch.image[:, 0], batch.image[:, 2])


def test_later_shapes_cover_earlier_ones() -> None:
    """Where a pixel has a label, the grey is that label's, so the last one painted is on top."""
    batch = TASKS["labels"].sample(seed=3, split="train", index=torch.arange(20), size=88)
    grey = (batch.image[:, 0] * 255).round()
    for label, (least, most) in enumerate(
        [(50, 70)] + [(90 + 36 * k, 110 + 36 * k) for k in range(4)]
    ):
        seen = grey[batch.target == label]
        assert least <= seen.min() <= seen.max() <= most


@pytest.mark.parametrize(
    ("task", "digest"),
    [
        ("labels", "3a1c0d21be8427d29f37dfd120273ccc2774d2f9760743923dcf05e7b3188883"),
        ("objects", "fe9cd86bfc032335eb056f18f86caffeb232335affa694d34d4ab36560951c58"),
    ],
)
def test_stored_runs_can_be_drawn_again(task: str, digest: str) -> None:
    """Golden: records were made of these images, which must never change by a bit."""
    found = hashlib.sha256()
    for size in (40, 88, 61):
        for split in ("train", "test"):
            batch = TASKS[task].sample(
                seed=3, split=split, index=torch.arange(20), size=size, look=Look(0.1)
            )
            found.update(batch.image.contiguous().numpy().tobytes())
            found.update(batch.target.numpy().tobytes())
    assert found.hexdigest() == digest


@pytest.mark.parametrize("task", TASKS)
def test_contrast_scales_greys_about_the_grounds(task: str) -> None:
    """At 0 the image is one grey, and half of the contrast is half of every difference from it."""

    def image(contrast: float) -> torch.Tensor:
        look = Look(contrast=contrast)
        return (
            TASKS[task]
            .sample(seed=1, split="test", index=torch.arange(6), size=40, look=look)
            .image
        )

    flat, half, full = image(0), image(0.5), image(1)
    assert (flat == flat[..., :1, :1]).all()
    assert full.std() > 0.05
    torch.testing.assert_close(half - flat, (full - flat) / 2)


@pytest.mark.parametrize("task", TASKS)
def test_dials_move_no_object(task: str) -> None:
    """Targets are those of the seed, however the images look."""
    looks = [Look(), Look(0.3), Look(contrast=0.5)] + [Look(difficulty=0.5)] * bool(
        TASKS[task].dial
    )
    first, *others = (
        TASKS[task].sample(seed=1, split="test", index=torch.arange(6), size=40, look=look)
        for look in looks
    )
    for other in others:
        assert torch.equal(first.target, other.target)
        assert not torch.equal(first.image, other.image)
