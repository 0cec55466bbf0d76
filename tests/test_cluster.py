"""A sweep on a Ray cluster is the same sweep, and a bad cluster is refused in one line."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from itertools import chain, takewhile
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest
from typing_extensions import TypeIs

from ablations.running import admission
from ablations.running import cluster as cluster_module
from ablations.running.actor import Actor, versions
from ablations.running.cluster import Cluster, records_of, require_same_versions
from ablations.running.engines import Crashed, Engine, Outcome
from ablations.running.processes import Workers
from ablations.running.sweep import STORE
from ablations.runs.plan import Plan
from ablations.runs.records import Record
from ablations.storage.store import Store
from tests.runners import CannotStart, FailsTogether, FailsTwice, Hangs, Trains
from tests.samples import result_of
from tests.test_sweep import start, stored, wait_for_records
from unet import Refusal

# To import it here would settle how it authenticates itself, which is for `connected` to do.
pytestmark = pytest.mark.skipif(not find_spec("ray"), reason="needs the extra `ray`")

RAY: Final = (sys.executable, "-m", "ray.scripts.scripts")
TOKEN: Final = {"RAY_AUTH_TOKEN": secrets.token_hex(32)}


@contextmanager
def ray_started(mode: str, gpus: int = 0) -> Iterator[str]:
    """A cluster of one node with two cores on this machine; its address."""
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    options = ["--num-cpus=2", f"--num-gpus={gpus}", "--object-store-memory=80000000"]
    with subprocess.Popen(
        [*RAY, "start", "--head", f"--port={port}", "--block", *options],
        env={**os.environ, **TOKEN, "RAY_AUTH_MODE": mode, "RAY_USAGE_STATS_ENABLED": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout
        said = "".join(takewhile(lambda line: "Ray runtime started" not in line, process.stdout))
        assert process.poll() is None, said
        try:
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


@pytest.fixture(scope="module", autouse=True)
def token() -> Iterator[None]:
    """This process has the cluster's token; that token authentication is on, is our doing."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in TOKEN.items():
            patch.setenv(name, value)
        patch.delenv("RAY_AUTH_MODE", raising=False)
        yield


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """That of a cluster that wants the token."""
    with ray_started("token") as address:
        yield address


def outcomes_of(engine: Engine, plan: Plan) -> list[Outcome]:
    """What becomes of a plan's cells."""
    return list(chain.from_iterable(engine.run(plan.cells())))


def scores(records: Iterable[Outcome]) -> dict[str, object]:
    """What must not depend on where a cell ran."""
    return {r.key: (r.counts, r.losses) for r in records if isinstance(r, Record)}


def test_the_records_are_those_of_local_workers(address: str, tiny: Plan) -> None:
    """Counts and losses to the bit; every cell once."""
    outcomes = outcomes_of(Cluster(address), tiny)
    assert len(outcomes) == 4
    assert scores(outcomes) == scores(outcomes_of(Workers(2, "cpu"), tiny))


def test_only_what_can_be_claimed_is_run(address: str, tiny: Plan) -> None:
    """One after the other, when there is a worker for it."""
    wanted = [cell for cell in tiny.cells() if cell.seed]
    batches = Cluster(address, count=1).run(
        tiny.cells(), lambda cells: [cell for cell in cells if cell in wanted]
    )
    outcomes = list(chain.from_iterable(batches))
    assert set(scores(outcomes)) == {cell.key for cell in wanted}


def test_a_dying_actor_takes_only_its_own_cell(
    address: str, tiny: Plan, capfd: pytest.CaptureFixture[str]
) -> None:
    """One cell kills its process, one raises; others take their place; Ray prints nothing."""
    outcomes = outcomes_of(Cluster(address, make=FailsTwice), tiny)
    crashed = [o for o in outcomes if is_crash(o)]
    assert {(c.cell.spec.skip, c.cell.seed, c.reason) for c in crashed} == {
        ("concat", 0, "ActorDiedError: The actor died unexpectedly before finishing this task."),
        ("none", 0, "RuntimeError: no luck"),
    }
    assert capfd.readouterr() == ("", "")


def is_crash(outcome: Outcome) -> TypeIs[Crashed]:
    """Whether a cell left no record."""
    return isinstance(outcome, Crashed)


def test_a_run_that_takes_too_long_is_stopped(address: str, tiny: Plan) -> None:
    """And only it."""
    outcomes = outcomes_of(Cluster(address, seconds=4, make=Hangs), tiny)
    crashed = [o for o in outcomes if is_crash(o)]
    assert {(c.cell.seed, c.reason) for c in crashed} == {(0, "TimeoutError: took more than 4 s")}
    assert len(outcomes) == 4
    assert len(scores(outcomes)) == 2


def test_a_whole_sweep_by_the_command(address: str, tmp_path: Path) -> None:
    """Of what `--json` prints, Ray adds nothing; the actors are gone with the command."""
    process = start(tmp_path, "--engine", "ray", "--address", address, "--json")
    out, err = process.communicate(timeout=120)
    assert result_of(out)["trained"] == 8
    assert len(err.splitlines()) == 8
    until_gone = time.monotonic() + 10
    while actors() and time.monotonic() < until_gone:
        time.sleep(0.1)
    assert actors() == []


def actors() -> list[int]:
    """The processes of our actors on this machine."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if line.read_bytes().startswith(b"ray::Actor"):
                found.append(int(line.parent.name))
    return found


def test_actors_do_not_outlive_a_killed_driver(address: str, tmp_path: Path) -> None:
    """Nor does what was stored; the same line goes on."""
    more = ["--engine", "ray", "--address", address]
    process = start(tmp_path, *more)
    wait_for_records(tmp_path, process, least=2)
    assert actors()
    process.kill()
    process.communicate()
    kept = stored(tmp_path)
    deadline = time.monotonic() + 30
    while actors():
        assert time.monotonic() < deadline, "an actor outlives its driver"
        time.sleep(0.05)
    out, _ = start(tmp_path, *more).communicate(timeout=120)
    assert f"trained {8 - len(kept)} of 8 cells" in out
    assert {key: stored(tmp_path)[key] for key in kept} == kept


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_drains(address: str, tmp_path: Path, name: str) -> None:
    """Ray's own answer to it would be to leave at once."""
    process = start(tmp_path, "--engine", "ray", "--address", address)
    wait_for_records(tmp_path, process, least=1)
    process.send_signal(getattr(signal, name))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"stopped: {len(stored(tmp_path))} of 8 cells are stored; go on with: " in out
    assert f"--engine ray --address {address}" in out
    assert "Traceback" not in out + err
    with Store.open(tmp_path / "out" / STORE) as store:
        assert {attempt.outcome for attempt in store.attempts()} == {"done"}


def refused(cluster: Cluster, plan: Plan) -> str:
    """The one line that a cluster's use is refused with."""
    with pytest.raises(Refusal) as caught:
        list(cluster.run(plan.cells()))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_no_address_is_refused(tiny: Plan) -> None:
    """Ray Client's, for one, and Ray's own words."""
    for text in ("ray://x:10001", "auto", "somewhere", "x:port"):
        assert "is not HOST:PORT" in refused(Cluster(text), tiny)


def test_a_missing_ray_is_refused(tiny: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the line that installs it."""
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "python -m pip install 'ray>=2.52'" in refused(Cluster("x:1"), tiny)


def test_a_dead_address_is_refused(tiny: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long before Ray itself gives up."""
    monkeypatch.setattr(admission, "KNOCK_SECONDS", 3.0)
    assert "no Ray cluster answers" in refused(Cluster("127.0.0.1:9"), tiny)


def test_another_token_is_refused(
    address: str, tiny: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the way to get the right one; the same where the token's file is missing."""
    monkeypatch.setenv("RAY_AUTH_TOKEN", "f" * 64)
    assert "does not take the token of this machine" in refused(Cluster(address), tiny)
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/no/such/file")
    assert "`ray get-auth-token --generate`" in refused(Cluster(address), tiny)


def test_a_cluster_without_a_token_is_refused(tiny: Plan) -> None:
    """It would run whatever anybody sends it; who wants that has to say so."""
    with ray_started("disabled") as address:
        assert "set RAY_AUTH_MODE=disabled here" in refused(Cluster(address), tiny)


def test_actors_share_a_gpu(tiny: Plan) -> None:
    """A part of it each, and all of it for seeds that failed side by side; none is needed here."""
    with ray_started("token", gpus=1) as address:
        outcomes = outcomes_of(Cluster(address, make=FailsTogether), tiny)
    cells = {cell.key: cell for cell in tiny.cells()}
    assert {cells[key].spec.skip for key in scores(outcomes)} == {"concat"}
    crashed = [o for o in outcomes if is_crash(o)]
    assert [c.reason for c in crashed] == ["MemoryError: CUDA out of memory"] * 2
    assert {c.cell.spec.skip for c in crashed} == {"none"}


def test_a_missing_gpu_is_refused(address: str, tiny: Plan) -> None:
    """Before anything runs."""
    assert "no node of" in refused(Cluster(address, device="cuda"), tiny)


def unknown_there(_device: str) -> Trains:
    """Pickled by a name that no worker can import."""
    raise AssertionError


def test_workers_that_cannot_start_are_refused(
    address: str, tiny: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours is not there, or the machine is not fit; not tried for ever."""
    monkeypatch.setitem(sys.modules, "only_here", module := ModuleType("only_here"))
    monkeypatch.setattr(unknown_there, "__module__", "only_here")
    module.unknown_there = unknown_there  # type: ignore[attr-defined]
    assert "no worker could be started" in refused(Cluster(address, make=unknown_there), tiny)
    said = refused(Cluster(address, count=1, make=CannotStart), tiny)
    assert "no worker could be started" in said
    assert "RuntimeError: no driver" in said


def test_a_node_without_room_is_not_waited_for_in_vain(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else has all cores."""
    monkeypatch.setattr(cluster_module, "PATIENCE_SECONDS", 2.0)
    with admission.connected(address) as ray:
        # As on a cluster of machines that only lead it.
        team = cluster_module._Actors(ray, Cluster(address), "cuda", alone=False)
        with pytest.raises(Refusal, match="no room for a worker in 2 s"):
            _ = team.hardware
        taken = ray.remote(num_cpus=2)(Actor).remote(Trains, "cpu", 1.0)
        ray.get(taken.introduce.remote())
        team = cluster_module._Actors(ray, Cluster(address, count=1), "cpu", alone=False)
        with pytest.raises(Refusal, match="no room for a worker in 2 s"):
            _ = team.hardware


def test_other_versions_are_refused() -> None:
    """Naming both; builds of one version for a CPU and a GPU are the same version."""
    ours = versions()
    require_same_versions("10.0.0.2", ours)
    with pytest.raises(Refusal, match=r"10.0.0.2 has torch 1.0, and here it is 2"):
        require_same_versions("10.0.0.2", {**ours, "torch": "1.0"})
    with pytest.raises(Refusal, match="unet-ablations None"):
        require_same_versions("10.0.0.2", {})
    assert "+" not in ours["torch"]


def test_an_answer_is_read_like_a_file(tiny: Plan, tiny_records: list[Record]) -> None:
    """Of a worker's text only valid records of the cells that were asked for come through."""
    cells = tuple(tiny.cells())[:1]
    right, wrong = (record.model_dump_json() for record in tiny_records[:2])
    assert records_of([right], cells) == tiny_records[:1]
    assert records_of([wrong], cells) == "a worker's answer: records of other cells"
    assert records_of([], cells) == "a worker's answer: records of other cells"
    assert "malformed record" in str(records_of(["{}"], cells))
    assert records_of("no luck", cells) == "no luck"
