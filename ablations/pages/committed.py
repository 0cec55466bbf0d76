"""The reports that are committed: those of exported records, and those that need no run."""

from __future__ import annotations

from pathlib import Path

from ablations.files import replace_file
from ablations.pages.architecture import architecture_files, tutorial_files
from ablations.pages.calibration import calibration_files
from ablations.pages.conformance import conformance_files, read_conformance
from ablations.pages.costs import cost_files, counter_files
from ablations.pages.endurance import endurance_files, read_endurance, read_scale, scale_files
from ablations.pages.first_touch import first_touch_files, read_first_touch
from ablations.pages.kills import kill_files, read_kills, read_others
from ablations.pages.performance import gpu_not_measured, performance_files, read_measurements
from ablations.pages.promises import read_calibration
from ablations.pages.sheets import read_sheets, sheet_files
from ablations.reporting.exports import read_export
from ablations.reporting.findings import findings_files, trials
from ablations.reporting.report import render
from ablations.reporting.results import Results


def committed_files(folder: Path) -> dict[str, bytes]:
    """Every generated file of `folder` by its path in it, from `folder`/records/*.jsonl."""
    files = architecture_files() | tutorial_files() | cost_files() | counter_files()
    records = folder / "records"
    if (records / "kill_matrix.json").exists():
        rows, others = records / "kill_matrix.json", records / "other_tools.json"
        files |= kill_files(read_kills(rows), read_others(others))
    if (records / "conformance.json").exists():
        files |= conformance_files(read_conformance(records / "conformance.json"))
    if (records / "endurance.json").exists():
        files |= endurance_files(read_endurance(records / "endurance.json"))
    if (records / "first_touch.json").exists():
        files |= first_touch_files(read_first_touch(records / "first_touch.json"))
    if (records / "scale.json").exists():
        files |= scale_files(read_scale(records / "scale.json"))
    if (records / "calibration.json").exists():
        files |= calibration_files(read_calibration(records / "calibration.json"))
    if (records / "tasks.json").exists():
        files |= sheet_files(read_sheets(records / "tasks.json"))
    files |= _sweeps_and_speed(folder)
    gpu = _sweeps_and_speed(folder / "gpu") or gpu_not_measured()
    return files | {f"gpu/{name}": content for name, content in gpu.items()}


def _sweeps_and_speed(folder: Path) -> dict[str, bytes]:
    """What was run on one device: a report for each exported sweep, their claims, and its speed."""
    records = folder / "records"
    files: dict[str, bytes] = {}
    if (records / "performance.json").exists():
        files |= performance_files(read_measurements(records / "performance.json"))
    sweeps = [Results.of(*read_export(path)) for path in sorted(records.glob("*.jsonl"))]
    for results in sweeps:
        files |= render(results)
    return files | findings_files(trials(sweeps))


def rebuild(folder: Path) -> list[Path]:
    """Write every generated file of `folder` again."""
    files = committed_files(folder)
    for name, content in files.items():
        replace_file(folder / name, content)
    return [folder / name for name in files]
