"""What else befalls a sweep: each fault is done to one, and what its user then reads is kept."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, final

from ablations.running.sweep import STORE
from ablations.storage.doctor import examine, mend
from tests.endurance.drive import CLOCK
from tests.endurance.faulty import FAULT, VERSION
from tests.endurance.scene import Quiet, Trial, Verdict
from tests.endurance.sleeper import SECONDS
from tests.endurance.unplugged import unplugged

HALF: Final = "--only=skip=concat"
"""Brings a third of the cells to their end."""

SOME: Final = "in a worker, in about one cell of ninety, on every attempt; then no more"

Seen = tuple[Verdict, str]
"""The judgement, and what the user read."""


@final
@dataclass(frozen=True)
class Fault:
    """Something that happens to a sweep: `happen` does it in a folder."""

    happen: Callable[[Path, Quiet], Seen]
    how: str
    destroys: bool = False


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """A small disk in a folder, which only root can put there."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", *options, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def disk_full(folder: Path, quiet: Quiet) -> Seen:
    """A disk of 300 kB fills up in mid-sweep, stays full for another run, and is then enlarged."""
    with mounted(folder, "size=300k"):
        trial = Trial(folder)
        refused = [trial.run() for _ in range(2)]
        assert [each.returncode for each in refused] == [2, 2], refused
        subprocess.run(["mount", "-o", "remount,size=50m", str(folder)], check=True)
        return trial.verdict(quiet), last_line(refused[0], folder)


def read_only(folder: Path, quiet: Quiet) -> Seen:
    """The disk is mounted for reading only, and then for writing again."""
    with mounted(folder, "size=50m"):
        trial = Trial(folder)
        trial.run(HALF)
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        refused = trial.run()
        assert refused.returncode == 2, refused
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
        return trial.verdict(quiet), last_line(refused, folder)


def two_drivers(folder: Path, quiet: Quiet) -> Seen:
    """Two drivers on one folder at once."""
    return _together(folder, quiet)


def clocks_leap(folder: Path, quiet: Quiet) -> Seen:
    """Two drivers whose clocks leap by days, forwards and back, so that leases seem to end."""
    return _together(folder, quiet, **{CLOCK: "1000000"})


def _together(folder: Path, quiet: Quiet, **environment: str) -> Seen:
    trial = Trial(folder)
    drivers = [trial.start(**{SECONDS: "0.2"}, **environment) for _ in range(2)]
    ended = [trial.ended(driver) for driver in drivers]
    assert all(each.returncode == 0 for each in ended), ended
    return trial.verdict(quiet), " / ".join(each.stdout.splitlines()[0] for each in ended)


def in_a_worker(folder: Path, quiet: Quiet, *, what: str, limit: float = 60) -> Seen:
    """Some cells do something to the process that runs them, and nothing to other cells."""
    trial = Trial(folder)
    ended = trial.run(f"--limit={limit}", **{FAULT: what})
    assert ended.returncode == 1, ended
    given_up = next(line for line in ended.stdout.splitlines() if "given up" in line)
    assert len(trial.seen) == quiet.cells - int(given_up.split()[0]), "it took a neighbour with it"
    return trial.verdict(quiet, "--retry"), given_up


def record_cut(folder: Path, quiet: Quiet) -> Seen:
    """The text of a record is cut in half, past the program."""
    trial = Trial(folder)
    trial.run(HALF)
    with closing(sqlite3.connect(folder / STORE)) as connection, connection:
        key = min(trial.seen)
        connection.execute("UPDATE records SET body = substr(body, 1, 300) WHERE key = ?", (key,))
    found = examine(folder / STORE)
    assert list(found.damaged) == [key]
    mend(folder / STORE)
    trial.look()
    return trial.verdict(quiet), found.damaged[key]


def pages_garbled(folder: Path, quiet: Quiet) -> Seen:
    """Three pages of the database are overwritten."""
    trial = Trial(folder)
    trial.run(HALF)
    path = folder / STORE
    pages = path.stat().st_size // 4096
    with path.open("r+b") as file:
        for quarter in (1, 2, 3):
            file.seek(pages * quarter // 4 * 4096)
            file.write(os.urandom(4096))
    found = examine(path)
    assert found.file
    mend(path)
    trial.look()
    return trial.verdict(quiet), found.file[0]


def log_cut(folder: Path, quiet: Quiet) -> Seen:
    """The driver is killed, and half of SQLite's write-ahead log is cut off."""
    trial = Trial(folder)
    driver = trial.start()
    while not (trial.seen or driver.poll() is not None):
        time.sleep(0.1)
        trial.look()
    os.killpg(driver.pid, signal.SIGKILL)
    trial.ended(driver)
    log = folder / f"{STORE}-wal"
    os.truncate(log, log.stat().st_size // 2)
    trial.look()
    return trial.verdict(quiet), ""


def another_version(folder: Path, quiet: Quiet) -> Seen:
    """The sweep is begun with one version of the program and brought to its end with another."""
    trial = Trial(folder)
    trial.run(HALF, **{VERSION: "9.9"})
    verdict = trial.verdict(quiet)
    page = (folder / "survives.md").read_text()
    (told,) = re.findall(r"the runs were made in 2 environments[^;]*", page.replace("\n", " "))
    return verdict, told


FAULTS: Final[Mapping[str, Fault]] = {
    "disk full": Fault(disk_full, "300 kB in mid-sweep, the same again, then enlarged"),
    "disk read-only": Fault(read_only, "mounted so after a third of the cells, then for writing"),
    "two drivers": Fault(two_drivers, "on one folder at once"),
    "clocks leap": Fault(clocks_leap, "by days, forwards and back, in two drivers at once"),
    "segmentation fault": Fault(partial(in_a_worker, what="segfault"), SOME),
    "exit": Fault(partial(in_a_worker, what="leave", limit=5), f"{SOME}; noticed by `--limit`"),
    "exception": Fault(partial(in_a_worker, what="fail"), SOME),
    "hang": Fault(partial(in_a_worker, what="hang", limit=1), SOME),
    "out of memory": Fault(partial(in_a_worker, what="fill_memory"), SOME),
    "memory leak": Fault(partial(in_a_worker, what="leak"), f"{SOME}; none is left for the next"),
    "nan": Fault(partial(in_a_worker, what="return_nan"), f"{SOME}, in a record"),
    "record cut": Fault(record_cut, "to 300 characters; then `doctor --mend`", True),
    "pages garbled": Fault(pages_garbled, "three of the database; then `doctor --mend`", True),
    "log cut": Fault(log_cut, "a killed driver's write-ahead log, to its half", True),
    "node unplugged": Fault(unplugged, "one of two of a Ray cluster; later another one joins"),
    "another version": Fault(another_version, "of the program makes the last two thirds"),
}
"""What can befall a sweep."""


def last_line(ended: subprocess.CompletedProcess[str], folder: Path) -> str:
    """What a command said last, of a sweep in a folder."""
    return ended.stderr.strip().splitlines()[-1].replace(str(folder), "DIR")
