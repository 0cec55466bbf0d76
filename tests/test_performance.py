"""Measured figures are kept whole and told as what they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ablations.pages import bench
from ablations.pages.performance import (
    BENCHMARKS,
    KINDS,
    Comparison,
    Measurements,
    gpu_not_measured,
    performance_files,
    read_measurements,
)
from tests.samples import ROOT
from unet import Refusal


def comparison(benchmark: str, kind: str = "speedup") -> Comparison:
    """Three rounds in which the other took twice as long, and once ten times."""
    pairs = ((1.0, 2.0), (2.0, 4.0), (1.0, 10.0))
    return Comparison(benchmark=benchmark, kind=kind, what="ours", against="theirs", pairs=pairs)


def test_every_benchmark_is_a_module_and_every_module_is_told() -> None:
    """No figure without its caption, no caption without its figure."""
    modules = {path.stem for path in (ROOT / "tests/benchmarks").glob("*.py")}
    others = {"__init__", "timing", "tutorial", "lightning_way", "monai_way"}
    assert set(BENCHMARKS) == modules - others


def test_a_page_tells_medians_with_their_extremes() -> None:
    """Of what was measured only, in the order of the table; the CSV has the same figures."""
    measured = Measurements(
        command="the command",
        machine={"device": "a chip"},
        comparisons=(comparison("generator"), comparison("sweep")),
    )
    files = performance_files(measured)
    page = files["performance.md"].decode()
    assert "| ours | theirs | 2.00 | 2.00 | 10.00 | 3 |" in page
    titles = [line[3:] for line in page.splitlines() if line.startswith("## ")]
    assert titles == [BENCHMARKS["sweep"].title, BENCHMARKS["generator"].title]
    assert "a chip" in page
    assert "`the command`" in page
    assert files["performance.csv"].decode().splitlines()[1] == (
        "generator,ours,theirs,speedup,2.000000,4.666667,2.000000,10.000000,3"
    )


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("speedup", "2.00"),
        ("share", "50.0%"),
        ("ratio", "0.50"),
        ("rate", "0"),
        ("seconds", "0.50"),
        # The mean: whether a small difference is one shows over all pairs.
        ("difference", "-4.0000"),
    ],
)
def test_each_kind_is_told_in_its_own_way(kind: str, shown: str) -> None:
    """Times as fast is theirs over ours; all others are ours over theirs, or minus."""
    assert kind in KINDS
    measured = Measurements(command="c", machine={}, comparisons=(comparison("sweep", kind),))
    assert f"| ours | theirs | {shown} |" in performance_files(measured)["performance.md"].decode()


def test_the_first_lines_are_about_the_tutorial() -> None:
    """Whoever else was raced against, and however many cells it took."""
    told = {
        ("24 cells, training and testing only", "the tutorial's way"): (1.0, 4.0),
        ("all but training and testing, 8 cells", "the workers' time"): (5.0, 10.0),
        ("all but training and testing, 80 cells", "the workers' time"): (1.0, 10.0),
        ("8 cells, training and testing only", "another"): (1.0, 3.0),
        ("the convolutions alone, quick's net, 88 x 88", "the whole step"): (1.0, 2.0),
        ("the convolutions alone, quick's net, 88 x 88", "the fastest 3x3 convolution"): (1.0, 9.0),
    }
    comparisons = tuple(
        Comparison(
            benchmark="ceiling" if "alone" in what else "sweep",
            kind="speedup" if "only" in what else "share",
            what=what,
            against=against,
            pairs=(pair,),
        )
        for (what, against), pair in told.items()
    )
    machine = {"device": "a chip", "precision": "float32"}
    measured = Measurements(command="c", machine=machine, comparisons=comparisons)
    page = " ".join(performance_files(measured)["performance.md"].decode().split())
    assert "as `--precision` asks for, are 4.0 times as fast as the tutorial's way in" in page
    assert "takes 10.0% of the time: as a whole command it is 3.6 times as fast" in page
    assert "take 50% of a step" in page
    assert "it would be 8.0 times as fast" in page


def test_what_was_not_measured_says_how_to() -> None:
    """The page of a GPU that nobody had names the command and makes no claim."""
    page = gpu_not_measured()["performance.md"].decode()
    assert "Not measured" in page
    assert "python -m ablations bench --device cuda --out reports/gpu" in page


BENCHMARK = """
import json, pathlib, sys
name = pathlib.Path(__file__).stem
if name == "generator" and pathlib.Path("broken").exists():
    sys.exit("no luck")
print(json.dumps({"kind": "ratio", "what": name, "against": "1", "pairs": [[1, 2]]}))
"""


def test_what_was_found_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One benchmark anew leaves the others; one that fails is named, and loses nothing."""
    folder = tmp_path / "tests/benchmarks"
    folder.mkdir(parents=True)
    # Without these, the packages of this checkout would go before.
    for package in (folder.parent, folder):
        (package / "__init__.py").touch()
    for name in BENCHMARKS:
        (folder / f"{name}.py").write_text(BENCHMARK)
    monkeypatch.chdir(tmp_path)
    told: list[str] = []
    record = bench.measure(tmp_path, ["sweep", "generator"], "cpu", told.append)
    assert [line.partition(":")[0] for line in told] == ["sweep", "generator"]
    bench.measure(tmp_path, ["sweep"], "cpu", told.append)
    found = read_measurements(record)
    assert [each.what for each in found.comparisons] == ["generator", "sweep"]
    (tmp_path / "broken").touch()
    with pytest.raises(Refusal, match="benchmark 'generator' failed: no luck"):
        bench.measure(tmp_path, ["algebra", "generator"], "cpu", told.append)
    assert [each.what for each in read_measurements(record).comparisons] == ["sweep", "algebra"]
    another = json.loads(record.read_text()) | {"machine": {"device": "another"}}
    record.write_text(json.dumps(another))
    bench.measure(tmp_path, ["scaling"], "cpu", told.append)
    assert [each.what for each in read_measurements(record).comparisons] == ["scaling"]


def test_benchmarks_need_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere one line says where to go."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refusal, match="run `bench` in the folder of a checkout"):
        bench.measure(tmp_path, [], "cpu", print)


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    """With the way out."""
    path = tmp_path / "performance.json"
    path.write_text('{"machine": {}}')
    with pytest.raises(Refusal, match=r"performance.json: malformed record: .* make it anew"):
        read_measurements(path)
