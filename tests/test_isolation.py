"""Work in a process of its own ends with its parent, in its time, and says nothing false."""

from __future__ import annotations

import io
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.samples import result_of
from unet import guard, isolation
from unet.isolation import UnfinishedError, isolated
from unet.limits import GIB, Limits, not_limited

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="what is told of processes in /proc")

WITH_CHILDREN = """
import ctypes, os, subprocess, sys
from pathlib import Path

class Net:
    def __init__(self, place):
        sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
        children = [
            subprocess.Popen(sleep),
            subprocess.Popen(sleep, process_group=0),
            subprocess.Popen([*sleep[:2], "import signal, time; time.sleep(600)"]),
        ]
        numbers = [os.getpid(), *(child.pid for child in children)]
        Path(place, "ready").write_text(" ".join(map(str, numbers)))
        ctypes.PyDLL(None).sleep(600)  # in C, and never lets Python run
"""


def is_alive(process: int) -> bool:
    """Whether it still runs; who has ended may wait to be asked for its exit code."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "XZ"
    except OSError:
        return False


def wait(until: Callable[[], bool], seconds: float, or_else: str) -> None:
    """Until it is so."""
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, or_else
        time.sleep(0.05)


def children_of(process: int) -> list[int]:
    """Whom its first thread has started."""
    return [*map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split())]


@LINUX
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGHUP"])
def test_no_child_outlives_a_killed_command(tmp_path: Path, name: str) -> None:
    """Neither the subject, stuck in C, nor what it started, nor the guard; however it is killed."""
    (tmp_path / "net.py").write_text(WITH_CHILDREN)
    ready = tmp_path / "ready"
    target = f"{tmp_path}/net.py:Net({str(tmp_path)!r})"
    words = [sys.executable, "-m", "unet", "verify", target]
    left: set[int] = set()
    with subprocess.Popen(words, start_new_session=True) as command:
        try:
            wait(lambda: ready.is_file() and bool(ready.read_text()), 90, "it never began")
            left |= {*map(int, ready.read_text().split()), *children_of(command.pid)}
            assert len(left) == 5
            command.send_signal(signal.Signals[name])
            wait(lambda: not any(map(is_alive, left)), 20, "a process outlives the command")
        finally:
            command.kill()
            for process in filter(is_alive, left):
                os.kill(process, signal.SIGKILL)


FOLLOWED = """
import multiprocessing, os, time
from unet import lifeline

def child(parent):
    lifeline.is_signalled = lambda parent: False
    lifeline.end_with_parent(parent)
    print(os.getpid(), flush=True)
    time.sleep(600)

if __name__ == "__main__":
    multiprocessing.get_context("spawn").Process(target=child, args=(os.getpid(),)).start()
"""


@LINUX
def test_no_child_outlives_its_parent_where_the_kernel_does_not_help(tmp_path: Path) -> None:
    """A pipe that closes with the parent tells the child."""
    (tmp_path / "parent.py").write_text(FOLLOWED)
    with subprocess.Popen([sys.executable, tmp_path / "parent.py"], stdout=-1) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    wait(lambda: not is_alive(child), 20, "a child outlives its parent")


@LINUX
def test_what_other_processes_are_called_is_nobodys_business() -> None:
    """Linux cuts names after fifteen bytes, in the middle of a letter if need be."""
    name = "import ctypes, time; ctypes.CDLL(None).prctl(15, b'\\xe6\\x97'); "
    words = [sys.executable, "-c", name + "print(flush=True); time.sleep(600)"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert list(guard.members(process.pid)) == [process.pid]
        guard.end_group(process.pid)
        assert process.wait() == -signal.SIGKILL


@LINUX
def test_a_guard_ends_the_group_when_its_pipe_is_closed() -> None:
    """And nobody if it was told of nobody."""
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(sleep, start_new_session=True) as process:
        guard.watch(io.StringIO(""))
        assert process.poll() is None
        guard.watch(io.StringIO(f"{process.pid}\n"))
        assert process.wait() == -signal.SIGKILL


def descriptors() -> Iterator[int]:
    """All that are open, but for those of the terminal."""
    yield from (int(path.name) for path in Path("/proc/self/fd").iterdir() if len(path.name) < 4)


def write_everywhere(data: bytes) -> None:
    """To each descriptor that takes it."""
    for descriptor in list(descriptors()):
        if descriptor > 2:
            try:
                os.write(descriptor, data)
            except OSError:
                continue


def greet() -> bytes:
    """A whole message."""
    return b"done"


def write_one_byte_and_hang() -> bytes:
    """The beginning of a message."""
    write_everywhere(b"x")
    time.sleep(600)
    return b""


def forge() -> bytes:
    """A message that looks like a whole one, as far as can be known without the token."""
    message = b'{"verdict": "sound"}'
    token = secrets.token_bytes(isolation.TOKEN)
    write_everywhere(token + len(message).to_bytes(8) + message)
    os._exit(0)


def write_much() -> bytes:
    """More than is read."""
    return bytes(isolation.LARGEST)


def close_all() -> bytes:
    """Close the files of the process, and go on."""
    os.closerange(3, 200)
    time.sleep(600)
    return b""


def leave_a_child() -> bytes:
    """End while what it has started holds its files open."""
    if os.fork():
        os._exit(7)
    time.sleep(600)
    return b""


def answer_twice() -> bytes:
    """Make a copy of the process, which goes on as well, and earlier."""
    if os.fork():
        time.sleep(1)
        return b"mine"
    return b"the copy's"


def die_oddly() -> bytes:
    """By a signal without a name."""
    os.kill(os.getpid(), signal.SIGRTMIN + 3)
    time.sleep(600)
    return b""


@LINUX
@pytest.mark.parametrize(
    ("work", "said"),
    [
        (write_one_byte_and_hang, r"did not finish within 4 s \(--timeout\)"),
        (forge, "something else than its report was written in its place"),
        (write_much, "its report has more than 64 MiB"),
        (close_all, "closed what its report was to be sent through"),
        (leave_a_child, "exited with code 7"),
        (die_oddly, "was ended by signal 37"),
    ],
)
def test_what_is_no_whole_message_is_told_in_time(work: Callable[[], bytes], said: str) -> None:
    """The time counts until all is in; what the process did not send itself is not believed."""
    began = time.monotonic()
    with pytest.raises(UnfinishedError, match=said):
        isolated(work, limits=Limits(seconds=4))
    assert time.monotonic() - began < 8


@LINUX
def test_a_copy_of_the_process_does_not_answer_for_it() -> None:
    """Who was asked does."""
    assert isolated(answer_twice, limits=Limits(seconds=20)) == b"mine"


def test_work_is_done_in_a_spawned_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is where forking is not safe, with all limits that there are."""
    monkeypatch.setattr(isolation, "start_method", lambda: "spawn")
    assert isolated(greet, limits=Limits(seconds=60)) == b"done"
    with pytest.raises(UnfinishedError, match="did not finish within 2 s"):
        isolated(time.sleep, 600, limits=Limits(seconds=2))


def test_what_cannot_be_started_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a line."""
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(UnfinishedError, match="its process could not be run"):
        isolated(greet, limits=Limits())


ELSEWHERE = """
import os, sys
sys.modules["resource"] = None
for name in ("fork", "forkpty", "setsid", "killpg", "waitid"):
    delattr(os, name)
from unet import isolation
isolation.start_method = lambda: "spawn"
from unet.__main__ import main
if __name__ == "__main__":
    main()
"""


def test_verify_works_where_there_are_neither_forks_nor_groups_nor_limits(tmp_path: Path) -> None:
    """As on Windows: it says in a line what is not kept within limits, and works."""
    (tmp_path / "elsewhere.py").write_text(ELSEWHERE)
    (tmp_path / "exits.py").write_text("import os\ndef net(): os._exit(5)\n")
    targets = ["unet.model:UNet", f"{tmp_path}/exits.py:net"]
    found = subprocess.run(
        [sys.executable, tmp_path / "elsewhere.py", "verify", *targets, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 3, found
    lacks = "a target's memory is not limited and processes that a target starts are not ended"
    assert found.stderr == f"note: on this system {lacks} with it\n"
    assert [report["verdict"] for report in result_of(found.stdout)] == ["sound", "unverified"]


def test_on_linux_all_limits_are_kept() -> None:
    """Nothing has to be said."""
    assert sys.platform != "linux" or not not_limited()
    assert Limits().memory == 12 * GIB
