"""Where a GPU's time goes in training, kernel by kernel.

python -m tests.benchmarks.gpu_profile
"""

from __future__ import annotations

from typing import Final

import torch
from torch.profiler import ProfilerActivity, profile

from ablations.training.hardware import find_hardware
from ablations.training.learner import Stack
from tests.benchmarks.ceiling import CELLS, cell_of
from tests.benchmarks.gpu_ceiling import BATCH, SIDE, WHOLE
from tests.benchmarks.timing import tell

KERNELS: Final = 12


def main() -> None:
    """Tell each kernel's share of all kernels' time, for the smallest and the largest net."""
    hardware = find_hardware("cuda")
    name, settings = next(iter(CELLS.items()))
    nets = {name: cell_of(*settings, steps=50), "the paper's net": cell_of(WHOLE, SIDE, 388, BATCH)}
    for what, cell in nets.items():
        stack = Stack([cell], hardware)
        stack.begin([cell])
        torch.cuda.synchronize()
        with profile(activities=[ProfilerActivity.CUDA]) as profiled:
            stack.run()
            torch.cuda.synchronize()
        kernels = sorted(
            profiled.key_averages(), key=lambda kernel: kernel.self_device_time_total, reverse=True
        )
        total = sum(kernel.self_device_time_total for kernel in kernels)
        for kernel in kernels[:KERNELS]:
            tell(
                "share",
                kernel.key[:80],
                f"kernels of {what}",
                [(kernel.self_device_time_total, total)],
            )


if __name__ == "__main__":
    main()
