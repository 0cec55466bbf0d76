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
    """The processes that a driver has started."""
    found: list[int] = []
    with suppress(OSError):
        # Any of its threads may have started them.
        for thread in Path(f"/proc/{driver}/task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    return found


def kill(driver: subprocess.Popen[str], whom: str, dice: random.Random) -> bool:
    """Whether there was somebody to kill."""
    victims = workers_of(driver.pid)
    chosen = [dice.choice(victims)] if victims and whom != "driver" else []
    if whom != "worker":
        chosen.append(driver.pid)
    with suppress(ProcessLookupError):
        for victim in chosen:
            os.kill(victim, signal.SIGKILL)
        return bool(chosen)
    return False


def kill_through(trial: Trial, most: int, dice: random.Random) -> dict[str, int]:
    """Bring one sweep to its end through so many kills at most; returns whom they hit."""
    kills = dict.fromkeys(WHOM, 0)
    while True:
        driver = trial.start("--retry")
        while driver.poll() is None:
            # Starting takes most of a second, all cells together two.
            time.sleep(dice.uniform(0.0, 0.9))
            whom = dice.choice(WHOM)
            if sum(kills.values()) < most and driver.poll() is None and kill(driver, whom, dice):
                kills[whom] += 1
            trial.look()
        if trial.ended(driver).returncode == 0:
            return kills
