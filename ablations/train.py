"""Cells in, records out.

Every variant of a seed sees the same images in the same order, starts from the same weights
wherever the shapes are equal, and is supervised and scored on the same central window.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from importlib import metadata
from typing import Final, final

import torch
from torch import Tensor

from ablations.cell import Cell
from ablations.hardware import Hardware
from ablations.learner import Learner, Stack
from ablations.records import Record
from ablations.scoring import BANDS, count_test_images, example
from ablations.validation import count_validation_images, curve
from unet import algebra

LOSS_SAMPLES: Final = 10


@final
class Trainer:
    """Trains cells on `hardware`; what it has prepared for a variant serves the next seeds."""

    def __init__(self, hardware: Hardware) -> None:
        self.hardware = hardware
        self._stack: Stack | None = None
        self._prepared: tuple[str, int] | None = None

    def run(self, cells: Sequence[Cell]) -> list[Record]:
        """Train the nets of cells that differ in their seed only, side by side, and score them.

        The seconds on a record are its share of what all of them took together.
        """
        start = time.perf_counter()
        stack = self._stack_for(cells)
        stack.begin(cells)
        seen: dict[Learner, list[Tensor]] = {learner: [] for learner in stack.learners}

        def evaluate(learner: Learner) -> None:
            counted = count_validation_images(learner.net, learner.cell, self.hardware)
            seen[learner].append(counted)

        stack.run(evaluate)
        losses = [learner.losses(LOSS_SAMPLES) for learner in stack.learners]
        trained = time.perf_counter()
        counts = [
            count_test_images(learner.net, learner.cell, self.hardware)
            if all(map(math.isfinite, each))
            else None
            for learner, each in zip(stack.learners, losses, strict=True)
        ]
        # Now that all are under way, wait for the device.
        on_host = [None if each is None else each.tolist() for each in counts]
        tested = time.perf_counter()
        seconds = (trained - start) / len(cells), (tested - trained) / len(cells)
        records = (
            self._record(*each, seconds)
            for each in zip(stack.learners, losses, on_host, strict=True)
        )
        return [
            record.model_copy(update={"curve": curve(learner.cell, seen[learner])})
            if record.outcome == "done"
            else record
            for learner, record in zip(stack.learners, records, strict=True)
        ]

    def _stack_for(self, cells: Sequence[Cell]) -> Stack:
        wanted = cells[0].variant, len(cells)
        if self._stack is None or self._prepared != wanted:
            # The old one goes first: both may not fit.
            self._stack = None
            if self.hardware.device == "cuda":
                torch.cuda.empty_cache()
            self._stack, self._prepared = Stack(cells, self.hardware), wanted
        return self._stack

    def _record(
        self,
        learner: Learner,
        losses: list[float],
        counts: list[list[list[int]]] | None,
        seconds: tuple[float, float],
    ) -> Record:
        cell = learner.cell
        cost = algebra.cost(cell.spec, cell.input_size, cell.input_size)
        # One picture for each variant is enough for a figure, and keeps the store small.
        shown = cell.seed == 0 and counts is not None
        return Record(
            key=cell.key,
            cell=cell.as_data(),
            outcome="diverged" if counts is None else "done",
            bands=BANDS,
            counts=None if counts is None else tuple(tuple(map(tuple, band)) for band in counts),
            losses=tuple(loss if math.isfinite(loss) else None for loss in losses),
            parameters=cost.parameters,
            macs=cost.macs,
            train_seconds=round(seconds[0], 3),
            test_seconds=round(seconds[1], 3),
            environment=self._environment(),
            example=example(learner.net, cell, self.hardware) if shown else None,
        )

    def _environment(self) -> dict[str, str]:
        return {
            "unet-ablations": metadata.version("unet-ablations"),
            "torch": torch.__version__,
            "device": self.hardware.name,
            "precision": self.hardware.precision,
            "threads": str(torch.get_num_threads()),
        }
