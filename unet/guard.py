"""A process that waits for the end of a command, and then ends what the command had started.

It is run as a file of its own, by a Python that loads nothing else: it is there before a subject
is, holds nothing of it, and is out of reach of the terminal's signals.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, TextIO

ROUNDS: Final = 20
"""What starts new processes faster than they are found is left after so many looks."""


def watch(command: TextIO) -> None:
    """Read the number of a group's leader; at the end of the command, end the group.

    Only the command holds the other end of this pipe, which is closed however the command ends.
    """
    leader = command.readline().strip()
    command.read()
    if leader:
        end_group(int(leader))


def end_group(leader: int) -> None:
    """Kill a group of processes and, where it can be found, the session that its leader began."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    for _ in range(ROUNDS):
        left = list(members(leader))
        if not left:
            return
        for process in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)


def members(session: int) -> Iterator[int]:
    """The processes of a session that are alive: on Linux, elsewhere nothing tells them."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name before the last bracket may hold anything: brackets, blanks, half a letter.
            state, _parent, _group, number, *_ = status.read_bytes().rpartition(b")")[2].split()
            if int(number) == session and state not in b"XZ":
                yield int(status.parent.name)


if __name__ == "__main__":
    watch(sys.stdin)
