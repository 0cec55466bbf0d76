"""A command on a terminal of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any


def said_on_a_terminal(
    words: Sequence[str],
    columns: int,
    seconds: float,
    **how: Any,  # noqa: ANN401  # Popen's own
) -> tuple[int, str]:
    """Its exit code and all that it wrote, on a screen of 24 lines and so many columns."""
    screen, ours = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        words, stdin=ours, stdout=ours, stderr=ours, start_new_session=True, **how
    )
    os.close(ours)
    said, until = b"", time.monotonic() + seconds
    with suppress(OSError):  # the other end is closed
        while time.monotonic() < until:
            if select.select([screen], [], [], 1)[0]:
                said += os.read(screen, 65536)
    os.close(screen)
    return process.wait(timeout=10), said.decode(errors="backslashreplace")
