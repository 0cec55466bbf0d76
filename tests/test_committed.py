"""The records that pages are made of are read field by field, or refused with the way out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ablations.pages.conformance import read_conformance
from ablations.pages.kills import kill_files, read_kills, read_others
from ablations.pages.performance import Comparison, read_measurements
from ablations.pages.sheets import read_sheets
from tests.samples import ROOT
from unet import Refusal

RECORDS = ROOT / "reports" / "records"

READERS: list[tuple[str, Callable[[Path], object]]] = [
    ("kill_matrix.json", read_kills),
    ("other_tools.json", read_others),
    ("conformance.json", read_conformance),
    ("performance.json", read_measurements),
    ("tasks.json", read_sheets),
]


@pytest.mark.parametrize(("name", "read"), READERS)
@pytest.mark.parametrize("content", [None, b"", b"\xff", b"[3]", b'[{"net": 3}]', b"[" * 9999])
def test_another_file_is_refused(
    tmp_path: Path, name: str, read: Callable[[Path], object], content: bytes | None
) -> None:
    """One line that names the file and the command that makes a good one."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Refusal, match=f"{name}: .*make it anew with `"):
        read(path)


def test_a_check_is_a_name(tmp_path: Path) -> None:
    """It stands as code on a page, where nothing can be escaped."""
    rows = json.loads((RECORDS / "conformance.json").read_text())
    rows[0]["results"][0]["check"] = "`<script>"
    path = tmp_path / "conformance.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(Refusal, match=r"0.results.0.check: String should match pattern"):
        read_conformance(path)


def test_records_of_broken_nets_belong_together(tmp_path: Path) -> None:
    """Every tool was asked about every net; and some net is broken."""
    kills, others = RECORDS / "kill_matrix.json", tmp_path / "other_tools.json"
    versions, first, *rest = json.loads((RECORDS / "other_tools.json").read_text())
    others.write_text(json.dumps([versions, *rest]))
    with pytest.raises(Refusal, match=f"has nothing of .* on '{first['net']}'"):
        kill_files(read_kills(kills), read_others(others))
    others.write_text(json.dumps([{"versions": {"x": "1"}}, first, *rest]))
    with pytest.raises(Refusal, match="tool 'x' is not one of torchinfo"):
        read_others(others)
    sound = [row for row in json.loads(kills.read_text()) if not row["fault"]]
    sound[0]["host"] = "a stranger"
    (tmp_path / "odd.json").write_text(json.dumps([*sound, *json.loads(kills.read_text())]))
    with pytest.raises(Refusal, match="on 'a stranger'"):
        kill_files(read_kills(tmp_path / "odd.json"), read_others(RECORDS / "other_tools.json"))
    path = tmp_path / "kill_matrix.json"
    path.write_text(json.dumps(sound))
    with pytest.raises(Refusal, match="it tells of no broken net"):
        read_kills(path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "luck"}, "kind 'luck' is not one of speedup"),
        ({"pairs": [[0.0, 1.0]]}, "a pair is divided by 0"),
        ({"pairs": [[float("nan"), 1.0]]}, "should be a finite number"),
        ({"pairs": [[1e-300, 1e300]]}, "a pair is no figure"),
        ({"pairs": []}, "at least 1 item"),
    ],
)
def test_a_comparison_has_figures(values: dict[str, Any], message: str) -> None:
    """Whatever is divided or averaged in a table can be."""
    real = {"benchmark": "b", "kind": "speedup", "what": "w", "against": "a", "pairs": [[1, 2]]}
    with pytest.raises(ValueError, match=message):
        Comparison.model_validate_json(json.dumps({**real, **values}))
