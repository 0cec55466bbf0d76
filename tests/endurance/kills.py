"""Kills a sweep's driver and workers at random, again and again, and counts what is lost.

python -m tests.endurance.kills 200
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

from ablations.plan import load_plan
from ablations.store import Store
from ablations.sweep import STORE
from tests.conftest import TINY
from tests.endurance.sleeper import SECONDS, record_of

PLAN: Final = (
    TINY.replace("Does it run?", "Does it survive?")
    .replace("seeds = 2", "seeds = 60")
    .replace('["concat", "none"]', '["concat", "add", "none"]')
)
WHOM: Final = ("driver", "worker", "both")


@final
@dataclass
class Toll:
    """What was seen: kills by whom they hit, and records that were acknowledged, lost, changed."""

    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys(WHOM, 0))
    sweeps: int = 0
    starts: int = 0
    acknowledged: int = 0
    lost: int = 0
    changed: int = 0
    counted_twice: int = 0
    other_reports: int = 0


def stored(folder: Path) -> dict[str, str]:
    """All records, read past the program."""
    path = folder / STORE
    if not path.exists():
        return {}
    with (
        closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=30)) as connection,
        suppress(sqlite3.OperationalError),  # before its tables are made
    ):
        return dict(connection.execute("SELECT key, body FROM records"))
    return {}


def start(plan: Path, folder: Path) -> subprocess.Popen[bytes]:
    """A driver in a process group of its own."""
    command = ["-m", "tests.endurance.drive", "run", str(plan), "--out", str(folder), "--retry"]
    return subprocess.Popen(
        [sys.executable, *command, "--workers", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, SECONDS: "0.02"},
    )


def workers_of(driver: int) -> list[int]:
    """The processes that a driver has started."""
    found: list[int] = []
    with suppress(OSError):
        # Any of its threads may have started them.
        for thread in Path(f"/proc/{driver}/task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    return found


def kill(driver: subprocess.Popen[bytes], whom: str, dice: random.Random) -> bool:
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


def one_sweep(folder: Path, undisturbed: bytes, most: int, dice: random.Random, toll: Toll) -> None:
    """Bring one sweep to its end through so many kills at most, looking at the store after each."""
    plan = folder / "killed.toml"
    plan.write_text(PLAN)
    seen: dict[str, str] = {}
    kills = 0
    while True:
        driver = start(plan, folder)
        toll.starts += 1
        while driver.poll() is None:
            # Starting takes most of a second, all cells together two.
            time.sleep(dice.uniform(0.0, 0.9))
            if kills < most and driver.poll() is None:
                whom = dice.choice(WHOM)
                if kill(driver, whom, dice):
                    kills += 1
                    toll.kills[whom] += 1
            now = stored(folder)
            toll.lost += len(seen.keys() - now.keys())
            toll.changed += sum(now[key] != seen[key] for key in seen.keys() & now.keys())
            seen = now
        _, error = driver.communicate()
        assert b"Traceback" not in error, error.decode()
        if driver.returncode == 0:
            break
    toll.sweeps += 1
    toll.acknowledged += len(seen)
    with Store.open(folder / STORE) as store:
        done = [attempt.key for attempt in store.attempts() if attempt.outcome == "done"]
    toll.counted_twice += len(done) - len(set(done))
    toll.other_reports += (folder / "killed.md").read_bytes() != undisturbed


def measure(kills: int, seed: int) -> Toll:
    """So many kills at least, over as many sweeps as that takes."""
    dice, toll = random.Random(seed), Toll()
    with tempfile.TemporaryDirectory() as scratch:
        quiet = Path(scratch) / "quiet"
        quiet.mkdir()
        (quiet / "killed.toml").write_text(PLAN)
        run = start(quiet / "killed.toml", quiet)
        _, error = run.communicate()
        assert run.returncode == 0, error.decode()
        expected = {c.key: record_of(c) for c in load_plan(str(quiet / "killed.toml")).cells()}
        with Store.open(quiet / STORE) as store:
            assert {r.key: r for r in store.records()} == expected
        while sum(toll.kills.values()) < kills:
            folder = Path(scratch) / str(toll.sweeps)
            folder.mkdir()
            one_sweep(folder, (quiet / "killed.md").read_bytes(), 20, dice, toll)
    return toll


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), seed=int(time.time())).__dict__))
