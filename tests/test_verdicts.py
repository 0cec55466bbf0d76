"""What a report says of a difference is what its seeds can bear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ablations.reporting.results import Results
from ablations.reporting.verdicts import (
    chance,
    effect_rows,
    findings,
    interactions_table,
    main_effects_table,
    seeds_to_decide,
)
from ablations.runs.cell import Cell
from ablations.storage.plan_file import read_plan
from tests.endurance.sleeper import record_of
from tests.samples import TINY

THREE = 'skip = ["concat", "add", "none"]\nnorm = ["none", "batch"]'


def seen(
    correct: Callable[[Cell], int], seeds: int, *, axes: str = "", margin: float = 0.0
) -> Results:
    """A sweep in which so many of 1000 pixels of each class are right."""
    source = TINY.replace("seeds = 2", f"seeds = {seeds}\nmargin = {margin}")
    if axes:
        source = source.replace('skip = ["concat", "none"]', axes).replace('norm = "batch"\n', "")
    plan = read_plan(source, name="p", file="p.toml")
    records = []
    for cell in plan.cells():
        right = correct(cell)
        counts = None if right < 0 else (((right, 1000 - right, 0),) * 5,)
        outcome = "diverged" if right < 0 else "done"
        update = {"counts": counts, "outcome": outcome}
        records.append(record_of(cell).model_copy(update=update))
    return Results.of(plan, records)


def by_skip(**score: int) -> Callable[[Cell], int]:
    """So many by the skip, and more with every seed, as images differ."""
    return lambda cell: score[cell.spec.skip] + 3 * cell.seed + cell.seed % 2


def test_a_difference_is_told_with_its_size() -> None:
    """`concat` is 0.2 above `none` with every one of eight seeds."""
    (sentence,) = findings(seen(by_skip(concat=800, none=600), 8))
    assert sentence.startswith("**skip** made a difference: `concat` scores 0.200 above `none`")
    assert "p 0.008" in sentence


def test_too_few_seeds_decide_nothing() -> None:
    """Five seeds that all agree do so in a sixteenth of all cases: no claim, and the way on."""
    (sentence,) = findings(seen(by_skip(concat=800, none=600), 5))
    assert sentence.startswith("**skip** cannot be judged: with 5 seeds chance alone does as much")
    assert "0.062" in sentence
    assert "6 seeds or more could decide" in sentence
    assert "cannot be told apart" in sentence


def test_a_null_result_stays_and_is_called_one() -> None:
    """Up with one seed and down with the next."""
    found = seen(lambda cell: 700 + (50 if (cell.seed % 2) == (cell.spec.skip == "none") else 0), 8)
    (sentence,) = findings(found)
    assert "made no difference that these seeds can tell" in sentence
    assert "cannot be told apart" in sentence


def test_what_is_alike_within_the_margin_is_called_so() -> None:
    """A thousandth up and down, where a hundredth does not matter; and nothing without a margin."""

    def nearly(cell: Cell) -> int:
        return 700 + (1 if (cell.seed % 2) == (cell.spec.skip == "none") else 0)

    (sentence,) = findings(seen(nearly, 8, margin=0.01))
    assert "**skip** made no difference above 0.01: " in sentence
    assert "differ by less than 0.01" in sentence
    (sentence,) = findings(seen(nearly, 8))
    assert "differ by less" not in sentence


def test_a_real_difference_may_be_too_small_to_matter() -> None:
    """Both are said."""
    (sentence,) = findings(seen(by_skip(concat=702, none=700), 8, margin=0.01))
    assert "`concat` scores 0.002 above `none`" in sentence
    assert "which is less than 0.01" in sentence


def test_a_diverged_run_costs_its_seed_and_is_counted() -> None:
    """In the comparisons that need it."""

    def mostly(cell: Cell) -> int:
        return (
            -1
            if (cell.spec.skip, cell.seed) == ("none", 3)
            else by_skip(concat=800, none=600)(cell)
        )

    assert "| 8 (1 left out) |" in main_effects_table(seen(mostly, 9))


def test_a_dependence_is_found_and_told() -> None:
    """With norm the skip brings 0.2, without it 0.1."""

    def joint(cell: Cell) -> int:
        gain = {"concat": 2, "add": 2, "none": 0}[cell.spec.skip]
        return 500 + (100 if cell.spec.norm == "batch" else 50) * gain + 3 * cell.seed

    found = seen(joint, 9, axes=THREE)
    assert "| skip x norm | 3 | 2 |" in interactions_table(found)
    rows = effect_rows(found).set_index("contrast")
    assert rows.loc["skip: none - concat at norm: batch", "IoU"] == pytest.approx(-0.2)
    assert rows.loc["skip: none - concat at norm: none", "IoU"] == pytest.approx(-0.1)
    assert "6 families of comparisons" not in chance(found)
    assert f"{len({c.family for c, _ in found.effects})} families" in chance(found)


def about(found: Results, metric: str) -> Results:
    """The same runs under a plan that is about another metric."""
    return replace(found, plan=replace(found.plan, headline=metric))


def test_where_lower_is_better_the_better_lies_below() -> None:
    """Runs of `none` err more at the border; the sentence begins with what is better."""
    found = about(seen(by_skip(concat=800, none=600), 8), "error at 0-1 px")
    column = [0.1 if skip == "concat" else 0.3 for skip in found.runs["skip"]]
    runs = found.runs.assign(**{"error at 0-1 px": np.array(column) + found.runs["seed"] / 1e3})
    found = replace(found, runs=runs)
    (sentence,) = findings(found)
    assert "`concat` scores 0.2000 below `none` (95 % interval 0.2000 to 0.2000" in sentence
    rows = effect_rows(found).set_index("contrast")
    assert rows.loc["skip: none - concat", "error at 0-1 px"] == pytest.approx(0.2)
    assert "+0.2000" in main_effects_table(found)
    for name in ("IoU", "error at 0-1 px"):
        (effect,) = (e for c, e in found.effects_on(name) if c.kind == "main effect")
        assert effect.verdict == {"IoU": "lower"}.get(name, "higher")


def test_what_was_not_measured_is_not_judged() -> None:
    """Older records have no such counts, and the page says so."""
    (sentence,) = findings(about(seen(by_skip(concat=800, none=600), 8), "seam"))
    assert sentence == "Nothing: no run has a seam; older versions did not measure it."


@pytest.mark.parametrize(("comparisons", "seeds"), [(1, 6), (3, 7), (6, 8), (45, 11)])
def test_seeds_to_decide(comparisons: int, seeds: int) -> None:
    """2 / 2^n of 5 % at most, once for each comparison."""
    assert seeds_to_decide(comparisons) == seeds
    assert comparisons * 2 / 2**seeds <= 0.05 < comparisons * 2 / 2 ** (seeds - 1)
