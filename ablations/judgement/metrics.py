"""Scores as pure functions of what a record stores: the table `METRICS`.

A new metric needs no retraining. Where a record lacks what a metric is made of, as those do that an
older version made, the metric is nan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Final, Literal, Self, final

import numpy as np
import numpy.typing as npt

from ablations.runs.measures import CONFIDENCE_UNIT, Changed, Checkerboard, Measures
from ablations.runs.records import Record
from ablations.tasks.shapes import TASKS

Counts = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]

BORDER: Final = 4
"""Pixels from the edge of the scored window up to which is its border."""

INSIDE: Final = 8
"""Pixels from that edge from which on is its inside."""

MILLION: Final = 1_000_000


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What metrics are made of, from one record.

    `counts` is (bands, classes, 3): true positives, false positives and false negatives in pixels,
    over all test images, of which the last `scored` classes count. Band b begins `bands[b]` pixels
    from the edge of the scored window; `wrong[b]` of its `decisions[b]` are wrong: of one for each
    pixel, or for each pixel and class where classes overlap.
    """

    counts: Counts
    scored: int
    bands: tuple[int, ...]
    decisions: tuple[int, ...]
    wrong: tuple[int, ...]
    measures: Measures | None

    @classmethod
    def of(cls, record: Record) -> Self:
        """Of a run that did not diverge."""
        cell = record.parsed_cell()
        task, window = TASKS[cell.task.name], cell.task.scored
        counts = np.asarray(record.counts, dtype=np.int64)
        # A wrong pixel of classes that exclude each other is missed by one and wrong in another.
        wrong = counts[..., 2 if task.exclusive else slice(1, 3)].reshape(len(counts), -1)
        areas = [max(window - 2 * band, 0) ** 2 for band in (*record.bands, window)]
        each = cell.training.test_images * (1 if task.exclusive else len(task.classes))
        return cls(
            counts=counts,
            scored=len(task.scored_classes),
            bands=record.bands,
            decisions=tuple(each * (outer - inner) for outer, inner in pairwise(areas)),
            wrong=tuple(wrong.sum(axis=1).tolist()),
            measures=record.measures,
        )


def iou(counts: Counts) -> Scores:
    """Intersection over union of each class, (..., classes): tp / (tp + fp + fn).

    A class that is neither present nor predicted has no score: nan.
    """
    tp, fp, fn = np.moveaxis(counts, -1, 0)
    return _ratio(tp, tp + fp + fn)


def dice(counts: Counts) -> Scores:
    """Dice coefficient of each class, (..., classes): 2 tp / (2 tp + fp + fn); nan as for IoU."""
    tp, fp, fn = np.moveaxis(counts, -1, 0)
    return _ratio(2 * tp, 2 * tp + fp + fn)


def boundary_f1(counts: Counts) -> Scores:
    """F1 of each class, (classes,), of `Measures.boundary`'s counts; nan without any boundary.

    2 P R / (P + R), where P is the share of the predicted boundary that lies near the true one, and
    R that of the true one which lies near the predicted one; 0 where only one of them is there.
    """
    found, near, true, close = np.moveaxis(counts, -1, 0)
    precision, recall = _ratio(near, found), _ratio(close, true)
    with np.errstate(invalid="ignore"):
        mean = 2 * precision * recall / (precision + recall)
    return np.where((found + true > 0) & np.isnan(mean), 0, mean)


def surface_dice(counts: Counts) -> Scores:
    """Normalised surface distance of each class, (classes,); nan without any boundary.

    The share of both boundaries' pixels that lie near the other one (Nikolov et al. 2018, arXiv
    1809.04430), with pixels in place of lengths.
    """
    found, near, true, close = np.moveaxis(counts, -1, 0)
    return _ratio(near + close, found + true)


def _ratio(part: Counts, whole: Counts) -> Scores:
    nothing = np.full(whole.shape, np.nan)
    scores: Scores = np.divide(part, whole, out=nothing, where=whole > 0)
    return scores


def macro(scores: Scores) -> float:
    """The mean over the classes that have a score; nan if none has."""
    known = [score for score in scores.tolist() if not math.isnan(score)]
    return sum(known) / len(known) if known else math.nan


def _overlap(
    stored: Stored, score: Callable[[Counts], Scores], least: int = 0, most: int | None = None
) -> float:
    """Of the scored classes, in the bands from `least` up to below `most` pixels from the edge."""
    counts = stored.counts[_between(stored, least, most)].sum(axis=0)
    return macro(score(counts[-stored.scored :]))


def _error(stored: Stored, least: int, most: int | None = None) -> float:
    """The share of decisions that are wrong: of pixels, or of pixels of each overlapping class."""
    bands = _between(stored, least, most)
    decisions = sum(stored.decisions[band] for band in bands)
    return sum(stored.wrong[band] for band in bands) / decisions if decisions else math.nan


def _between(stored: Stored, least: int, most: int | None) -> list[int]:
    """Which bands lie there as a whole."""
    ends = (*stored.bands[1:], math.inf)
    spans = enumerate(zip(stored.bands, ends, strict=True))
    return [b for b, (first, end) in spans if first >= least and end <= (most or math.inf)]


def _border_excess(stored: Stored) -> float:
    return _error(stored, 0, BORDER) - _error(stored, INSIDE)


def _boundary(stored: Stored, score: Callable[[Counts], Scores]) -> float:
    if stored.measures is None:
        return math.nan
    counts = np.array(stored.measures.boundary, dtype=np.int64)
    return macro(score(counts[-stored.scored :]))


def _calibration(stored: Stored) -> float:
    if stored.measures is None:
        return math.nan
    decisions, confidence, right = np.array(stored.measures.confidence, dtype=np.float64).T
    all_decisions = float(decisions.sum())
    gaps = float(np.abs(right - confidence / CONFIDENCE_UNIT).sum())
    return gaps / all_decisions if all_decisions else math.nan


def _checkerboard(
    stored: Stored, when: Literal["start", "end"], share: Callable[[Checkerboard], float]
) -> float:
    board = getattr(stored.measures, when, None)
    return math.nan if board is None else share(board) * MILLION


def _shifted(stored: Stored, which: Literal["one", "lattice", "seam"]) -> float:
    seen: Changed | None = getattr(getattr(stored.measures, "shifts", None), which, None)
    return seen.changed / seen.pixels if seen is not None and seen.pixels else math.nan


@final
@dataclass(frozen=True, kw_only=True)
class Metric:
    """One number of a run.

    `summary` is its definition in a sentence, `section` the table of a report that it is in, and
    `digits` how many of it behind the point are shown.
    """

    summary: str
    of: Callable[[Stored], float]
    section: Literal["overlap", "border", "further"]
    higher_is_better: bool = False
    digits: int = 3


METRICS: Final[Mapping[str, Metric]] = {
    "IoU": Metric(
        summary="IoU (intersection over union) is 1 where the predicted shapes cover the true ones "
        "exactly, and 0 where they miss them; a class that is neither there nor predicted is left "
        "out of the mean over the classes",
        of=partial(_overlap, score=iou),
        section="overlap",
        higher_is_better=True,
    ),
    "Dice": Metric(
        summary="Dice is twice the pixels that are predicted and true over the sum of both; a "
        "class that is neither there nor predicted is left out of the mean over the classes",
        of=partial(_overlap, score=dice),
        section="overlap",
        higher_is_better=True,
    ),
    "IoU at the border": Metric(
        summary="IoU at the border is that of pixels under 4 from the edge of the scored window",
        of=partial(_overlap, score=iou, most=BORDER),
        section="border",
        higher_is_better=True,
    ),
    "IoU inside": Metric(
        summary="IoU inside is that of pixels 8 or more from the edge of the scored window",
        of=partial(_overlap, score=iou, least=INSIDE),
        section="border",
        higher_is_better=True,
    ),
    "border excess": Metric(
        summary="border excess is by how much the share of wrong pixels under 4 from the edge "
        "of the scored window lies above that of pixels 8 or more from it",
        of=_border_excess,
        section="border",
        digits=4,
    ),
    "error at 0-1 px": Metric(
        summary="error at 0-1 px is the share of wrong pixels among those that lie so far from the "
        "edge of the scored window; where classes overlap, of pixels of each class",
        of=partial(_error, least=0, most=2),
        section="border",
        digits=4,
    ),
    "error at 2-3 px": Metric(
        summary="error at 2-3 px is the same, farther in",
        of=partial(_error, least=2, most=4),
        section="border",
        digits=4,
    ),
    "error at 4-7 px": Metric(
        summary="error at 4-7 px is the same, farther in",
        of=partial(_error, least=4, most=8),
        section="border",
        digits=4,
    ),
    "error at 8-15 px": Metric(
        summary="error at 8-15 px is the same, farther in",
        of=partial(_error, least=8, most=16),
        section="border",
        digits=4,
    ),
    "error from 16 px": Metric(
        summary="error from 16 px is the same, farthest in",
        of=partial(_error, least=16),
        section="border",
        digits=4,
    ),
    "boundary F1": Metric(
        summary="boundary F1 is the harmonic mean of the share of the predicted boundary within 1 "
        "pixel of the true one and of the share of the true one within 1 pixel of the predicted "
        "one; a class without any boundary is left out of the mean over the classes",
        of=partial(_boundary, score=boundary_f1),
        section="further",
        higher_is_better=True,
    ),
    "surface Dice": Metric(
        summary="surface Dice (normalised surface distance) is the share of both boundaries' "
        "pixels that lie within 1 pixel of the other boundary; a class without any boundary is "
        "left out of the mean over the classes",
        of=partial(_boundary, score=surface_dice),
        section="further",
        higher_is_better=True,
    ),
    "calibration error": Metric(
        summary="calibration error (ECE) is by how much confidence and the share of right "
        "decisions differ, on average over all pixels in 15 equal bins of confidence",
        of=_calibration,
        section="further",
        digits=4,
    ),
    "checkerboard": Metric(
        summary="checkerboard is the share of the logits' power, in millionths, at period 2 along "
        "rows, columns or both; constant maps have none",
        of=partial(_checkerboard, when="end", share=lambda board: board.share),
        section="further",
        digits=0,
    ),
    "checkerboard at the start": Metric(
        summary="checkerboard at the start is the same before training",
        of=partial(_checkerboard, when="start", share=lambda board: board.share),
        section="further",
        digits=0,
    ),
    "diagonal checkerboard": Metric(
        summary="diagonal checkerboard is the share, in millionths, at period 2 along rows and "
        "columns both, where the edges of objects have least",
        of=partial(_checkerboard, when="end", share=lambda board: board.diagonal_share),
        section="further",
        digits=2,
    ),
    "diagonal checkerboard at the start": Metric(
        summary="diagonal checkerboard at the start is the same before training",
        of=partial(_checkerboard, when="start", share=lambda board: board.diagonal_share),
        section="further",
        digits=0,
    ),
    "changed by 1 px": Metric(
        summary="changed by 1 px is the share of pixels whose decision differs between two tiles "
        "that lie 1 pixel apart in both directions, inside, where padding does not reach",
        of=partial(_shifted, which="one"),
        section="further",
        digits=4,
    ),
    "changed by 2^depth px": Metric(
        summary="changed by 2^depth px is the same for tiles 2^depth pixels apart",
        of=partial(_shifted, which="lattice"),
        section="further",
        digits=4,
    ),
    "seam": Metric(
        summary="seam is the same for tiles 2^depth pixels apart in the outermost 2^depth pixels "
        "of what both cover, where one of the tiles ends",
        of=partial(_shifted, which="seam"),
        section="further",
        digits=4,
    ),
}
