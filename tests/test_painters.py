"""Each task shows what it says, and is hard for the reason that it gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from ablations.tasks.painters import thin
from ablations.tasks.shapes import PLAIN, TASKS, Look

SIZE = 64


def greys_and_targets(task: str, count: int, look: Look = PLAIN) -> tuple[np.ndarray, np.ndarray]:
    """The first images of a stream in greys from 0 to 255, and their targets."""
    index = torch.arange(count)
    batch = TASKS[task].sample(seed=5, split="test", index=index, size=SIZE, look=look)
    return (batch.image[:, 0] * 255).round().long().numpy(), batch.target.numpy()


def alike(grey: np.ndarray, where: np.ndarray, axis: int) -> float:
    """The correlation of neighbours along an axis, of pairs that lie in `where` both."""
    first, second = (np.take(grey, range(k, SIZE - 1 + k), axis) for k in (0, 1))
    both = np.logical_and(*(np.take(where, range(k, SIZE - 1 + k), axis) for k in (0, 1)))
    return float(np.corrcoef(first[both], second[both])[0, 1])


@pytest.mark.parametrize("difficulty", [0.0, 0.5])
def test_a_textures_greys_tell_nothing(difficulty: float) -> None:
    """Mean and variance are those of a mean of four bytes, on the ground and in the objects."""
    grey, target = greys_and_targets("texture", 400, Look(difficulty=difficulty))
    for side in (0, 1):
        seen = grey[target == side]
        assert abs(seen.mean() - 127.1) < 1
        assert abs(seen.std() / (256 / np.sqrt(12) / 2) - 1) < 0.01


def test_textures_come_together() -> None:
    """Streaks are level outside and upright inside; the dial evens them out, at 1 altogether."""
    gaps = []
    for difficulty in (0.0, 0.5, 1.0):
        grey, target = greys_and_targets("texture", 200, Look(difficulty=difficulty))
        ground, inside = ([alike(grey, target == side, axis) for axis in (1, 2)] for side in (0, 1))
        gaps += [ground[1] - inside[1], inside[0] - ground[0]]
    assert gaps[0] > 0.7 < gaps[1]
    assert 0.2 < gaps[2] < 0.5 > gaps[3] > 0.2
    assert abs(gaps[4]) < 0.02 > abs(gaps[5])


def test_objects_lie_at_the_border() -> None:
    """The outermost pixels show all kinds, what is farther in than an object reaches shows none."""
    _, target = greys_and_targets("border", 100)
    depth = SIZE // 4 + 1
    assert not target[:, depth:-depth, depth:-depth].any()
    for edge in (target[:, 0], target[:, -1], target[:, :, 0], target[:, :, -1]):
        assert set(np.unique(edge)) == set(range(5))
        assert (edge > 0).mean() > 0.2


def test_a_position_is_the_half_of_the_disc() -> None:
    """Whole discs, found again in the image, have the label of the half that their centre is in."""
    grey, target = greys_and_targets("position", 40)
    found = 0
    for image, labels in zip(grey, target, strict=True):
        parts, _ = ndimage.label(image > 60)
        for part, (rows, columns) in enumerate(ndimage.find_objects(parts), start=1):
            if rows.start and columns.start and rows.stop < SIZE > columns.stop:
                half = 1 if columns.start + columns.stop - 1 < SIZE else 2
                assert set(labels[parts == part]) == {half}
                found += 1
        assert set(labels[image == 60]) <= {0}
    assert found > 100


def test_left_and_right_look_alike() -> None:
    """Discs cover as much of every quarter, from the left as from the top, and of every column."""
    grey, _ = greys_and_targets("position", 2000)
    for axis in (1, 2):
        covered = (grey > 60).mean(axis=(0, axis))
        quarters = covered.reshape(4, -1).mean(axis=1)
        assert abs(quarters / quarters.mean() - 1).max() < 0.03
        assert abs(covered / covered.mean() - 1).max() < 0.15


def test_curves_are_thin_and_whole() -> None:
    """One run of 1 to 3 pixels in every row, at most a pixel beside that of the row before."""
    drawn = torch.randint(0, 2**32, (500, 2, 4), generator=torch.Generator().manual_seed(0))
    curves = thin._curves(drawn, 200)[..., 20:-20].numpy()
    # Those that stay inside.
    whole = curves.any(axis=3).all(axis=2)
    assert whole.sum() > 100
    width = curves[whole].sum(axis=2)
    assert set(np.unique(width)) <= {1, 2, 3}
    assert np.abs(np.diff(curves[whole].argmax(axis=2), axis=1)).max() == 1


def test_a_curves_grey_is_that_of_some_disc() -> None:
    """Lines have one grey, which discs have as well."""
    grey, target = greys_and_targets("thin", 100)
    assert set(grey[target == 1]) == {150}
    assert (grey[target == 0] == 150).any()
    assert 0.05 < target.mean() < 0.3


def test_cells_are_kept_apart() -> None:
    """Neighbours that both are cell are one cell, and of one grey; ground is ground everywhere."""
    grey, target = greys_and_targets("crowded", 60)
    for axis in (1, 2):
        cells = [np.take(target, range(k, SIZE - 1 + k), axis) for k in (0, 1)]
        greys = [np.take(grey, range(k, SIZE - 1 + k), axis) for k in (0, 1)]
        both = (cells[0] == 1) & (cells[1] == 1)
        assert (greys[0] == greys[1])[both].all()
    for image, labels in zip(grey, target, strict=True):
        assert len(set(image[labels == 0])) == 1
        assert image[labels == 0].max() < image[labels == 1].min()


def test_cells_touch_but_for_one_pixel() -> None:
    """Where a pixel of ground parts two cells side by side, they are often two different ones."""
    grey, target = greys_and_targets("crowded", 60)
    left, gap, right = target[..., :-2], target[..., 1:-1], target[..., 2:]
    parted = (left == 1) & (gap == 0) & (right == 1)
    differ = grey[..., :-2] != grey[..., 2:]
    assert (parted & differ).sum() / len(target) > 10
