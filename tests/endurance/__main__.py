"""Everything that befalls sweeps: python -m tests.endurance [faults | kills | verify | inputs]."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from ablations.files import replace_file
from ablations.pages.endurance import Endurance, Endured, Inputs, read_endurance
from tests.endurance import verifying
from tests.endurance.faults import FAULTS
from tests.endurance.kills import WHOM, kill_through
from tests.endurance.scene import Quiet, Trial, machine
from tests.samples import ROOT

RECORD: Final = ROOT / "reports" / "records" / "endurance.json"
PARTS: Final = ("faults", "kills", "verify", "inputs")
KILLED: Final = "kill -9"
KILLS: Final = 200
INPUTS: Final = 10_000
AT_MOST: Final = 9
"""Kills in one sweep."""


def say(line: str) -> None:
    """Tell how far it is."""
    print(line, file=sys.stderr, flush=True)


def killed(scratch: Path, quiet: Quiet, dice: random.Random) -> Endured:
    """So many kills at least, over as many sweeps as that takes."""
    hit = dict.fromkeys(WHOM, 0)
    verdicts, left = [], 0
    while sum(hit.values()) < KILLS:
        folder = scratch / f"killed {len(verdicts)}"
        folder.mkdir()
        trial = Trial(folder)
        for whom, count in kill_through(trial, AT_MOST, dice).items():
            hit[whom] += count
        verdicts.append(trial.verdict(quiet))
        left += trial.left
        say(f"{sum(hit.values())} kills")
    return Endured(
        fault=KILLED,
        how=f"at random: {', '.join(f'{whom} {count}' for whom, count in hit.items())}",
        destroys=False,
        times=sum(hit.values()),
        acknowledged=sum(each.acknowledged for each in verdicts),
        lost=sum(each.lost for each in verdicts),
        changed=sum(each.changed for each in verdicts),
        counted_twice=sum(each.counted_twice for each in verdicts),
        same_report=all(each.same_report for each in verdicts),
        told="",
        left=left,
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


def inputs() -> Iterator[Inputs]:
    """Hostile inputs, shared among all readers."""
    command = [sys.executable, "-m", "tests.endurance.fuzz", str(INPUTS)]
    said = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    for reader, seen in json.loads(said.stdout)["readers"].items():
        counted = {name: seen[name] for name in Inputs.model_fields if name in seen}
        yield Inputs(reader=reader, **counted)


def main(parts: Sequence[str]) -> None:
    """Write the record after each part; those that are not named stay as they are in it."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        (scratch / "quiet").mkdir()
        quiet = Quiet.of(scratch / "quiet")
        if "faults" in parts:
            found = list(befallen(scratch, quiet))
            keep(
                quiet, faults=(*found, *(e for e in kept() if e.fault in (KILLED, verifying.FAULT)))
            )
        if "kills" in parts:
            kills = killed(scratch, quiet, random.Random())
            keep(quiet, faults=(*(each for each in kept() if each.fault != KILLED), kills))
        if "verify" in parts:
            (scratch / "verified").mkdir()
            kills = verifying.killed(scratch / "verified", KILLS, random.Random())
            keep(quiet, faults=(*(each for each in kept() if each.fault != verifying.FAULT), kills))
        if "inputs" in parts:
            keep(quiet, inputs=tuple(inputs()))
    say(str(RECORD))


def kept() -> tuple[Endured, ...]:
    """The faults that are in the record."""
    return read_endurance(RECORD).faults if RECORD.exists() else ()


def keep(quiet: Quiet, **parts: object) -> None:
    """Put parts of the record in the place of what they were."""
    before: dict[str, object] = {"faults": (), "inputs": ()}
    if RECORD.exists():
        before = dict(read_endurance(RECORD))
    whole = before | {"machine": machine(), "cells": quiet.cells} | parts
    replace_file(RECORD, Endurance(**whole).model_dump_json(indent=1).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:] or PARTS)
