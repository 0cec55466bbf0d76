"""Brings the records of several stores of one plan together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import final

from ablations.runs.plan import differences
from ablations.runs.records import Record
from ablations.storage.store import AT_ONCE, Store
from unet.refusal import Refusal


@final
@dataclass
class Merged:
    """What came of it: `conflicts` are the keys of records that tell of different results."""

    added: int
    known: int
    conflicts: list[str]


def merge(sources: Sequence[Path], into: Path) -> Merged:
    """Add to the store `into` every record of `sources` that it lacks, with their history.

    Where two stores have run the same cell, the record that is there stays; if the other tells
    of another result its key is among the conflicts. To merge again changes nothing. Raises
    `Refusal` if the plans differ, before anything is written.
    """
    for path in sources:
        if path.resolve() == into.resolve():
            raise Refusal(f"{path}: cannot be merged into itself; choose another --into")
    with Store.open(sources[0]) as first:
        plan = first.plan
    asked = set[bool]()
    for path in (*sources, *((into,) if into.exists() else ())):
        with Store.open(path) as other:
            asked |= {record.is_as_asked for record in islice(other.records(), 1)}
            if len(asked) > 1:
                raise Refusal(
                    f"{path}: an earlier version chose the precision of some of these stores' "
                    "cells by the chip, and no key tells it: merge those with their like only"
                )
            if other.plan.identity != plan.identity:
                raise Refusal(
                    f"{path}: its plan differs from that of {sources[0]}: "
                    f"{'; '.join(differences(plan, other.plan))}; `run --extend` them to one plan"
                )
    merged = Merged(0, 0, [])
    with Store.create(into, plan) as target:
        for path in sources:
            with Store.open(path) as source:
                _add_all(source, target, merged)
    return merged


def _add_all(source: Store, target: Store, merged: Merged) -> None:
    new: list[Record] = []
    for record in source.records():
        there = target.get(record.key)
        if there is None:
            new.append(record)
        else:
            merged.known += 1
            if not same_result(there, record):
                merged.conflicts.append(record.key)
        if len(new) == AT_ONCE:
            target.add_all(new)
            merged.added += len(new)
            new = []
    target.add_all(new)
    merged.added += len(new)
    target.add_history(source.attempts())


def same_result(one: Record, other: Record) -> bool:
    """Whether two runs of a cell came to the same: the clock and the machine may differ."""
    return (one.outcome, one.counts, one.losses) == (other.outcome, other.counts, other.losses)
