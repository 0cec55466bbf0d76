"""Scores of the same cells in other arithmetic.

python -m tests.benchmarks.numerics
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import torch

from ablations.reporting.run_table import scores
from ablations.running.engines import keep_freed_memory
from ablations.runs.cell import Cell
from ablations.storage.plan_file import load_plan
from ablations.training.hardware import find_hardware
from ablations.training.train import Trainer
from tests.benchmarks import tutorial
from tests.benchmarks.timing import tell

SEEDS: Final = 3


def main() -> None:
    """Tell how the fast loop's IoU differs from plain float32's, and bfloat16's from both."""
    keep_freed_memory()
    torch.set_num_threads(1)
    trainer = Trainer(find_hardware("cpu"))
    plan = load_plan("quick")
    cells = [
        plan.cell((padding, "concat", upsampling), seed)
        for padding, upsampling in (("valid", "transposed"), ("zeros", "bilinear"))
        for seed in range(SEEDS)
    ]

    def fast(cell: Cell, precision: str) -> float:
        training = cell.training.model_copy(update={"precision": precision})
        return scores(trainer.run([replace(cell, training=training)])[0])["IoU"]

    plain = [tutorial.score(tutorial.train(cell), cell) for cell in cells]
    for precision in ("float32", "bfloat16"):
        ours = [fast(cell, precision) for cell in cells]
        name = f"IoU of {len(cells)} cells, the fast loop in {precision}"
        tell("difference", name, "plain float32", list(zip(ours, plain, strict=True)))


if __name__ == "__main__":
    main()
