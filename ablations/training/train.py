"""Cells in, records out.

Every variant of a seed sees the same images in the same order, starts from the same weights
wherever the shapes are equal, and is supervised and scored on the same central window.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Final, NamedTuple, final

import torch
from torch import Tensor

from ablations.runs.cell import Cell
from ablations.runs.records import Record
from ablations.training.hardware import Hardware
from ablations.training.learner import Learner, Stack
from ablations.training.probing import checkerboard, measures_of, shifts
from ablations.training.scoring import BANDS, Tally, count_test_images, example
from ablations.training.validation import count_validation_images, curve
from unet import algebra
from unet.version import PACKAGE, version

LOSS_SAMPLES: Final = 10


class Tested(NamedTuple):
    """What was seen of a trained net, still on the device."""

    tally: Tally
    start: Tensor
    shifts: Tensor | None


@final
class Trainer:
    """Trains cells on `hardware`, in the precision that they ask for.

    What it has prepared for a variant serves the next seeds.
    """

    def __init__(self, hardware: Hardware) -> None:
        self.hardware = hardware
        self._stack: Stack | None = None
        self._prepared: tuple[str, int] | None = None

    def run(self, cells: Sequence[Cell]) -> list[Record]:
        """Train the nets of cells that differ in their seed only, side by side, and score them.

        The seconds on a record are its share of what all of them took together.
        """
        began = time.perf_counter()
        self.hardware = self.hardware._replace(precision=cells[0].training.precision)
        stack = self._stack_for(cells)
        stack.begin(cells)
        seen: dict[Learner, list[Tensor]] = {learner: [] for learner in stack.learners}

        def evaluate(learner: Learner) -> None:
            counted = count_validation_images(learner.net, learner.cell, self.hardware)
            seen[learner].append(counted)

        begun = time.perf_counter()
        before = [checkerboard(each.net, each.cell, self.hardware) for each in stack.learners]
        probed = time.perf_counter()
        stack.run(evaluate)
        losses = [learner.losses(LOSS_SAMPLES) for learner in stack.learners]
        trained = time.perf_counter()
        tested = [
            self._test(learner, start) if all(map(math.isfinite, each)) else None
            for learner, each, start in zip(stack.learners, losses, before, strict=True)
        ]
        # Now that all are under way, wait for the device.
        counts = [None if each is None else each.tally.counts.tolist() for each in tested]
        ended = time.perf_counter()
        probing = probed - begun
        seconds = (trained - began - probing) / len(cells), (ended - trained + probing) / len(cells)
        records = (
            self._record(*each, seconds)
            for each in zip(stack.learners, losses, tested, counts, strict=True)
        )
        return [
            record.model_copy(update={"curve": curve(learner.cell, seen[learner])})
            if record.outcome == "done"
            else record
            for learner, record in zip(stack.learners, records, strict=True)
        ]

    def _test(self, learner: Learner, start: Tensor) -> Tested:
        about = learner.net, learner.cell, self.hardware
        return Tested(count_test_images(*about), start, shifts(*about))

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
        tested: Tested | None,
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
            measures=None if tested is None else measures_of(*tested),
        )

    def _environment(self) -> dict[str, str]:
        return {
            PACKAGE: version(),
            "torch": torch.__version__,
            "device": self.hardware.name,
            "precision": self.hardware.precision,
            "threads": str(torch.get_num_threads()),
        }
