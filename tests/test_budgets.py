"""Effects over the training budget: grown, shrunk, come or not to be told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ablations.reporting.budgets import courses, sentences, table
from ablations.reporting.explain import told
from ablations.reporting.report import render
from ablations.reporting.results import Results
from ablations.reporting.verdicts import findings
from ablations.runs.cell import Cell
from ablations.storage.plan_file import load_plan, read_plan
from tests.endurance.sleeper import record_of
from tests.samples import TINY

LEAD = {5: 100, 10: 60, 20: 20}
"""Of `concat` in thousandths, by the budget."""


def swept(
    lead: Callable[[Cell], int], *, seeds: int = 8, steps: str = "[5, 10, 20]", margin: float = 0
) -> Results:
    """A sweep in which `concat` leads by so many thousandths."""
    source = TINY.replace("seeds = 2", f"seeds = {seeds}\nmargin = {margin}")
    source = source.replace("steps = 3\n", "").replace(
        "[axes]", f"[axes]\ntraining.steps = {steps}"
    )
    plan = read_plan(source, name="p", file="p.toml")
    records = []
    for cell in plan.cells():
        right = 600 + 2 * cell.seed + lead(cell) * (cell.spec.skip == "concat")
        update = {"counts": (((right, 1000 - right, 0),) * 5,)}
        records.append(record_of(cell).model_copy(update=update))
    return Results.of(plan, records)


def by_budget(lead: dict[int, int]) -> Callable[[Cell], int]:
    """A lead that scatters a little with the seed."""
    return lambda cell: lead[cell.training.steps] + cell.seed % 3


@pytest.mark.parametrize("steps", ["[5, 10, 20]", "[20, 5, 10]"])
def test_a_course_has_the_effect_at_each_budget(steps: str) -> None:
    """From the smallest, whatever the axis' order; and the change from end to end."""
    (course,) = courses(swept(by_budget(LEAD), steps=steps))
    assert (course.low, course.high) == ("concat", "none")
    means = {at: effect.interval.mean for at, effect in course.effects.items()}
    assert list(means) == [5, 10, 20]
    assert means[5] - means[20] == pytest.approx(-0.08)
    assert course.change.interval.mean == pytest.approx(0.08)


@pytest.mark.parametrize(
    ("lead", "said"),
    [
        (LEAD, "lead of `concat` over `none` shrinks as the budget grows: +0.101 at 5 steps"),
        ({5: 20, 10: 60, 20: 100}, "lead of `concat` over `none` grows with the budget: +0.021"),
        ({5: -100, 10: -60, 20: -20}, "lead of `none` over `concat` shrinks as the budget grows"),
        ({5: -100, 10: 0, 20: 90}, "lead of `concat` over `none` comes only with the larger"),
        ({5: 50, 10: 50, 20: 50}, "changes by less than 0.01 with the budget"),
        ({5: 22, 10: 22, 20: 20}, "shrinks as the budget grows, if by less than 0.01: +0.023"),
    ],
)
def test_growing_is_told_from_shrinking(lead: dict[int, int], said: str) -> None:
    """From the side that is ahead in the end."""
    (sentence,) = sentences(courses(swept(by_budget(lead), margin=0.01)))
    assert sentence.startswith("**skip**: the ")
    assert said in sentence


def test_what_cannot_be_told_from_nothing_leads_nobody() -> None:
    """A lead that is lost, and a change between two differences that are none."""

    def nearly(lead: dict[int, int]) -> Callable[[Cell], int]:
        """At the largest budget, seeds disagree."""
        return lambda cell: lead[cell.training.steps] + (-1) ** cell.seed * 5

    (sentence,) = sentences(courses(swept(nearly({5: 100, 10: 50, 20: 0}))))
    assert "lead of `concat` over `none` shrinks until it cannot be told from nothing" in sentence
    (sentence,) = sentences(courses(swept(nearly({5: 0, 10: 0, 20: 4}))))
    assert "difference of `concat` to `none` changes with the budget, and at neither" in sentence


@pytest.mark.parametrize("count", [2, 9])
def test_any_number_of_budgets_has_a_course(count: int) -> None:
    """However many are compared."""
    steps = list(range(5, 5 + count))
    (course,) = courses(swept(by_budget(dict.fromkeys(steps, 50)), steps=str(steps)))
    assert list(course.effects) == steps


def test_what_scatters_is_not_told() -> None:
    """Neither by many seeds that disagree nor by few that agree."""
    (sentence,) = sentences(
        courses(swept(lambda cell: 50 + 30 * (cell.seed % 2) * cell.training.steps % 70))
    )
    assert "cannot be told to grow or to shrink" in sentence
    (sentence,) = sentences(courses(swept(by_budget(LEAD), seeds=4)))
    assert "cannot be judged to grow or shrink with so few seeds" in sentence


def test_the_verdict_names_its_budget() -> None:
    """A factor is told of at the largest, not over all of them."""
    first, second = findings(swept(by_budget(LEAD)))
    assert "**training.steps** made" in first + second
    assert "**skip** at 20 steps made a difference: `concat` scores 0.021 above `none`" in second


def test_the_page_has_the_curves() -> None:
    """Table, figure and sentences, the same bytes every time; the other plans have none."""
    found = swept(by_budget(LEAD))
    files = render(found)
    assert files["figures/p_budget.png"].startswith(b"\x89PNG")
    page = files["p.md"].decode()
    section = page.split("## Over the training budget")[1].split("\n## ")[0]
    assert "(figures/p_budget.png)" in section
    assert table(courses(found)) in section
    assert "n 8 |" in section
    assert "what is said of a factor is said of 20 steps, the largest of 3 budgets" in page
    assert "| skip at 20 steps | `concat` | 8 |" in page
    assert render(swept(by_budget(LEAD))) == files


def test_an_unfinished_sweep_has_no_curve_yet() -> None:
    """Nothing is told of budgets that were not run."""
    found = swept(by_budget(LEAD))
    records = [record_of(cell) for cell in found.plan.cells() if cell.training.steps < 20]
    assert not courses(Results.of(found.plan, records))
    assert (
        "Over the training budget" not in render(Results.of(found.plan, records))["p.md"].decode()
    )


def test_a_run_knows_the_rows_of_its_budget() -> None:
    """A run of the smallest budget is in no row of the largest."""
    found = swept(by_budget(LEAD))
    for cell in found.plan.cells():
        text = "\n".join(told(record_of(cell), found))
        in_headline = "skip: none - concat where training.steps: 20" in text
        assert in_headline == (cell.training.steps == 20)
        assert ("skip at 20 steps " in text) == in_headline


def test_the_shipped_plan_asks_for_three_budgets() -> None:
    """Of the shapes that the other plans have."""
    assert load_plan("budget").axes["training.steps"] == (75, 150, 300)
