"""Begins as newcomers do, in every situation: python -m tests.first_touch [NAME ...].

Wants an environment that has what the package needs, and not the package itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ablations.files import replace_file
from ablations.pages.first_touch import Begun, FirstTouch, read_first_touch
from tests.first_touch.places import NOBODY, Places, old_python
from tests.first_touch.situations import NET, SITUATIONS, Situation
from tests.first_touch.terminal import said_on_a_terminal
from tests.samples import ROOT

RECORD: Final = ROOT / "reports" / "records" / "first_touch.json"

SECONDS: Final = 300.0
"""What a situation may take, on a machine that does other things as well."""

OWN_NET: Final = """
import torch
from torch import nn


def block(before, after):
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1), nn.ReLU(),
        nn.Conv2d(after, after, 3, padding=1), nn.ReLU(),
    )


class Net(nn.Module):
    def __init__(self, n_classes=2):
        super().__init__()
        self.fine, self.coarse, self.pool = block(1, 8), block(8, 16), nn.MaxPool2d(2)
        self.up, self.joined = nn.ConvTranspose2d(16, 8, 2, stride=2), block(16, 8)
        self.head = nn.Conv2d(8, n_classes, 1)

    def forward(self, image):
        fine = self.fine(image)
        coarse = self.up(self.coarse(self.pool(fine)))
        return self.head(self.joined(torch.cat([fine, coarse], dim=1)))
"""


def begin(situation: Situation, places: Places, folder: Path) -> tuple[int, str]:
    """The exit code of a situation's command and all that it said, begun in a folder of its own."""
    here = places.clone(folder / "here") if situation.place == "checkout" else folder / "here"
    for each in (here, folder / "home", folder / "tmp"):
        each.mkdir(exist_ok=True)
    (here / NET).write_text(OWN_NET)
    environment: dict[str, str | None] = {
        "PATH": f"{places.scripts(situation.place)}:/usr/bin:/bin",
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "LANG": "C.UTF-8",
        "CHECKOUT": str(here),
        "OLD_PYTHON": old_python(),
        **situation.environment,
    }
    mine = [
        folder / "home",
        folder / "tmp",
        *([] if situation.locked else [here, *here.rglob("*")]),
    ]
    if situation.ordinary:
        for each in mine:
            os.chown(each, NOBODY, NOBODY)
    how = {
        "cwd": here,
        "env": {name: value for name, value in environment.items() if value is not None},
        **({"user": NOBODY, "group": NOBODY, "extra_groups": []} if situation.ordinary else {}),
    }
    words = ["bash", "-c", situation.command]
    if situation.columns:
        return said_on_a_terminal(words, situation.columns, SECONDS, **how)
    run = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        text=True, errors="backslashreplace", timeout=SECONDS, check=False, **how,
    )  # fmt: skip
    return run.returncode, run.stdout


def why_not(situation: Situation, places: Places) -> str:
    """Why this machine cannot show it; empty if it can."""
    if situation.ordinary and not places.reachable:
        return "this machine has no Python that an ordinary user can start, or is not root's"
    if "$OLD_PYTHON" in situation.command and not old_python():
        return "this machine has no older Python"
    return ""


def seen(name: str, places: Places, scratch: Path) -> Begun:
    """What came of one situation."""
    situation = SITUATIONS[name]
    code, said, reason = None, "", why_not(situation, places)
    if not reason:
        with tempfile.TemporaryDirectory(dir=scratch, ignore_cleanup_errors=True) as folder:
            Path(folder).chmod(0o755)
            code, said = begin(situation, places, Path(folder))
            said = said.replace(folder, "DIR")
    lines = [" ".join(line.split()) for line in said.splitlines() if line.strip()]
    whole = " ".join(lines)
    holds = code == situation.code and situation.says in whole and "Traceback" not in whole
    print(f"{'ok' if holds else reason or 'NOT SO'}: {name}: {code}", file=sys.stderr, flush=True)
    if not holds and not reason:
        print(said, file=sys.stderr, flush=True)
    return Begun(
        situation=name, place=situation.place, command=situation.command, code=code,
        said=lines[-1][-300:] if lines else "", holds=holds, untried=reason,
    )  # fmt: skip


def main(names: Sequence[str]) -> None:
    """Write the record after each situation; those that are not named stay as they are in it."""
    known = {each.situation: each for each in read_first_touch(RECORD).begun} if names else {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        scratch = Path(name)
        scratch.chmod(0o755)
        places = Places.made(scratch)
        for each in names or SITUATIONS:
            known[each] = seen(each, places, scratch)
            begun = tuple(known[name] for name in SITUATIONS if name in known)
            record = FirstTouch(machine=places.machine, begun=begun)
            replace_file(RECORD, record.model_dump_json(indent=1).encode() + b"\n")
    if any(not each.holds and not each.untried for each in known.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
