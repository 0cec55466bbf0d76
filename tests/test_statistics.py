"""Intervals and scores against their textbook values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ablations.metrics import METRICS, dice, iou, macro
from ablations.statistics import Interval, mean_interval, paired_difference

floats = st.floats(-1, 1)


@given(st.lists(floats, min_size=2, max_size=20))
def test_the_interval_is_students(values: list[float]) -> None:
    """Against scipy's own interval of a one-sample t test."""
    interval = mean_interval(values)
    assert interval.n == len(values)
    assert interval.low <= interval.mean <= interval.high
    if np.ptp(values) > 1e-6:
        expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_too_few_seeds_have_no_interval() -> None:
    """One value has a mean, none has nothing; neither can be told from anything."""
    one, none = mean_interval([0.5]), mean_interval([])
    assert (one.mean, one.n) == (0.5, 1)
    assert math.isnan(one.low)
    assert math.isnan(none.mean)
    assert not one.excludes_zero()
    assert one.overlaps(Interval(9.0, 9.0, 9.0, 2))


def test_differences_are_paired() -> None:
    """A constant gap is certain however much the seeds scatter."""
    gap = paired_difference([0.5, 0.9, 0.1], [0.4, 0.8, 0.0])
    assert gap.mean == pytest.approx(0.1)
    assert gap.low == pytest.approx(0.1)
    assert gap.excludes_zero()
    with pytest.raises(ValueError, match="argument 2 is longer"):
        paired_difference([1.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [((0, 1), (1, 2), True), ((0, 1), (1.1, 2), False), ((1.1, 2), (0, 1), False)],
)
def test_overlap(one: tuple[float, float], other: tuple[float, float], overlap: bool) -> None:
    """Touching counts as overlap."""
    assert Interval(0, *one, 3).overlaps(Interval(0, *other, 3)) == overlap


def test_the_interval_covers_at_its_level() -> None:
    """Of 4000 intervals of 3 normal seeds, 95 % hold the true mean, give or take."""
    draws = np.random.default_rng(0).normal(0.3, 0.1, size=(4000, 3))
    covered = sum(i.low <= 0.3 <= i.high for i in map(mean_interval, draws.tolist()))
    assert abs(covered / 4000 - 0.95) < 0.015


def test_scores_of_known_counts() -> None:
    """3 right, 1 too many, 2 missed; and a class that is nowhere has no score."""
    counts = np.array([[3, 1, 2], [0, 0, 0]])
    assert iou(counts)[0] == pytest.approx(3 / 6)
    assert dice(counts)[0] == pytest.approx(6 / 9)
    assert all(np.isnan(metric(counts)[1]) for metric in METRICS.values())
    assert macro(iou(counts)) == pytest.approx(0.5)
    assert math.isnan(macro(np.array([np.nan])))


@given(st.lists(st.integers(0, 10**9), min_size=3, max_size=3))
def test_dice_follows_from_iou(counts: list[int]) -> None:
    """2 J / (1 + J), for any counts."""
    array = np.array([counts])
    if sum(counts):
        j = iou(array)[0]
        assert dice(array)[0] == pytest.approx(2 * j / (1 + j))
