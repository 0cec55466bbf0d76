"""A worker on a node of a Ray cluster, seen from inside. Only plain data comes and goes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from importlib import metadata
from typing import Any, TypeVar, final

from ablations.running.engines import Make, Runner, in_one_line, keep_freed_memory
from ablations.runs.cell import Cell
from unet.version import PACKAGE, version

T = TypeVar("T")


@final
class Actor:
    """Runs cells, one call at a time; on a GPU in no more than `share` of its memory."""

    def __init__(self, make: Make, device: str, share: float) -> None:
        self._make = make
        self._device = device
        self._share = share

    @cached_property
    def _runner(self) -> Runner:
        keep_freed_memory()
        import torch

        # Without a GPU the runner knows best what to say.
        if self._device == "cuda" and torch.cuda.is_available():
            torch.cuda.set_per_process_memory_fraction(self._share)
        return self._make(self._device)

    def introduce(self) -> dict[str, Any]:
        """Where and what it is; in place of the hardware a text, if it cannot work."""
        import ray

        return {
            "node": ray.util.get_node_ip_address(),
            "versions": versions(),
            "hardware": _tried(lambda: list(self._runner.hardware)),
        }

    def run(self, cells: list[dict[str, Any]]) -> list[str] | str:
        """The records of cells, as JSON, or why there are none."""
        return _tried(
            lambda: [
                record.model_dump_json()
                for record in self._runner.run([Cell.from_data(cell) for cell in cells])
            ]
        )


def _tried(work: Callable[[], T]) -> T | str:
    """What comes of it, or what went wrong: as text, since a problem's class may not travel."""
    try:
        return work()
    except Exception as problem:  # noqa: BLE001  # whatever it is, it is told
        return in_one_line(problem)


def versions() -> dict[str, str]:
    """What is installed here of the packages that must be the same everywhere.

    What follows a "+" of torch's names a build for a CPU or a kind of GPU, which may differ.
    """
    return {PACKAGE: version(), "torch": metadata.version("torch").split("+")[0]}
