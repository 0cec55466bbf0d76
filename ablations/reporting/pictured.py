"""Which variants a figure shows, and how it is laid out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

import numpy as np

from ablations.runs.plan import Plan

MOST_PICTURED: Final = 12
"""Rows of a figure: more than a page can show help nobody."""


def pictured_rows(plan: Plan) -> tuple[str, list[tuple[tuple[str, ...], tuple[str, ...]]]]:
    """The factor that goes across a figure, and its rows: the values of the axes before and after.

    The skips go across if they are compared, else the last axis, as far as there is one that
    leaves the image as it is: a row shows one image.
    """
    axes = list(plan.axes)
    alike = [axis for axis in axes if not axis.startswith("task.")] or axes
    across = "skip" if "skip" in axes else alike[-1]
    place = axes.index(across)
    texts = [tuple(map(str, values)) for values in plan.axes.values()]
    rows = itertools.product(
        itertools.product(*texts[:place]), itertools.product(*texts[place + 1 :])
    )
    return across, list(itertools.islice(rows, MOST_PICTURED))


def pictured_variants(plan: Plan) -> Iterator[int]:
    """The variants that `pictured_rows` shows, by their place among `plan.variants()`."""
    across, rows = pictured_rows(plan)
    places = [
        {str(value): place for place, value in enumerate(values)} for values in plan.axes.values()
    ]
    sizes = [len(each) for each in places]
    for before, after in rows:
        for value in map(str, plan.axes[across]):
            texts = (*before, value, *after)
            codes = [each[text] for each, text in zip(places, texts, strict=True)]
            yield int(np.ravel_multi_index(codes, sizes))
