"""Loops that numba compiles at their first call, and keeps for the next process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar, cast

from numba import njit

Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")


def kernel(function: Callable[Arguments, Returned]) -> Callable[Arguments, Returned]:
    """Compiled once for each type of its arguments, and kept beside Python's own code.

    Or else in the user's cache, or nowhere if that cannot be written either.
    """
    # A product and a sum are one operation; no sum is made in another order.
    compiled = njit(nogil=True, error_model="numpy", fastmath={"contract"})(function)
    with suppress(RuntimeError):
        compiled.enable_caching()
    return cast("Callable[Arguments, Returned]", compiled)
