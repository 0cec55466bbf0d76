"""Each variant is compared at its own best learning rate, chosen where nothing is tested."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ablations.reporting.explain import told
from ablations.reporting.report import render
from ablations.reporting.results import Results
from ablations.reporting.verdicts import findings
from ablations.runs.cell import Cell
from ablations.runs.plan import Plan
from ablations.runs.records import Evaluation
from ablations.storage.plan_file import read_plan
from tests.endurance.sleeper import record_of
from tests.samples import TINY
from unet import Refusal

TUNED = (
    TINY.replace("seeds = 2", 'seeds = 6\ntuned = "training.learning_rate"')
    .replace("[axes]", "[axes]\ntraining.learning_rate = [0.01, 0.001, 0.1]")
    .replace("learning_rate = 0.005\n", "validation_images = 4\n")
)

SEEN = {"concat": {0.1: 500, 0.01: 700, 0.001: 600}, "none": {0.1: 650, 0.01: 600, 0.001: 500}}
"""On the validation images, in thousandths; the test would have chosen otherwise."""


def planned() -> Plan:
    """Two skips, three rates."""
    return read_plan(TUNED, name="p", file="p.toml")


def counts(right: int) -> tuple[tuple[int, int, int], ...]:
    """Of five classes, so many of 1000 pixels right."""
    return ((right, 1000 - right, 0),) * 5


def on_test(cell: Cell) -> int:
    """The smallest rate is the best on the test images, by much."""
    best = {0.001: 900, 0.01: 800, 0.1: 700}[cell.training.learning_rate]
    return best + 2 * cell.seed - 50 * (cell.spec.skip == "none")


def swept(diverges: Callable[[Cell], bool] = lambda _: False) -> Results:
    """What was seen and tested, of the whole plan."""
    records = []
    for cell in planned().cells():
        seen = counts(SEEN[cell.spec.skip][cell.training.learning_rate] + 2 * cell.seed)
        update: dict[str, object] = {
            "counts": (counts(on_test(cell)),),
            "curve": (Evaluation(step=3, counts=seen),),
        }
        if diverges(cell):
            update = {"counts": None, "curve": (), "outcome": "diverged"}
        records.append(record_of(cell).model_copy(update=update))
    return Results.of(planned(), records)


def test_a_variant_chooses_by_validation_alone() -> None:
    """Not by the test, on which another rate is better."""
    first, second = swept().choices
    assert (first.variant, first.value, first.at_an_end) == (("concat",), "0.01", False)
    assert (second.variant, second.value, second.at_an_end) == (("none",), "0.1", True)
    assert first.means["0.001"] == pytest.approx(0.605)


def test_everything_is_about_the_chosen() -> None:
    """Levels, contrasts and sentences: 0.8 at 0.01 against 0.65 at 0.1."""
    found = swept()
    assert found.factors == ["skip"]
    assert len(found.whole_seeds) == 6
    (sentence,) = findings(found)
    assert "`concat` scores 0.150 above `none`" in sentence
    ((concat, none),) = found.levels.values()
    assert concat.by_seed[0] - none.by_seed[0] == pytest.approx(0.15)
    assert {contrast.label for contrast, _ in found.effects} == {"skip: none - concat"}


def test_the_page_tells_what_was_chosen() -> None:
    """And marks what lies at an end of the list; the CSV has all runs."""
    files = render(swept())
    page = files["p.md"].decode()
    section = page.split("## What each variant chose")[1].split("\n## ")[0]
    assert "| `concat` | 0.705 | 0.605 | 0.505 | `0.01` |" in section
    assert "`0.1` (an end) |" in section
    assert "1 of 2 variants chose an end of the list (marked)" in section
    assert "0 diverged" in section
    cells = page.split("## Each cell")[1].split("\n\n")[1]
    assert len(cells.splitlines()) == 2 + 2
    assert len(files["p_cells.csv"].splitlines()) == 1 + 6
    assert b"validation" in files["p_cells.csv"]


def test_a_diverged_run_speaks_against_its_rate() -> None:
    """As a 0: the mean of the seeds that went well would flatter it."""

    def once(cell: Cell) -> bool:
        return (cell.spec.skip, cell.training.learning_rate, cell.seed) == ("concat", 0.01, 3)

    found = swept(once)
    assert found.choices[0].value == "0.001"
    assert len(found.whole_seeds) == 6
    assert "of all runs, chosen or not, 1 diverged" in render(found)["p.md"].decode()


def test_a_run_that_was_not_chosen_is_in_no_comparison() -> None:
    """It has its row among the cells, and says why no other."""
    found = swept()
    for cell in found.plan.cells():
        text = "\n".join(told(record_of(cell), found))
        chosen = (cell.spec.skip, cell.training.learning_rate) in {("concat", 0.01), ("none", 0.1)}
        assert ("p_factors.csv" in text) == chosen
        assert ("which was another training.learning_rate" in text) != chosen


def test_unfinished_sweeps_choose_of_what_is_there() -> None:
    """And are told to be unfinished."""
    found = swept()
    records = [
        record_of(cell) for cell in found.plan.cells() if cell.training.learning_rate > 0.001
    ]
    page = render(Results.of(found.plan, records))["p.md"].decode()
    assert "12 of 36 runs are still missing" in page
    assert "| - |" in page.split("## What each variant chose")[1]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[0.01, 0.001, 0.1]", "[0.01]", "is no axis of several values"),
        ('skip = ["concat", "none"]\n', "", "is the only axis"),
        ("validation_images = 4\n", "", "is chosen on validation images"),
        ('tuned = "training.learning_rate"', 'tuned = "skip"', "tuned = 'skip': input should be"),
    ],
)
def test_what_cannot_be_tuned_is_refused(old: str, new: str, message: str) -> None:
    """On its line."""
    assert old in TUNED
    with pytest.raises(Refusal, match=message) as caught:
        read_plan(TUNED.replace(old, new), name="p", file="p.toml")
    assert str(caught.value).startswith("p.toml:4: ")
