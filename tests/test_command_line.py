"""The two commands as people and machines use them."""

from __future__ import annotations

import io
import os
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner, Result

import ablations.__main__ as ablations_command
import unet.__main__ as unet_command
from ablations.reporting.progress import Watcher
from ablations.running.engines import Crashed
from ablations.running.sweep import STORE, Tally, missing_cells
from ablations.runs.plan import Plan
from ablations.runs.records import Record
from ablations.storage.leases import Leases
from ablations.storage.store import Store
from tests.runners import HasNoRoom
from tests.samples import ROOT, TINY, result_of
from tests.test_algebra import FIGURE_1
from unet import Refusal
from unet.checks import CHECKS, PAPER_CHECKS
from unet.version import version


def run(command: str, *words: str) -> subprocess.CompletedProcess[str]:
    """`python -m command words`, as a person starts it."""
    return subprocess.run(
        [sys.executable, "-m", command, *words], capture_output=True, text=True, check=False
    )


def unet_json(*words: str) -> list[dict[str, object]]:
    """What `unet words --json` prints, in this process."""
    found = CliRunner().invoke(unet_command.app, [*words, "--json"], catch_exceptions=False)
    assert found.exit_code == 0
    rows: list[dict[str, object]] = result_of(found.stdout)
    return rows


def test_sizes_lists_the_papers_inputs() -> None:
    """188 -> 4, 204 -> 20, ... up to 1024."""
    rows = unet_json("sizes", "--spec", "paper")
    assert rows[:3] == [
        {"input": 188, "output": 4},
        {"input": 204, "output": 20},
        {"input": 220, "output": 36},
    ]
    assert rows[-1] == {"input": 1020, "output": 836}
    assert len(rows) == 53


def test_trace_is_figure_1() -> None:
    """Every feature map of the paper's figure."""
    rows = unet_json("trace", "--spec", "paper", "--size", "572")
    assert [(row["name"], row["height"], row["channels"]) for row in rows] == FIGURE_1
    assert all(row["height"] == row["width"] for row in rows)
    assert rows[-1]["offset"] == [92.0, 92.0]


def test_cost_counts() -> None:
    """Of the tutorial's net on a rectangle, with a field changed."""
    cost = result_of(
        CliRunner()
        .invoke(
            unet_command.app,
            ["cost", "--spec", "tutorial", "--size", "576x560", "--set", "num_classes=3", "--json"],
        )
        .stdout
    )
    assert cost["parameters"] == 31_031_810 + 65
    assert cost["flops"] == 2 * cost["macs"]
    assert cost["input"] == [576, 560]
    assert cost["bias_adds"] < cost["inference_bytes"] < cost["training_bytes"]


def test_counters_stand_side_by_side() -> None:
    """Three tools run on one net, beside the exact count."""
    words = ["--set", "base_channels=2", "--set", "depth=2", "--size", "44x48"]
    rows = unet_json("counters", *words)
    ratios = {row["tool"]: row["ratio"] for row in rows}
    assert ratios["fvcore"] == 1
    assert ratios["torch"] == 2
    assert 1 < ratios["torchinfo"] < 2
    assert rows == [{**row, "ratio": row["says"] / row["macs"]} for row in rows]


@pytest.mark.parametrize(
    "words", [["sizes"], ["trace"], ["cost", "--set", "up_keeps_channels=[0]"]]
)
def test_tables_are_for_people(words: list[str]) -> None:
    """Nothing is cut, however narrow the terminal."""
    found = CliRunner().invoke(unet_command.app, words, env={"COLUMNS": "20"})
    assert found.exit_code == 0
    assert "…" not in found.stdout
    assert "388" in found.stdout or "31,100,354" in found.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trace", "--size", "571"], "input size 571 is not legal: the nearest legal is 556"),
        (["trace", "--size", "big"], "--size 'big' is not N or HxW in pixels"),
        (["trace", "--size", "٣"], "is not N or HxW"),
        (["cost", "--spec", "papper"], "spec 'papper' is not one of paper, release, tutorial"),
        (["cost", "--set", "depth"], "--set 'depth' is not FIELD=VALUE"),
        (["cost", "--set", "padding=same"], "padding 'same' is not one of valid, zeros"),
        (["cost", "--set", "dept=3"], "'dept' is not a field of a spec"),
        (["sizes", "--up-to", "100"], "--up-to 100 lists nothing: the smallest legal input is 188"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No traceback."""
    monkeypatch.setattr(sys, "argv", ["unet", *words])
    with pytest.raises(SystemExit) as caught:
        unet_command.main()
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert not printed.out


def test_light_commands_do_not_import_torch() -> None:
    """`--help`, sizes and plan start in a blink."""
    script = (
        "import sys; sys.argv = sys.argv[1:]\n"
        "import ablations.__main__, unet.__main__, unet\n"
        "import ablations.reporting.report, ablations.storage.store\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("words", [["trace"], ["trace", "--json"]])
def test_a_closed_pipe_is_no_error(words: list[str]) -> None:
    """`unet trace | head -1` ends in silence, and with the code that shells give to that.

    Another one would say something: of a net that it is defective, for one.
    """
    reader, writer = os.pipe()
    os.close(reader)
    found = subprocess.run(
        [sys.executable, "-m", "unet", *words], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (found.returncode, found.stderr) == (141, b"")


def test_smoke_runs_once_and_then_has_nothing_to_do(tmp_path: Path) -> None:
    """The whole way, as a person goes it; the second time nothing is trained."""
    out = str(tmp_path / "smoke")
    first = run("ablations", "run", "smoke", "--out", out)
    assert first.returncode == 0, first.stderr
    assert "trained 8 of 8 cells, 0 were stored before" in first.stdout
    condition, *cells = first.stderr.splitlines()
    assert condition == "smoke: 8 cells, convolutions in float32"
    assert len(cells) == 8, "one plain line a cell where there is no terminal"
    report = Path(first.stdout.split("report: ")[1].strip())
    assert report.read_text().startswith("<!-- Generated")
    before = {path: path.read_bytes() for path in report.parent.rglob("smoke*")}

    second = run("ablations", "run", "smoke", "--out", out, "--json")
    summary = result_of(second.stdout)
    assert (summary["trained"], summary["already_done"]) == (0, 8)
    assert second.stderr == ""
    assert before == {path: path.read_bytes() for path in before}


@pytest.fixture
def swept(tmp_path: Path, tiny: Plan, tiny_records: list[Record]) -> Path:
    """A folder with a sweep of three of four cells."""
    with Store.create(tmp_path / STORE, tiny) as store:
        for record in tiny_records[:3]:
            store.add(record)
    return tmp_path


def invoke(*words: str) -> str:
    """What `ablations words` prints, in this process."""
    found = CliRunner().invoke(ablations_command.app, list(words), catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.stdout


def test_status_counts(swept: Path, tiny: Plan) -> None:
    """The cells that are stored of those planned, and what went wrong."""
    assert "3 of 4 cells are stored" in invoke("status", str(swept))
    with Store.create(swept / STORE, tiny) as store:
        for _ in range(3):
            with Leases(store) as leases:
                (key,) = leases.claim([cell.key for cell in missing_cells(store)])
                leases.fail(key, "no luck")
    told = invoke("status", str(swept))
    assert "3 attempts failed: crashed, or took too long" in told
    assert "the last failure: no luck" in told
    assert "given up: 1; `run --retry` tries them again" in told
    assert result_of(invoke("status", str(swept), "--json")) == {
        "plan": "tiny", "cells": 4, "stored": 3, "given_up": 1, "attempts": {"failed": 3},
    }  # fmt: skip


def test_a_finished_sweep_has_nothing_to_train(
    swept: Path, tiny: Plan, tiny_records: list[Record]
) -> None:
    """It says so, and shows where the report is."""
    with Store.create(swept / STORE, tiny) as store:
        store.add(tiny_records[3])
    plan = swept / "tiny.toml"
    plan.write_text(TINY)
    said = invoke("run", str(plan), "--out", str(swept))
    assert said == f"nothing to train: all 4 cells are stored\nreport: {swept / 'tiny.md'}\n"


def test_report_and_export_write_files(swept: Path) -> None:
    """Of a sweep's folder, and then of the folder of its export."""
    assert str(swept / "tiny.md") in invoke("report", str(swept)).splitlines()
    page = (swept / "tiny.md").read_bytes()
    kept = swept / "kept" / "records" / "tiny.jsonl"
    assert "3 records" in invoke("export", str(swept), "--to", str(kept))
    assert result_of(invoke("export", str(swept), "--to", str(kept), "--json"))["records"] == 3
    files = result_of(invoke("report", str(swept / "kept"), "--json"))["files"]
    assert str(swept / "kept" / "tiny.md") in files
    assert (swept / "kept" / "tiny.md").read_bytes() == page


def test_plan_shows_what_would_run() -> None:
    """Cells, variants and cost, without training."""
    text = invoke("plan", "quick")
    assert "54 cells: 18 variants, 3 seeds each" in text
    summary = result_of(invoke("plan", "quick", "--json"))
    assert summary["cells"] == 54
    assert summary["training_macs"] > 10**12


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "nope", "--out", "x"], "plan 'nope': No such file"),
        (["run", "{plan}", "--out", "/dev/null/x"], "/dev/null/x/sweep.db: Not a directory"),
        (["run", "smoke", "--out", "{swept}"], "add --extend to go on with it"),
        (["run", "{plan}", "--out", "{swept}", "--engine", "ray"], "add --address HOST:PORT"),
        (["run", "{plan}", "--out", "{swept}", "--address", "x:1"], "add --engine ray"),
        (["status", "/no/such/place"], "no such store; `ablations run PLAN --out"),
        (["report", "/no/such/place"], "no such store"),
        (["export", "{swept}", "--to", "/dev/null/x.jsonl"], "/dev/null/x.jsonl: "),
    ],
)
def test_ablations_mistakes_are_one_line(
    words: list[str], message: str, swept: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The file, the value, the way out; what is stored stays as it is."""
    plan = swept / "plan.toml"
    plan.write_text(TINY)
    before = (swept / STORE).read_bytes()
    monkeypatch.setattr(
        sys, "argv", ["ablations", *(word.format(plan=plan, swept=swept) for word in words)]
    )
    with pytest.raises(SystemExit) as caught:
        ablations_command.main()
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert (swept / STORE).read_bytes() == before


def test_run_tells_of_what_it_gave_up(swept: Path) -> None:
    """Exit code 1, the reason, and the line that tries again."""
    plan = swept / "tiny.toml"
    plan.write_text(TINY)
    words = ["run", str(plan), "--out", str(swept), "--workers", "1"]

    def invoke_without_room(*more: str) -> Result:
        return CliRunner().invoke(
            ablations_command.app, [*words, *more], obj=HasNoRoom, catch_exceptions=False
        )

    found = invoke_without_room()
    assert found.exit_code == 1
    assert "1 were given up after 3 attempts, the last with MemoryError: no room" in found.output
    assert f"python -m ablations run {plan} --out {swept} --workers 1 --retry" in found.output
    again = invoke_without_room("--json")
    assert result_of(again.stdout)["given_up"] == 1
    assert again.exit_code == 1
    third = invoke_without_room("--retry")
    assert third.output.count("MemoryError: no room for 1") >= 3


def test_run_tells_once_of_what_meets_every_cell_alike(tmp_path: Path) -> None:
    """Exit code 1, the reason, and the line that goes on; `--retry` would help nobody."""
    plan = tmp_path / "tiny.toml"
    plan.write_text(TINY)
    words = ["run", str(plan), "--out", str(tmp_path), "--workers", "1"]
    found = CliRunner().invoke(ablations_command.app, words, obj=HasNoRoom, catch_exceptions=False)
    assert found.exit_code == 1
    assert (
        "stopped, with 0 of 4 cells stored: the first 3 failed alike, with MemoryError: no room "
        f"for 1\nmend this and go on with: python -m ablations run {plan}"
    ) in found.stdout
    assert "--retry" not in found.output


def test_a_changed_plan_is_shown_and_asks_for_extend(swept: Path) -> None:
    """What differs, in one line; with the option the records that still belong stay."""
    plan = swept / "tiny.toml"
    plan.write_text(TINY.replace("seeds = 2", "seeds = 1"))
    words = ["run", str(plan), "--out", str(swept)]
    with pytest.raises(Refusal, match="seeds 2 -> 1; add --extend to go on with it"):
        CliRunner().invoke(ablations_command.app, words, catch_exceptions=False)
    found = CliRunner().invoke(ablations_command.app, [*words, "--extend", "--json"])
    assert result_of(found.stdout.splitlines()[-1])["cells"] == 2
    with Store.open(swept / STORE) as store:
        assert len(list(store.records())) >= 3, "records of cells that are no more planned are gone"


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown(tiny: Plan, tiny_records: list[Record], terminal: bool) -> None:
    """A bar on a terminal, which mentions only what went wrong; a line each elsewhere."""
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=120)
    crash = Crashed(list(tiny.cells())[1], "MemoryError: [red]")
    outcomes = [tiny_records[0], crash, *tiny_records[2:]]
    assert list(Watcher(console)(iter(outcomes), Tally(tiny, 4, 0, 0))) == outcomes
    shown = text.getvalue()
    assert "none seed 0: crashed, MemoryError: [red]" in shown
    assert ("concat seed 0: done" in shown) != terminal
    # One that crashed is still to come.
    assert "3/4" in shown
    assert "4/4" not in shown


def test_the_console_scripts_are_installed() -> None:
    """`unet` and `ablations`, beside `python -m`."""
    for name in ("unet", "ablations"):
        script = shutil.which(
            name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        )
        assert script
        found = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
        assert f"Usage: {name}" in found.stdout


@pytest.mark.parametrize("command", ["unet", "ablations"])
def test_each_command_tells_its_version(command: str) -> None:
    """Of the package, in one line."""
    assert run(command, "--version").stdout == f"unet-ablations {version()}\n"


def examples_of(app: typer.Typer) -> dict[str, str]:
    """The example in the help of each command."""
    return {
        command.name or command.callback.__name__: str(command.epilog)
        for command in app.registered_commands
        if command.callback
    }


def test_each_help_has_an_example_that_works_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, in an empty folder, as they are printed."""
    monkeypatch.chdir(tmp_path)
    for name, app in (("unet", unet_command.app), ("ablations", ablations_command.app)):
        for command, example in examples_of(app).items():
            shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "100"}).stdout
            assert example in shown
            program, *words = shlex.split(example.removeprefix(f"Example: python -m {name} "))
            assert program == command
            if command == "bench":
                continue  # it wants a checkout, and minutes
            found = CliRunner().invoke(app, [command, *words])
            assert found.exit_code == 0, f"{example}: {found.output}"
            assert found.stdout


def test_checks_are_listed_with_claim_harm_and_cause() -> None:
    """Every one, those of the paper's profile among them; or those that are asked for."""
    rows = unet_json("checks")
    assert [row["check"] for row in rows] == [*CHECKS, *PAPER_CHECKS]
    assert {row["profile"] for row in rows} == {"sound", "paper"}
    name, check = next(iter(CHECKS.items()))
    found = CliRunner().invoke(unet_command.app, ["checks", name])
    assert found.stdout == (
        f"{name}\n  profile: sound\n  claim: {check.title}\n  harm: {check.harm}\n"
        f"  usual cause: {check.cause}\n"
    )
    with pytest.raises(Refusal, match=f"check '{name[:-1]}' is not one of .*did you mean '{name}'"):
        CliRunner().invoke(unet_command.app, ["checks", name[:-1]], catch_exceptions=False)


def test_claims_that_nobody_could_make_are_mistakes(tmp_path: Path) -> None:
    """Neither a name nor a value that does not exist calls a net defective: exit code 2."""
    net = tmp_path / "net.py"
    net.write_text("raise SystemExit('it was loaded')")
    for claim, hint in (
        ("pad=valid", "did you mean 'padding'?"),
        ("padding=vaild", "did you mean 'valid'?"),
        ("depth=four", "is no such value"),
        ("kernel=3", "is no such value"),
        ("depth=3 --claim depth=4", "one name is there twice"),
    ):
        found = run("unet", "verify", f"{net}:Net", "--claim", *claim.split())
        assert (found.returncode, found.stdout) == (2, "")
        assert hint in found.stderr
        assert "\n" not in found.stderr[:-1]


@pytest.mark.parametrize("words", ["unet verify net.py:Net", "ablations run smoke --out sweep"])
def test_a_folder_that_was_removed_is_told(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is loaded that would end the process without a word of ours."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    program, *rest = words.split()
    app = unet_command.app if program == "unet" else ablations_command.app
    with pytest.raises(Refusal, match="the current folder was removed"):
        CliRunner().invoke(app, rest, catch_exceptions=False)


def test_explain_outside_a_checkout_says_what_to_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not that a sweep is to be run into a folder of reports that nobody has."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refusal, match="explain 0123 my/folder"):
        CliRunner().invoke(ablations_command.app, ["explain", "0123"], catch_exceptions=False)


@pytest.mark.parametrize(
    "words", [["unet", "sizes"], ["unet", "--help"], ["ablations", "plan", "smoke"]]
)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk")
def test_a_full_disk_is_told_in_one_line(words: str) -> None:
    """With an exit code of its own: it is no mistake in what was asked."""
    with Path("/dev/full").open("w") as full:
        found = subprocess.run(
            [sys.executable, "-m", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (found.returncode, found.stderr) == (3, "error: No space left on device\n")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_too_few_files_for_workers_are_told_in_one_line(tmp_path: Path) -> None:
    """Nothing is lost, since nothing has begun."""
    words = f"{sys.executable} -m ablations run smoke --out {tmp_path}"
    limited = ["sh", "-c", f"ulimit -n 20; exec {words}"]
    found = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert found.returncode == 3
    assert "Traceback" not in found.stderr
    assert found.stderr.splitlines()[-1].endswith("Too many open files")


@pytest.mark.parametrize("package", ["unet", "ablations"])
def test_a_python_that_is_too_old_is_told_so(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is imported that it does not understand."""
    monkeypatch.setattr(sys, "version_info", (3, 10, 2, "final", 0))
    monkeypatch.delitem(sys.modules, "unet")
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer, and this is 3\.10\.2"):
        runpy.run_path(str(ROOT / package / "__init__.py"))


def test_the_readme_names_commands_that_exist() -> None:
    """Every command line in the README's code blocks starts something real."""
    text = (ROOT / "README.md").read_text()
    for name, app in (("unet", unet_command.app), ("ablations", ablations_command.app)):
        known = {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}
        used = {
            line.split(f"python -m {name} ")[1].split()[0]
            for line in text.splitlines()
            if line.startswith(f"python -m {name} ")
        }
        assert used
        assert used <= known
