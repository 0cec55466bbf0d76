"""A pilot's scatter says how many seeds it takes."""

from __future__ import annotations

import random

import pytest

from ablations.judgement.power import seeds_from_pilot
from ablations.reporting.pilot import Needs
from ablations.reporting.progress import power_lines
from ablations.runs.cell import Cell
from ablations.storage.plan_file import load_plan
from tests.test_verdicts import THREE, seen
from unet import Refusal


def scattered(cell: Cell) -> int:
    """Seeds that scatter by some hundredths, each net in its own way."""
    return 700 + random.Random(cell.key).randrange(-30, 30)


def test_a_factor_needs_what_its_most_scattered_comparison_needs() -> None:
    """Of three comparisons the one that asks for most, at a third of 5 %."""
    pilot = seen(scattered, 6, axes=THREE)
    needs = Needs.of(pilot.plan, pilot, 0.02)
    assert [each.factor for each in needs.factors] == ["skip", "norm"]
    family = [c for c, _ in pilot.effects if c.family == ("main effect", ("skip",))]
    asked = [seeds_from_pilot(c.by_seed, 0.02, 3).seeds for c in family]
    assert needs.factors[0].seeds.seeds == max(asked) > min(asked)
    assert needs.most == max(each.seeds.seeds for each in needs.factors)
    assert needs.seconds_a_seed == pytest.approx(6 * 1.5)
    text = "\n".join(power_lines(needs, workers=2))
    assert f"{needs.most} seeds take about" in text
    assert "6 seeds know their scatter no better" in text


def test_smaller_differences_need_more() -> None:
    """Of the same pilot."""
    pilot = seen(scattered, 6)
    assert Needs.of(pilot.plan, pilot, 0.01).most > Needs.of(pilot.plan, pilot, 0.03).most


def test_a_pilot_of_something_else() -> None:
    """Other axes, no runs, one seed: refused in a line."""
    pilot = seen(scattered, 6)
    with pytest.raises(Refusal, match="whose axes are not those of quick"):
        Needs.of(load_plan("quick"), pilot, 0.01)
    with pytest.raises(Refusal, match="has no runs yet"):
        Needs.of(pilot.plan, type(pilot).of(pilot.plan, []), 0.01)
    one = seen(scattered, 1)
    with pytest.raises(Refusal, match="pilot of 1 whole seeds"):
        Needs.of(one.plan, one, 0.01)
