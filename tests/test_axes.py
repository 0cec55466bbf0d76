"""Whatever a plan varies, it goes from plan to run, report, export and explanation."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

import ablations.__main__ as command
from ablations.reporting.explain import find, told
from ablations.reporting.exports import export, read_export
from ablations.reporting.pilot import Needs
from ablations.reporting.report import render
from ablations.reporting.results import Results
from ablations.reporting.run_table import _ROW
from ablations.running.estimate import Work
from ablations.running.sweep import STORE, tally
from ablations.runs.plan import AXES, EQUAL, Plan
from ablations.runs.records import Record
from ablations.runs.selection import read_only
from ablations.storage.plan_file import read_plan
from ablations.storage.store import Store
from tests.axes import PAIRS, VALUES, Here, made_up, plan_of, refusal_of
from tests.conftest import train
from tests.samples import result_of
from unet import Refusal

LEGAL = [pair for pair in PAIRS if not refusal_of(*pair)]
SOME = LEGAL if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else LEGAL[::9]
"""All of them take minutes."""


def whole_way(source: str, folder: Path) -> Results:
    """Everything that is made of a plan's records, but figures; returns what its report is of."""
    plan = read_plan(source, name="p", file="p.toml")
    work = Work.of(plan, {})
    assert work.cells == plan.seeds * plan.variant_count
    records = [made_up(cell) for cell in plan.cells()]
    with Store.create(folder / STORE, plan) as store:
        store.add_all(records)
        assert tally(store).stored == work.cells
        for name in ("runs.csv", "all.jsonl"):
            assert export(store, folder / name) == work.cells
    again, kept = read_export(folder / "all.jsonl")
    assert again.identity == plan.identity
    assert {record.key: record for record in kept} == {record.key: record for record in records}
    results = Results.of(plan, records)
    for each, its_results in find(records[-1].key, folder):
        assert list(told(each, its_results))[-1].startswith("  ")
    return results


def rows_of(path: Path) -> list[dict[str, str]]:
    """A CSV's rows, once no two of its columns have one name."""
    with path.open(newline="") as file:
        header = next(csv.reader(file))
        assert len(header) == len(set(header)), header
        return [dict(zip(header, row, strict=True)) for row in csv.reader(file)]


def test_every_axis_has_values_and_no_column_of_ours_has_its_name() -> None:
    """What a plan may vary tomorrow needs values here, and a name that no column has yet."""
    assert tuple(VALUES) == AXES
    ours = {name for name, _ in _ROW.descr} | {"seed", "seeds", "outcome", "environment", "key"}
    assert not ours & set(AXES)


@pytest.mark.parametrize("axis", [axis for axis in AXES if axis != EQUAL])
def test_a_plan_of_one_axis_goes_the_whole_way(
    axis: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the real commands, with figures; nothing but the training is made up."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "engine_of", lambda *_: Here())
    source = plan_of(axis, seeds=8)
    (tmp_path / "p.toml").write_text(source)

    def invoke(*words: str) -> str:
        found = CliRunner().invoke(command.app, list(words), catch_exceptions=False)
        assert found.exit_code == 0, found.output
        return found.stdout

    assert result_of(invoke("plan", "p.toml", "--json"))["cells"] == 16
    assert f"  {axis}: " in invoke("plan", "p.toml")
    invoke("run", "p.toml", "--out", "out")
    assert "16 of 16 cells" in invoke("status", "out")
    assert "power" in invoke("plan", "p.toml", "--power", "0.1", "--pilot", "out", "--json")
    invoke("export", "out", "--to", "runs.csv")
    cells, runs = rows_of(tmp_path / "out" / "p_cells.csv"), rows_of(tmp_path / "runs.csv")
    assert [len(cells), len(runs)] == [2, 16]
    plan = read_plan(source, name="p", file="p.toml")
    written = [str(value) for value in plan.axes[axis]]
    assert [row[axis] for row in cells] == written
    assert {row["key"] for row in runs} == {cell.key for cell in plan.cells()}
    for row in rows_of(tmp_path / "out" / "p_factors.csv"):
        assert (row["factor"], row["level"] in written) == (axis, True)
    assert "p_cells.csv" in invoke("explain", runs[0]["key"], "out")
    assert result_of(invoke("report", "out", "--json"))["files"][0] == "out/p.md"


@pytest.mark.parametrize("axis", AXES)
def test_each_value_of_an_axis_can_be_chosen_as_it_is_written(axis: str) -> None:
    """`--only AXIS=VALUE`, with the value as it stands in the plan."""
    others = [] if axis != EQUAL else ["base_channels"]
    plan = read_plan(plan_of(axis, *others), name="p", file="p.toml")
    for value, written in zip(plan.axes[axis], VALUES[axis], strict=True):
        for text in (json.dumps(written).strip('"'), str(value)):
            kept = {cell.value(axis) for cell in plan.cells(read_only([f"{axis}={text}"], plan))}
            assert kept == {value}, text


@pytest.mark.parametrize("pair", SOME, ids=" x ".join)
def test_a_plan_of_two_axes_goes_the_whole_way(pair: tuple[str, str], tmp_path: Path) -> None:
    """Every pair in nightly runs, one in nine else."""
    results = whole_way(plan_of(*pair), tmp_path)
    assert results.cells[list(pair)].astype(str).drop_duplicates().shape == (4, 2)
    assert len(rows_of(tmp_path / "runs.csv")) == 12
    assert render(results)["p.md"].startswith(b"<!-- Generated")


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if refusal_of(*pair)], ids=" x ".join)
def test_a_pair_that_cannot_be_is_refused_before_anything_is_trained(pair: tuple[str, str]) -> None:
    """With the reason, when the plan is read."""
    with pytest.raises(Refusal, match=refusal_of(*pair)[:30].replace("[", r"\[")):
        read_plan(plan_of(*pair), name="p", file="p.toml")


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        ("up_keeps_channels", "[[0, 1], [1, 0]]"),
        ("unskipped", "[[0], [0, 0]]"),
        ("training.learning_rate", "[9007199254740993, 9007199254740992]"),
    ],
)
def test_values_that_are_one_in_cells_are_refused_before_anything_is_trained(
    axis: str, values: str
) -> None:
    """However they are written."""
    source = plan_of(axis).replace(f"{axis} = {json.dumps(VALUES[axis])}", f"{axis} = {values}")
    with pytest.raises(Refusal, match=f"axis {axis} = .* names a value twice"):
        read_plan(source, name="p", file="p.toml")


def test_cells_stand_in_the_plans_order_whatever_is_missing() -> None:
    """Also if the first run is, so that another comes first."""
    plan = read_plan(plan_of("depth", "padding"), name="p", file="p.toml")
    cells = Results.of(plan, shortened(plan, 3)).cells
    found = list(zip(cells["depth"], cells["padding"], strict=True))
    assert found == [("2", "valid"), ("2", "zeros"), ("1", "valid"), ("1", "zeros")]


@pytest.mark.parametrize("axis", ["base_channels", "depth"])
def test_an_axis_of_one_value_is_no_comparison(axis: str) -> None:
    """Not of equal nets, and none that a number of seeds could be said for."""
    alone = plan_of(axis).replace(json.dumps(VALUES[axis]), json.dumps(VALUES[axis][:1]))
    plan = read_plan(alone, name="p", file="p.toml")
    results = Results.of(plan, map(made_up, plan.cells()))
    with pytest.raises(Refusal, match="no axis of plan p has two values"):
        Needs.of(plan, results, 0.1)
    equal = alone.replace("[axes]", '[axes]\ntraining.equal = ["steps", "macs"]')
    with pytest.raises(Refusal, match="all variants have one spec and are equal"):
        read_plan(equal, name="p", file="p.toml")


def shortened(plan: Plan, seeds: int) -> list[Record]:
    """The records of fewer seeds than the plan has, one of them missing."""
    return [made_up(cell) for cell in plan.cells() if cell.seed < seeds][1:]


@pytest.mark.parametrize("axis", ["base_channels", "unskipped", "dropout", "training.steps"])
@pytest.mark.parametrize("seeds", [1, 2])
def test_few_seeds_and_missing_runs_go_the_whole_way(axis: str, seeds: int) -> None:
    """Also one seed, of which a run is missing."""
    plan = read_plan(plan_of(axis, "padding"), name="p", file="p.toml")
    assert render(Results.of(plan, shortened(plan, seeds)))["p.md"]


def test_a_tuned_axis_beside_any_other_goes_the_whole_way(tmp_path: Path) -> None:
    """Beside an axis whose name a column of ours once had, with a claim about it."""
    rate = "training.learning_rate"
    claim = """
[[claims]]
number = 1
claim = "Wider nets see more"
source = "nobody"
differs = "in nothing"
predictions = [{contrast = "base_channels: 8 - 4", metric = "IoU", expected = "higher"}]
"""
    results = whole_way(plan_of("base_channels", rate, tuned=rate) + claim, tmp_path)
    assert len(results.trials) == 1
    assert "## Claim 1" in render(results)["p.md"].decode()


@pytest.mark.parametrize("axis", [axis for axis in AXES if axis != EQUAL])
def test_each_axis_is_really_trained(axis: str) -> None:
    """The smallest nets, a few steps, one seed: from the plan to the report."""
    source = plan_of(axis, seeds=1)
    plan = read_plan(source, name="p", file="p.toml")
    records = [train(cell) for cell in plan.cells()]
    assert {record.outcome for record in records} <= {"done", "diverged"}
    assert render(Results.of(plan, records))["p.md"]
