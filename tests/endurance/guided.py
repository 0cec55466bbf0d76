"""Hostile inputs that look for code they have not run yet; atheris (libFuzzer) leads them there.

python -m tests.endurance.guided SECONDS [READER]

Without a READER each of them has its turn. Needs atheris, which has wheels for Linux only, up to
Python 3.13; `nox -s fuzz` installs it.
"""

from __future__ import annotations

import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ablations", "unet", "tomllib"]):
    from tests.endurance.fuzz import MEMORY, accepts
    from tests.endurance.hostile import CHANGES
    from tests.endurance.readers import prepare, readers


def each(seconds: int) -> int:
    """Try every reader, each in a process of its own: libFuzzer ends the one that it is in."""
    with tempfile.TemporaryDirectory() as scratch:
        prepare(Path(scratch))
        names = list(readers(Path(scratch)))
    command = [sys.executable, "-m", "tests.endurance.guided", str(seconds)]
    return max(subprocess.run([*command, name], check=False).returncode for name in names)


def one(seconds: int, name: str) -> None:
    """Try one reader; what is neither read nor refused ends the process, with its input told."""
    folder = Path(tempfile.mkdtemp())
    prepare(folder)
    reader = readers(folder)[name]
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, data in enumerate(reader.real):
        (corpus / str(number)).write_bytes(data)

    def changed(data: bytes, most: int, seed: int) -> bytes:
        dice = random.Random(seed)
        if dice.random() < 0.5:
            return bytes(atheris.Mutate(data, most))
        return dice.choice(CHANGES)(data, dice)[:most]

    most = MEMORY + 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    words = [
        *(f"-max_total_time={seconds}", "-max_len=100000", "-timeout=30", "-print_final_stats=1"),
        f"-rss_limit_mb={most // 2**20}",
        f"-artifact_prefix={folder}/",
    ]
    atheris.Setup(
        [sys.argv[0], *words, str(corpus)],
        lambda data: accepts(reader, folder, data),
        custom_mutator=changed,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    if len(sys.argv) == 2:
        sys.exit(each(int(sys.argv[1])))
    one(int(sys.argv[1]), sys.argv[2])
