"""Claims are tried by what was predicted of them, and by nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ablations.judgement.contrasts import Design
from ablations.judgement.trials import Trial
from ablations.reporting.explain import told
from ablations.reporting.exports import export, read_export
from ablations.reporting.findings import findings_files, trials
from ablations.reporting.results import Results
from ablations.runs.claims import Claim
from ablations.runs.records import Record
from ablations.storage.plan_file import read_plan
from ablations.storage.store import Store
from tests.endurance.sleeper import record_of
from tests.samples import TINY
from unet import Refusal

AXES = {"skip": ["concat", "none"]}
SPREAD = np.linspace(-0.01, 0.01, 10)


def claim(*predictions: dict[str, object]) -> Claim:
    """A claim that predicts so much of the IoU."""
    given = [{"contrast": "skip: none - concat", "metric": "IoU"} | each for each in predictions]
    return Claim.model_validate(
        {"number": 1, "claim": "c", "source": "s", "differs": "d", "predictions": given}
    )


def scores(difference: float, seeds: int = 10) -> Design:
    """(10 seeds, 2 levels); the second lies so far above the first, give or take 0.01."""
    table = np.stack([np.full(10, 0.8), 0.8 + difference + SPREAD], axis=1)
    return Design(table[:seeds], AXES)


@pytest.mark.parametrize(
    ("difference", "predicted", "verdict"),
    [
        (-0.1, {"expected": "lower"}, "reproduced"),
        (0.1, {"expected": "lower"}, "not reproduced"),
        (0.0, {"expected": "lower"}, "undecided"),
        (0.0, {"expected": "lower", "margin": 0.05}, "not reproduced"),
        (-0.02, {"expected": "lower", "margin": 0.05}, "not reproduced"),
        (0.0, {"expected": "equivalent", "margin": 0.05}, "reproduced"),
        (0.1, {"expected": "equivalent", "margin": 0.05}, "not reproduced"),
        (0.004, {"expected": "equivalent", "margin": 0.005}, "undecided"),
        (0.006, {"expected": "equivalent", "margin": 0.005}, "undecided"),
        (0.1, {"expected": "different"}, "reproduced"),
        (-0.1, {"expected": "different"}, "reproduced"),
        (0.02, {"expected": "different", "margin": 0.05}, "not reproduced"),
        (0.0, {"expected": "different"}, "undecided"),
        (0.0, {"expected": "higher", "contrast": "skip: concat"}, "reproduced"),
    ],
)
def test_a_prediction_has_an_outcome(
    difference: float, predicted: dict[str, object], verdict: str
) -> None:
    """Against the seeds: what came out the other way, or is shown to be small, is refuted."""
    assert Trial.of(claim(predicted), lambda _: scores(difference)).verdict == verdict


def test_a_claim_is_all_that_it_predicts() -> None:
    """One that failed outweighs one that did not, and one that is open leaves it open."""
    lower, higher = {"expected": "lower"}, {"expected": "higher", "contrast": "skip: concat"}
    both = Trial.of(claim(lower, higher), lambda _: scores(0.1))
    assert both.outcomes == ["not reproduced", "reproduced"]
    assert both.verdict == "not reproduced"
    assert Trial.of(claim(lower, higher), lambda _: scores(0)).verdict == "undecided"


def test_few_seeds_decide_nothing() -> None:
    """However clear they are."""
    few = Trial.of(claim({"expected": "lower"}), lambda _: scores(-0.1, seeds=5))
    assert few.verdict == "undecided"


CLAIMING = TINY.replace("seeds = 2", "seeds = 8").replace(
    "[axes]",
    """
[[claims]]
number = 3
claim = "Skips are needed."
source = "somebody 2016"
differs = "everything."
predictions = [{ contrast = "skip: none - concat", metric = "IoU", expected = "lower" }]

[axes]""",
)

TWICE = CLAIMING[CLAIMING.index("[[claims]]") : CLAIMING.index("[axes]")] + "[axes]"

PREDICTED = '{ contrast = "skip: none - concat", metric = "IoU", expected = "lower" }'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("skip: none - concat", "skip: concat - none", "no contrast 'skip: concat - none'; it has"),
        ('"IoU"', '"luck"', r"f:\d+: claim 3: metric 'luck' is not one of IoU"),
        ('"lower"', '"equivalent"', "what is to be equivalent needs a margin above 0"),
        ("metric", "metrik", "legal keys are contrast, metric, expected, margin"),
        ("number", "nummer", "legal keys are number, claim, source, differs, predictions"),
        ("Skips are", "<b>", "claims.0.claim"),
        ("[axes]", TWICE, "two claims have this number"),
        ("predictions = [", f"predictions = [{PREDICTED}, ", "one prediction is made twice"),
    ],
)
def test_a_claim_that_cannot_be_tried_is_refused(old: str, new: str, message: str) -> None:
    """Before the first run, with its line and what there is."""
    with pytest.raises(Refusal, match=message):
        read_plan(CLAIMING.replace(old, new), name="tiny", file="f")


def test_claims_are_made_before_the_first_run(tmp_path: Path) -> None:
    """A store that was begun without one does not take it up silently."""
    path = tmp_path / "sweep.db"
    Store.create(path, read_plan(CLAIMING, name="tiny", file="f")).close()
    later = read_plan(CLAIMING.replace('"lower"', '"higher"'), name="tiny", file="f")
    with pytest.raises(Refusal, match="claims, which are to be made before the first run"):
        Store.create(path, later)
    Store.create(path, later, extend=True).close()
    with Store.open(path) as empty:
        assert empty.plan.claims == later.claims
    with Store.create(path, later) as begun:
        begun.add(record_of(next(later.cells())))
    with pytest.raises(Refusal, match="not those that were made before the first run"):
        Store.create(path, read_plan(CLAIMING, name="tiny", file="f"), extend=True)
    more = read_plan(str(later.source).replace("seeds = 8", "seeds = 9"), name="tiny", file="f")
    Store.create(path, more, extend=True).close()


def test_a_run_knows_the_claims_that_it_speaks_of() -> None:
    """And a level at another is predicted like a level alone."""
    source = CLAIMING.replace("[axes]", '[axes]\npadding = ["valid", "zeros"]')
    both = source.replace("skip: none - concat", "skip: none at padding: zeros")
    plan = read_plan(both.replace('"lower"', '"higher"'), name="tiny", file="f")
    results = Results.of(plan, [record_of(cell) for cell in plan.cells()])
    assert results.trials[0].verdict == "reproduced"
    for cell in plan.cells():
        spoken = "claim 3: skip: none at padding: zeros, IoU" in "\n".join(
            told(record_of(cell), results)
        )
        assert spoken == ((cell.spec.skip, cell.spec.padding) == ("none", "zeros"))


def test_the_page_is_made_of_exported_records(tmp_path: Path) -> None:
    """Claim, prediction, what was seen and the verdict; runs that are missing are told."""
    plan = read_plan(CLAIMING, name="tiny", file="f")
    records: list[Record] = [record_of(cell) for cell in plan.cells()]
    with Store.create(tmp_path / "sweep.db", plan) as store:
        store.add_all(records[1:])
        export(store, tmp_path / "tiny.jsonl")
    results = Results.of(*read_export(tmp_path / "tiny.jsonl"))
    tried = trials([results])
    page = findings_files(tried)["findings.md"].decode()
    ((_, trial),) = tried
    assert f"1 trials of 1 claims: 1 {trial.verdict}." in page
    assert "**1 of 16 runs are missing.**" in page
    assert f"| 7 (1 left out) | {trial.effects[0].adjusted_p:.3f} | {trial.verdict} |" in page
    assert findings_files([]) == {}
