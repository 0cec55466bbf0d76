"""How many seeds are needed, against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablations.judgement.power import (
    flips_power,
    power,
    reachable_alpha,
    seeds_from_pilot,
    seeds_needed,
)
from ablations.judgement.statistics import ALPHA, mean_interval, sign_flip_p, smallest_p
from unet.refusal import Refusal


@pytest.mark.parametrize(("effect", "n"), [(0.0, 6), (0.8, 10), (-1.5, 7)])
def test_the_power_is_that_of_the_t_test(effect: float, n: int) -> None:
    """Against 4,000 simulated experiments; at no effect it is half the error rate."""
    draws = np.random.default_rng(0).normal(3 * effect, 3, size=(4000, n))
    seen = np.mean([mean_interval(each * (effect or 1)).low > 0 for each in draws])
    assert power(3 * effect, 3, n) == pytest.approx(float(seen), abs=0.03)


@pytest.mark.parametrize("effect", [1.0, 1.5, 1.7, 2.5])
def test_that_many_seeds_suffice_and_one_fewer_does_not(effect: float) -> None:
    """The sign-flip test itself sees the effect in about 80 %, and in less with one seed fewer."""
    n = seeds_needed(effect, 1)
    rng = np.random.default_rng(1)
    seen, less = (
        np.mean([sign_flip_p(each) <= ALPHA for each in rng.normal(effect, 1, size=(2000, size))])
        for size in (n, n - 1)
    )
    assert seen > 0.75
    assert less < 0.82


@given(st.floats(0.3, 10), st.integers(1, 40))
def test_the_flips_have_a_say(effect: float, family: int) -> None:
    """Never fewer seeds than can decide, however large the effect; none saved by a family."""
    n = seeds_needed(effect, 1, family=family)
    assert smallest_p(n) * family <= ALPHA
    assert seeds_needed(effect, 1) <= n
    assert flips_power(effect, 1, n, ALPHA / family) >= 0.8


def test_known_numbers() -> None:
    """Textbook: 34 pairs at half a standard deviation; without scatter what the flips need."""
    assert seeds_needed(0.5, 1) == 34
    assert seeds_needed(0.01, 0) == 6
    assert seeds_needed(0.01, 0, family=3) == 7
    assert reachable_alpha(5, 0.05) == 0
    assert reachable_alpha(8, 0.05) == 12 / 256
    assert reachable_alpha(31, 0.05) == 0.05


def test_a_pilot_knows_its_scatter_roughly() -> None:
    """The range is that of the standard deviation's interval; a seed without a number is none."""
    pilot = [0.01, 0.03, 0.02, math.nan, 0.05]
    needed = seeds_from_pilot(pilot, 0.02)
    assert needed.pilot == 4
    assert needed.sd == pytest.approx(np.std([0.01, 0.03, 0.02, 0.05], ddof=1))
    # Chi-squared with 3 degrees of freedom: 0.216 and 9.348.
    assert needed.sd_low == pytest.approx(needed.sd * math.sqrt(3 / 9.348), rel=1e-3)
    assert needed.sd_high == pytest.approx(needed.sd * math.sqrt(3 / 0.2158), rel=1e-3)
    assert needed.low == seeds_needed(0.02, needed.sd_low)
    assert needed.high == seeds_needed(0.02, needed.sd_high)
    assert needed.low < needed.seeds < needed.high


def test_two_seeds_know_next_to_nothing() -> None:
    """Their upper bound asks for more seeds than anybody has."""
    needed = seeds_from_pilot([0.0, 0.01], 0.001)
    assert needed.high is None
    assert needed.seeds > 100


@pytest.mark.parametrize(
    ("pilot", "effect", "said"),
    [
        ([0.1, math.nan], 0.1, "pilot of 1 whole seeds: .*; run more"),
        ([0.1, 0.2], 0.0, "effect 0.0: no number of seeds shows that"),
        ([0.1, 0.2], math.nan, "effect nan: no number of seeds shows that"),
        ([0.1, 0.2], 1e-6, "effect 1e-06: too small for 10000 seeds at sd 0.07.*; ask for more"),
    ],
)
def test_what_no_seeds_show_is_refused(pilot: list[float], effect: float, said: str) -> None:
    """With the way out."""
    with pytest.raises(Refusal, match=said):
        seeds_from_pilot(pilot, effect)
