"""Verdicts of families, where the answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablations.judgement.contrasts import Design, contrasts
from ablations.judgement.effects import effects, judged
from ablations.judgement.statistics import holm, smallest_p

SPREAD = np.array([-3, -2, -1, 0, 0, 1, 2, 3]) / 1000


@pytest.mark.parametrize(
    ("family", "margin", "verdict"),
    [
        ([SPREAD + 0.05], 0.01, "higher"),
        ([SPREAD - 0.05], 0.01, "lower"),
        ([SPREAD], 0.01, "equivalent"),
        ([SPREAD], 0.001, "undecided"),
        ([SPREAD], 0, "undecided"),
        ([SPREAD[:5] + 0.05], 0.01, "not decidable with so few seeds"),
        ([SPREAD[1:6]], 0.01, "not decidable with so few seeds"),
        ([SPREAD + 0.05] * 7, 0.01, "not decidable with so few seeds"),
        ([SPREAD + 0.05] * 6, 0.01, "higher"),
        ([[]], 0.01, "not decidable with so few seeds"),
    ],
)
def test_verdicts(family: list[np.ndarray], margin: float, verdict: str) -> None:
    """Few seeds decide nothing, and a large family needs more of them."""
    assert {effect.verdict for effect in effects(family, margin)} == {verdict}


def test_a_real_difference_can_be_too_small_to_matter() -> None:
    """Both are told: it is there, and it is within the margin."""
    (effect,) = effects([SPREAD + 0.004], 0.01)
    assert effect.verdict == "higher"
    assert effect.within_margin


def test_a_family_shares_its_error() -> None:
    """What would do alone does not do in company, for a difference and for equivalence alike."""
    doubtful = np.array([5, 4, 4, 3, 3, 2, 2, 1, -1, -2]) / 100
    (alone,) = effects([doubtful])
    first, *_ = effects([doubtful, doubtful, doubtful])
    assert alone.p == first.p
    assert (alone.verdict, first.verdict) == ("higher", "undecided")
    margin = 0.0045
    (alone,) = effects([SPREAD + 0.003], margin)
    first, *_ = effects([SPREAD + 0.003] * 3, margin)
    assert alone.within_margin
    assert not first.within_margin


def test_seeds_left_out_are_counted() -> None:
    """A diverged run is no score, and the rest is what it is without it."""
    with_gaps = np.concatenate([[math.nan], SPREAD, [math.inf, -math.inf]])
    (effect,), (whole,) = effects([with_gaps], 0.01), effects([SPREAD], 0.01)
    assert (effect.left_out, whole.left_out) == (3, 0)
    assert effect.interval == whole.interval
    assert effect.bootstrap == whole.bootstrap
    assert effect.p == whole.p


@given(st.lists(st.integers(0, 12), min_size=1, max_size=8))
def test_what_cannot_decide_never_does(seeds: list[int]) -> None:
    """Where all seeds of all contrasts agree, exactly those are decided that could be."""
    found = effects([np.arange(1.0, n + 1) for n in seeds])
    assert [each.adjusted_p for each in found] == holm([smallest_p(n) for n in seeds])
    assert all(each.can_decide == (each.verdict == "higher") for each in found)


def test_every_family_is_judged_by_itself() -> None:
    """In the order of the contrasts, with the family's own correction."""
    scores = np.random.default_rng(1).normal(size=(8, 3, 2))
    asked = contrasts(
        Design(scores, {"padding": ("valid", "zeros", "same"), "skip": ("add", "none")})
    )
    found = judged(asked, 0.5)
    assert [contrast for contrast, _ in found] == asked
    for family in {contrast.family for contrast in asked}:
        p = [effect.p for contrast, effect in found if contrast.family == family]
        adjusted = [effect.adjusted_p for contrast, effect in found if contrast.family == family]
        assert adjusted == holm(p)
    assert {effect.margin for _, effect in found} == {0.5}
