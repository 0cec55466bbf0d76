"""What a plan would take is counted without its cells, and tried out with a few steps."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ablations.running.estimate import Work, estimate
from ablations.running.processes import Workers
from ablations.runs.cell import Cell
from ablations.runs.measures import PROBED, PROBES
from ablations.runs.plan import Plan
from ablations.runs.records import Record
from ablations.storage.plan_file import load_plan, read_plan
from ablations.training.hardware import Hardware
from tests.endurance.sleeper import record_of
from tests.runners import HasNoRoom
from tests.samples import TINY
from unet import Refusal

SPEED = 1e9
"""Multiply-adds a second of the machine that is pretended."""


def seconds_of(cell: Cell) -> tuple[float, float]:
    """Of training and of testing, at that speed: the first test images are run several times."""
    forward = cell.training_macs / (3 * cell.training.steps * cell.training.batch)
    images = cell.training.test_images + PROBES * min(cell.training.test_images, PROBED)
    return cell.training_macs / SPEED, forward * images / SPEED


class Timed:
    """A machine of known speed that does something else first."""

    def __init__(self, device: str) -> None:
        self.hardware = Hardware(device, "pretended", "float32")

    def run(self, cells: Sequence[Cell]) -> list[Record]:
        """Tell what it would take."""
        return [
            record_of(cell).model_copy(
                update={"train_seconds": 2 + train, "test_seconds": 1 + test}
            )
            for cell in cells
            for train, test in [seconds_of(cell)]
        ]


@pytest.fixture
def varied() -> Plan:
    """Nets of three sizes, with two budgets."""
    source = TINY.replace(
        "[axes]", "[axes]\ntraining.steps = [300, 500]\nbase_channels = [4, 8, 16]"
    )
    source = source.replace("steps = 3\n", "").replace("base_channels = 4\n", "")
    source = source.replace("test_images = 5", "test_images = 2000")
    return read_plan(source, name="varied", file="varied.toml")


def test_the_work_is_that_of_the_cells(varied: Plan) -> None:
    """Counted by specs and trainings, it is the sum over the cells; also of a part."""
    for only in ({}, {"skip": {"none"}}, {"skip": {"none"}, "training.steps": {"500"}}):
        cells = list(varied.cells(only))
        work = Work.of(varied, only)
        assert work.cells == len(cells)
        assert work.training_macs == sum(cell.training_macs for cell in cells)


def test_seconds_follow_from_a_few_steps(varied: Plan) -> None:
    """At a speed that is the same for all nets, trials of three foretell all of them."""
    found = estimate(varied, Work.of(varied, {}), Workers(2, make=Timed))
    expected = sum(sum(seconds_of(cell)) for cell in varied.cells()) / 2
    # Between the nets that were tried, the time is interpolated.
    assert found.seconds == pytest.approx(expected, rel=0.1)
    bodies = sum(len(record_of(cell).model_dump_json()) for cell in varied.cells())
    assert bodies < found.bytes < 2 * bodies


def test_a_crashing_trial_is_told(varied: Plan) -> None:
    """In one line, with the reason."""
    with pytest.raises(Refusal, match="a trial of the plan crashed: MemoryError: no room"):
        estimate(varied, Work.of(varied, {}), Workers(1, make=HasNoRoom))


def test_large_plans_are_counted_at_once() -> None:
    """A plan of a million cells has as many as its axes say."""
    source = TINY.replace("seeds = 2", "seeds = 500000")
    assert Work.of(read_plan(source, name="p", file="p"), {}).cells == 10**6
    assert Work.of(load_plan("shapes"), {}).cells == 360
