"""Intervals and scores against their textbook values."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ablations.judgement.metrics import dice, iou, macro
from ablations.judgement.statistics import (
    EXACT,
    Array,
    Interval,
    bootstrap_bounds,
    bootstrap_interval,
    equivalence_p,
    hedges_g,
    holm,
    improvement,
    mean_interval,
    paired_difference,
    sign_flip_p,
    smallest_p,
)

floats = st.floats(-1, 1)


def differences(most: int = 12, least: int = 2) -> st.SearchStrategy[Array]:
    """Contrasts in hundredths, so that ties occur."""
    values = st.lists(st.integers(-100, 100), min_size=least, max_size=most)
    return values.map(lambda hundredths: np.array(hundredths) / 100)


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


@given(differences())
def test_the_sign_flip_p_is_scipys(values: Array) -> None:
    """All 2^n flips, counted one by one by another's code."""
    flips = 2 ** len(values)
    # In whole numbers, of which theirs sees the ties as well.
    theirs = stats.permutation_test(
        (np.round(100 * values),),
        np.sum,
        permutation_type="samples",
        n_resamples=flips,
        vectorized=True,
    )
    assert sign_flip_p(values) == pytest.approx(theirs.pvalue)


@given(differences(20), st.floats(1e-6, 1e6), st.randoms())
def test_units_signs_and_order_change_no_p(values: Array, unit: float, random: Random) -> None:
    """However the sums round: ties stay ties."""
    mixed = list(values)
    random.shuffle(mixed)
    assert sign_flip_p(-unit * np.array(mixed)) == sign_flip_p(values)


@given(differences(least=0))
def test_no_p_is_below_the_smallest(values: Array) -> None:
    """It is reached where all seeds agree, and rounds to the grid of 2^n flips."""
    assert smallest_p(len(values)) <= sign_flip_p(values) <= 1
    ahead = np.abs(values) + 0.01
    assert sign_flip_p(ahead) == smallest_p(len(values))


def test_known_p_values() -> None:
    """By hand: five seeds cannot say, six can; what is observed counts, and so do ties with it."""
    assert smallest_p(5) == 0.0625
    assert smallest_p(6) == 0.03125
    # 3 of the 8 sums reach +2 (4, 2, 2), and 3 reach -2.
    assert sign_flip_p(np.array([1.0, 2.0, -1.0])) == 0.75
    assert sign_flip_p(np.zeros(6)) == 1
    assert sign_flip_p(np.array([])) == 1


def test_tenths_are_ties() -> None:
    """0.1 + 0.2 - 0.3 is 0 here, though not in the machine's sums."""
    assert sign_flip_p(np.array([0.1, 0.2, -0.3])) == 1
    assert sign_flip_p(np.array([0.1, 0.2, 0.3, -0.6, 0.7])) == sign_flip_p(
        np.array([1.0, 2.0, 3.0, -6.0, 7.0])
    )


def test_many_seeds_are_sampled() -> None:
    """Beyond the exact count p is as far off as its sample allows, and never 0."""
    values = np.random.default_rng(0).normal(0.3, 1, EXACT)
    exact, with_nought = sign_flip_p(values), sign_flip_p(np.append(values, 0.0))
    assert 0 < exact < 1
    assert with_nought != exact
    assert with_nought == pytest.approx(exact, abs=0.01)
    assert sign_flip_p(np.ones(EXACT + 1)) == smallest_p(EXACT + 1) == 1 / 20_000


@given(differences(10))
def test_the_bootstrap_keeps_to_units_signs_and_order(values: Array) -> None:
    """In other units, turned round or in another order, the interval is the same one."""
    low, high = bootstrap_bounds(values[None])
    turned = bootstrap_bounds(-8 * values[None, ::-1])
    assert (low[0], high[0]) == pytest.approx((-turned[1][0] / 8, -turned[0][0] / 8), abs=1e-9)
    assert low[0] <= values.mean() + 1e-12
    assert high[0] >= values.mean() - 1e-12


def test_the_bootstrap_has_no_bounds_where_it_knows_none() -> None:
    """Two values leave half of the resamples without spread; equal ones leave no doubt."""
    two, equal = bootstrap_interval(np.array([0.1, 0.3])), bootstrap_interval(np.full(5, 0.1))
    assert (two.low, two.mean, two.high) == (-math.inf, 0.2, math.inf)
    assert (equal.low, equal.high) == pytest.approx((0.1, 0.1))
    assert math.isnan(bootstrap_interval(np.array([0.1])).low)


def test_the_bootstrap_is_the_textbooks() -> None:
    """Against resamples drawn one by one, within what both leave to chance."""
    values = np.random.default_rng(3).exponential(size=9)
    drawn = np.random.default_rng(4).choice(values, size=(40_000, 9))
    error = drawn.std(axis=1, ddof=1) / 3
    upper, lower = np.quantile((drawn.mean(axis=1) - values.mean()) / error, (0.975, 0.025))
    ours, spread = bootstrap_interval(values), values.std(ddof=1) / 3
    assert ours.low == pytest.approx(values.mean() - upper * spread, abs=0.05)
    assert ours.high == pytest.approx(values.mean() - lower * spread, rel=0.05)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_monotone_and_between_none_and_bonferroni(p: list[float]) -> None:
    """It keeps the order, never lowers a p, and never asks for more than the whole family."""
    adjusted = holm(p)
    assert [adjusted[i] for i in np.argsort(p, kind="stable")] == sorted(adjusted)
    for raw, raised in zip(p, adjusted, strict=True):
        assert raw <= raised <= min(1, raw * len(p))


@given(differences(), st.floats(0.005, 1))
def test_equivalence_is_the_90_interval_within_the_margin(values: Array, margin: float) -> None:
    """Two one-sided tests and one interval say the same."""
    if np.ptp(values) == 0:
        expected = abs(values.mean()) < margin
    else:
        interval = stats.ttest_1samp(values, 0).confidence_interval(0.90)
        room = min(interval.low + margin, margin - interval.high)
        expected = room > 0
        if abs(room) < 1e-9:
            return
    assert (equivalence_p(values, margin) <= 0.05) == expected


def test_equivalence_needs_a_margin_and_two_seeds() -> None:
    """Without either nothing is shown."""
    assert equivalence_p(np.array([0.001, -0.001, 0.0]), 0) >= 0.5
    assert equivalence_p(np.array([0.0]), 0.1) == 1
    assert equivalence_p(np.full(3, 0.5), 0.5) == 1


def test_hedges_g_has_no_bias() -> None:
    """Its mean over many samples of 5 is the true ratio, where Cohen's d is a quarter too large."""
    draws = np.random.default_rng(0).normal(0.8, 1, size=(10_000, 5))
    assert np.mean([hedges_g(each) for each in draws]) == pytest.approx(0.8, abs=0.03)
    cohens = draws.mean(axis=1) / draws.std(axis=1, ddof=1)
    assert cohens.mean() == pytest.approx(1.0, abs=0.04)


@pytest.mark.parametrize("values", [[], [0.1], [0.1, 0.2], [0.1, 0.1, 0.1]])
def test_hedges_g_of_next_to_nothing(values: list[float]) -> None:
    """Too few seeds, or no scatter, have no standardised effect."""
    assert math.isnan(hedges_g(np.array(values)))


def test_improvement_counts_ties_half() -> None:
    """And against either bound: 6 of 8 above, one tie."""
    share = improvement(np.array([1.0, 2, 3, 4, 5, 6, 0, -1]))
    assert share.mean == 6.5 / 8
    assert share.low == pytest.approx(stats.beta.ppf(0.025, 6, 3))
    assert share.high == pytest.approx(stats.beta.ppf(0.975, 8, 1))
    assert (improvement(np.ones(4)).mean, improvement(np.ones(4)).high) == (1, 1)
    assert math.isnan(improvement(np.array([])).mean)


def test_scores_of_known_counts() -> None:
    """3 right, 1 too many, 2 missed; and a class that is nowhere has no score."""
    counts = np.array([[3, 1, 2], [0, 0, 0]])
    assert iou(counts)[0] == pytest.approx(3 / 6)
    assert dice(counts)[0] == pytest.approx(6 / 9)
    assert np.isnan([iou(counts)[1], dice(counts)[1]]).all()
    assert macro(iou(counts)) == pytest.approx(0.5)
    assert math.isnan(macro(np.array([np.nan])))


@given(st.lists(st.integers(0, 10**9), min_size=3, max_size=3))
def test_dice_follows_from_iou(counts: list[int]) -> None:
    """2 J / (1 + J), for any counts."""
    array = np.array([counts])
    if sum(counts):
        j = iou(array)[0]
        assert dice(array)[0] == pytest.approx(2 * j / (1 + j))
