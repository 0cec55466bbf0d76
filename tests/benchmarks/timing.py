"""How benchmarks measure and tell: in turns, and a line of JSON for each comparison."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from unet.exchange import to_json

Pairs = Sequence[tuple[float, float]]


def seconds_of(way: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


def in_turns(
    one: Callable[[], object], other: Callable[[], object], rounds: int
) -> list[tuple[float, float]]:
    """Seconds of both, A B A B, after one round for warming up.

    A shared machine is now fast and now slow; two neighbours in time see the same of it.
    """
    one()
    other()
    return [(seconds_of(one), seconds_of(other)) for _ in range(rounds)]


def per_call(call: Callable[[], object], *, calls: int = 20) -> float:
    """Seconds of one of several calls on a GPU, which is waited for before and after."""
    call()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(calls):
        call()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / calls


def tell(kind: str, what: str, against: str, pairs: Pairs) -> None:
    """Print a comparison; `ablations.pages.performance` says what the kinds are."""
    line = {"kind": kind, "what": what, "against": against, "pairs": [list(p) for p in pairs]}
    print(to_json(line), flush=True)
