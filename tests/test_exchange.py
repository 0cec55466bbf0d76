"""What is written for machines is read by strict ones: JSON without NaN, CSV of finite numbers."""

from __future__ import annotations

import ast
import csv
import io
import json
import math
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json
from typer.testing import CliRunner

import ablations.__main__ as ablations_command
import unet.__main__ as unet_command
from ablations.reporting.report import render
from ablations.reporting.results import Results
from ablations.running.sweep import STORE
from ablations.runs.plan import Plan
from ablations.runs.records import Record
from ablations.storage.doctor import mend
from ablations.storage.store import Store
from ablations.tables import as_csv
from tests.samples import ROOT, TINY
from unet.exchange import to_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)

NETS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.ReLU())
        self.up = nn.ConvTranspose2d(8, 4, 2, 2)
        self.out = nn.Sequential(nn.Conv2d(8, 4, 3, padding=1), nn.ReLU())
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x):
        skip = self.down(x)
        deep = self.deep(nn.functional.max_pool2d(skip, 2))
        return self.head(self.out(torch.cat([self.turned(skip), self.up(deep)], 1)))

    def turned(self, skip):
        return skip

class Huge(Net):
    def __init__(self):
        super().__init__()
        with torch.no_grad():
            for each in self.parameters():
                each.mul_(1e38)

class Scaled(Net):
    def forward(self, x):
        logits = super().forward(x)
        for _ in range(9):
            logits = -logits.abs() * 1e38
        return logits - 1e38

class Flipped(Net):
    def turned(self, skip):
        return skip.flip(3)
"""


def strict(text: str | bytes) -> Any:  # noqa: ANN401  # whatever JSON holds
    """The value of strict JSON, on which Python's reader and a stricter one agree."""

    def refused(word: str) -> NoReturn:
        raise ValueError(word)

    value = json.loads(text, parse_constant=refused)
    assert from_json(text, allow_inf_nan=False) == value
    return value


def numbers(sheet: bytes) -> list[float]:
    """Every number of a CSV file; all have to be finite."""
    found = []
    for row in csv.reader(io.StringIO(sheet.decode())):
        for cell in row:
            try:
                found.append(float(cell))
            except ValueError:
                continue
    assert all(map(math.isfinite, found))
    return found


@given(value=VALUES)
def test_any_value_has_strict_json(value: object) -> None:
    """Whatever floats, texts and nesting it has; what JSON can hold is as it was."""
    strict(to_json(value))


@given(value=st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53))
def test_what_json_can_hold_stays(value: float) -> None:
    """Numbers come back as they were, and nothing is added beside them."""
    assert strict(to_json({"a": value, "b": ["c", None, (True,)]})) == {
        "a": value,
        "b": ["c", None, [True]],
    }


def test_what_json_cannot_hold_is_null_and_named() -> None:
    """Beside the number, in a list place by place, and never over a field that is there."""
    inner = {"gap": math.nan, "gap_is": "mine"}
    assert strict(to_json({"most": math.inf, "all": [1.0, -math.inf], "inner": [inner]})) == {
        "most": None,
        "most_is": "infinity",
        "all": [1.0, None],
        "all_is": [None, "minus infinity"],
        "inner": [{"gap": None, "gap_is": "mine"}],
    }


def test_a_path_that_is_no_text_is_told() -> None:
    """A byte of a file's name that is not UTF-8 is an escape."""
    assert strict(to_json(["caf\udce9"])) == [r"caf\udce9"]


@pytest.mark.parametrize("net", ["Huge", "Scaled", "Flipped"])
def test_a_report_on_any_net_is_strict_json(net: str, tmp_path: Path) -> None:
    """Also where outputs overflow, and where a map lies infinitely far from where it should."""
    (tmp_path / "nets.py").write_text(NETS)
    words = ["verify", f"{tmp_path / 'nets.py'}:{net}", "--json"]
    (report,) = strict(CliRunner().invoke(unet_command.app, words).stdout)
    assert report["verdict"] == "defective"
    evidence = {name for result in report["results"] for name in result["evidence"]}
    assert {"value_is", "pixels_is"} & evidence or net == "Huge"


@pytest.mark.parametrize(
    "words", [["sizes"], ["trace", "--size", "572"], ["cost"], ["sizes", "--up-to", "200"]]
)
def test_the_command_unet_prints_strict_json(words: list[str]) -> None:
    """Whatever is asked about a spec."""
    strict(CliRunner().invoke(unet_command.app, [*words, "--json"]).stdout)


def test_the_command_ablations_prints_and_writes_strict_json(
    tmp_path: Path, tiny: Plan, tiny_records: list[Record]
) -> None:
    """Each of its commands; its exports and what a store's doctor takes out, line by line."""
    (tmp_path / "tiny.toml").write_text(TINY)
    folder, store = str(tmp_path / "sweep"), str(tmp_path / "sweep" / STORE)
    with Store.create(Path(store), tiny) as opened:
        opened.add_all(tiny_records)
    export = str(tmp_path / "runs.jsonl")
    for words in (
        ["plan", str(tmp_path / "tiny.toml")],
        ["run", str(tmp_path / "tiny.toml"), "--out", folder],
        ["status", folder],
        ["report", folder],
        ["export", folder, "--to", export],
        ["merge", store, "--into", str(tmp_path / "c.db")],
        ["explain", tiny_records[0].key, folder],
        ["doctor", folder],
    ):
        done = CliRunner().invoke(ablations_command.app, [*words, "--json"])
        assert done.exit_code == 0, words
        strict(done.stdout)
    with Store.create(Path(store), tiny) as opened, opened.writing() as connection:
        key = (tiny_records[0].key,)
        connection.execute("UPDATE records SET body = 'NaN' WHERE key = ?", key)
    mend(Path(store))
    for path in (Path(export), Path(folder) / "quarantine.jsonl"):
        assert [strict(line) for line in path.read_bytes().splitlines()]


def test_every_committed_record_is_strict_json() -> None:
    """Whole files, and those of lines."""
    for path in sorted((ROOT / "reports" / "records").iterdir()):
        content = path.read_bytes()
        for text in content.splitlines() if path.suffix == ".jsonl" else [content]:
            strict(text)


def test_one_function_writes_json() -> None:
    """Any other call says itself that it writes no NaN."""
    for path in [*(ROOT / "unet").rglob("*.py"), *(ROOT / "ablations").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.module != "json", path
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("json.dump", "json.dumps"):
                allowed = {each.arg: ast.unparse(each.value) for each in node.keywords}
                assert allowed.get("allow_nan") == "False", f"{path}:{node.lineno}"


@given(values=st.lists(st.floats(width=32), min_size=1, max_size=5))
def test_a_table_has_finite_numbers_or_none(values: list[float]) -> None:
    """In a column of numbers, and where they stand among other things."""
    whole = [value for value in values if math.isfinite(value)]
    for column in (values, [*values, "a text"], pd.Categorical(values)):
        sheet = as_csv(pd.DataFrame({"name": column, "other": "b"}))
        assert numbers(sheet) == pytest.approx(whole, abs=1e-6)


def test_the_tables_of_a_sweep_have_finite_numbers(tiny: Plan, tiny_records: list[Record]) -> None:
    """Also of one in which a run diverged, so that half of them are not known."""
    update = {"outcome": "diverged", "counts": None, "measures": None, "curve": ()}
    odd = [tiny_records[0].model_copy(update=update), *tiny_records[1:2]]
    files = render(Results.of(tiny, odd))
    assert all(numbers(files[name]) for name in files if name.endswith(".csv"))
