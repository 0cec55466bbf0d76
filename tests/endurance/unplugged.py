"""Unplugs a node of a Ray cluster in mid-sweep, and plugs another one in."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.endurance.scene import Quiet, Trial, Verdict
from tests.endurance.sleeper import SECONDS

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

ROOM: Final = {"object_store_memory": 80_000_000}
HEAD_CORES: Final = 1
NODE_CORES: Final = 2


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


def unplugged(folder: Path, quiet: Quiet) -> tuple[Verdict, str]:
    """The node goes when a quarter of the cells is stored, and another comes at the half."""
    trial = Trial(folder)
    seen = []
    with two_nodes() as cluster:
        driver = trial.start("--engine=ray", f"--address={cluster.address}", **{SECONDS: "0.5"})

        def wait(until: Callable[[], bool]) -> None:
            while driver.poll() is None and not until():
                trial.look()
                time.sleep(0.05)
            seen.append(actors())

        wait(lambda: len(trial.seen) >= quiet.cells // 4)
        (node,) = cluster.worker_nodes
        cluster.remove_node(node, allow_graceful=False)
        wait(lambda: len(trial.seen) >= quiet.cells // 2)
        cluster.add_node(num_cpus=NODE_CORES, **ROOM)
        wait(lambda: actors() == HEAD_CORES + NODE_CORES)
        ended = trial.ended(driver)
        assert ended.returncode == 0, ended
    told = f"{ended.stdout.splitlines()[0]}; {seen[0]} workers, then {seen[1]}, then {seen[2]}"
    return trial.verdict(quiet), told
