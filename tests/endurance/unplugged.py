"""Unplugs a node of a Ray cluster in mid-sweep, plugs it in again, and counts what is lost.

python -m tests.endurance.unplugged 3
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from ablations.store import Store
from ablations.sweep import STORE
from tests.endurance.kills import PLAN, stored
from tests.endurance.sleeper import SECONDS

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

ROOM: Final = {"object_store_memory": 80_000_000}
HEAD_CORES: Final = 1
NODE_CORES: Final = 2
CELLS: Final = 180


@final
@dataclass
class Toll:
    """What was seen. `failed` are attempts that a node took with it, and were made again."""

    sweeps: int = 0
    cells: int = 0
    acknowledged: int = 0
    lost: int = 0
    changed: int = 0
    counted_twice: int = 0
    failed: int = 0
    other_reports: int = 0
    actors_before: list[int] = field(default_factory=list)
    actors_unplugged: list[int] = field(default_factory=list)
    actors_after: list[int] = field(default_factory=list)


@contextmanager
def two_nodes() -> Iterator[Cluster]:
    """A cluster on this machine, with a token; both nodes are processes of their own."""
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    os.environ.update(RAY_USAGE_STATS_ENABLED="0")
    from ray.cluster_utils import Cluster

    head = {"num_cpus": HEAD_CORES, "include_dashboard": False, **ROOM}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(num_cpus=NODE_CORES, **ROOM)
    try:
        yield cluster
    finally:
        cluster.shutdown()


def actors() -> int:
    """How many workers there are."""
    return sum(
        path.read_bytes().startswith(b"ray::Actor") for path in Path("/proc").glob("[0-9]*/cmdline")
    )


def start(folder: Path, address: str) -> subprocess.Popen[bytes]:
    """The sweep's driver."""
    folder.mkdir()
    (folder / "killed.toml").write_text(PLAN)
    command = ["-m", "tests.endurance.drive", "run", str(folder / "killed.toml")]
    return subprocess.Popen(
        [sys.executable, *command, "--out", str(folder), "--engine", "ray", "--address", address],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def one_sweep(folder: Path, cluster: Cluster, undisturbed: bytes, toll: Toll) -> None:
    """Unplug the node when a quarter is stored, plug one in at the half; watch the store."""
    seen: dict[str, str] = {}

    def watch(until: Callable[[], bool]) -> None:
        nonlocal seen
        while driver.poll() is None and not until():
            now = stored(folder)
            toll.lost += len(seen.keys() - now.keys())
            toll.changed += sum(now[key] != seen[key] for key in seen.keys() & now.keys())
            seen = now
            time.sleep(0.05)

    driver = start(folder, cluster.address)
    watch(lambda: len(seen) >= CELLS // 4)
    toll.actors_before.append(actors())
    (node,) = cluster.worker_nodes
    cluster.remove_node(node, allow_graceful=False)
    watch(lambda: len(seen) >= CELLS // 2)
    toll.actors_unplugged.append(actors())
    cluster.add_node(num_cpus=NODE_CORES, **ROOM)
    watch(lambda: len(seen) >= CELLS * 3 // 4)
    toll.actors_after.append(actors())
    watch(lambda: False)
    _, error = driver.communicate()
    assert driver.returncode == 0, error.decode()
    toll.sweeps += 1
    with Store.open(folder / STORE) as store:
        attempts = list(store.attempts())
    done = [attempt.key for attempt in attempts if attempt.outcome == "done"]
    toll.cells += CELLS
    toll.acknowledged += len(stored(folder))
    toll.counted_twice += len(done) - len(set(done))
    toll.failed += sum(attempt.outcome == "failed" for attempt in attempts)
    toll.other_reports += (folder / "killed.md").read_bytes() != undisturbed


def measure(sweeps: int) -> Toll:
    """So many sweeps, each against one that nobody has disturbed."""
    os.environ[SECONDS] = "0.3"
    toll = Toll()
    with tempfile.TemporaryDirectory() as scratch, two_nodes() as cluster:
        quiet = Path(scratch) / "quiet"
        _, error = start(quiet, cluster.address).communicate()
        undisturbed = (quiet / "killed.md").read_bytes()
        assert len(stored(quiet)) == CELLS, error.decode()
        for sweep in range(sweeps):
            one_sweep(Path(scratch) / str(sweep), cluster, undisturbed, toll)
    return toll


if __name__ == "__main__":
    print(json.dumps(asdict(measure(int(sys.argv[1])))))
