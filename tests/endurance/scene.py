"""A sweep of sleepers that nothing disturbs, and the judge of those that something does."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, final

from ablations.running.sweep import STORE
from ablations.storage.plan_file import load_plan
from ablations.storage.store import Store
from tests.endurance.left import MARK, left_of
from tests.endurance.sleeper import SECONDS, record_of
from tests.samples import TINY

PLAN: Final = (
    TINY.replace("Does it run?", "Does it survive?")
    .replace("seeds = 2", "seeds = 60")
    .replace('["concat", "none"]', '["concat", "add", "none"]')
)


@final
@dataclass(frozen=True)
class Quiet:
    """What an undisturbed sweep leaves: the report's page, and how many cells there are."""

    page: bytes
    cells: int

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Run one in `folder`; its records are those that the cells' keys foretell."""
        trial = Trial(folder)
        ended = trial.run()
        assert ended.returncode == 0, ended.stderr
        expected = {cell.key: record_of(cell) for cell in load_plan(str(trial.plan)).cells()}
        with Store.open(folder / STORE) as store:
            assert {record.key: record for record in store.records()} == expected
        return cls((folder / "survives.md").read_bytes(), len(expected))


@final
@dataclass(frozen=True)
class Verdict:
    """What was seen of the records that the store had acknowledged, and of the report."""

    acknowledged: int
    lost: int
    changed: int
    counted_twice: int
    same_report: bool


@final
class Trial:
    """A sweep in `folder`, looked at again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plan = folder / "survives.toml"
        self.plan.write_text(PLAN)
        self.seen: dict[str, str] = {}
        self.lost: set[str] = set()
        self.changed: set[str] = set()
        self.left = 0
        self.cells = len(list(load_plan(str(self.plan)).cells()))

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """A driver in a process group of its own."""
        command = ["-m", "tests.endurance.drive", "run", str(self.plan), "--out", str(self.folder)]
        return subprocess.Popen(
            [sys.executable, *command, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, SECONDS: "0.02", MARK: str(self.folder), **environment},
        )

    def ended(self, driver: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
        """What a driver said; no traceback was of this program's.

        Python's own is let through: a process that is killed or no longer wanted while it starts
        finds nobody to start it, and says so.
        """
        out, error = driver.communicate()
        self.left += left_of(str(self.folder)) if driver.returncode < 0 else 0
        assert "Traceback" not in error or "ablations/" not in error, error
        self.look()
        return subprocess.CompletedProcess(driver.args, driver.returncode, out, error)

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """A driver that is left alone."""
        return self.ended(self.start(*words, **environment))

    def look(self) -> None:
        """Hold what is stored now against what was seen before."""
        now = stored(self.folder / STORE)
        self.lost |= self.seen.keys() - now.keys()
        self.changed |= {key for key in self.seen.keys() & now.keys() if now[key] != self.seen[key]}
        self.seen |= now

    def verdict(self, quiet: Quiet, *words: str) -> Verdict:
        """Bring the sweep to its end, undisturbed, and judge it."""
        last = self.run(*words)
        assert last.returncode == 0, last.stderr
        assert len(self.seen) == quiet.cells
        with Store.open(self.folder / STORE) as store:
            done = Counter(a.key for a in store.attempts() if a.outcome == "done")
        # What was destroyed has to be done again.
        again = sum(max(0, count - 1 - (key in self.lost)) for key, count in done.items())
        return Verdict(
            acknowledged=len(self.seen),
            lost=len(self.lost),
            changed=len(self.changed),
            counted_twice=again,
            same_report=(self.folder / "survives.md").read_bytes() == quiet.page,
        )


def machine() -> str:
    """Where this runs, in a few words."""
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )


def stored(path: Path) -> Mapping[str, str]:
    """All records, read past the program."""
    with (
        suppress(sqlite3.OperationalError),  # before its tables are made
        closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=30)) as connection,
    ):
        return dict(connection.execute("SELECT key, body FROM records"))
    return {}
