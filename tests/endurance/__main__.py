"""Everything that befalls sweeps: python -m tests.endurance [KILLS] [INPUTS] (half an hour)."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ablations.endurance import Endurance, Endured, Inputs
from ablations.files import replace_file
from tests.endurance.faults import FAULTS
from tests.endurance.kills import WHOM, kill_through
from tests.endurance.scene import Quiet, Trial, machine
from tests.samples import ROOT

RECORD: Final = ROOT / "reports" / "records" / "endurance.json"
KILLS: Final = 200
INPUTS: Final = 10_000
AT_MOST: Final = 20
"""Kills in one sweep."""


def say(line: str) -> None:
    """Tell how far it is."""
    print(line, file=sys.stderr, flush=True)


def killed(scratch: Path, quiet: Quiet, kills: int, dice: random.Random) -> Endured:
    """So many kills at least, over as many sweeps as that takes."""
    hit = dict.fromkeys(WHOM, 0)
    verdicts = []
    while sum(hit.values()) < kills:
        folder = scratch / f"killed {len(verdicts)}"
        folder.mkdir()
        trial = Trial(folder)
        for whom, count in kill_through(trial, AT_MOST, dice).items():
            hit[whom] += count
        verdicts.append(trial.verdict(quiet))
        say(f"{sum(hit.values())} kills")
    return Endured(
        fault="kill -9",
        how=f"at random: {', '.join(f'{whom} {count}' for whom, count in hit.items())}",
        destroys=False,
        times=sum(hit.values()),
        acknowledged=sum(each.acknowledged for each in verdicts),
        lost=sum(each.lost for each in verdicts),
        changed=sum(each.changed for each in verdicts),
        counted_twice=sum(each.counted_twice for each in verdicts),
        same_report=all(each.same_report for each in verdicts),
        told="nothing: the same line goes on",
    )


def befallen(scratch: Path, quiet: Quiet) -> Iterator[Endured]:
    """Every fault, done to a sweep each."""
    for place, (name, fault) in enumerate(FAULTS.items()):
        folder = scratch / f"fault {place}"
        folder.mkdir()
        began = time.monotonic()
        verdict, told = fault.happen(folder, quiet)
        say(f"{name}: {verdict}, {time.monotonic() - began:.0f} s")
        yield Endured(
            fault=name, how=fault.how, destroys=fault.destroys, times=1, told=told, **vars(verdict)
        )


def inputs(count: int) -> Iterator[Inputs]:
    """Hostile inputs, shared among all readers."""
    said = subprocess.run(
        [sys.executable, "-m", "tests.endurance.fuzz", str(count)],
        stdout=subprocess.PIPE,
        check=True,
    )
    for reader, seen in json.loads(said.stdout)["readers"].items():
        yield Inputs(
            reader=reader, **{name: seen[name] for name in Inputs.model_fields if name != "reader"}
        )


def main(kills: int = KILLS, hostile: int = INPUTS) -> None:
    """Write the record."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        (scratch / "quiet").mkdir()
        quiet = Quiet.of(scratch / "quiet")
        faults = (*befallen(scratch, quiet), killed(scratch, quiet, kills, random.Random()))
    found = Endurance(
        machine=machine(), cells=quiet.cells, faults=faults, inputs=tuple(inputs(hostile))
    )
    replace_file(RECORD, found.model_dump_json(indent=1).encode() + b"\n")
    say(str(RECORD))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
