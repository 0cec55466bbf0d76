"""Where factors are compared: at the largest budget, and once for each meaning of equal."""

from __future__ import annotations

import numpy as np

from ablations.judgement.comparisons import asked, budgets, comparisons
from ablations.judgement.contrasts import Design

SKIPS = ("concat", "none")


def labels(axes: dict[str, tuple[str, ...]]) -> list[str]:
    """What is compared, in words."""
    return [each.label for each in comparisons(axes)]


def test_a_factor_is_compared_over_all_others() -> None:
    """Where nothing has to be held; an axis of one level is no factor."""
    assert labels({"skip": SKIPS, "norm": ("none", "batch")}) == ["skip", "norm"]
    assert labels({"skip": SKIPS, "training.steps": ("9",)}) == ["skip"]


def test_the_largest_budget_speaks() -> None:
    """Whatever its place in the axis, and by its number: 9 is less than 10."""
    axes = {"skip": SKIPS, "training.steps": ("10", "9", "2")}
    assert labels(axes) == ["skip at 10 steps", "training.steps"]
    assert budgets(axes) == ["2", "9", "10"]


def test_each_meaning_of_equal_is_a_comparison_and_no_factor() -> None:
    """Nothing is averaged over them."""
    axes = {
        "skip": SKIPS,
        "training.equal": ("steps", "macs"),
        "training.steps": ("2", "9"),
    }
    assert labels(axes) == [
        "skip at equal steps at 9 steps",
        "skip at equal macs at 9 steps",
        "training.steps at equal steps",
        "training.steps at equal macs",
    ]


def test_every_question_is_asked_once_where_it_is_compared() -> None:
    """Held at a level, it has that level's scores, and a family of its own."""
    scores = np.zeros((3, 2, 2))
    scores[:, 1, 1] = 0.5
    axes = {"skip": SKIPS, "training.steps": ("2", "9")}
    found = {each.label: each for each in asked(Design(scores, axes))}
    assert list(found) == [
        "skip: none - concat",
        "training.steps: 9 - 2",
        "skip: none - concat at training.steps: 2",
        "skip: none - concat at training.steps: 9",
        "training.steps: 9 - 2 at skip: concat",
        "training.steps: 9 - 2 at skip: none",
        "skip: none - concat x training.steps: 9 - 2",
        "skip: none - concat where training.steps: 9",
    ]
    headline = found["skip: none - concat where training.steps: 9"]
    assert headline.by_seed.tolist() == [0.5] * 3
    (comparison,) = [each for each in comparisons(axes) if each.held]
    assert headline.family == comparison.family
    assert comparison.has({"skip": "none", "training.steps": "9"})
    assert not comparison.has({"skip": "none", "training.steps": "2"})
