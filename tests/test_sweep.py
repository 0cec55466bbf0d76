"""A sweep loses nothing and does nothing twice, whatever dies."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from itertools import chain
from pathlib import Path

import pytest
import torch
from pebble import ProcessPool
from pebble.pool.base_pool import PoolStatus

from ablations.running import processes
from ablations.running.engines import Crashed
from ablations.running.processes import Workers
from ablations.running.sweep import STORE, Ended, Sweep, brought_to_end, missing_cells, tally
from ablations.runs.plan import Plan
from ablations.runs.records import Record
from ablations.storage import leases as leases_module
from ablations.storage import store as store_module
from ablations.storage.plan_file import read_plan
from ablations.storage.store import Store
from ablations.training import hardware
from tests.endurance.sleeper import Sleeper
from tests.runners import (
    MARKS,
    FailsTogether,
    FailsTwice,
    Hangs,
    HasNoRoom,
    HasNoRoomForNone,
    Trains,
    dies_always,
    dies_at_first,
)
from tests.samples import TINY, result_of
from unet import Refusal


def hand_on(outcomes: Iterator[Record | Crashed], _start: object) -> Iterator[Record | Crashed]:
    """Watch nothing."""
    return outcomes


def sweep_in(folder: Path, plan: Plan, workers: Workers) -> Ended:
    """Bring the sweep in `folder` to its end."""
    with Store.create(folder / STORE, plan) as store:
        return brought_to_end(Sweep(store, workers), hand_on)


def test_a_sweep_runs_what_is_missing_and_only_that(
    tmp_path: Path, tiny: Plan, tiny_records: list[Record]
) -> None:
    """Real workers; three of four cells are there already; then nothing is left."""
    with Store.create(tmp_path / STORE, tiny) as store:
        for record in tiny_records[1:]:
            store.add(record)
        assert [cell.key for cell in missing_cells(store)] == [tiny_records[0].key]
    assert sweep_in(tmp_path, tiny, Workers(2, "cpu")) == Ended(3, 1, [], stopped=False)
    assert sweep_in(tmp_path, tiny, Workers(2, "cpu")) == Ended(4, 0, [], stopped=False)
    with Store.open(tmp_path / STORE) as store:
        now = tally(store)
        assert (now.cells, now.stored) == (4, 4)
        # A worker's record is that of this process: one thread each, so the same to the bit.
        found = {record.key: record for record in store.records()}
    assert found[tiny_records[0].key].counts == tiny_records[0].counts


def test_a_dying_worker_takes_only_its_own_cell(tmp_path: Path, tiny: Plan) -> None:
    """One cell kills its process, one raises; the others are stored, these tried thrice."""
    with Store.create(tmp_path / STORE, tiny) as store:
        ended = brought_to_end(Sweep(store, Workers(2, "cpu", make=FailsTwice)), hand_on)
        cells = list(tiny.cells())
        crashed = {each.cell.key: each.reason for each in ended.crashed}
        assert set(crashed) == {cells[0].key, cells[1].key}
        assert "ended by SIGKILL" in crashed[cells[0].key]
        assert crashed[cells[1].key] == "RuntimeError: no luck"
        assert store.keys() == {cells[2].key, cells[3].key}
        # Given up: neither is run again until somebody asks.
        assert list(missing_cells(store)) == []
        assert tally(store).given_up == 2
        assert [a.outcome for a in store.attempts() if a.key in crashed] == ["failed"] * 6
        store.forgive()
        assert {cell.key for cell in missing_cells(store)} == set(crashed)


def test_a_failure_that_meets_every_cell_alike_ends_the_sweep_once(
    tmp_path: Path, tiny: Plan
) -> None:
    """After the first few cells, with its reason, and at no cost to any cell's attempts."""
    with Store.create(tmp_path / STORE, tiny) as store:
        ended = brought_to_end(Sweep(store, Workers(1, "cpu", make=HasNoRoom)), hand_on)
        assert (ended.trained, ended.alike, len(ended.crashed)) == (0, 3, 3)
        assert {each.reason for each in ended.crashed} == {"MemoryError: no room for 1"}
        now = tally(store)
        assert (now.open, now.given_up) == (4, 0)
        told = [(a.outcome, a.reason) for a in store.attempts()]
        assert told[:3] == [("returned", "MemoryError: no room for 1")] * 3
        assert {outcome for outcome, _ in told} == {"returned"}


def test_a_store_of_another_precision_is_not_gone_on_with(
    tmp_path: Path, tiny: Plan, tiny_records: list[Record]
) -> None:
    """Earlier versions chose it by the chip and wrote it into no key: one line, nothing trained."""
    environment = {**tiny_records[0].environment, "precision": "bfloat16"}
    with Store.create(tmp_path / STORE, tiny) as store:
        store.add(tiny_records[0].model_copy(update={"environment": environment}))
        message = "trained its cells in bfloat16, where this one trains the same in float32"
        with pytest.raises(Refusal, match=message):
            brought_to_end(Sweep(store, Workers(1, "cpu", make=Sleeper)), hand_on)
        assert len(store.keys()) == 1


def test_what_fails_in_one_variant_only_ends_no_sweep(tmp_path: Path, tiny: Plan) -> None:
    """All seeds of a net that is too large may fail alike, and the other net is trained."""
    many = dataclasses.replace(tiny, seeds=4, source=tiny.source.replace("= 2", "= 4", 1))
    with Store.create(tmp_path / STORE, many) as store:
        ended = brought_to_end(Sweep(store, Workers(1, "cpu", make=HasNoRoomForNone)), hand_on)
        assert (ended.trained, ended.alike) == (4, 0)
        assert tally(store).given_up == 4


@pytest.mark.parametrize("when", [1, 2, 3])
def test_work_that_a_breaking_pool_forgets_is_given_to_another(
    tiny: Plan, monkeypatch: pytest.MonkeyPatch, when: int
) -> None:
    """Nobody waits for what a pool was given as it broke, at the beginning or later.

    It breaks when a worker is killed that has nothing to do.
    """
    real, calls = ProcessPool.schedule, itertools.count(1)

    def schedule(
        pool: ProcessPool, work: object, args: tuple[object, ...], timeout: float | None = None
    ) -> object:
        if next(calls) == when:
            future = Future[object]()
            pool._context.status = PoolStatus.ERROR
            return future
        return real(pool, work, args=args, timeout=timeout)

    monkeypatch.setattr(ProcessPool, "schedule", schedule)
    outcomes = list(chain.from_iterable(Workers(1, "cpu", make=Sleeper).run(tiny.cells())))
    assert all(isinstance(outcome, Record) for outcome in outcomes)
    assert len({outcome.key for outcome in outcomes if isinstance(outcome, Record)}) == 4


def test_a_run_that_takes_too_long_is_stopped(
    tmp_path: Path, tiny: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And only it."""
    monkeypatch.setattr(store_module, "MOST_ATTEMPTS", 1)
    monkeypatch.setattr(leases_module, "MOST_ATTEMPTS", 1)
    ended = sweep_in(tmp_path, tiny, Workers(2, "cpu", 8, Hangs))
    assert ended.trained == 2
    assert {each.cell.seed for each in ended.crashed} == {0}
    assert all("TimeoutError" in each.reason for each in ended.crashed)


def test_what_does_not_fit_is_tried_alone(tiny: Plan) -> None:
    """Seeds that failed side by side are run one by one, and what fails then has failed."""
    batches = Workers(2, "cuda", make=FailsTogether).run(tiny.cells())
    outcomes = list(chain.from_iterable(batches))
    trained = [o.parsed_cell() for o in outcomes if isinstance(o, Record)]
    crashed = [o for o in outcomes if isinstance(o, Crashed)]
    assert sorted((cell.spec.skip, cell.seed) for cell in trained) == [("concat", 0), ("concat", 1)]
    assert [o.reason for o in crashed] == ["MemoryError: CUDA out of memory"] * 2
    assert {o.cell.spec.skip for o in crashed} == {"none"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_refused_before_anything_runs(tmp_path: Path, tiny: Plan) -> None:
    """One line, not a crash for each cell."""
    with pytest.raises(Refusal, match="torch finds no GPU on this machine; use 'cpu' or 'auto'"):
        sweep_in(tmp_path, tiny, Workers(1, "cuda"))


STUCK = """
from ablations.running.processes import Workers
from ablations.storage.plan_file import read_plan
from tests.runners import StuckInC
from tests.samples import TINY

if __name__ == "__main__":
    cells = read_plan(TINY, name="tiny", file="tiny.toml").cells()
    next(Workers(1, "cpu", make=StuckInC).run(cells))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel does not help")
def test_a_worker_stuck_in_c_does_not_outlive_its_parent(tmp_path: Path) -> None:
    """It cannot look for its parent: the kernel ends it."""
    words, marks = [sys.executable, "-c", STUCK], tmp_path / "marks"
    marks.mkdir()
    with subprocess.Popen(
        words, start_new_session=True, env={**os.environ, MARKS: str(marks)}
    ) as p:
        deadline = time.monotonic() + 60
        while not list(marks.iterdir()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        p.kill()
    try:
        wait_for_the_end(p.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(p.pid, signal.SIGKILL)


def test_cores_are_counted_where_affinity_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """MacOS and Windows cannot say which cores a process may use."""
    monkeypatch.delattr(processes.os, "sched_getaffinity", raising=False)
    assert hardware.usable_cores() == os.cpu_count()


def test_a_gpu_is_shared_by_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a CPU by one process a core."""
    monkeypatch.setattr(hardware, "usable_cores", lambda: 16)
    monkeypatch.setattr(hardware.shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    assert [hardware.usual_workers(device) for device in ("auto", "cuda", "cpu")] == [4, 4, 16]
    monkeypatch.setattr(hardware.shutil, "which", lambda _: None)
    assert hardware.usual_workers("auto") == 16


LONGER = TINY.replace("steps = 3", "steps = 40").replace("seeds = 2", "seeds = 4")


def start(tmp_path: Path, *more: str, steps: int = 40) -> subprocess.Popen[str]:
    """A sweep of eight cells in a process of its own."""
    plan = tmp_path / "longer.toml"
    plan.write_text(LONGER.replace("steps = 40", f"steps = {steps}"))
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "ablations",
            "run",
            str(plan),
            "--out",
            str(tmp_path / "out"),
            *more,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


RECORDS = "SELECT key, body FROM records"


def stored(tmp_path: Path) -> dict[str, str]:
    """What the store holds now, read past the program."""
    return dict(rows(tmp_path, RECORDS))


def rows(tmp_path: Path, query: str) -> list[tuple[str, str]]:
    """What a query finds in the store now: nothing before there is one."""
    path = tmp_path / "out" / STORE
    if not path.is_file():
        return []
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return list(connection.execute(query))
    except sqlite3.OperationalError:  # the tables are not there yet
        return []
    finally:
        connection.close()


def wait_for_records(tmp_path: Path, process: subprocess.Popen[str], least: int) -> None:
    """Until `least` records are stored."""
    wait_for_rows(tmp_path, process, RECORDS, least)


def wait_for_rows(tmp_path: Path, process: subprocess.Popen[str], query: str, least: int) -> None:
    """Until a query finds `least` rows in the store."""
    deadline = time.monotonic() + 120
    while len(rows(tmp_path, query)) < least:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for_the_end(group: int) -> None:
    """Until no process of the group runs any more."""
    deadline = time.monotonic() + 30
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.killpg(group, 0)
            assert time.monotonic() < deadline, "a worker outlives its parent"
            time.sleep(0.05)


def test_kill_9_in_the_middle_loses_nothing_and_redoes_nothing(tmp_path: Path) -> None:
    """The driver dies; its workers follow; the same line goes on where the store ends."""
    process = start(tmp_path)
    wait_for_records(tmp_path, process, least=2)
    process.kill()
    process.communicate()
    kept = stored(tmp_path)
    assert 2 <= len(kept) < 8, "the sweep was over before it was killed"
    wait_for_the_end(process.pid)

    again = start(tmp_path)
    out, _ = again.communicate(timeout=240)
    assert again.returncode == 0
    assert f"trained {8 - len(kept)} of 8 cells, {len(kept)} were stored before" in out
    after = stored(tmp_path)
    assert len(after) == 8
    # Byte for byte, the clock's readings included: nothing that was kept was run again.
    assert {key: after[key] for key in kept} == kept
    plan = read_plan(LONGER, name="longer", file="f")
    assert set(after) == {cell.key for cell in plan.cells()}


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_the_first_interrupt_drains(tmp_path: Path, name: str) -> None:
    """What is under way is brought to its end; one line, exit code 130, no process left.

    A terminal sends Ctrl-C, and that it is closed, to all processes in it.
    """
    process = start(tmp_path)
    wait_for_records(tmp_path, process, least=1)
    if name == "SIGTERM":
        process.terminate()
    else:
        os.killpg(process.pid, signal.Signals[name])
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"stopped: {len(stored(tmp_path))} of 8 cells are stored; go on with: " in out
    assert "once more stops them" in err
    assert "Traceback" not in out + err
    wait_for_the_end(process.pid)
    with Store.open(tmp_path / "out" / STORE) as store:
        # No run was broken off.
        assert {attempt.outcome for attempt in store.attempts()} == {"done"}


def test_the_second_interrupt_stops(tmp_path: Path) -> None:
    """At once: what was under way is given back, and is nobody's failure."""
    process = start(tmp_path, steps=1_000_000)
    wait_for_rows(tmp_path, process, "SELECT key, outcome FROM attempts", least=1)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "once more stops them" not in process.stderr.readline():
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped: 0 of 8 cells are stored; go on with: " in out
    assert "Traceback" not in out + err
    wait_for_the_end(process.pid)
    with Store.open(tmp_path / "out" / STORE) as store:
        assert {attempt.outcome for attempt in store.attempts()} == {"returned"}


def test_two_runs_on_one_folder_share_the_work(tmp_path: Path) -> None:
    """Each cell is trained by one of them, and both end well."""
    both = [start(tmp_path, "--json", "--workers", "1") for _ in range(2)]
    said = [result_of(each.communicate(timeout=240)[0]) for each in both]
    assert [each.returncode for each in both] == [0, 0]
    assert sum(one["trained"] for one in said) == 8
    with Store.open(tmp_path / "out" / STORE) as store:
        assert [attempt.outcome for attempt in store.attempts()] == ["done"] * 8


def test_a_cell_is_content_not_identity(tiny: Plan) -> None:
    """Two plans that share cells share keys, so their records are interchangeable."""
    more = dataclasses.replace(tiny, seeds=3)
    assert {c.key for c in tiny.cells()} < {c.key for c in more.cells()}


def test_workers_that_die_at_their_start_are_replaced(
    tmp_path: Path, tiny: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No cell is to blame for it; if they always die, that is told in one line."""
    monkeypatch.setenv(MARKS, str(tmp_path))
    monkeypatch.setattr(processes, "_start_worker", dies_at_first)
    outcomes = list(chain.from_iterable(Workers(2, "cpu", make=Trains).run(tiny.cells())))
    assert {o.key for o in outcomes if isinstance(o, Record)} == {c.key for c in tiny.cells()}
    monkeypatch.setattr(processes, "_start_worker", dies_always)
    with pytest.raises(Refusal, match="no worker could be started: all died at once"):
        list(Workers(2, "cpu", make=Trains).run(tiny.cells()))


def test_the_first_interrupt_drains_on_a_gpu_too(tmp_path: Path, tiny: Plan) -> None:
    """Where groups of seeds are put together before: nothing is begun any more."""
    with Store.create(tmp_path / STORE, tiny) as store:
        sweep = Sweep(store, Workers(1, make=FailsTogether))
        for _ in sweep.run():
            sweep.drained = True
        assert len(store.keys()) < 4
