"""Names from outside reach pages, sheets and terminals as text, and nothing else."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import sys
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

import ablations.__main__ as command
import unet.__main__ as unet_command
from ablations.pages.conformance import conformance_files, read_conformance
from ablations.pages.kills import kill_files, read_kills, read_others
from ablations.pages.performance import Comparison, Measurements, performance_files
from ablations.reporting.progress import Watcher, lines_of
from ablations.reporting.report import render
from ablations.reporting.results import Results
from ablations.running.engines import Crashed, in_one_line
from ablations.running.sweep import STORE, Ended, Tally
from ablations.runs.plan import Plan
from ablations.runs.records import Record
from ablations.storage.plan_file import read_plan
from ablations.storage.store import Store
from ablations.tables import as_csv, inline
from tests.samples import ROOT, TINY
from unet import Refusal
from unet.refusal import LONGEST, say, shown

HOSTILE = (
    "=x|<script>alert(1)</script>\x1b[2J\r\n# h `c` [l](javascript:1) ![i](http://t) \u202e$m$"
)
RECORDS = ROOT / "reports" / "records"


def assert_harmless(page: bytes) -> None:
    """None of what `HOSTILE` would be in Markdown or on a terminal is left in a page."""
    text = page.decode()
    assert "alert" in text, "it should be shown, and not left out"
    for harm in ("<script", "\x1b", "\r", "\u202e", "\n# h", "[l](", "![i](", "=x|", "$m$"):
        assert harm not in text.replace("\\$", "").replace("\\]", ""), harm


def cells_of(sheet: bytes) -> list[str]:
    """The cells of a CSV file."""
    return [cell for row in csv.reader(io.StringIO(sheet.decode())) for cell in row]


def assert_no_formula(sheet: bytes) -> None:
    """No cell of a sheet is taken for a formula, and none steers a terminal."""
    cells = cells_of(sheet)
    assert any("alert" in cell for cell in cells)
    assert not [cell for cell in cells if cell[:1] in tuple("=@\t\r") or "\x1b" in cell]


def test_the_reports_question_and_environments(tiny_records: list[Record]) -> None:
    """What a plan asks and what a machine calls itself stand on the page as text."""
    question = HOSTILE.translate(dict.fromkeys(map(ord, "|<>\r\n")))
    source = TINY.replace("Does it run?", json.dumps(question)[1:-1])
    plan = read_plan(source, name="tiny", file="p.toml")
    environment = {"device": HOSTILE}
    odd = [record.model_copy(update={"environment": environment}) for record in tiny_records]
    assert_harmless(render(Results.of(plan, odd))["tiny.md"])


def test_the_page_of_published_nets(tmp_path: Path) -> None:
    """Packages, nets, messages of strangers' code and places in their sources."""
    row, *_ = json.loads((RECORDS / "conformance.json").read_text())
    said = {"check": "a_check", "status": "fail", "message": HOSTILE, "evidence": {}}
    row |= {"package": HOSTILE, "net": f"a:{HOSTILE}", "verdict": "defective", "results": [said]}
    row |= {"expected": {"a_check": HOSTILE}}
    row["inferred"]["norm"] = HOSTILE
    path = tmp_path / "conformance.json"
    path.write_text(json.dumps([row]))
    files = conformance_files(read_conformance(path))
    assert_harmless(files["conformance.md"])
    assert_no_formula(files["conformance.csv"])


def test_the_page_of_planted_faults(tmp_path: Path) -> None:
    """Faults, and the releases of other tools."""
    rows = json.loads((RECORDS / "kill_matrix.json").read_text())
    rows[-1] |= {"fault": HOSTILE, "why": HOSTILE, "claims": {}}
    others = json.loads((RECORDS / "other_tools.json").read_text())
    others[0]["versions"]["torchinfo"] = HOSTILE
    for name, content in (("kills", rows), ("others", others)):
        (tmp_path / name).write_text(json.dumps(content))
    files = kill_files(read_kills(tmp_path / "kills"), read_others(tmp_path / "others"))
    assert_harmless(files["kill_matrix.md"])
    assert_no_formula(files["kill_matrix.csv"])


def test_the_page_of_speed() -> None:
    """What was measured, and on which machine."""
    pairs = ((1.0, 2.0),)
    compared = Comparison(
        benchmark="sweep", kind="ratio", what=HOSTILE, against=HOSTILE, pairs=pairs
    )
    machine = {HOSTILE: HOSTILE}
    files = performance_files(Measurements(command="c", machine=machine, comparisons=(compared,)))
    assert_harmless(files["performance.md"])
    assert_no_formula(files["performance.csv"])


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", "\r=1", " =1", "\x0b=1"])
def test_a_cell_is_no_formula(text: str) -> None:
    """Whatever a spreadsheet would compute, or trim and compute, begins with an apostrophe."""
    (name, cell) = cells_of(as_csv(pd.DataFrame({"name": [text]})))
    assert (name, cell[0]) == ("name", "'")


def test_figures_and_common_text_stay_as_they_are() -> None:
    """A number below zero is a number, and a dash in a word is one."""
    table = pd.DataFrame({"text": ["a-b = c", None], "number": [-1.5, 2.0], "count": [-1, 2]})
    assert as_csv(table) == b"text,number,count\na-b = c,-1.500000,-1\n,2.000000,2\n"
    assert inline("65 x 65: 'a_b' -> c; d, e (f) + g^2 = 3 > 2") == (
        "65 x 65: 'a_b' -> c; d, e (f) + g^2 = 3 > 2"
    )


def test_a_refusal_is_one_short_line_whatever_it_names() -> None:
    """Control characters become escapes, and the way out at its end stays."""
    line = str(Refusal(f"{HOSTILE * 999}; do this"))
    assert line.isprintable()
    assert len(line) <= LONGEST
    assert line.endswith("; do this")


def test_a_value_without_a_text_is_shown() -> None:
    """Python turns neither so many digits into text nor such nesting."""
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    assert shown(nested) == "a value too large to show: list"
    assert shown(16**9999) == "a value too large to show: int"
    assert shown("\x1b") == r"'\x1b'"


def test_what_is_said_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """One line stays one line."""
    say(HOSTILE, "next")
    first, second, rest = capsys.readouterr().out.split("\n")
    assert first.isprintable()
    assert (second, rest) == ("next", "")


def test_progress_steers_no_terminal(tiny: Plan) -> None:
    """The reason of a crash is a stranger's text; so it is in the summary."""
    cell = next(tiny.cells())
    reason = in_one_line(RuntimeError("\x1b[2J[bold]\rx"))
    assert reason == r"RuntimeError: \x1b[2J[bold]\rx"
    for terminal in (False, True):
        console = Console(file=io.StringIO(), force_terminal=terminal, width=300)
        crashed = Crashed(cell, HOSTILE)
        list(Watcher(console)(iter([crashed]), Tally(tiny, 4, 0, 0)))
        told = console.file.getvalue()  # type: ignore[attr-defined]
        assert "\x1b[2J" not in told
        assert "\u202e" not in told
        assert r"\x1b[2J" in told
    ended = Ended(0, 0, [crashed], stopped=False)
    assert "alert" in "".join(lines_of(ended, Tally(tiny, 4, 0, 4), [], "x"))


def test_an_error_without_text_is_told() -> None:
    """Even one whose text is an error."""

    class Odd(Exception):  # noqa: N818  # a stranger's
        def __str__(self) -> str:
            raise ValueError

    assert in_one_line(Odd()) == "Odd: it cannot be told"


def test_the_commands_steer_no_terminal(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A plan's question, the path of a file and a net's own error are shown as text."""
    path = tmp_path / "odd.toml"
    path.write_text(TINY.replace("Does it run?", r"\u001b[2J \u202e"))
    shown_plan = CliRunner().invoke(command.app, ["plan", str(path)])
    assert r"odd: \x1b[2J \u202e" in shown_plan.stdout
    monkeypatch.setattr(sys, "argv", ["ablations", "plan", "\x1b[2J.toml"])
    with pytest.raises(SystemExit):
        command.main()
    assert r"plan '\\x1b[2J.toml'" in capsys.readouterr().err.replace("\\x1b", "\\\\x1b")
    net = tmp_path / "net.py"
    net.write_text("def UNet():\n    raise ValueError('\\x1b[2J')\n")
    told = CliRunner().invoke(unet_command.app, ["verify", f"{net}:UNet"])
    assert r"ValueError: \x1b[2J" in told.output


def test_what_the_terminals_alphabet_lacks_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question in another script is no reason to fail."""
    path = tmp_path / "odd.toml"
    path.write_text(TINY.replace("Does it run?", "Läuft es?"), encoding="utf-8")
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "argv", ["ablations", "plan", str(path)])
    with pytest.raises(SystemExit) as caught:
        command.main()
    assert caught.value.code == 0
    stream.flush()
    assert rb"L\xe4uft es?" in stream.buffer.getvalue()  # type: ignore[attr-defined]


def test_names_are_no_sql(tmp_path: Path, tiny: Plan, tiny_records: list[Record]) -> None:
    """A key that would end a statement finds nothing and changes nothing."""
    path = tmp_path / STORE
    key = "'; DROP TABLE records; --"
    with Store.create(path, tiny) as store:
        store.add_all(tiny_records)
        assert store.get(key) is None
        assert key not in store
        store.put_plan(read_plan(f"{TINY}# {key}", name="a-b", file="p.toml"))
    with Store.open(path) as store:
        assert len(list(store.records())) == 4
        assert store.plan.source.endswith(key)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON attempts BEGIN DELETE FROM records; END",
        "CREATE VIEW v AS SELECT key FROM records",
        "CREATE TABLE more (x)",
        "DROP INDEX running",
    ],
)
def test_a_store_has_our_tables_only(tmp_path: Path, tiny: Plan, statement: str) -> None:
    """A trigger or a view would run a stranger's query when we ask ours."""
    path = tmp_path / STORE
    Store.create(path, tiny).close()
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.close()
    with pytest.raises(Refusal, match="its tables are not those of a store"):
        Store.open(path)
    with pytest.raises(Refusal, match="its tables are not those of a store"):
        Store.create(path, tiny)
