"""Metrics of records whose counts are known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ablations.judgement.metrics import METRICS, boundary_f1, surface_dice
from ablations.reporting.run_table import scores
from ablations.runs.measures import CONFIDENCE_UNIT, Changed, Checkerboard, Measures, Shifts
from ablations.runs.records import Record

BOARD = Checkerboard(rows=1.0, columns=2.0, both=1.0, total=16.0)


def measured(**values: object) -> Measures:
    """Measures of five classes, with some of them changed."""
    seen = Changed(pixels=100, changed=7)
    usual: dict[str, Any] = {
        "boundary": ((10, 10, 10, 10),) * 5,
        "confidence": ((0, 0, 0),) * 14 + ((100, 100 * CONFIDENCE_UNIT, 100),),
        "start": BOARD,
        "end": BOARD,
        "shifts": Shifts(one=seen, lattice=Changed(pixels=9, changed=0), seam=seen),
    }
    return Measures(**{**usual, **values})


def score(record: Record, name: str, **update: object) -> float:
    """A metric of a record with other values."""
    return scores(record.model_copy(update=update))[name]


def test_every_metric_has_its_definition() -> None:
    """A sentence that begins with its name, in words that a reader finds in the table."""
    for name, metric in METRICS.items():
        assert metric.summary.startswith(name)
        assert "|" not in metric.summary


def test_every_metric_is_a_number_of_a_trained_net(tiny_records: list[Record]) -> None:
    """But for those of bands that a small window does not have, and what is not predicted."""
    found = scores(tiny_records[0])
    nothing = {name for name, value in found.items() if math.isnan(value)}
    assert nothing == {"error from 16 px"}


def test_older_records_lack_what_was_not_counted(tiny_records: list[Record]) -> None:
    """And keep what was."""
    found = scores(tiny_records[0].model_copy(update={"measures": None}))
    further = {name for name, metric in METRICS.items() if metric.section == "further"}
    assert {name for name in further if not math.isnan(found[name])} == set()
    assert found["IoU"] == scores(tiny_records[0])["IoU"]


def test_errors_by_band_add_up(tiny_records: list[Record]) -> None:
    """Each band's error times its pixels is what was missed in it."""
    record = tiny_records[0]
    found = scores(record)
    pixels = {"0-1 px": 20**2 - 16**2, "2-3 px": 16**2 - 12**2, "4-7 px": 12**2 - 4**2}
    pixels |= {"8-15 px": 4**2}
    wrong = sum(found[f"error at {band}"] * n * 5 for band, n in pixels.items())
    assert wrong == pytest.approx(np.asarray(record.counts)[..., 2].sum())
    border = (found["error at 0-1 px"] * 144 + found["error at 2-3 px"] * 112) / 256
    assert found["border excess"] == pytest.approx(border - found["error at 8-15 px"])


def test_errors_of_overlapping_classes_are_of_each_class(tiny_records: list[Record]) -> None:
    """All of one class wrong in six is a sixth of the decisions."""
    cell = tiny_records[0].cell
    cell = {**cell, "spec": {**cell["spec"], "num_classes": 6, "in_channels": 3}}
    cell = {**cell, "task": {**cell["task"], "name": "objects"}}
    pixels = 5 * 20**2
    counts = (((0, pixels, 0), *((pixels, 0, 0),) * 5),)
    whole = tiny_records[0].model_copy(
        update={"cell": cell, "counts": counts, "bands": (0,), "measures": None}
    )
    assert math.isnan(scores(whole)["error at 0-1 px"])
    banded = whole.model_copy(update={"bands": (0, 2), "counts": (counts[0], counts[0])})
    ring = (20**2 - 16**2) * 5
    assert scores(banded)["error at 0-1 px"] == pytest.approx(pixels / (6 * ring))


def test_inside_and_border_have_their_own_iou(tiny_records: list[Record]) -> None:
    """Perfect inside, nothing right in the two outermost bands."""
    right, wrong = ((9, 0, 0),) * 5, ((0, 4, 5),) * 5
    found = {
        name: score(tiny_records[0], name, counts=(wrong, wrong, wrong, right, right))
        for name in ("IoU at the border", "IoU inside")
    }
    assert found == {"IoU at the border": 0, "IoU inside": 1}


@pytest.mark.parametrize(
    ("counts", "f1", "surface"),
    [
        ((10, 10, 10, 10), 1, 1),
        ((10, 5, 20, 20), 2 * 0.5 / 1.5, 25 / 30),
        ((10, 0, 20, 0), 0, 0),
        ((10, 0, 0, 0), 0, 0),
        ((0, 0, 10, 0), 0, 0),
        ((0, 0, 0, 0), math.nan, math.nan),
    ],
)
def test_boundary_scores(counts: tuple[int, ...], f1: float, surface: float) -> None:
    """Of known shares; 0 where only one boundary is there, and no score without any."""
    array = np.array([counts])
    assert boundary_f1(array)[0] == pytest.approx(f1, nan_ok=True)
    assert surface_dice(array)[0] == pytest.approx(surface, nan_ok=True)


def test_a_class_without_a_boundary_is_left_out_of_the_mean(tiny_records: list[Record]) -> None:
    """And so is the background."""
    boundary = ((10, 0, 10, 0), (10, 10, 10, 10), (0, 0, 0, 0), (0, 0, 0, 0), (10, 5, 10, 5))
    measures = measured(boundary=boundary)
    assert score(tiny_records[0], "surface Dice", measures=measures) == pytest.approx(0.75)
    assert score(tiny_records[0], "boundary F1", measures=measures) == pytest.approx(0.75)


def test_calibration_error_of_a_known_case(tiny_records: list[Record]) -> None:
    """60 decisions at 0.9 of which 48 are right, and 40 at 0.5 of which 20 are: 0.6 times 0.1."""
    bins = [[0, 0, 0] for _ in range(15)]
    bins[13] = [60, round(60 * 0.9 * CONFIDENCE_UNIT), 48]
    bins[7] = [40, 20 * CONFIDENCE_UNIT, 20]
    measures = measured(confidence=tuple(map(tuple, bins)))
    assert score(tiny_records[0], "calibration error", measures=measures) == pytest.approx(0.06)
    none = measured(confidence=((0, 0, 0),) * 15)
    assert math.isnan(score(tiny_records[0], "calibration error", measures=none))


def test_checkerboards_are_millionths(tiny_records: list[Record]) -> None:
    """Of all power; constant maps have none."""
    flat = Checkerboard(rows=0.0, columns=0.0, both=0.0, total=0.0)
    found = scores(tiny_records[0].model_copy(update={"measures": measured(start=flat)}))
    assert found["checkerboard"] == 250_000
    assert found["diagonal checkerboard"] == 62_500
    assert math.isnan(found["checkerboard at the start"])


def test_changed_pixels_are_shares(tiny_records: list[Record]) -> None:
    """Of those that were compared."""
    found = scores(tiny_records[0].model_copy(update={"measures": measured()}))
    names = ("changed by 1 px", "changed by 2^depth px", "seam")
    assert [found[name] for name in names] == [0.07, 0, 0.07]
    found = scores(tiny_records[0].model_copy(update={"measures": measured(shifts=None)}))
    assert all(math.isnan(found[name]) for name in names)
