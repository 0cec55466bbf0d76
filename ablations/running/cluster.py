"""Ray actors, on every machine of a cluster that somebody has started."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Final, final

from ablations.running.actor import Actor, versions
from ablations.running.admission import Ray, connected
from ablations.running.engines import (
    RUN_SECONDS,
    Claim,
    Ended,
    Make,
    Outcome,
    Take,
    Team,
    in_one_line,
    outcomes,
    took_too_long,
    trainer,
)
from ablations.runs.cell import Cell
from ablations.runs.records import Record
from ablations.training.hardware import GPU_WORKERS, Group, Hardware
from unet.refusal import Refusal

PATIENCE_SECONDS: Final = 300.0
"""How long to wait for a first actor, or for another when all have died."""

LEAST_STARTS: Final = 3
"""How many workers in a row may fail to start, or as many as are wanted."""

TICK_SECONDS: Final = 1.0


@final
@dataclass(frozen=True)
class Cluster:
    """One actor on each core of the Ray cluster at `address`, or `GPU_WORKERS` on each GPU.

    `count` is how many there are at most, if not as many as there is room for. Actors that die
    are replaced on what nodes there are, and nodes that join are used. Each actor has one call
    in flight, and Ray repeats nothing: what failed is told, as by `Workers`.
    """

    address: str
    count: int | None = None
    device: str = "auto"
    seconds: float = RUN_SECONDS
    make: Make = trainer

    def run(self, cells: Iterable[Cell], claim: Claim = list) -> Generator[list[Outcome]]:
        """As `Engine.run`.

        Raises `Refusal` if the cluster does not answer, does not take our token or takes any,
        has no room, or has a node with another version of what counts.
        """
        with connected(self.address) as ray:
            yield from outcomes(partial(self._started, ray), cells, claim)

    @contextmanager
    def _started(self, ray: Ray, alone: bool) -> Iterator[Team]:
        device = self.device
        gpus = ray.cluster_resources().get("GPU", 0)
        if device == "cuda" and not gpus:
            raise Refusal(
                f"device 'cuda': no node of {self.address} has a GPU; use 'cpu' or 'auto'"
            )
        if device == "auto":
            device = "cuda" if gpus else "cpu"
        team = _Actors(ray, self, device, alone)
        try:
            yield team
        finally:
            team.dismiss()


@final
@dataclass(frozen=True)
class _Call:
    """What an actor is doing: a group's run until a deadline, or introducing itself."""

    actor: Any
    group: Group | None
    deadline: float = math.inf


@final
class _Actors:
    """The team of a cluster. Each actor has one call in flight or is idle."""

    def __init__(self, ray: Ray, cluster: Cluster, device: str, alone: bool) -> None:
        self._ray = ray
        self._cluster = cluster
        self._device = device
        self._alone = alone
        self.sharers = 1 if alone or device == "cpu" else GPU_WORKERS
        self._calls: dict[Any, _Call] = {}
        self._idle: list[Any] = []
        self._hardware: Hardware | None = None
        self._failed_starts = 0
        self._last_seen = time.monotonic()

    @cached_property
    def hardware(self) -> Hardware:
        """That of the first actor: others may have more room or less."""
        while not self._hardware:
            self._hire()
            for _ in self._ended():
                raise AssertionError("nobody has been given a group")
        return self._hardware

    def results(self, take: Take) -> Iterator[list[Ended]]:
        """A group for each idle actor; the next is claimed when one is idle again."""
        more = True
        while True:
            if more:
                self._hire()
                idle = len(self._idle)
                begun = take(idle)
                for group in begun:
                    self._begin(group)
                more = len(begun) == idle
            if not more and not any(call.group for call in self._calls.values()):
                return
            yield list(self._ended())

    def dismiss(self) -> None:
        """Stop all actors, whatever they are doing."""
        for actor in (*self._idle, *(call.actor for call in self._calls.values())):
            self._ray.kill(actor)

    def _wanted(self) -> int:
        if self._alone:
            return 1
        if self._cluster.count:
            return self._cluster.count
        there = self._ray.cluster_resources()
        cores, gpus = int(there.get("CPU", 0)), there.get("GPU", 0)
        return min(cores, int(gpus * GPU_WORKERS)) if self._device == "cuda" else cores

    def _hire(self) -> None:
        """Have as many actors as are wanted; those without room wait until a node joins."""
        for _ in range(self._wanted() - len(self._calls) - len(self._idle)):
            gpus = 1 / self.sharers if self._device == "cuda" else 0
            options = self._ray.remote(
                num_cpus=1, num_gpus=gpus, max_restarts=0, max_task_retries=0
            )
            actor = options(Actor).remote(self._cluster.make, self._device, 1 / self.sharers)
            self._calls[actor.introduce.remote()] = _Call(actor, None)

    def _begin(self, group: Group) -> None:
        actor = self._idle.pop()
        call = actor.run.remote([cell.as_data() for cell in group])
        self._calls[call] = _Call(actor, group, time.monotonic() + self._cluster.seconds)

    def _ended(self) -> Iterator[Ended]:
        """The groups that have ended, after a moment at most."""
        if not self._calls:
            time.sleep(TICK_SECONDS)  # for a node to join
        ended, _ = self._ray.wait(list(self._calls), timeout=TICK_SECONDS)
        for reference in ended:
            call = self._calls.pop(reference)
            answer = self._answer(reference)
            if call.group:
                result = records_of(answer, call.group)
                self._keep_or_dismiss(call.actor, result)
                yield call.group, result
            else:
                self._meet(call.actor, answer)
        for reference, call in list(self._calls.items()):
            if call.group and time.monotonic() > call.deadline:
                self._ray.kill(self._calls.pop(reference).actor)
                yield call.group, took_too_long(self._cluster.seconds)
        self._require_somebody()

    def _answer(self, reference: object) -> Any:  # noqa: ANN401  # what it was asked
        """What an actor said, or why it says nothing any more."""
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayError as problem:
            return in_one_line(problem)

    def _keep_or_dismiss(self, actor: object, result: list[Record] | str) -> None:
        """An actor whose run failed is done with: it may be out of reach only, or spoilt."""
        if isinstance(result, str):
            self._ray.kill(actor)
        else:
            self._idle.append(actor)

    def _meet(self, actor: object, introduction: dict[str, Any] | str) -> None:
        """See who has come; raises `Refusal` for another version, or if too many in a row fail."""
        if not isinstance(introduction, str):
            require_same_versions(introduction["node"], introduction["versions"])
            if not isinstance(introduction["hardware"], str):
                self._hardware = self._hardware or Hardware(*introduction["hardware"])
                self._failed_starts = 0
                self._idle.append(actor)
                return
            introduction = f"node {introduction['node']}: {introduction['hardware']}"
        self._ray.kill(actor)
        self._failed_starts += 1
        if self._failed_starts >= max(LEAST_STARTS, self._wanted()):
            raise Refusal(f"no worker could be started on {self._cluster.address}: {introduction}")

    def _require_somebody(self) -> None:
        if self._idle or any(call.group for call in self._calls.values()):
            self._last_seen = time.monotonic()
        elif time.monotonic() - self._last_seen > PATIENCE_SECONDS:
            raise Refusal(
                f"address {self._cluster.address}: no room for a worker in {PATIENCE_SECONDS:g} s; "
                "`ray status` there tells who has it"
            )


def require_same_versions(node: str, theirs: dict[str, str]) -> None:
    """Refuse a node whose packages are not the driver's."""
    for name, ours in versions().items():
        if theirs.get(name) != ours:
            raise Refusal(
                f"node {node} has {name} {theirs.get(name)}, and here it is {ours}; "
                "install the same on both"
            )


def records_of(answer: list[str] | str, group: Group) -> list[Record] | str:
    """The group's records from an actor's answer, or why they are none."""
    if isinstance(answer, str):
        return answer
    try:
        records = [Record.read(body, "a worker's answer") for body in answer]
    except Refusal as problem:
        return str(problem)
    if [record.key for record in records] != [cell.key for cell in group]:
        return "a worker's answer: records of other cells"
    return records
