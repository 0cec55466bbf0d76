"""Kills a sweep's driver and workers at random, again and again, and counts what is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.endurance.scene import Trial

WHOM: Final = ("driver", "worker", "both")


def workers_of(driver: int) -> list[int]:
    """The processes that a driver has started to run cells."""
    found: list[int] = []
    with suppress(OSError):
        # Any of its threads may have started them.
        for thread in Path(f"/proc/{driver}/task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    return [each for each in found if b"spawn_main" in _command_of(each)]


def _command_of(process: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""


def strike(driver: subprocess.Popen[str], whom: str, dice: random.Random) -> bool:
    """Whether there was everybody to kill; a worker is waited for."""
    workers = workers_of(driver.pid)
    while whom != "driver" and not workers and driver.poll() is None:
        workers = workers_of(driver.pid)
    if driver.poll() is not None:
        return False
    with suppress(ProcessLookupError):
        if whom != "driver":
            os.kill(dice.choice(workers), signal.SIGKILL)
        if whom != "worker":
            os.kill(driver.pid, signal.SIGKILL)
        return True
    return False


def kill_through(trial: Trial, most: int, dice: random.Random) -> dict[str, int]:
    """Bring one sweep to its end through so many kills at most; returns whom they hit.

    One in four falls at a random time after the start, when there may be no store or no worker
    yet; the others when a random number of further cells is stored.
    """
    kills = dict.fromkeys(WHOM, 0)
    while True:
        driver = trial.start()
        while driver.poll() is None:
            whom, more = dice.choice(WHOM), dice.choice((0, 1, 2, 3, 5, 7, 9, 12))
            until = time.monotonic() + (60 if more else dice.uniform(0, 5))
            stored = len(trial.seen) + (more or trial.cells)
            while driver.poll() is None and time.monotonic() < until and len(trial.seen) < stored:
                time.sleep(0.01)
                trial.look()
            if sum(kills.values()) < most:
                kills[whom] += strike(driver, whom, dice)
        if trial.ended(driver).returncode == 0:
            return kills
