"""Scores as pure functions of stored counts: the table `METRICS`.

Counts are an integer array (..., classes, 3): true positives, false positives and false
negatives of each class, in pixels, summed over the test images. A new metric over them
needs no retraining.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]


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


def _ratio(part: Counts, whole: Counts) -> Scores:
    nothing = np.full(whole.shape, np.nan)
    scores: Scores = np.divide(part, whole, out=nothing, where=whole > 0)
    return scores


METRICS: Final[Mapping[str, Callable[[Counts], Scores]]] = {"IoU": iou, "Dice": dice}


def macro(scores: Scores) -> float:
    """The mean over the classes that have a score; nan if none has."""
    known = scores[~np.isnan(scores)]
    return float(known.mean()) if known.size else float("nan")
