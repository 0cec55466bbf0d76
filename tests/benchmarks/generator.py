"""How fast the six objects are painted: the tutorial's way and ours, in turns.

python -m tests.benchmarks.generator
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from ablations.running.engines import keep_freed_memory
from ablations.tasks.painters.randomness import between, random_bits, whole
from ablations.tasks.shapes import TASKS
from tests.benchmarks.timing import in_turns, tell

SIDE: Final = 192
COUNT: Final = 64
ROUNDS: Final = 9
BATCHES: Final = 16
"""Of ours in a turn, which then lasts as long as others', within a factor of about two."""

Canvas = NDArray[np.bool_]
Numbers = NDArray[np.int64]


def square(canvas: Canvas, row: int, column: int, size: int) -> Canvas:
    """With a filled square."""
    x, y = np.mgrid[: canvas.shape[0], : canvas.shape[1]]
    return canvas | (abs(x - row) < size // 2) & (abs(y - column) < size // 2)


def mesh_square(canvas: Canvas, row: int, column: int, size: int) -> Canvas:
    """With the odd pixels of a square."""
    x, y = np.mgrid[: canvas.shape[0], : canvas.shape[1]]
    inside = (abs(x - row) < size // 2) & (abs(y - column) < size // 2)
    return canvas | inside & (x % 2 == 1) & (y % 2 == 1)


def triangle(canvas: Canvas, row: int, column: int, size: int) -> Canvas:
    """With the lower half of a square, cut along its diagonal."""
    x, y = np.mgrid[: canvas.shape[0], : canvas.shape[1]]
    down, right = x - row + size // 2, y - column + size // 2
    return canvas | (down < size) & (right >= 0) & (right <= down)


def circle(canvas: Canvas, row: int, column: int, size: int, hole: float = 0.0) -> Canvas:
    """With a filled circle, or a ring."""
    x, y = np.mgrid[: canvas.shape[0], : canvas.shape[1]]
    far = np.sqrt((x - row) ** 2 + (y - column) ** 2)
    return canvas | (far < size) & (far >= size * hole)


def ring(canvas: Canvas, row: int, column: int, size: int) -> Canvas:
    """With a ring."""
    return circle(canvas, row, column, size, hole=0.7)


def plus(canvas: Canvas, row: int, column: int, size: int) -> Canvas:
    """With two bars of two pixels across each other."""
    x, y = np.mgrid[: canvas.shape[0], : canvas.shape[1]]
    down, right, half = x - row, y - column, size // 2
    upright = (down >= -half) & (down < half) & (right >= -1) & (right < 1)
    level = (right >= -half) & (right < half) & (down >= -1) & (down < 1)
    return canvas | upright | level


PAINTERS: Final[tuple[Callable[[Canvas, int, int, int], Canvas], ...]] = (
    square, circle, triangle, ring, mesh_square, plus,
)  # fmt: skip
ZOOMS: Final = (80, 50, 100, 70, 100, 120)


def places(count: int, side: int) -> Numbers:
    """(count, 6, 3): row, column and size of each object, as our generator draws them."""
    bits = random_bits(0, 0, torch.arange(count), TASKS["objects"].draws)
    drawn = whole(bits).view(count, 6, 3)
    middle = side * between(drawn[..., :2], 1000, 8999) // 10000
    size = side * between(drawn[..., 2], 600, 1199) * torch.tensor(ZOOMS) // 1_000_000
    return torch.cat([middle, size[..., None]], dim=-1).numpy()


def paint_one_by_one(drawn: Numbers, side: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Images and masks as the tutorial makes them: every object on the image and on its mask."""
    images, masks = [], []
    for objects in drawn:
        image = np.zeros((side, side), dtype=bool)
        empty = np.zeros((side, side), dtype=bool)
        parts = []
        for painter, (row, column, size) in zip(PAINTERS, objects.tolist(), strict=True):
            image = painter(image, row, column, size)
            whole = square if painter is mesh_square else painter
            parts.append(whole(empty, row, column, size))
        images.append(np.repeat(image[None], 3, axis=0).astype(np.uint8) * 255)
        masks.append(np.asarray(parts).astype(np.float32))
    return np.asarray(images), np.asarray(masks)


def main() -> None:
    """Tell how many times as fast ours is, in a process like a sweep's workers."""
    keep_freed_memory()
    torch.set_num_threads(1)
    drawn = places(COUNT, SIDE)

    def ours() -> None:
        for _ in range(BATCHES):
            TASKS["objects"].sample(seed=0, split="train", index=torch.arange(COUNT), size=SIDE)

    def against(theirs: Callable[[], object]) -> list[tuple[float, float]]:
        return [(mine / BATCHES, other) for mine, other in in_turns(ours, theirs, ROUNDS)]

    pairs = against(lambda: paint_one_by_one(drawn, SIDE))
    tell("speedup", f"{COUNT} images of six objects with their masks", "the tutorial's way", pairs)
    if importlib.util.find_spec("skimage") is not None:
        from skimage.draw import random_shapes

        def theirs() -> None:
            for number in range(COUNT):
                random_shapes(
                    (SIDE, SIDE), max_shapes=6, min_shapes=6, min_size=8, max_size=40,
                    allow_overlap=True, rng=number,
                )  # fmt: skip

        tell(
            "speedup",
            f"{COUNT} images of six objects with their masks",
            "scikit-image's random_shapes, with boxes for masks",
            against(theirs),
        )


if __name__ == "__main__":
    main()
