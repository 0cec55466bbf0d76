"""Leases: a cell is run by one process at a time, and its record counts once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ablations.runs.plan import Plan
from ablations.runs.records import Record
from ablations.storage import leases as leases_module
from ablations.storage.attempts import MOST_ATTEMPTS
from ablations.storage.leases import LEASE_SECONDS, Leases
from ablations.storage.plan_file import read_plan
from ablations.storage.store import Store
from tests.samples import TINY
from unet import Refusal


def blank(plan: Plan, place: int) -> Record:
    """A record of the plan's cell at `place`, of a run that diverged at once."""
    cell = list(plan.cells())[place]
    return Record(
        key=cell.key, cell=cell.as_data(), outcome="diverged", bands=(0,), counts=None,
        losses=(None,), parameters=1, macs=1, train_seconds=0.0, test_seconds=0.0, environment={},
    )  # fmt: skip


class Sweeping(RuleBasedStateMachine):
    """Two holders, a clock that jumps, and crashes; the model is a dict of what must be true.

    Each holder is a connection of its own; a crash leaves its leases behind, as kill -9 does,
    and lets go of its lock, as the system does then.
    """

    plan = read_plan(TINY, name="tiny", file="f")
    cells = st.integers(0, 3)
    holders = st.sampled_from(["a", "b"])

    @initialize()
    def begin(self) -> None:
        """An empty store, two holders that have nothing, a clock at noon."""
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "sweep.db"
        self.now = 1e9
        self.keys = [cell.key for cell in self.plan.cells()]
        self.done: dict[str, str] = {}
        self.failures = dict.fromkeys(self.keys, 0)
        # Cell: holder, its deadline, and whether the holder is dead.
        self.held: dict[str, tuple[str, float, bool]] = {}
        self.live = {name: self.holder() for name in ("a", "b")}

    def holder(self) -> tuple[Store, Leases]:
        """A new process, as it were."""
        store = Store.create(self.path, self.plan)
        holder = Leases(store)
        # Locks are between processes, so here the model says who is dead.
        holder._is_dead = self.is_dead  # type: ignore[method-assign]
        holder._clock = lambda: self.now
        return store, holder

    def is_dead(self, owner: int) -> bool:
        """Whether no living holder has this number."""
        return owner not in {leases._owner for _, leases in self.live.values()}

    @rule(name=holders, place=cells)
    def claim(self, name: str, place: int) -> None:
        """It succeeds exactly if the cell is to be run, and nobody who lives holds it in time."""
        key, before = self.keys[place], self.held.get(self.keys[place])
        free = before is None or before[2] or self.now >= before[1]
        gone = before is not None and free and key not in self.done
        if gone:
            del self.held[key]
        expected = key not in self.done and free and not self.is_given_up(key)
        assert self.live[name][1].claim([key]) == [key] * expected
        if expected:
            self.held[key] = (name, self.now + LEASE_SECONDS, False)

    def tokens(self, name: str) -> list[str]:
        """What a holder believes to hold, rightly or not."""
        return list(self.live[name][1]._tokens)

    @rule(name=holders, data=st.data())
    def complete(self, name: str, data: st.DataObject) -> None:
        """The record counts exactly if the lease is still the holder's."""
        believed = self.tokens(name)
        if not believed:
            return
        key = data.draw(st.sampled_from(believed))
        mine = self.held.get(key, ("", 0.0, True))[0] == name
        record = blank(self.plan, self.keys.index(key)).model_copy(
            update={"environment": {"by": f"{name} at {self.now}"}}
        )
        assert self.live[name][1].complete([record]) == [record] * mine
        if mine:
            del self.held[key]
            self.done[key] = record.environment["by"]

    @rule(name=holders, data=st.data())
    def fail(self, name: str, data: st.DataObject) -> None:
        """A failure counts if the lease is still the holder's."""
        believed = self.tokens(name)
        if not believed:
            return
        key = data.draw(st.sampled_from(believed))
        self.live[name][1].fail(key, "no luck")
        if self.held.get(key, ("", 0.0, True))[0] == name:
            del self.held[key]
            self.failures[key] += 1

    @rule(name=holders)
    def crash(self, name: str) -> None:
        """Kill -9: the leases stay, and their holder is dead; a new process takes its name."""
        self.live[name][0].close()
        self.held = {
            key: ("dead" if who == name else who, until, dead or who == name)
            for key, (who, until, dead) in self.held.items()
        }
        self.live[name] = self.holder()

    @rule(seconds=st.sampled_from([-1e6, -30.0, 5.0, 100.0, 1e6]))
    def jump(self, seconds: float) -> None:
        """The clock moves, forwards or back."""
        self.now += seconds

    @rule()
    def forgive(self) -> None:
        """What was given up is asked for again."""
        self.live["a"][0].forgive()
        self.failures = dict.fromkeys(self.keys, 0)

    def is_given_up(self, key: str) -> bool:
        """By failures of its own, or by many drivers that went down with it."""
        return self.failures[key] >= MOST_ATTEMPTS

    @invariant()
    def nothing_is_lost_or_counted_twice(self) -> None:
        """The store holds what was acknowledged, as it was, and nothing else."""
        with Store.open(self.path) as store:
            assert {r.key: r.environment["by"] for r in store.records()} == self.done
            given_up = {key for key in self.keys if self.is_given_up(key)}
            assert store.given_up() == given_up - set(self.done)

    def teardown(self) -> None:
        """Leave nothing behind."""
        for store, _ in self.live.values():
            store.close()
        self.folder.cleanup()


TestSweeping = Sweeping.TestCase


def test_a_killed_holder_is_known_to_be_dead(tmp_path: Path, tiny: Plan) -> None:
    """At once, not when its deadline has passed; a living one keeps what it holds."""
    path, key = tmp_path / "sweep.db", next(tiny.cells()).key
    Store.create(path, tiny).close()
    script = (
        "import sys, time; from pathlib import Path\n"
        "from ablations.storage.leases import Leases\n"
        "from ablations.storage.plan_file import read_plan\n"
        "from ablations.storage.store import Store\n"
        "plan = Store.open(Path(sys.argv[1])).plan\n"
        "with Leases(Store.create(Path(sys.argv[1]), plan)) as leases:\n"
        "    print(leases.claim([sys.argv[2]]), flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(path), key]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == f"['{key}']\n"
        with Store.create(path, tiny) as store, Leases(store) as leases:
            assert not leases.claim([key])
            os.kill(other.pid, signal.SIGKILL)
            other.wait()
            assert leases.claim([key])
            assert [a.outcome for a in store.attempts()] == ["lost", None]


def test_leases_are_renewed_and_given_back(
    tmp_path: Path, tiny: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long run keeps its lease; a holder that leaves gives back what it did not end."""
    monkeypatch.setattr(leases_module, "LEASE_SECONDS", 0.4)
    key = next(tiny.cells()).key
    with Store.create(tmp_path / "sweep.db", tiny) as store:
        with Leases(store) as leases:
            assert leases.claim([key])
            time.sleep(1)
            assert leases.complete([blank(tiny, 0)])
            assert leases.claim([list(tiny.cells())[1].key])
        assert [attempt.outcome for attempt in store.attempts()] == ["done", "returned"]
        assert store.given_up() == set()


def test_a_lock_that_cannot_be_opened_is_told(tmp_path: Path, tiny: Plan) -> None:
    """As on a disk that is mounted for reading only: in one line, with the file."""
    (tmp_path / "leases.lock").mkdir()
    with (
        Store.create(tmp_path / "sweep.db", tiny) as store,
        pytest.raises(Refusal, match=r"leases.lock: Is a directory; mend this"),
        Leases(store),
    ):
        raise AssertionError


def test_a_merge_into_a_store_that_is_run_is_no_damage(tmp_path: Path, tiny: Plan) -> None:
    """What it brings meanwhile stays, and the run's own record is not kept twice."""
    with Store.create(tmp_path / "sweep.db", tiny) as store, Leases(store) as leases:
        record = blank(tiny, 0)
        assert leases.claim([record.key]) == [record.key]
        store.add(record)
        assert leases.complete([record]) == []
        assert [attempt.outcome for attempt in store.attempts()] == ["returned"]
        assert list(store.records()) == [record]


def test_drivers_that_die_blame_no_cell(tmp_path: Path, tiny: Plan) -> None:
    """However often: only a failure of its own uses up a cell's attempts."""
    path, key = tmp_path / "sweep.db", next(tiny.cells()).key
    with Store.create(path, tiny) as store:
        for lost in range(12):
            with Leases(store) as leases:
                assert leases.claim([key]) == [key], lost
                with store.writing() as connection:
                    connection.execute("UPDATE attempts SET outcome = 'lost' WHERE outcome IS NULL")
        assert store.given_up() == set()
        assert {attempt.outcome for attempt in store.attempts()} == {"lost"}
