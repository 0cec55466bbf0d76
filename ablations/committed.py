"""The reports that are committed: those of exported records, and those that need no run."""

from __future__ import annotations

from pathlib import Path

from ablations.architecture import architecture_files, tutorial_files
from ablations.calibration import calibration_files
from ablations.conformance import conformance_files, read_conformance
from ablations.costs import cost_files, counter_files
from ablations.endurance import endurance_files, read_endurance, read_scale, scale_files
from ablations.exports import read_export
from ablations.files import replace_file
from ablations.findings import findings_files, trials
from ablations.kills import kill_files, read_kills, read_others
from ablations.performance import gpu_not_measured, performance_files, read_measurements
from ablations.promises import read_calibration
from ablations.report import render
from ablations.results import Results
from ablations.sheets import read_sheets, sheet_files


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
