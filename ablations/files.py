"""Files: written whole or not at all, and JSON that is read as what it should be."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from unet.refusal import Refusal, refusal_of

T = TypeVar("T")


def read_json(path: Path, kind: TypeAdapter[T], remedy: str) -> T:
    """The content of a JSON file that is of this `kind`.

    Raises `Refusal` with what is wrong first, and the `remedy`, for any other file.
    """
    try:
        return kind.validate_json(path.read_bytes())
    except OSError as problem:
        raise Refusal(f"{path}: {problem.strerror}; {remedy}") from None
    except ValidationError as problem:
        error = problem.errors()[0]
        place = ".".join(map(str, error["loc"])) or "the whole"
        raise Refusal(f"{path}: malformed record: {place}: {error['msg']}; {remedy}") from None


def replace_file(path: Path, content: bytes) -> None:
    """Make `content` the content of `path`, whole and on the disk, or leave `path` as it is.

    Raises `Refusal` with the disk's own reason where that cannot be.
    """
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of `path` when all of it is on the disk.

    Raises `Refusal` with the disk's own reason where that cannot be; `path` is then as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes files that only their owner may read.
            Path(name).chmod(0o666 & ~_umask())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink()
            raise
    except OSError as problem:
        reason = f"{problem.strerror}; mend this and run the same line again"
        raise refusal_of(problem, f"{path}: cannot be written: {reason}") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


NETWORK_FILE_SYSTEMS: Final = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "lustre", "ceph", "fuse.ceph", "afs",
     "beegfs", "gpfs", "fuse.glusterfs", "glusterfs", "9p", "pvfs2", "orangefs")
)  # fmt: skip


def require_one_host(folder: Path) -> None:
    """Refuse a network file system: SQLite's log is shared memory, which ends at the host."""
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():
        return
    kinds = {}
    for line in mounts.read_text().splitlines():
        _, place, kind, *_ = line.split(" ")
        kinds[Path(place.replace("\\040", " "))] = kind
    above = (folder.resolve(), *folder.resolve().parents)
    kind = next((kinds[each] for each in above if each in kinds), "")
    if kind in NETWORK_FILE_SYSTEMS:
        raise Refusal(
            f"{folder}: on {kind}, a network file system, where two hosts could write and "
            "each miss what the other wrote; use a local disk, and `run --shard` with `merge` "
            "for several machines"
        )
