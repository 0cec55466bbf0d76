"""Measured speed as tables: every figure compares two things that were measured in turns."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import pandas as pd
from pydantic import BaseModel, ValidationError

from ablations.cell import STRICT
from ablations.tables import as_csv, as_markdown
from unet.refusal import Refusal


class Comparison(BaseModel):
    """Pairs of figures that belong together: of one round, or of one cell."""

    model_config = STRICT

    benchmark: str
    kind: str
    what: str
    against: str
    pairs: tuple[tuple[float, float], ...]


class Measurements(BaseModel):
    """All comparisons of one machine."""

    model_config = STRICT

    command: str
    machine: dict[str, str]
    comparisons: tuple[Comparison, ...]


@final
@dataclass(frozen=True)
class Kind:
    """What the two figures of a pair are, and what becomes of them."""

    column: str
    value: Callable[[float, float], float]
    shown: Callable[[float], str]


KINDS: Final[Mapping[str, Kind]] = {
    "speedup": Kind("times as fast", lambda ours, theirs: theirs / ours, "{:.2f}".format),
    "share": Kind("share", lambda part, whole: part / whole, "{:.1%}".format),
    "ratio": Kind("ratio", lambda one, other: one / other, "{:.2f}".format),
    "rate": Kind("a second", lambda amount, seconds: amount / seconds, "{:,.0f}".format),
    "seconds": Kind("seconds", lambda seconds, runs: seconds / runs, "{:.2f}".format),
    "difference": Kind("difference", lambda one, other: one - other, "{:+.4f}".format),
}


@final
@dataclass(frozen=True)
class Benchmark:
    """A module of tests/benchmarks, and how to read what it found."""

    title: str
    caption: str
    device: str = "cpu"


BENCHMARKS: Final[Mapping[str, Benchmark]] = {
    "sweep": Benchmark(
        "A sweep against the tutorial's way",
        "Whole commands from start to report, in turns, on the same cells: nets, starting "
        "weights, images, order, loss and schedule are equal. The tutorial's way paints images "
        "one by one in numpy, feeds them by a DataLoader and trains in plain float32 on all "
        "cores, one cell after the other. IoU differences are ours minus theirs, cell by cell.",
    ),
    "overhead": Benchmark(
        "What a sweep spends on other things",
        "The share of the workers' time, from the command's start to its end, in which they "
        "neither train nor test: start-up, storing, waiting for the last cell, and the report.",
    ),
    "ceiling": Benchmark(
        "How near training comes to the chip's limit",
        "Multiply-adds a second of whole training steps (loss, optimiser and drawing the images "
        "included), over those of the fastest 3x3 convolution forward found on the spot; one "
        "thread, as in a worker.",
    ),
    "numerics": Benchmark(
        "Does the fast loop learn the same?",
        "IoU of the same cells in other arithmetic, pair by pair. Where the chip has no bfloat16 "
        "it is emulated: slower, with the same rounding.",
    ),
    "generator": Benchmark(
        "Drawing images",
        "One thread each, the same 192 x 192 images and masks of six objects, to the bit; "
        "scikit-image draws as many shapes of its own.",
    ),
    "algebra": Benchmark(
        "Sizes and costs without a net",
        "Output size, parameters and multiply-adds of a spec never seen before at one input "
        "size: by the algebra, by a forward pass on torch's meta device, and by a real one.",
    ),
    "scaling": Benchmark(
        "What grows with what",
        "Time of a training step over that of the smallest one, divided by the same ratio of the "
        "algebra's multiply-adds: 1 is in proportion, less is better used. And whole sweeps with "
        "more workers or more cells.",
    ),
    "gpu_correctness": Benchmark(
        "The GPU against the CPU",
        "Images are whole numbers until the last step and must agree to the bit; float32 without "
        "its fast mode, and bfloat16, against double precision; replayed steps against steps one "
        "by one.",
        device="cuda",
    ),
    "gpu_sweep": Benchmark(
        "Sweeps on a GPU",
        "Several processes share it, each with up to eight seeds of a variant side by side in "
        "one graph of kernels. Training and testing holds the capture of the graphs.",
        device="cuda",
    ),
    "gpu_ceiling": Benchmark(
        "How near training comes to the GPU's limit",
        "Everything in bfloat16 under autocast, channels last; training from replayed graphs, "
        "the drawing of the images included. The ceilings were measured in the same run.",
        device="cuda",
    ),
    "gpu_profile": Benchmark(
        "Where the GPU's time goes",
        "The kernels that take longest, as shares of all kernels' time in replayed steps.",
        device="cuda",
    ),
}


def read_measurements(path: Path) -> Measurements:
    """A record that `ablations bench` wrote; raises `Refusal` if it is none."""
    try:
        return Measurements.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as problem:
        said = problem.errors()[0]["msg"]
        raise Refusal(f"{path}: malformed record: {said}; make it anew with `bench`") from None


def performance_files(measured: Measurements) -> dict[str, bytes]:
    """The page and its table."""
    sections = "\n".join(
        _section(benchmark, [c for c in measured.comparisons if c.benchmark == key])
        for key, benchmark in BENCHMARKS.items()
        if any(c.benchmark == key for c in measured.comparisons)
    )
    machine = "; ".join(f"{key} {value}" for key, value in measured.machine.items())
    page = f"""\
<!-- Generated by `python -m ablations report reports`; do not edit. -->

# Speed

{machine}. Medians of pairs taken in turns, with the lowest and the highest: on a shared machine,
whose speed comes and goes, only ratios mean something. Made by
`{measured.command}`.
{_limit(measured)}
{sections}"""
    table = pd.DataFrame(map(_row, measured.comparisons))
    return {"performance.md": page.encode(), "performance.csv": as_csv(table)}


def gpu_not_measured() -> dict[str, bytes]:
    """The page where nobody had a GPU: what would stand there, and how to get it."""
    titles = "\n".join(f"- {each.title}" for each in BENCHMARKS.values() if each.device == "cuda")
    page = f"""\
<!-- Generated by `python -m ablations report reports`; do not edit. -->

# Speed on a GPU

Not measured: no GPU was at hand. On a machine with one, in a checkout, this takes some minutes and
writes records and tables:

```
python -m ablations bench --device cuda --out reports/gpu
```

It will tell

{titles}
"""
    return {"performance.md": page.encode()}


def _limit(measured: Measurements) -> str:
    """How many times as fast as the tutorial's way a sweep could ever be on this machine."""
    by_text = {(c.what, c.against): statistics.median(_values(c)) for c in measured.comparisons}
    fast = next((v for (what, _), v in by_text.items() if what.endswith("testing only")), None)
    share = next((v for (what, _), v in by_text.items() if what.startswith("quick's net")), None)
    if fast is None or share is None:
        return ""
    return (
        f"\nTraining is {fast:.2f} times as fast as the tutorial's way and uses {share:.0%} of the "
        "convolution ceiling; if it\nused all of it, with everything that is no convolution for "
        f"nothing, it would be {fast / share:.1f} times as fast: the limit of\nthis chip in "
        f"{measured.machine['precision']}.\n"
    )


def _values(comparison: Comparison) -> list[float]:
    return [KINDS[comparison.kind].value(*pair) for pair in comparison.pairs]


def _row(comparison: Comparison) -> dict[str, object]:
    values = _values(comparison)
    return {
        "benchmark": comparison.benchmark,
        "what": comparison.what,
        "against": comparison.against,
        "kind": comparison.kind,
        "median": statistics.median(values),
        "mean": statistics.fmean(values),
        "lowest": min(values),
        "highest": max(values),
        "pairs": len(values),
    }


def _section(benchmark: Benchmark, comparisons: list[Comparison]) -> str:
    tables = [
        as_markdown([_line(c) for c in comparisons if c.kind == kind])
        for kind in KINDS
        if any(c.kind == kind for c in comparisons)
    ]
    return "\n\n".join([f"## {benchmark.title}", *tables, f"*{benchmark.caption}*"]) + "\n"


def _line(comparison: Comparison) -> dict[str, str]:
    kind, values = KINDS[comparison.kind], _values(comparison)
    # A difference is small beside its spread, and only its mean says whether it is one.
    middle = statistics.fmean if comparison.kind == "difference" else statistics.median
    return {
        "what": comparison.what,
        "against": comparison.against,
        kind.column: kind.shown(middle(values)),
        "lowest": kind.shown(min(values)),
        "highest": kind.shown(max(values)),
        "pairs": str(len(values)),
    }
