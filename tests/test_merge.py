"""Stores come together without loss, and nothing is counted twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablations.running.sweep import missing_cells, tally
from ablations.runs.plan import Plan
from ablations.runs.records import Record
from ablations.runs.selection import Selection, Shard
from ablations.storage.leases import Leases
from ablations.storage.merge import Merged, merge
from ablations.storage.plan_file import read_plan
from ablations.storage.store import Store
from tests.samples import TINY
from unet import Refusal


def stored(path: Path, plan: Plan, records: list[Record]) -> Path:
    """A store with the history of these records."""
    with Store.create(path, plan) as store, Leases(store) as leases:
        for record in records:
            assert leases.claim([record.key])
            assert leases.complete([record])
    return path


def test_merging_loses_nothing_and_is_the_same_twice(
    tmp_path: Path, tiny: Plan, tiny_records: list[Record]
) -> None:
    """Records and history of two stores that share a cell, in one."""
    slower = tiny_records[1].model_copy(update={"train_seconds": 99.0})
    one = stored(tmp_path / "a.db", tiny, tiny_records[:2])
    other = stored(tmp_path / "b.db", tiny, [slower, *tiny_records[2:]])
    into = tmp_path / "c.db"
    assert merge([one, other], into) == Merged(4, 1, [])
    assert merge([one, other], into) == Merged(0, 5, [])
    with Store.open(into) as store:
        by_key = {record.key: record for record in store.records()}
        assert by_key == {record.key: record for record in tiny_records}
        assert [attempt.outcome for attempt in store.attempts()] == ["done"] * 5


def test_conflicts_are_named(tmp_path: Path, tiny: Plan, tiny_records: list[Record]) -> None:
    """Another result for a cell that is there: the first one stays."""
    odd = tiny_records[0].model_copy(update={"losses": (1.0, 2.0, 3.0)})
    one = stored(tmp_path / "a.db", tiny, tiny_records[:1])
    other = stored(tmp_path / "b.db", tiny, [odd])
    assert merge([one, other], tmp_path / "c.db").conflicts == [odd.key]
    with Store.open(tmp_path / "c.db") as store:
        assert list(store.records()) == tiny_records[:1]


def test_other_plans_do_not_merge(tmp_path: Path, tiny: Plan) -> None:
    """Said before anything is written, with what differs."""
    more = read_plan(TINY.replace("steps = 3", "steps = 4"), name="tiny", file="f")
    one, other = stored(tmp_path / "a.db", tiny, []), stored(tmp_path / "b.db", more, [])
    with pytest.raises(Refusal, match=r"training\.steps 3 -> 4"):
        merge([one, other], tmp_path / "c.db")
    assert not (tmp_path / "c.db").exists()
    with pytest.raises(Refusal, match="cannot be merged into itself"):
        merge([one], one)


def test_each_shard_counts_its_own(tmp_path: Path, tiny: Plan) -> None:
    """Missing cells and tallies of two shards are those of the whole plan."""
    with Store.create(tmp_path / "a.db", tiny) as store:
        shards = [Selection(shard=Shard(part, 2)) for part in (1, 2)]
        keys = [cell.key for shard in shards for cell in missing_cells(store, shard)]
        assert sorted(keys) == sorted(cell.key for cell in tiny.cells())
        assert sum(tally(store, shard).cells for shard in shards) == 4


def test_precisions_that_no_key_tells_apart_are_not_mixed(
    tmp_path: Path, tiny: Plan, tiny_records: list[Record]
) -> None:
    """A store of a version whose chip chose it goes with its like, and with no other."""
    environment = {**tiny_records[0].environment, "precision": "bfloat16"}
    by_chip = [r.model_copy(update={"environment": environment}) for r in tiny_records]
    old, older = (stored(tmp_path / f"{n}.db", tiny, [by_chip[n]]) for n in range(2))
    new = stored(tmp_path / "new.db", tiny, tiny_records[2:])
    assert merge([old, older], tmp_path / "like.db").added == 2
    for sources, into in (([old, new], tmp_path / "all.db"), ([old], new)):
        with pytest.raises(Refusal, match="chose the precision of some of these stores' cells"):
            merge(sources, into)
    assert not (tmp_path / "all.db").exists()
