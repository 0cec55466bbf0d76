"""The figure of a report: image, mask and prediction, side by side for the compared variants."""

from __future__ import annotations

import io
from typing import Final

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ablations.records import Example, Record
from ablations.results import HEADLINE, Results, pictured_rows, scores
from ablations.shapes import TASKS, Task

TILE_INCHES: Final = 1.35

Pixels = npt.NDArray[np.uint8]


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
    buffer = io.BytesIO()
    # Without the library's version in its metadata the file depends on its content alone.
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


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
        tile.set_xlabel(f"{HEADLINE} {scores(found)[HEADLINE]:.3f}", fontsize=6, labelpad=2)


def _draw_image(tile: Axes, example: Example) -> None:
    """The whole image, with a frame around the window that is scored."""
    image = example.image.pixels()
    tile.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    height, width = example.mask.shape
    corner = ((image.shape[1] - width) / 2 - 0.5, (image.shape[0] - height) / 2 - 0.5)
    tile.add_patch(Rectangle(corner, width, height, fill=False, color="yellow", linewidth=0.8))


def colours(labels: Pixels, task: Task) -> npt.NDArray[np.float64]:
    """Class indices, or bits of overlapping classes, as (H, W, 3) colours on black."""
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
