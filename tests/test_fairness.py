"""Variants are made equal in steps, multiply-adds or parameters, as nearly as whole numbers do."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from ablations.reporting.report import render
from ablations.reporting.results import Results
from ablations.reporting.verdicts import findings
from ablations.running.estimate import Work
from ablations.runs.cell import Cell, Training
from ablations.runs.fairness import EQUALITIES
from ablations.runs.plan import Plan
from ablations.storage.plan_file import load_plan, read_plan
from tests.endurance.sleeper import record_of
from tests.samples import TINY
from unet import Refusal, algebra

EQUAL = '[axes]\ntraining.equal = ["steps", "macs", "parameters"]'


MACS = 'training.equal = ["macs"]'

MANY = f"""[axes]
dropout = {[n / 99 for n in range(81)]}
training.steps = {[*range(1, 82)]}
{MACS}"""


def planned(axes: str = EQUAL, *, width: int = 12, steps: int = 50) -> Plan:
    """Two skips, compared at equal everything, in turn."""
    source = TINY.replace("[axes]", axes).replace("base_channels = 4", f"base_channels = {width}")
    return read_plan(source.replace("steps = 3", f"steps = {steps}"), name="p", file="p.toml")


def by_levels(plan: Plan) -> dict[tuple[object, ...], Cell]:
    """The cells of the first seed."""
    return {values: plan.cell(values, seed=0) for values in plan.variants()}


def test_the_table_is_complete() -> None:
    """Each value of the field has its entry, in its order."""
    assert tuple(EQUALITIES) == get_args(Training.model_fields["equal"].annotation)


def test_equal_steps_are_left_as_they_are() -> None:
    """And leave a key as it was before there was a choice."""
    plan = planned('[axes]\ntraining.equal = ["steps"]')
    assert [c.key for c in plan.cells()] == [c.key for c in planned("[axes]").cells()]
    assert not plan.solved


def test_equal_multiply_adds_are_reached_by_steps() -> None:
    """No other number of steps comes nearer."""
    cells = by_levels(planned())
    reference, cell = cells["macs", "concat"], cells["macs", "none"]
    assert reference.training.steps == 50
    assert cell.training.steps > 50
    assert cell.spec == cells["steps", "none"].spec

    def off(steps: int) -> int:
        training = cell.training.model_copy(update={"steps": steps})
        return abs(replace(cell, training=training).training_macs - reference.training_macs)

    assert min(range(1, 200), key=off) == cell.training.steps


@pytest.mark.parametrize("width", [1, 4, 12, 64, 200])
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_equal_parameters_are_reached_by_width(width: int, norm: str) -> None:
    """No other width comes nearer, and training is as long as it was."""
    source = TINY.replace("[axes]", EQUAL).replace("base_channels = 4", f"base_channels = {width}")
    source = source.replace('norm = "batch"', f'norm = "{norm}"').replace("depth = 1", "depth = 2")
    plan = read_plan(
        source.replace("scored = 20", "scored = 4").replace("size = 36", "size = 44"),
        name="p",
        file="f",
    )
    cells = by_levels(plan)
    wanted = algebra.parameters(cells["steps", "concat"].spec)
    found = cells["parameters", "none"]

    def off(base_channels: int) -> int:
        return abs(algebra.parameters(replace(found.spec, base_channels=base_channels)) - wanted)

    assert min(range(1, 2 * width + 8), key=off) == found.spec.base_channels
    assert found.training.steps == 3
    assert cells["parameters", "concat"].spec == cells["steps", "concat"].spec


def test_every_cell_has_a_key_and_a_place() -> None:
    """Also those of the first variant, which is the same net whatever is equal."""
    plan = planned()
    cells = list(plan.cells())
    assert len({cell.key for cell in cells}) == len(cells) == 12
    assert [plan.place(cell) for cell in cells] == list(range(12))
    for values, cell in by_levels(plan).items():
        assert plan.levels(cell) == values
        assert Cell.from_data(cell.as_data()) == cell
    stranger = replace(cells[0], training=cells[0].training.model_copy(update={"steps": 51}))
    assert plan.place(stranger) is None
    assert plan.place(replace(cells[0], seed=2)) is None
    unsolved = cells[3].training.model_copy(update={"steps": 50})
    assert plan.place(replace(cells[3], training=unsolved)) is None


def test_equal_by_a_setting() -> None:
    """All variants of a plan may be compared at equal multiply-adds; also at several budgets."""
    source = TINY.replace("steps = 3", 'equal = "macs"')
    source = source.replace("[axes]", "[axes]\ntraining.steps = [50, 100]")
    plan = read_plan(source, name="p", file="p.toml")
    assert [plan.place(cell) for cell in plan.cells()] == list(range(8))
    cells = by_levels(plan)
    assert cells[50, "concat"].training.steps == 50
    assert cells[50, "none"].training.steps > 50
    assert plan.axes["training.steps"] == (50, 100)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "batch = 2",
            'batch = 2\nequal = "mac"',
            r"p.toml:23: training.equal = 'mac': input should",
        ),
        ("batch = 2", "batch = 2\nequal = [1]", r"p.toml:23: training.equal = \[1\]: input should"),
        (
            "[axes]",
            '[axes]\nbase_channels = [2, 3]\ntraining.equal = ["parameters"]',
            r"p.toml:7: equal parameters are reached by base_channels, which is an axis as well",
        ),
        (
            'skip = ["concat", "none"]',
            'training.equal = ["steps", "macs"]',
            r"p.toml:6: all variants have one spec and are equal",
        ),
        (
            "[axes]",
            MANY,
            r"p.toml:8: 13122 variants are more than the 10000 that can be made equal",
        ),
        (
            "[axes]",
            '[axes]\npadding = ["valid", "zeros"]\ntraining.steps = [1, 2]\n' + MACS,
            r"come to the same run of 1 steps: leave one out",
        ),
    ],
)
def test_what_cannot_be_equal_is_refused(old: str, new: str, message: str) -> None:
    """In one line, with its number."""
    source = TINY.replace(old, new)
    if "base_channels = [" in new:
        source = source.replace("base_channels = 4\n", "")
    if "steps = [" in new:
        source = source.replace("steps = 3\n", "")
    with pytest.raises(Refusal, match=message):
        read_plan(source, name="p", file="p.toml")


def test_the_work_is_that_of_the_solved_cells() -> None:
    """Which differ in their steps and widths."""
    plan = planned()
    for only in ({}, {"training.equal": {"macs"}}, {"skip": {"none"}}):
        cells = list(plan.cells(only))
        work = Work.of(plan, only)
        assert work.cells == len(cells)
        assert work.training_macs == sum(cell.training_macs for cell in cells)
        assert work.test_images == 2 * 5


def test_the_page_says_what_was_equal() -> None:
    """Each comparison is marked, what was solved is shown, and how near it came."""
    source = TINY.replace("[axes]", EQUAL).replace("seeds = 2", "seeds = 6")
    plan = read_plan(source.replace("steps = 3", "steps = 50"), name="p", file="p.toml")
    records = []
    for cell in plan.cells():
        lead = {"steps": 100, "macs": 60, "parameters": 20}[cell.training.equal]
        right = 600 + 2 * cell.seed + lead * (cell.spec.skip == "concat")
        update = {"counts": (((right, 1000 - right, 0),) * 5,)}
        records.append(record_of(cell).model_copy(update=update))
    results = Results.of(plan, records)
    told = list(findings(results))
    assert [sentence.split(" made")[0] for sentence in told] == [
        "**skip** at equal steps",
        "**skip** at equal macs",
        "**skip** at equal parameters",
    ]
    assert "`concat` scores 0.060 above `none`" in told[1]
    page = render(results)["p.md"].decode()
    assert (
        "- equal `steps`: every net is trained for the same steps, whatever they cost; all" in page
    )
    assert "- equal `macs`: every net is trained for as many multiply-adds as the first" in page
    assert "(macs, none)" in page
    assert "| skip at equal parameters | `none` - `concat` | 6 |" in page
    solved = plan.cell(("macs", "none"), 0)
    row = next(line for line in page.splitlines() if line.startswith("| `macs` | `none` |"))
    assert f"| {solved.training.steps} | 4 |" in row


def test_cost_is_shown_beside_the_score() -> None:
    """Multiply-adds of the whole training, and the score that each million millions bought."""
    plan = planned("[axes]")
    records = [record_of(cell).model_copy(update={"macs": 10**9}) for cell in plan.cells()]
    (first, _) = Results.of(plan, records).cells.to_dict("records")
    assert first["training macs"] == 3 * 10**9 * 50 * 2
    assert first["IoU per training TMAC"] == pytest.approx(first["IoU"] / 0.3)


def test_the_shipped_plan_compares_at_equal_everything() -> None:
    """Three skips, each in three ways."""
    assert load_plan("fair").axes["training.equal"] == tuple(EQUALITIES)
