"""Runs work that may hang, crash or eat all memory: in a process of its own, with limits.

This is no sandbox. What the work does to its own process and to those that it starts ends with
it, and with the command, however that ends.
"""

from __future__ import annotations

import multiprocessing
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final, Literal

from unet import guard
from unet.lifeline import end_with_parent
from unet.limits import Limits, has_groups, limit_memory

LARGEST: Final = 64 * 2**20
"""Bytes of a message: a report on the largest of nets takes a hundredth of it."""

TOKEN: Final = 32
"""Bytes that only the process that was asked can put before its message."""

HEADER: Final = TOKEN + 8
"""The token, and the length of what follows."""

DESCRIPTORS: Final = 2**16
"""Files have lower numbers, by far."""

GLANCE_SECONDS: Final = 0.1
"""So late at most it is seen that a process has ended, if others hold its end of the line."""

MOMENT_SECONDS: Final = 2.0
"""What a process takes at most from closing its files to its end."""


class UnfinishedError(Exception):
    """There is no whole message; the text says in one line what there was instead."""


def start_method() -> Literal["fork", "spawn"]:
    """How a process is begun here: as a copy of this one only where the system's own may fork."""
    return "fork" if sys.platform == "linux" else "spawn"


def isolated(work: Callable[..., bytes], *args: object, limits: Limits) -> bytes:
    """What `work(*args)` returns in a process of its own; raises `UnfinishedError` if nothing.

    Where processes are not forked, all of it is pickled.
    """
    deadline = time.monotonic() + limits.seconds
    try:
        with _guarded() as pipes:
            return _message(pipes, deadline, limits.memory, partial(work, *args))
    except TimeoutError:
        raise UnfinishedError(f"did not finish within {limits.seconds:g} s (--timeout)") from None
    except OSError as error:
        raise UnfinishedError(f"its process could not be run: {error}") from None


@contextmanager
def _guarded() -> Iterator[list[int]]:
    """A guard's pipe: who is written to it is ended with this process. None without groups."""
    if not has_groups():
        yield []
        return
    with subprocess.Popen(  # noqa: S603  # our own file, run by this very Python
        [sys.executable, "-I", "-S", guard.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as watcher:
        assert watcher.stdin is not None
        try:
            yield [watcher.stdin.fileno()]
        finally:
            watcher.kill()


def _message(pipes: list[int], deadline: float, memory: float, work: Callable[[], bytes]) -> bytes:
    token = secrets.token_bytes(TOKEN)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        method = start_method()
        context: Any = multiprocessing.get_context(method)  # each has a Process of its own type
        process: BaseProcess = context.Process(
            target=_work, args=(theirs, os.getpid(), method == "fork", memory, work)
        )
        process.start()
        theirs.close()
        try:
            for pipe in pipes:
                os.write(pipe, f"{process.pid}\n".encode())
            # Nothing of the work is done before this: by now the guard knows whom to end.
            with suppress(ConnectionError):
                ours.sendall(token)
            return _received(ours, process, token, deadline)
        except EOFError:
            ended = _ends_soon(process)
        finally:
            _end(process)
    raise UnfinishedError(_how_it_ended(process) if ended else CLOSED)


def _received(channel: socket.socket, process: BaseProcess, token: bytes, deadline: float) -> bytes:
    """The whole message, however slowly it comes.

    Raises `EOFError` if there will be no more of it, and `TimeoutError` at the deadline.
    """
    found, length = bytearray(), HEADER
    while len(found) < length:
        found += _part(channel, process, deadline)
        if len(found) > LARGEST:
            raise UnfinishedError(f"its report has more than {LARGEST // 2**20} MiB")
        if len(found) >= HEADER:
            length = HEADER + _length(found, token)
    return bytes(found[HEADER:length])


def _length(found: bytearray, token: bytes) -> int:
    if not secrets.compare_digest(bytes(found[:TOKEN]), token):
        raise UnfinishedError("something else than its report was written in its place")
    return int.from_bytes(found[TOKEN:HEADER])


def _part(channel: socket.socket, process: BaseProcess, deadline: float) -> bytes:
    while (left := deadline - time.monotonic()) > 0:
        channel.settimeout(min(left, GLANCE_SECONDS))
        try:
            part = channel.recv(2**20)
        except TimeoutError:
            # What it has started may hold its end of the channel open.
            if not _has_ended(process):
                continue
            part = b""
        except ConnectionError:
            part = b""
        if not part:
            raise EOFError
        return part
    raise TimeoutError


def _has_ended(process: BaseProcess) -> bool:
    """Without asking for its exit code: its number must stay its own until its group is ended."""
    if not hasattr(os, "waitid"):
        return not process.is_alive()
    assert process.pid is not None
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, process.pid, options) is not None


def _ends_soon(process: BaseProcess) -> bool:
    until = time.monotonic() + MOMENT_SECONDS
    while not (ended := _has_ended(process)) and time.monotonic() < until:
        time.sleep(GLANCE_SECONDS / 10)
    return ended


def _how_it_ended(process: BaseProcess) -> str:
    code = process.exitcode or 0
    how = f"was ended by {_signal(-code)}" if code < 0 else f"exited with code {code}"
    return f"its process {how} before it was verified"


CLOSED: Final = "its process closed what its report was to be sent through"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _end(process: BaseProcess) -> None:
    """End the process and all that it started."""
    if has_groups():
        assert process.pid is not None
        guard.end_group(process.pid)
    process.kill()
    process.join()


def _work(
    channel: socket.socket,
    parent: int,
    is_copy: bool,
    memory: float,
    work: Callable[[], bytes],
) -> None:
    """Be the process: send what the work returns, once the parent says that it may begin."""
    # By these names, whatever the work makes of the modules.
    send, number, leave, me = channel.sendall, os.getpid, os._exit, os.getpid()
    end_with_parent(parent)
    if is_copy:
        # The parent's files are none of its business; least of all the guard's pipe.
        os.closerange(3, channel.fileno())
        os.closerange(channel.fileno() + 1, DESCRIPTORS)
    if has_groups():
        os.setsid()
    _silence()
    limit_memory(memory)
    token = channel.recv(TOKEN)
    if len(token) == TOKEN:
        message = work()
        # A copy that the work made of this process was not asked.
        if number() == me:
            send(token + len(message).to_bytes(HEADER - TOKEN) + message)
    leave(0)


def _silence() -> None:
    nowhere = Path(os.devnull).open("r+", errors="replace")  # noqa: SIM115  # until the very end
    for stream in (0, 1, 2):
        os.dup2(nowhere.fileno(), stream)
    # These may have been anything.
    sys.stdin = sys.stdout = sys.stderr = nowhere
