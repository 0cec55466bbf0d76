"""Contrasts of a design whose effects are known."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from ablations.judgement.contrasts import Contrast, Design, contrasts
from ablations.judgement.statistics import Array

AXES = {
    "padding": ("valid", "zeros", "reflect"),
    "depth": ("3",),
    "skip": ("concat", "none"),
    "task": ("labels", "objects"),
}
SEEDS = 4


def design() -> Array:
    """Seeds far apart; zeros lose 0.01 and reflect 0.03, none loses 0.1 and with reflect 0.16."""
    scores = np.zeros((SEEDS, 3, 1, 2, 2))
    scores += np.arange(SEEDS).reshape(-1, 1, 1, 1, 1) / 7
    scores += np.array([0, -0.01, -0.03]).reshape(1, 3, 1, 1, 1)
    scores[:, :, :, 1] -= 0.1
    scores[:, 2, :, 1] -= 0.06
    return scores


def by_label(scores: Array) -> dict[str, Contrast]:
    """Every contrast by its label, each of them once."""
    found = contrasts(Design(scores, AXES))
    labelled = {each.label: each for each in found}
    assert len(labelled) == len(found)
    return labelled


@pytest.mark.parametrize(
    ("label", "effect"),
    [
        ("padding: zeros - valid", -0.01),
        ("padding: reflect - valid", -0.06),
        ("padding: reflect - zeros", -0.05),
        ("skip: none - concat", -0.12),
        ("task: objects - labels", 0),
        ("padding: reflect - valid at skip: concat", -0.03),
        ("padding: reflect - valid at skip: none", -0.09),
        ("skip: none - concat at padding: valid", -0.1),
        ("skip: none - concat at task: labels", -0.12),
        ("padding: reflect - valid x skip: none - concat", -0.06),
        ("padding: zeros - valid x skip: none - concat", 0),
        ("skip: none - concat x task: objects - labels", 0),
    ],
)
def test_known_effects(label: str, effect: float) -> None:
    """To the digit, in every seed, however far apart the seeds are."""
    assert by_label(design())[label].by_seed == pytest.approx(np.full(SEEDS, effect), abs=1e-12)


def test_every_question_is_asked_once() -> None:
    """Pairs of levels, at each level of each other factor, and pairs of pairs."""
    families = Counter(each.family for each in contrasts(Design(design(), AXES)))
    assert families == {
        ("main effect", ("padding",)): 3,
        ("main effect", ("skip",)): 1,
        ("main effect", ("task",)): 1,
        ("simple effect", ("padding", "skip")): 6,
        ("simple effect", ("padding", "task")): 6,
        ("simple effect", ("skip", "padding")): 3,
        ("simple effect", ("skip", "task")): 2,
        ("simple effect", ("task", "padding")): 3,
        ("simple effect", ("task", "skip")): 2,
        ("interaction", ("padding", "skip")): 3,
        ("interaction", ("padding", "task")): 3,
        ("interaction", ("skip", "task")): 1,
    }


def test_a_missing_run_costs_a_seed_only_where_it_is_needed() -> None:
    """A main effect needs every variant of its two levels, a simple effect those at its level."""
    scores = design()
    scores[1, 1, 0, 0, 0] = math.nan
    found = by_label(scores)
    needing = {
        label for label, each in found.items() if list(np.isnan(each.by_seed)) == [0, 1, 0, 0]
    }
    whole = {label for label, each in found.items() if np.isfinite(each.by_seed).all()}
    assert needing | whole == set(found)
    assert {"padding: zeros - valid", "skip: none - concat"} <= needing
    assert "padding: zeros - valid at skip: concat" in needing
    assert {"padding: reflect - valid", "padding: zeros - valid at skip: none"} <= whole


def test_what_is_equal_but_for_rounding_is_equal() -> None:
    """Sums of thirds and tenths in different orders leave no effect behind."""
    rng = np.random.default_rng(0)
    scores = rng.random((6, 3, 1, 2, 2))
    scores[:, 1] = scores[:, 0][:, :, ::-1, ::-1]
    assert not by_label(scores)["padding: zeros - valid"].by_seed.any()


def test_one_factor_has_main_effects_only() -> None:
    """There is nothing else to ask."""
    asked = contrasts(Design(np.zeros((2, 3)), {"skip": ("concat", "add", "none")}))
    assert [each.label for each in asked] == [
        "skip: add - concat",
        "skip: none - concat",
        "skip: none - add",
    ]
    assert not contrasts(Design(np.zeros((2, 1)), {"skip": ("concat",)}))
