"""Gives every reader thousands of hostile inputs: each is read, or refused in one line.

python -m tests.endurance.fuzz 10000 [SEED]
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, final

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.endurance.hostile import inputs
from tests.endurance.readers import BytesChangedError, Reader, prepare, readers
from unet.refusal import LONGEST, Refusal

SECONDS: Final = 30.0
"""What an input may take, on a machine that does other things as well."""

MEMORY: Final = 2 * 2**30
"""Bytes that reading may take beyond what the program has."""


@final
@dataclass
class Tally:
    """What came of the inputs of one reader."""

    tried: int = 0
    refused: int = 0
    accepted: int = 0
    tracebacks: int = 0
    bytes_changed: int = 0
    slowest: float = 0.0
    faults: list[str] = field(default_factory=list)


class TookTooLongError(BaseException):
    """No reader may catch it."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Break off what takes longer."""

    def heard(_number: int, _frame: object) -> None:
        raise TookTooLongError

    before = signal.signal(signal.SIGALRM, heard)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def accepts(reader: Reader, folder: Path, data: bytes) -> bool:
    """Whether an input is read; anything but one printable line of refusal is raised."""
    try:
        with limited(SECONDS):
            reader.read(folder, data)
    except Refusal as refusal:
        line = str(refusal)
        assert line.isprintable(), repr(line)
        assert 0 < len(line) <= LONGEST, len(line)
        return False
    return True


def tally(name: str, reader: Reader, folder: Path, count: int, start: int) -> Tally:
    """Give one reader so many inputs, and count what comes of them."""
    seen = Tally()

    @seed(start)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(name, reader.real))
    def once(data: bytes) -> None:
        began = time.monotonic()
        seen.tried += 1
        try:
            if accepts(reader, folder, data):
                seen.accepted += 1
            else:
                seen.refused += 1
        except (Exception, TookTooLongError) as problem:  # noqa: BLE001  # these are counted
            seen.tracebacks += 1
            seen.bytes_changed += isinstance(problem, BytesChangedError)
            if len(seen.faults) < 9:
                told = "".join(traceback.format_exception(problem)[-4:])
                seen.faults.append(told + repr(data[:500]))
        seen.slowest = max(seen.slowest, time.monotonic() - began)

    once()
    return seen


def limit_memory() -> None:
    """Make of what would eat this machine's memory a MemoryError."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


def measure(count: int, start: int) -> dict[str, object]:
    """About so many inputs, shared among the readers; the seed draws the same ones again."""
    limit_memory()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prepare(folder)
        of = readers(folder)
        each = -(-count // len(of))
        seen = {name: tally(name, one, folder, each, start) for name, one in of.items()}
    names = ("tried", "refused", "accepted", "tracebacks", "bytes_changed")
    together = {name: sum(getattr(each, name) for each in seen.values()) for name in names}
    by_reader = {name: asdict(each) for name, each in seen.items()}
    return {"seed": start, **together, "readers": by_reader}


if __name__ == "__main__":
    start = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    found = measure(int(sys.argv[1]), start)
    print(json.dumps(found, indent=1))
    sys.exit(1 if found["tracebacks"] else 0)
