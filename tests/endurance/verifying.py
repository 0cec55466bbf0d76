"""Kills `unet verify` at random moments, again and again, and counts what is left of it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from ablations.pages.endurance import Endured
from tests.endurance.left import MARK, left_of

FAULT: Final = "kill -9 of unet verify"

TARGET: Final = """
import subprocess, sys
from unet import UNet, UNetSpec

def Net():
    # What it starts would sleep on: in its group, and in one of its own.
    for alone in (False, True):
        sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
        subprocess.Popen(sleep, process_group=0 if alone else None)
    return UNet(UNetSpec(depth=2, base_channels=4))
"""

LONGEST_SECONDS: Final = 6.0
"""A command has ended by then, or nearly."""


def started(folder: Path) -> subprocess.Popen[str]:
    """A command that verifies the target, whose mark is the folder."""
    words = [sys.executable, "-m", "unet", "verify", f"{folder}/target.py:Net", "--json"]
    return subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, MARK: str(folder)},
    )


def verified(folder: Path) -> str:
    """What an undisturbed command says."""
    (folder / "target.py").write_text(TARGET)
    command = started(folder)
    out, error = command.communicate()
    assert command.returncode == 0, error
    return out


def killed(folder: Path, times: int, dice: random.Random) -> Endured:
    """So many commands killed before they ended, and what one says after all that."""
    quiet = verified(folder)
    kills = left = 0
    while kills < times:
        command = started(folder)
        time.sleep(dice.uniform(0, LONGEST_SECONDS))
        ended = command.poll() is not None
        command.send_signal(signal.SIGKILL)
        command.communicate()
        kills += not ended
        left += left_of(str(folder))
    return Endured(
        fault=FAULT,
        how="at random, of a target that has started two processes",
        destroys=False,
        times=kills,
        acknowledged=0,
        lost=0,
        changed=0,
        counted_twice=0,
        same_report=verified(folder) == quiet,
        told="",
        left=left,
    )
