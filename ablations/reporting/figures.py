"""The figures of a report: predictions side by side, and differences over the training."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, zip_longest
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from ablations.reporting.canvas import as_png, plain_style
from ablations.reporting.curves import Curve
from ablations.reporting.pictured import pictured_rows
from ablations.reporting.results import OVERLAP, Results
from ablations.reporting.run_table import scores
from ablations.runs.records import Example, Record
from ablations.tasks.shapes import TASKS, Task

# matplotlib takes longer to import than most commands to answer.
if TYPE_CHECKING:
    from matplotlib.axes import Axes

TILE_INCHES: Final = 1.35

MOST_ABREAST: Final = 3
"""Panels beside each other: more are too small to read on a page."""

Pixels = npt.NDArray[np.uint8]


@plain_style()
def side_by_side(results: Results) -> bytes | None:
    """A PNG: image, mask, then a prediction for each value of one factor; a row for the rest.

    Shows the first test image of the first seed. None if no record holds one.
    """
    shown = {
        tuple(map(str, results.plan.levels(record.parsed_cell()))): record
        for record in results.pictured
    }
    if not shown:
        return None
    from matplotlib.figure import Figure

    across, rows = pictured_rows(results.plan)
    columns = [str(value) for value in results.plan.axes[across]]
    figure = Figure(
        figsize=((2 + len(columns)) * TILE_INCHES, len(rows) * TILE_INCHES + 0.3),
        layout="constrained",
    )
    grid = figure.subplots(len(rows), 2 + len(columns), squeeze=False)
    for tiles, row in zip(grid, rows, strict=True):
        present = [shown.get((*row[0], column, *row[1])) for column in columns]
        _draw_row(tiles, " ".join((*row[0], *row[1])), present)
    for tile, title in zip(grid[0], ["image", "mask", *columns], strict=True):
        tile.set_title(title, fontsize=8)
    return as_png(figure)


@plain_style()
def differences(curves: Sequence[Curve], *, metric: str, over: str) -> bytes:
    """A PNG: a panel for each factor, with a curve for each difference of its levels.

    `over` says what the numbers are that grow; each is some times the one before it.
    """
    from matplotlib.figure import Figure

    panels = [list(group) for _, group in groupby(curves, key=lambda curve: curve.factor)]
    rows = -(-len(panels) // MOST_ABREAST)
    columns = min(len(panels), MOST_ABREAST)
    figure = Figure(figsize=(4.2 * columns, 3.2 * rows), layout="constrained")
    tiles = figure.subplots(rows, columns, squeeze=False).flat
    for tile, panel in zip_longest(tiles, panels):
        if panel is None:
            tile.remove()
            continue
        tile.set_title(panel[0].factor, fontsize=9)
        tile.set_xlabel(over, fontsize=8)
        tile.set_ylabel(f"difference in {metric}", fontsize=8)
        _draw_curves(tile, panel)
    return as_png(figure)


def _draw_curves(tile: Axes, curves: list[Curve]) -> None:
    places = sorted(curves[0].points)
    tile.axhline(0, color="grey", linewidth=0.8)
    for place, curve in enumerate(curves):
        spans = [curve.points[each] for each in places]
        # Side by side, so that no interval hides another.
        shifted = [each * (1 + 0.02 * (place - (len(curves) - 1) / 2)) for each in places]
        means = [span.mean for span in spans]
        reach = [[s.mean - s.low for s in spans], [s.high - s.mean for s in spans]]
        label = f"{curve.high} - {curve.low}"
        tile.errorbar(shifted, means, yerr=reach, marker="o", markersize=3, capsize=2, label=label)
    tile.set_xscale("log")
    tile.set_xticks(places, [str(each) for each in places])
    tile.minorticks_off()
    tile.tick_params(labelsize=7)
    tile.legend(fontsize=7)


def _draw_row(tiles: npt.NDArray[np.object_], name: str, records: list[Record | None]) -> None:
    """One row of tiles: image, mask, and what each record predicted."""
    for tile in tiles:
        tile.set_xticks([])
        tile.set_yticks([])
    tiles[0].set_ylabel(name, fontsize=6)
    record = next((record for record in records if record is not None), None)
    if record is None or record.example is None:
        return
    _draw_image(tiles[0], record.example)
    task = TASKS[record.parsed_cell().task.name]
    tiles[1].imshow(colours(record.example.mask.pixels(), task), interpolation="nearest")
    for tile, found in zip(tiles[2:], records, strict=True):
        if found is None or found.example is None:
            continue
        tile.imshow(colours(found.example.prediction.pixels(), task), interpolation="nearest")
        tile.set_xlabel(f"{OVERLAP} {scores(found)[OVERLAP]:.3f}", fontsize=6, labelpad=2)


def _draw_image(tile: Axes, example: Example) -> None:
    """The whole image, with a frame around the window that is scored."""
    from matplotlib.patches import Rectangle

    image = example.image.pixels()
    tile.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    height, width = example.mask.shape
    corner = ((image.shape[1] - width) / 2 - 0.5, (image.shape[0] - height) / 2 - 0.5)
    tile.add_patch(Rectangle(corner, width, height, fill=False, color="yellow", linewidth=0.8))


def colours(labels: Pixels, task: Task) -> npt.NDArray[np.float64]:
    """Class indices, or bits of overlapping classes, as (H, W, 3) colours on black."""
    import matplotlib as mpl

    palette = mpl.colormaps["tab10"](np.arange(len(task.scored_classes)))[:, :3]
    if task.exclusive:
        present = labels[..., None] == 1 + np.arange(len(palette))
    else:
        present = (labels[..., None] >> np.arange(len(palette))) & 1 == 1
    layers = present[..., None] * palette
    mixed: npt.NDArray[np.float64] = (
        layers.sum(axis=-2) / np.maximum(present.sum(axis=-1), 1)[..., None]
    )
    return mixed
