"""Processes that end with the one that started them, however that one ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from typing import Final

PR_SET_PDEATHSIG: Final = 1
"""Linux's name for the signal that a process is sent when its parent ends."""


def end_with_parent(parent: int) -> None:
    """Have this process of `multiprocessing` end when its parent, of the number `parent`, ends.

    On Linux the kernel sees to it, even while C code never lets Python run. Elsewhere a thread
    does, which has to wait until Python may run.
    """
    if not is_signalled(parent):
        threading.Thread(target=follow, daemon=True).start()


def is_signalled(parent: int) -> bool:
    """Whether the kernel was asked to kill this process with its parent."""
    if sys.platform != "linux":
        return False
    import ctypes

    number = ctypes.c_ulong(signal.SIGKILL)
    asked: int = ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        # It ended before the kernel was asked.
        os._exit(1)
    return asked == 0


def follow() -> None:
    """Wait for the parent's end, which closes a pipe that it alone holds open; then leave."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "only what multiprocessing has started can follow"
    parent.join()
    os._exit(1)
