"""Differences along the runs, from what the validation images showed."""

from __future__ import annotations

import math

import pytest

from ablations.reporting.along import along, table
from ablations.reporting.report import render
from ablations.reporting.results import Results
from ablations.reporting.run_table import looks
from ablations.runs.records import Evaluation
from ablations.storage.plan_file import read_plan
from tests.endurance.sleeper import record_of
from tests.samples import TINY

LED = 200
"""Thousandths by which `concat` leads at the first look: half of it at the second, and so on."""


def swept(steps: str = "20", evaluations: int = 5, *, diverged: bool = False) -> Results:
    """A sweep in which the lead of `concat` shrinks along every run."""
    source = TINY.replace("test_images = 5", "test_images = 5\nvalidation_images = 2")
    source = source.replace("steps = 3\n", f"evaluations = {evaluations}\n")
    source = source.replace("[axes]", f"[axes]\ntraining.steps = [{steps}]")
    records = []
    plan = read_plan(source, name="p", file="p.toml")
    for cell in plan.cells():
        seen = []
        for look, step in enumerate(cell.training.evaluated_at):
            lead = LED // (1 + look) * (cell.spec.skip == "concat")
            right = 600 + 10 * cell.seed + lead
            seen.append(Evaluation(step=step, counts=((right, 1000 - right, 0),) * 5))
        update: dict[str, object] = {"curve": tuple(seen)}
        if diverged and (cell.seed, cell.spec.skip) == (0, "none"):
            update = {"counts": None, "curve": (), "outcome": "diverged"}
        records.append(record_of(cell).model_copy(update=update))
    return Results.of(plan, records)


def test_a_curve_has_the_difference_at_each_look() -> None:
    """Of each level against the first, by percents of the run."""
    (curve,) = along(swept())
    assert (curve.factor, curve.high, curve.low) == ("skip", "none", "concat")
    means = {percent: interval.mean for percent, interval in curve.points.items()}
    assert means == pytest.approx({20: -0.2, 40: -0.1, 60: -0.066, 80: -0.05, 100: -0.04})


def test_runs_of_the_largest_budget_are_shown() -> None:
    """Those of the others have curves of their own, which end where these go on."""
    found = swept("10, 20")
    (curve,) = along(found)
    assert curve.factor == "skip at 20 steps"
    assert "of a run of 20 steps" in render(found)["p.md"].decode()


def test_of_many_looks_ten_are_shown() -> None:
    """The end among them; all are in the table of runs."""
    found = swept("200", evaluations=37)
    (curve,) = along(found)
    assert list(curve.points) == [11, 22, 32, 41, 51, 62, 70, 81, 92, 100]
    assert len(looks(found.plan)) == 37
    assert set(looks(found.plan)) < set(found.runs)


def test_a_diverged_run_shows_nothing_on_its_way() -> None:
    """Its seed is left out, which the number beside the interval says."""
    (curve,) = along(swept(diverged=True))
    assert {interval.n for interval in curve.points.values()} == {1}
    assert all(math.isnan(interval.low) for interval in curve.points.values())


def test_the_page_has_the_curves() -> None:
    """Where there is more than the end to be shown."""
    found = swept()
    files = render(found)
    page = files["p.md"].decode()
    section = page.split("## Along the runs")[1].split("\n## ")[0]
    assert table(along(found)) in section
    assert "| -0.200 [-0.200, -0.200], n 2 |" in section
    assert files["figures/p_along.png"].startswith(b"\x89PNG")
    assert render(swept()) == files
    assert "Along the runs" not in render(swept(evaluations=1))["p.md"].decode()
