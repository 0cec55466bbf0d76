"""The reports that are committed: those of exported records, and those that need no run."""

from __future__ import annotations

from pathlib import Path

from ablations.architecture import architecture_files, tutorial_files
from ablations.costs import cost_files, counter_files
from ablations.files import replace_file
from ablations.kills import kill_files, read_kills
from ablations.report import render
from ablations.results import Results
from ablations.store import read_export


def committed_files(folder: Path) -> dict[str, bytes]:
    """Every generated file of `folder` by its path in it, from `folder`/records/*.jsonl."""
    files = architecture_files() | tutorial_files() | cost_files() | counter_files()
    kills = folder / "records" / "kill_matrix.json"
    if kills.exists():
        files |= kill_files(read_kills(kills))
    for path in sorted((folder / "records").glob("*.jsonl")):
        plan, records = read_export(path)
        files |= render(Results.of(plan, records))
    return files


def rebuild(folder: Path) -> list[Path]:
    """Write every generated file of `folder` again."""
    files = committed_files(folder)
    for name, content in files.items():
        replace_file(folder / name, content)
    return [folder / name for name in files]
