"""What a process may take, as far as the system lets us say so."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from unet.refusal import Refusal, shown

GIB: Final = 2**30

MOST: Final = 1_000_000
"""Seconds, or GiB: nobody waits longer or has more."""

STATUS: Final = Path("/proc/self/statm")
"""Where Linux tells a process how much memory it has."""


@final
@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one subject may take: seconds of wall-clock time, and bytes of memory.

    Raises `Refusal` for what is no such number, as nan.
    """

    seconds: float = 120.0
    memory: float = 12.0 * GIB

    def __post_init__(self) -> None:
        for name, value in (("--timeout", self.seconds), ("--memory", self.memory / GIB)):
            if not 0 < value <= MOST:
                raise Refusal(f"{name} {shown(value)} is not a number from 0 to {MOST:,}")


def limit_memory(limit: float) -> None:
    """Let this process take so many bytes more than it has; nothing where it cannot be said."""
    if not can_limit_memory():
        return
    import resource

    used = int(STATUS.read_text().split()[0]) * resource.getpagesize()
    soft = int(used + limit)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or soft < hard:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def can_limit_memory() -> bool:
    """Whether a process here is told what it has, and can be kept from taking more."""
    with suppress(ImportError):
        import resource

        return hasattr(resource, "RLIMIT_AS") and STATUS.is_file()
    return False


def has_groups() -> bool:
    """Whether what a process has started can be ended as one here."""
    return hasattr(os, "setsid") and hasattr(os, "killpg")


def not_limited() -> str:
    """What is not kept within limits on this system, in a line; empty if all is."""
    lacks = []
    if not can_limit_memory():
        lacks.append("a target's memory is not limited")
    if not has_groups():
        lacks.append("processes that a target starts are not ended with it")
    return f"on this system {' and '.join(lacks)}" if lacks else ""
