"""Every number can be traced to its run."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from ablations.reporting.explain import find, told
from ablations.reporting.exports import export
from ablations.running.sweep import STORE
from ablations.runs.plan import Plan
from ablations.runs.records import Record
from ablations.storage.store import Store
from tests.samples import ROOT
from unet import Refusal


@pytest.fixture
def swept(tmp_path: Path, tiny: Plan, tiny_records: list[Record]) -> Path:
    """A folder with a finished sweep, and its runs as a table."""
    with Store.create(tmp_path / STORE, tiny) as store:
        store.add_all(tiny_records)
        export(store, tmp_path / "runs.csv")
    return tmp_path


def test_a_row_leads_to_its_record(swept: Path, tiny_records: list[Record]) -> None:
    """By the key in the table of runs, in either direction."""
    by_key = {record.key: record for record in tiny_records}
    rows = list(csv.DictReader(io.StringIO((swept / "runs.csv").read_text())))
    assert {row["key"] for row in rows} == set(by_key)
    for row in rows:
        ((record, results),) = find(row["key"], swept)
        assert record == by_key[row["key"]]
        assert record.parsed_cell().spec.skip == row["skip"]
        text = "\n".join(told(record, results))
        assert f"the row skip {row['skip']}" in text
        assert "tiny_effects.csv: skip: none - concat" in text
        assert "  calibration error: 0." in text
        assert ("figures/tiny.png" in text) == (row["seed"] == "0")


def test_committed_reports_are_traced_as_well() -> None:
    """Without a store: through the exported records."""
    ((record, results),) = find("03ceb2944f", ROOT / "reports")
    text = "\n".join(told(record, results))
    assert "shapes_cells.csv: the row padding zeros, skip concat, upsampling bilinear" in text
    assert "padding: zeros - valid at skip: concat" in text
    assert "padding: reflect - valid\n" not in text


def test_a_run_of_two_plans_is_told_of_in_both() -> None:
    """Each plan has run it by itself, and it came to the same."""
    both = find("0b34b7e3ed", ROOT / "reports")
    assert [results.plan.name for _, results in both] == ["attention", "pooling"]
    (one, _), (other, _) = both
    assert (one.key, one.counts, one.measures) == (other.key, other.counts, other.measures)


def test_a_key_is_one(swept: Path) -> None:
    """None, or more than one, is refused."""
    with pytest.raises(Refusal, match="no record's key begins with 'nope'"):
        find("nope", swept)
    with pytest.raises(Refusal, match="4 keys begin with ''; give more of it"):
        find("", swept)
