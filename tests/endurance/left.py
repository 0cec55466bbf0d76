"""Which processes are left of what a test has started, however they came to be."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

MARK: Final = "ENDURANCE_MARK"
"""The variable by which all that a trial starts is known: children inherit it."""

PATIENCE_SECONDS: Final = 5.0
"""What the last of a killed command may take to end, on a machine that does other things too."""


def marked(mark: str) -> Iterator[int]:
    """The processes that are alive and have this mark."""
    wanted = f"{MARK}={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                state = (folder / "stat").read_bytes().rpartition(b")")[2].split()[0]
                if state not in b"XZ":
                    yield int(folder.name)


def left_of(mark: str) -> int:
    """How many of them there are when all had time to end."""
    until = time.monotonic() + PATIENCE_SECONDS
    while (left := len(list(marked(mark)))) and time.monotonic() < until:
        time.sleep(0.02)
    return left
