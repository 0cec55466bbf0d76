"""Our statistics and measures against other people's, which only `nox -s oracles` installs."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ablations.judgement.metrics import surface_dice
from ablations.judgement.power import power, seeds_needed
from ablations.judgement.statistics import ALPHA, equivalence_p, holm
from ablations.runs.measures import TOLERANCE
from ablations.training.scoring import boundary_counts
from tests.calibration.traps import block_p

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    weightstats = pytest.importorskip("statsmodels.stats.weightstats", reason="nox -s oracles")
    import statsmodels.api as sm
    from statsmodels.stats.multitest import multipletests
    from statsmodels.stats.power import TTestPower


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm(p: list[float]) -> None:
    """Adjusted p values, ties and ends included."""
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


@given(st.integers(0, 10_000), st.integers(2, 20), st.floats(0.01, 3))
def test_equivalence(seed: int, n: int, margin: float) -> None:
    """The larger p of the two one-sided tests."""
    one, other = np.random.default_rng(seed).normal(0.3, 1, size=(2, n))
    theirs = weightstats.ttost_paired(one, other, -margin, margin)[0]
    assert equivalence_p(one - other, margin) == pytest.approx(theirs)


@given(st.floats(0.1, 3), st.integers(2, 60), st.sampled_from([ALPHA, ALPHA / 3, ALPHA / 18]))
def test_power(effect: float, n: int, alpha: float) -> None:
    """Of the t test, in the effect's own direction."""
    theirs = TTestPower().power(effect, n, alpha / 2, alternative="larger")
    assert power(effect * 7, 7, n, alpha) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("effect", [0.2, 0.3, 0.4, 0.5])
def test_seeds_needed(effect: float) -> None:
    """Where the flips reach 5 %, as many as theirs, rounded up."""
    assert seeds_needed(effect, 1) == np.ceil(TTestPower().solve_power(effect, None, ALPHA, 0.8))


@pytest.mark.parametrize("seed", range(5))
def test_the_mixed_model_is_theirs(seed: int) -> None:
    """The trap's closed form is what REML and a z test give on the same scores."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(1, 8, 2, 4)) + 2 * rng.normal(size=(1, 8, 1, 1))
    places = np.indices(scores.shape[1:]).reshape(3, -1)
    exog = sm.add_constant(places[1].astype(float))
    fitted = sm.MixedLM(scores.ravel(), exog, groups=places[0]).fit(reml=True)
    assert block_p(scores, random_intercepts=True)[0] == pytest.approx(fitted.pvalues[1], abs=1e-3)


# MONAI calls itself in ways that it has deprecated.
@pytest.mark.filterwarnings("ignore::FutureWarning")
@given(st.integers(0, 10**6), st.integers(6, 24), st.floats(0.05, 0.95))
def test_surface_dice_is_monais(seed: int, side: int, share: float) -> None:
    """By pixels, at our tolerance; of masks that do not touch the edge, which is none to us."""
    metrics = pytest.importorskip("monai.metrics", reason="nox -s oracles")
    masks = np.random.default_rng(seed).random((2, side, side)) < share
    masks = np.pad(masks, ((0, 0), (2, 2), (2, 2)))
    if not masks.any(axis=(1, 2)).all():
        return
    predicted, true = torch.from_numpy(masks)[:, None, None]
    theirs = metrics.SurfaceDiceMetric([TOLERANCE], include_background=True)(predicted, true)
    ours = surface_dice(boundary_counts(predicted, true).numpy())
    assert ours[0] == pytest.approx(theirs.item())
