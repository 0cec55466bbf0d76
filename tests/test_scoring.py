"""What is counted on the test images, against counts by hand and by scipy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from ablations.runs.cell import Cell
from ablations.runs.measures import CONFIDENCE_BINS, CONFIDENCE_UNIT, TOLERANCE
from ablations.runs.plan import Plan
from ablations.training.scoring import boundary_counts, confidence_counts

Mask = npt.NDArray[np.bool_]


def square(top: int, left: int, side: int = 4, size: int = 12) -> Mask:
    """A mask with one square."""
    mask = np.zeros((size, size), dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


def counted(predicted: Mask, true: Mask) -> list[int]:
    """The boundary counts of one class in one image."""
    masks = (torch.from_numpy(mask)[None, None] for mask in (predicted, true))
    counts: list[list[int]] = boundary_counts(*masks).tolist()
    return counts[0]


@pytest.mark.parametrize(
    ("predicted", "counts"),
    [
        (square(4, 4), [12, 12, 12, 12]),
        (square(4, 5), [12, 12, 12, 12]),
        (square(4, 6), [12, 8, 12, 8]),
        (square(0, 0, side=1), [1, 0, 12, 0]),
        (np.zeros((12, 12), dtype=bool), [0, 0, 12, 0]),
        # The edge of the window is no boundary.
        (np.ones((12, 12), dtype=bool), [0, 0, 12, 0]),
    ],
)
def test_boundaries_of_squares(predicted: Mask, counts: list[int]) -> None:
    """A square of 4 has 12 boundary pixels; shifted by two columns, 8 are near the other's."""
    assert counted(predicted, square(4, 4)) == counts


def by_distance(predicted: Mask, true: Mask) -> list[int]:
    """The same by exact Euclidean distances; the mask goes on beyond the edge."""
    cross = ndimage.generate_binary_structure(2, 1)
    edges = [m & ~ndimage.binary_erosion(m, cross, border_value=1) for m in (predicted, true)]
    far = [ndimage.distance_transform_edt(~e) if e.any() else np.full(e.shape, 99.0) for e in edges]
    near = [int((edges[k] & (far[1 - k] <= TOLERANCE)).sum()) for k in (0, 1)]
    return [int(edges[0].sum()), near[0], int(edges[1].sum()), near[1]]


@given(st.integers(0, 10**6), st.integers(1, 20), st.integers(1, 20), st.floats(0, 1))
def test_boundaries_are_those_of_the_exact_distance(
    seed: int, height: int, width: int, share: float
) -> None:
    """Of any masks, empty and full ones included."""
    predicted, true = np.random.default_rng(seed).random((2, height, width)) < share
    assert counted(predicted, true) == by_distance(predicted, true)


@pytest.fixture
def cell(tiny: Plan) -> Cell:
    """A cell whose classes exclude each other."""
    return next(tiny.cells())


def test_confidence_of_known_decisions(cell: Cell) -> None:
    """Three of four are right, all with a probability of 0.64, which is in the tenth bin."""
    logits = (
        torch.log(torch.tensor([0.64, 0.09, 0.09, 0.09, 0.09])).view(1, 5, 1, 1).expand(1, 5, 2, 2)
    )
    true = torch.zeros(1, 5, 2, 2, dtype=torch.bool)
    true[:, 0] = True
    true[:, :, 1, 1] = torch.tensor([False, True, False, False, False])
    counts = confidence_counts(logits, true, cell)
    assert counts.shape == (CONFIDENCE_BINS, 3)
    n, confidence, right = counts[9].tolist()
    assert (n, right) == (4, 3)
    assert confidence / CONFIDENCE_UNIT == pytest.approx(4 * 0.64, abs=1e-5)
    assert counts[:, 0].sum() == 4


def test_overlapping_classes_are_decided_one_by_one(cell: Cell) -> None:
    """Each class of each pixel is a decision, and none is less sure than a half."""
    objects = replace(cell, task=cell.task.model_copy(update={"name": "objects"}))
    logits = torch.tensor([3.0, -3.0, 0.5, -0.5, 0.0, -9.0]).view(1, 6, 1, 1)
    true = torch.tensor([1, 1, 1, 0, 0, 0], dtype=torch.bool).view(1, 6, 1, 1)
    counts = confidence_counts(logits, true, objects)
    n, confidence, right = counts.sum(dim=0).tolist()
    assert (n, right) == (6, 5)
    assert confidence / CONFIDENCE_UNIT == pytest.approx(
        float(logits.abs().sigmoid().sum()), abs=1e-4
    )
    assert not counts[: CONFIDENCE_BINS // 2].any()
    assert counts[-1, 0] == 3


def test_what_overflows_has_no_confidence(cell: Cell) -> None:
    """It is counted in the lowest bin, and stops nothing."""
    counts = confidence_counts(
        torch.full((1, 5, 1, 1), float("nan")), torch.ones(1, 5, 1, 1, dtype=torch.bool), cell
    )
    assert counts[0, :2].tolist() == [1, 0]
