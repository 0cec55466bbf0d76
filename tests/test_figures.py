"""Figures are the same on every machine, whatever is set there for other ones."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.image import imread

from ablations.judgement.statistics import Interval
from ablations.reporting.canvas import plain_style
from ablations.reporting.curves import Curve
from ablations.reporting.figures import differences
from ablations.reporting.report import write_report
from ablations.reporting.results import Results
from ablations.runs.plan import Plan
from ablations.runs.records import Record
from ablations.storage.plan_file import NAME_BYTES, read_plan
from tests.samples import ROOT, TINY
from unet import Refusal

DRAWN = ("control.png", "fair_again_along.png", "task_labels.png")

DRAW = f"""
from pathlib import Path
from ablations.pages.sheets import read_sheets, sheet_files
from ablations.reporting.exports import read_export
from ablations.reporting.report import render
from ablations.reporting.results import Results

root = Path({str(ROOT)!r})
files = sheet_files(read_sheets(root / "reports/records/tasks.json")[:1])
for name in ("control", "fair_again"):
    files |= render(Results.of(*read_export(root / f"reports/records/{{name}}.jsonl")))
for name in {DRAWN}:
    assert files[f"figures/{{name}}"] == (root / "reports/figures" / name).read_bytes(), name
"""
"""Draws figures of each kind, and holds them against the committed ones."""

SETTINGS = """
backend: no_such
text.usetex: True
font.family: serif
lines.linewidth: 9
axes.grid: True
image.origin: lower
savefig.facecolor: red
savefig.bbox: tight
figure.constrained_layout.use: False
"""


def drawn(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Draw in a process of its own, in `folder`, with no more in its environment than this."""
    whole = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", DRAW]
    return subprocess.run(
        command, env=whole | environment, cwd=folder, capture_output=True, text=True, check=False
    )


def a_backend(_: Path) -> dict[str, str]:
    """Its name in the environment."""
    return {"MPLBACKEND": "no_such"}


def a_file(folder: Path) -> dict[str, str]:
    """A file of settings that the environment names."""
    (folder / "settings").write_text(SETTINGS)
    return {"MATPLOTLIBRC": str(folder / "settings"), "MPLBACKEND": "TkAgg"}


def a_home(folder: Path) -> dict[str, str]:
    """Settings in the home directory, of which one is not even text."""
    (folder / ".config/matplotlib").mkdir(parents=True)
    (folder / ".config/matplotlib/matplotlibrc").write_bytes(SETTINGS.encode() + b"\xff")
    return {}


def a_folder(folder: Path) -> dict[str, str]:
    """Settings in the folder in which the command is run."""
    (folder / "matplotlibrc").write_text(SETTINGS)
    return {}


@pytest.mark.parametrize("hostile", [a_backend, a_file, a_home, a_folder])
def test_a_figure_does_not_depend_on_the_machine(
    hostile: Callable[[Path], dict[str, str]], tmp_path: Path
) -> None:
    """Neither on the environment nor on files of settings: the bytes are the committed ones."""
    done = drawn(tmp_path, **hostile(tmp_path))
    assert done.returncode == 0, done.stderr


def test_settings_that_are_no_text_are_refused(tmp_path: Path) -> None:
    """Those of the current folder are read before anything can be said about it: in one line."""
    (tmp_path / "matplotlibrc").write_bytes(b"\xff")
    done = drawn(tmp_path)
    assert done.stderr.splitlines()[-1] == (
        "unet.refusal.Refusal: ./matplotlibrc: not UTF-8 text; mend it, or use another folder"
    )


def test_what_a_user_had_set_is_as_it_was() -> None:
    """A notebook's own figures keep its style."""
    import matplotlib as mpl

    with mpl.rc_context({"lines.linewidth": 9, "font.family": "serif"}):
        before = dict(mpl.rcParams)
        with plain_style():
            assert mpl.rcParams["lines.linewidth"] == 1.5
        assert dict(mpl.rcParams) == before


def a_figure(text: str) -> bytes:
    """With `text` in each place where there is some."""
    points = {steps: Interval(0.1, 0.0, 0.2, 5) for steps in (10, 20)}
    return differences([Curve(text, f"a {text}", text, points)], metric=text, over=text)


@settings(max_examples=10)
@given(text=st.text(max_size=20))
@example("$x$ costs 5$, or $\\frac{$ and _a_^b")
@example("漢字 \U0001f600 \ud800 \x00 \n")
def test_text_in_a_figure_is_text(text: str) -> None:
    """No formula and no missing sign: nothing warns, and nothing fails."""
    assert imread(io.BytesIO(a_figure(text))).ndim == 3


def test_signs_that_the_font_lacks_are_told_apart() -> None:
    """Each stands as its number, where all of them would be the same box."""
    assert a_figure("漢") == a_figure(r"\u6f22")
    assert a_figure("漢") != a_figure("字")
    assert a_figure("$x$") != a_figure("x")


def test_every_file_of_the_longest_name_fits(
    tmp_path: Path, tiny: Plan, tiny_records: list[Record]
) -> None:
    """What a report adds to a plan's name leaves room in a file system's 255 bytes."""
    name = "漢" * (NAME_BYTES // 3) + "_" * (NAME_BYTES % 3)
    plan = read_plan(TINY, name=name, file="p.toml")
    files = write_report(Results.of(plan, tiny_records), tmp_path)
    assert all(path.is_file() for path in files)
    # Of all that a report may have, the longest is always there; a file is first written beside.
    assert max(len(path.name.encode()) for path in files) == NAME_BYTES + len("_factors.csv")
    assert plan.name != tiny.name


@pytest.mark.parametrize("name", ["漢" * 83, "a" * (NAME_BYTES + 1)])
def test_a_name_that_is_too_long_is_refused(name: str) -> None:
    """When the plan is read, in one line with the limit, and not when its report is written."""
    with pytest.raises(Refusal, match=rf"\d+ bytes in UTF-8, and {NAME_BYTES} is the most") as told:
        read_plan(TINY, name=name, file="p.toml")
    assert re.fullmatch("[^\n]+", str(told.value))
