"""Loops that numba compiles at their first call, and keeps for the next process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final, ParamSpec, TypeVar, cast

from llvmlite.binding import get_host_cpu_features
from numba import config, njit

FEATURES: Final = get_host_cpu_features()
if config.CPU_FEATURES is None and FEATURES.get("avx512f"):  # type: ignore[attr-defined]
    # Left to itself LLVM makes do with half of a register, since older chips slowed down for all.
    widest = FEATURES.flatten() + ",-prefer-256-bit"
    config.CPU_FEATURES = widest  # type: ignore[attr-defined]  # numba makes it as it is imported

Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")


def kernel(function: Callable[Arguments, Returned]) -> Callable[Arguments, Returned]:
    """Compiled once for each type of its arguments, and kept beside Python's own code.

    Or else in the user's cache, or nowhere if that cannot be written either. What is kept is made
    anew when the file of `function` changes, but not when another does from which it calls.
    """
    # A product and a sum are one operation; no sum is made in another order.
    compiled = njit(nogil=True, error_model="numpy", fastmath={"contract"})(function)
    with suppress(RuntimeError):
        compiled.enable_caching()
    return cast("Callable[Arguments, Returned]", compiled)
