"""Where cells are trained: which device, in which precision, and how many side by side."""

from __future__ import annotations

import functools
import os
import platform
import shutil
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from ablations.runs.cell import Cell
from unet.algebra import parameters
from unet.memory import memory
from unet.refusal import Refusal

SIDE_BY_SIDE: Final = 8
"""Runs whose small kernels share a GPU: more find no room on its processors."""


Group = tuple[Cell, ...]
"""Cells that differ in their seed only and are trained at once."""

GPU_WORKERS: Final = 4
"""Processes that prepare work for one GPU."""


class Hardware(NamedTuple):
    """Where a cell is trained, and in which precision its convolutions run.

    `device` and `precision` are torch's names; `memory` is that of a GPU in bytes, else 0.
    """

    device: str
    name: str
    precision: str
    memory: int = 0


@functools.cache
def find_hardware(device: str) -> Hardware:
    """The hardware for `device`: "cpu", "cuda", or "auto" for a GPU if there is one.

    Its precision is the one that the chip is fastest in: bfloat16, but float32 where that would be
    emulated. Raises `Refusal` for "cuda" where there is none.
    """
    import torch

    if device != "cpu" and torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(0)
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return Hardware("cuda", gpu.name, "bfloat16" if native else "float32", gpu.total_memory)
    if device == "cuda":
        raise Refusal("device 'cuda': torch finds no GPU on this machine; use 'cpu' or 'auto'")
    chip = torch.cpu.get_capabilities()
    native = bool(chip.get("avx512_bf16") or chip.get("amx_bf16"))
    name = str(chip.get("cpu_name") or platform.processor() or platform.machine())
    return Hardware("cpu", name, "bfloat16" if native else "float32")


def usable_cores() -> int:
    """The processors that this process may use: a container may have fewer than the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS and Windows have no affinity to ask for


def usual_workers(device: str) -> int:
    """How many processes to train in: one on each core, or a few that share a GPU.

    More of them would mostly wait for the GPU, and each takes some of its memory. Whether there
    is one is guessed from its driver's tool, since to ask torch takes seconds.
    """
    shared = device != "cpu" and shutil.which("nvidia-smi") is not None
    return min(usable_cores(), GPU_WORKERS) if shared else usable_cores()


def groups(cells: Iterable[Cell], hardware: Hardware, sharers: int) -> Iterator[Group]:
    """The cells that are trained at once: on a GPU several seeds of a variant, else one.

    `sharers` is how many processes share the device.
    """
    if hardware.device == "cpu":
        yield from ((cell,) for cell in cells)
        return
    variants: dict[str, list[Cell]] = {}
    for cell in cells:
        variants.setdefault(cell.variant, []).append(cell)
    for alike in variants.values():
        most = side_by_side(alike[0], hardware.memory // sharers)
        count = -(-len(alike) // most)
        # Of equal size, so that one graph of kernels serves all of them.
        size = -(-len(alike) // count)
        yield from (tuple(alike[first : first + size]) for first in range(0, len(alike), size))


def side_by_side(cell: Cell, room: int) -> int:
    """How many seeds of a variant are trained at once in `room` bytes.

    Half of the room is left to the convolutions' workspaces and to what the allocator rounds
    up. Runs with dropout would share one stream of random numbers, so each has its turn.
    """
    spec, size, training = cell.spec, cell.input_size, cell.training
    if spec.dropout and spec.dropout_levels:
        return 1
    # A weight has two copies of its gradient, or of itself in half the bytes, and two moments.
    each = memory(spec, size, size).training * training.batch + 5 * 4 * parameters(spec)
    return max(1, min(SIDE_BY_SIDE, room // 2 // each))
