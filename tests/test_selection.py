"""Parts of a plan are what they say, and together the whole."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ablations.runs.plan import Plan
from ablations.runs.selection import EVERYTHING, Selection, Shard, read_only
from unet import Refusal


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_shards_are_a_partition(tiny: Plan, parts: int) -> None:
    """Each cell is in exactly one."""
    shards = [Selection(shard=Shard.parse(f"{part}/{parts}")) for part in range(1, parts + 1)]
    keys = [cell.key for shard in shards for cell in shard.cells(tiny)]
    assert sorted(keys) == sorted(cell.key for cell in EVERYTHING.cells(tiny))


@pytest.mark.parametrize(
    "text", ["0/2", "3/2", "1", "a/b", "1/2/3", "-1/2", "1/0", "\u0661/\u0662"]
)
def test_a_shard_is_one_of_so_many(text: str) -> None:
    """Anything else is said to be none."""
    with pytest.raises(Refusal, match="is not I/N with I from 1 to N"):
        Shard.parse(text)


def test_some_values_of_an_axis(tiny: Plan) -> None:
    """Exactly the cells that have them, in the plan's order."""
    cells = list(Selection(read_only(["skip=none"], tiny)).cells(tiny))
    assert cells == [cell for cell in tiny.cells() if cell.spec.skip == "none"]
    both = read_only(["skip=none", "skip=concat"], tiny)
    assert list(Selection(both).cells(tiny)) == list(tiny.cells())
    assert read_only(["skip=none, concat"], tiny) == both


def test_lists_are_written_as_in_the_plan(tiny: Plan) -> None:
    """Commas within one part nothing."""
    plan = replace(tiny, axes={"up_keeps_channels": ((), (0,), (0, 1)), **tiny.axes})
    only = read_only(["up_keeps_channels=[0, 1], []"], plan)
    assert only == {"up_keeps_channels": {"(0, 1)", "()"}}
    assert read_only(["up_keeps_channels=[0]"], plan) == {"up_keeps_channels": {"(0,)"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("skip=sum", "skip of plan tiny 'sum' is not one of concat, none"),
        ("padding=zeros", "axis 'padding' is not one of skip"),
        ("skip", "skip of plan tiny '' is not one of concat, none"),
    ],
)
def test_what_the_plan_does_not_have(tiny: Plan, text: str, message: str) -> None:
    """It is named, with what there is."""
    with pytest.raises(Refusal, match=message):
        read_only([text], tiny)


def test_places_are_where_cells_stand(tiny: Plan) -> None:
    """Found without counting; None for a cell of another plan."""
    assert [tiny.place(cell) for cell in tiny.cells()] == [0, 1, 2, 3]
    (first, *_) = tiny.cells()
    longer = first.training.model_copy(update={"steps": 4})
    assert tiny.place(replace(first, seed=2)) is None
    assert tiny.place(replace(first, training=longer)) is None
    assert tiny.place(replace(first, spec=replace(first.spec, skip="add"))) is None
