"""Our statistics keep what they promise: by day on few experiments, nightly on many."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from scipy import stats

from ablations.judgement.power import flips_power, reachable_alpha
from ablations.judgement.statistics import ALPHA, LEVEL
from ablations.pages.calibration import calibration_files
from ablations.pages.promises import PROMISES, TOLERANCE, Calibration, Count, read_calibration
from tests.calibration import simulation
from tests.calibration.__main__ import RECORD
from tests.calibration.noises import NOISES
from tests.calibration.simulation import (
    SEEDS,
    count_as_planned,
    counts_of_families,
    counts_of_noise,
    counts_of_slopes,
)
from tests.calibration.traps import bca_bounds, block_p, percentile_bounds
from unet import Refusal

# 300 by day, 5,000 by night.
REPETITIONS = max(300, settings.default.max_examples)
SOME_SEEDS = SEEDS if settings.default.max_examples > 300 else (5, 8)


@pytest.fixture(scope="module")
def committed() -> Calibration:
    """The record from which the committed page is made."""
    return read_calibration(RECORD)


def chance(rate: float, experiments: int) -> float:
    """How far a rate may be off by chance: not once in 10,000 figures."""
    return 4 * math.sqrt(rate * (1 - rate) / experiments) + 1 / experiments


def of(counts: list[Count], measure: str, condition: str = "", effect: float = 0) -> Count:
    """The one count of that."""
    (found,) = (
        each
        for each in counts
        if each.measure == measure and each.condition in (condition, condition or each.condition)
        if each.effect == effect
    )
    return found


@pytest.mark.parametrize("seeds", SOME_SEEDS)
@pytest.mark.parametrize("name", NOISES)
def test_promises_are_kept(name: str, seeds: int) -> None:
    """Under every noise of which the assumption is true, as far as so many experiments can tell."""
    counts = list(counts_of_noise(name, seeds, REPETITIONS))
    flips = of(counts, "sign-flip test")
    if NOISES[name].symmetric:
        level = reachable_alpha(seeds, ALPHA)
        assert flips.rate <= level + chance(level, flips.of)
        if name not in ("rounded", "failures"):  # ties leave less
            assert flips.rate >= level - chance(level, flips.of)
    if NOISES[name].normal:
        for measure in ("t interval", "equivalence test"):
            count = of(counts, measure)
            assert count.rate == pytest.approx(PROMISES[measure].rate, abs=chance(ALPHA, count.of))
        bootstrap = of(counts, "studentised bootstrap")
        assert bootstrap.rate == pytest.approx(LEVEL, abs=TOLERANCE + chance(ALPHA, bootstrap.of))
        for effect in simulation.EFFECTS:
            seen = of(counts, "sign-flip test", effect=effect)
            expected = flips_power(effect, 1, seeds)
            assert seen.rate == pytest.approx(expected, abs=0.03 + chance(0.5, seen.of))
    claims = of(counts, "t test")
    assert claims.hits == claims.of - of(counts, "t interval").hits


@pytest.mark.parametrize("seeds", SOME_SEEDS)
def test_a_family_errs_in_a_twentieth(seeds: int) -> None:
    """With Holm, whether all are equal or only two; without, more than twice as often."""
    counts = list(counts_of_families("normal", seeds, REPETITIONS))
    for condition in ("normal, none differs", "normal, one differs"):
        found = of(counts, "with Holm", condition)
        assert found.rate <= ALPHA + chance(ALPHA, found.of)
    if seeds > 5:
        found = of(counts, "without Holm", "normal, none differs")
        assert found.rate > 2 * reachable_alpha(seeds, ALPHA) - chance(0.1, found.of)


@pytest.mark.parametrize("seeds", SOME_SEEDS)
def test_slopes_are_a_trap_for_models_without_them(seeds: int) -> None:
    """They claim three times what they may; without slopes they are sound, and contrasts always."""
    counts = list(counts_of_slopes(seeds, REPETITIONS))
    for condition in ("no slopes", "slopes"):
        found = of(counts, "one contrast a seed", condition)
        level = reachable_alpha(seeds, ALPHA)
        assert found.rate == pytest.approx(level, abs=chance(level, found.of))
    for measure in ("seed blocks", "random intercepts"):
        sound, fooled = (of(counts, measure, condition) for condition in ("no slopes", "slopes"))
        assert sound.rate == pytest.approx(ALPHA, abs=0.01 + chance(ALPHA, sound.of))
        assert fooled.rate > 0.16 - chance(0.16, fooled.of)


@pytest.mark.parametrize("effect", simulation.PLANNED)
def test_as_many_seeds_as_are_needed(effect: float) -> None:
    """See the difference as often as was asked, or more; small numbers of seeds come in steps."""
    found = count_as_planned(effect, REPETITIONS)
    assert found.rate > 0.78 - chance(0.8, found.of)


@pytest.mark.parametrize("name", NOISES)
def test_noises_are_of_mean_0_and_sd_1(name: str) -> None:
    """And symmetric, where they say so: then the mirror image is the same noise."""
    noise = NOISES[name]
    draws = noise.draw(np.random.default_rng(0), (400_000,))
    assert draws.mean() == pytest.approx(0, abs=0.01)
    # Lognormal noise has a variance that even so many draws hardly know.
    assert draws.std() == pytest.approx(1, abs=0.1 if "very" in name else 0.02)
    alike = stats.ks_2samp(draws[::2], -draws[1::2]).pvalue > 0.001
    assert alike == noise.symmetric
    assert noise.symmetric or not noise.normal


def test_the_traps_are_the_well_known_methods() -> None:
    """Against scipy's percentile and BCa bootstraps, within what resampling leaves to chance."""
    sample = np.random.default_rng(5).exponential(size=10)
    for ours, method in ((percentile_bounds, "percentile"), (bca_bounds, "BCa")):
        theirs = stats.bootstrap(
            (sample,), np.mean, n_resamples=20_000, method=method, rng=np.random.default_rng(0)
        ).confidence_interval
        low, high = ours(sample[None])
        assert (low[0], high[0]) == pytest.approx((theirs.low, theirs.high), abs=0.03)
    equal = bca_bounds(np.ones((1, 5)))
    assert np.isnan(equal).all()


def test_blocks_are_the_two_way_analysis_of_variance() -> None:
    """Against least squares on a design matrix; and seeds all alike are given no variance."""
    scores = np.random.default_rng(6).normal(size=(1, 6, 2, 3))
    rows = [(seed, level) for seed in range(6) for level in range(2) for _ in range(3)]
    design = np.array([[*np.eye(6)[seed], level] for seed, level in rows])
    inverse = np.linalg.inv(design.T @ design)
    fitted = inverse @ design.T @ scores.ravel()
    residual = ((scores.ravel() - design @ fitted) ** 2).sum() / (36 - 7)
    ratio = abs(fitted[-1]) / math.sqrt(residual * inverse[-1, -1])
    assert block_p(scores, random_intercepts=False)[0] == pytest.approx(2 * stats.t.sf(ratio, 29))
    alike = scores - scores.mean(axis=(2, 3), keepdims=True)
    pooled = alike.var() * 36 - alike.mean(axis=(1, 3)).var() * 36
    error = math.sqrt(pooled / (36 - 2) * 2 / 18)
    gap = alike[0, :, 1].mean() - alike[0, :, 0].mean()
    assert block_p(alike, random_intercepts=True)[0] == pytest.approx(
        2 * stats.norm.sf(abs(gap) / error)
    )


def test_the_committed_counts_keep_the_promises(committed: Calibration) -> None:
    """5 % and 95 %, each +- 1.5 points, where the assumption is true and seeds are 7 or more."""
    noises = {noise.name: noise for noise in committed.noises}
    for count in committed.counts:
        promise = PROMISES.get(count.measure)
        if promise and count.effect == 0 and promise.holds(noises[count.condition]):
            by_design = count.measure == "sign-flip test" and count.seeds < 7
            assert promise.kept(count) or by_design, count
    assert set(noises) == set(NOISES)
    assert {count.seeds for count in committed.counts} >= set(SEEDS)
    assert max(count.of for count in committed.counts) >= 10_000


def test_the_page_tells_what_is_not_kept(committed: Calibration) -> None:
    """A rate that is off is bold, named at the top, and marked in the table."""
    spoilt = [
        count.model_copy(update={"hits": 900})
        if (count.measure, count.condition, count.effect, count.seeds)
        == ("sign-flip test", "outliers", 0, 10)
        else count
        for count in committed.counts
    ]
    files = calibration_files(committed.model_copy(update={"counts": tuple(spoilt)}))
    page, table = (files[f"calibration.{end}"].decode() for end in ("md", "csv"))
    assert "10 seeds: outliers 9.0 |" in page
    assert "**9.0**" in page
    assert (
        "sign-flip test,outliers,0.000000,10,900,10000,0.090000,0.002862,0.05,True,False" in table
    )


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    """With the way out."""
    path = tmp_path / "calibration.json"
    path.write_text('{"command": "c"}')
    with pytest.raises(Refusal, match=r"calibration.json: malformed record: .*nox -s calibration"):
        read_calibration(path)
