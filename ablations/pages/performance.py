"""Measured speed as tables: every figure compares two things that were measured in turns."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Self, final

import pandas as pd
from pydantic import BaseModel, Field, TypeAdapter, model_validator

from ablations.files import read_json
from ablations.runs.cell import STRICT
from ablations.tables import as_csv, as_markdown, code, inline
from unet.refusal import require_choice


class Comparison(BaseModel):
    """Pairs of figures that belong together: of one round, or of one cell."""

    model_config = STRICT

    benchmark: str
    kind: str
    what: str
    against: str
    pairs: Annotated[tuple[tuple[float, float], ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _has_figures(self) -> Self:
        require_choice("kind", self.kind, KINDS)
        try:
            figures = _values(self)
        except ZeroDivisionError:
            raise ValueError("a pair is divided by 0") from None
        if not all(abs(figure) < 1e100 for figure in figures):
            raise ValueError("a pair is no figure, or out of all proportion")
        return self


class Measurements(BaseModel):
    """All comparisons of one machine."""

    model_config = STRICT

    command: str = Field(pattern=r"^[\w ./=-]+$")
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
        "cores, one cell after the other. Of fewer cells our start takes a larger part. IoU "
        "differences are ours minus theirs, cell by cell.",
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
        "thread, as in a worker. And a step's convolutions alone, forward and backward at their "
        "own sizes: what they take of the whole step, and what they reach of the fastest one.",
    ),
    "numerics": Benchmark(
        "Does the fast loop learn the same?",
        "IoU of the same cells in other arithmetic, pair by pair. Where the chip has no bfloat16 "
        "it is emulated: slower, with the same rounding.",
    ),
    "generator": Benchmark(
        "Drawing images",
        "One thread each, sixteen times as many of ours in a row; the same 192 x 192 images and "
        "masks of six objects, to the bit. scikit-image draws as many shapes of its own.",
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
    return read_json(path, TypeAdapter(Measurements), "make it anew with `bench`")


def performance_files(measured: Measurements) -> dict[str, bytes]:
    """The page and its table."""
    sections = "\n".join(
        _section(benchmark, [c for c in measured.comparisons if c.benchmark == key])
        for key, benchmark in BENCHMARKS.items()
        if any(c.benchmark == key for c in measured.comparisons)
    )
    machine = inline(", ".join(f"{key} {value}" for key, value in measured.machine.items()))
    page = f"""\
<!-- Generated by `python -m ablations report reports`; do not edit. -->

# Speed

Medians of pairs taken in turns, with the lowest and the highest: on a shared machine, whose speed
comes and goes, only ratios mean something. Made by {code(measured.command)} on this machine:
{machine}.
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
    """How many times as fast as the tutorial's way a long sweep is, and training could be."""
    middles = [
        (each.what, each.against, statistics.median(_values(each))) for each in measured.comparisons
    ]
    fast = share = rest = None
    for what, against, middle in middles:
        if what.endswith(TRAINING_ALONE) and against == "the tutorial's way":
            fast = middle
        if what.startswith(CONVOLUTIONS_ALONE) and against == "the whole step":
            share = middle
        if what.startswith(ALL_ELSE):
            rest = min(middle, rest or 1.0)
    if not fast or not share or "precision" not in measured.machine:
        return ""
    precision = inline(measured.machine["precision"])
    longest = (
        f"In the longest sweep below all else takes {rest:.1%} of the time: as a whole command it "
        f"is\n{fast * (1 - rest):.1f} times as fast, as an estimate.\n"
        if rest
        else ""
    )
    return f"""
Training and testing, in {precision} as `--precision` asks for, are {fast:.1f} times as fast as the
tutorial's way in float32, which is the default here as well. The convolutions alone, in
{precision} by the same library, take {share:.0%} of a step in training: were everything
else for nothing, it would be {fast / share:.1f} times as fast, as an estimate.
{longest}"""


TRAINING_ALONE: Final = "training and testing only"
ALL_ELSE: Final = "all but training and testing"
CONVOLUTIONS_ALONE: Final = "the convolutions alone, quick's net"


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
        "what": inline(comparison.what),
        "against": inline(comparison.against),
        kind.column: kind.shown(middle(values)),
        "lowest": kind.shown(min(values)),
        "highest": kind.shown(max(values)),
        "pairs": str(len(values)),
    }
