"""Whole command lines as hostile inputs: what takes seconds is replaced, all else is real."""

from __future__ import annotations

import io
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import ablations.__main__ as ablations_command
import unet.__main__ as unet_command
import unet.reports as unet_reports
from ablations.pages.bench import measure
from ablations.running.estimate import Estimate
from ablations.running.sweep import Ended, Sweep, tally
from unet.refusal import Refusal

CODES: Final = (0, 1, 2, 3)
"""All is well; it is not; a mistake in what was asked; it could not be done."""

REAL: Final = tuple(
    line.encode()
    for line in (
        "unet sizes --spec paper --set depth=3 --up-to 600",
        "unet trace --spec tutorial --size 64x48 --json",
        "unet cost --spec release --set base_channels=8 --size 572",
        "unet counters --set base_channels=8 --size 188 --json",
        "unet verify net.py:UNet(channels=3) a.b:C --claim padding=valid --in-channels 1 --json",
        "unet verify net.py:UNet --profile paper --timeout 5 --memory 2 --claim unskipped=0,1",
        "unet checks skips_lie_where_they_are_joined --json",
        "ablations plan smoke --seeds 4 --only skip=none --estimate --workers 2 --json",
        "ablations plan quick --power 0.1 --pilot kept --device cpu --precision bfloat16",
        "ablations run smoke --out swept --seeds 1 --shard 1/2 --limit 9 --retry --extend",
        "ablations run smoke --out other --only skip=none --engine ray --address a:1 --json",
        "ablations status kept --json",
        "ablations report kept --json",
        "ablations export kept --to runs.csv",
        "ablations copy kept --to copies/one.db",
        "ablations merge kept/sweep.db --into all.db",
        "ablations explain 0 kept --json",
        "ablations doctor kept --mend",
        "ablations bench algebra --out bench --device cpu",
        "unet --version",
        "ablations --help",
    )
)


class WrongExitCodeError(AssertionError):
    """A code that no command has, or one that does not go with what was said."""


def _not_verified(targets: list[Any], _request: object) -> Iterator[dict[str, Any]]:
    for target in targets:
        yield {"subject": target.text, "verdict": "sound", "inferred": {}, "results": []}


def _ended(sweep: Sweep, _watch: object) -> Ended:
    return Ended(tally(sweep.store, sweep.selection).stored, 0, [], stopped=False)


def _not_measured(*_: object) -> Path:
    raise Refusal("nothing is measured here")


@contextmanager
def nothing_takes_long() -> Iterator[None]:
    """Meanwhile no net is loaded, trained, counted or timed, and no page is written."""
    assert measure is ablations_command.measure
    with ExitStack() as stack:
        for place, name, stand_in in (
            (unet_reports, "reports", _not_verified),
            (unet_command, "count_with_all", lambda *_: {"a tool": 1}),
            (ablations_command, "brought_to_end", _ended),
            (ablations_command, "estimate", lambda *_: Estimate(1.0, 1)),
            (ablations_command, "write_report", lambda _, folder: [folder / "p.md"]),
            (ablations_command, "rebuild", lambda folder: [folder / "p.md"]),
            (ablations_command, "measure", _not_measured),
        ):
            stack.enter_context(patch.object(place, name, stand_in))
        yield


def read_a_command_line(folder: Path, data: bytes) -> None:
    """A whole command; raises `Refusal` with its one line where it is refused."""
    text = data.decode(errors="surrogateescape")
    try:
        program, *words = shlex.split(text)
    except ValueError:
        program, *words = text.split()[:50] or ["unet"]
    # Paths that climb out of it end in the folder of the trial.
    here = folder / "a" / "b" / "c" / "here"
    here.mkdir(parents=True, exist_ok=True)
    if not (here / "kept").exists():
        (here / "kept").symlink_to(folder / "kept")
    command = ablations_command if "abl" in program else unet_command
    code, out, error = _run(command, words, here)
    if code not in CODES:
        raise WrongExitCodeError(f"{words}: {code}")
    if code and not out + error:
        raise WrongExitCodeError(f"{words}: {code}, and not a word")
    if "Traceback" in error:
        raise WrongExitCodeError(f"{words}: {error}")
    if code == 2:
        raise Refusal(error.strip().splitlines()[-1])


def _run(command: Any, words: list[str], here: Path) -> tuple[int, str, str]:  # noqa: ANN401
    out, error, before = io.StringIO(), io.StringIO(), Path.cwd()
    os.chdir(here)
    try:
        with (
            nothing_takes_long(), redirect_stdout(out), redirect_stderr(error),
            patch.object(sys, "argv", ["program", *words]),
        ):  # fmt: skip
            command.main()
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
        return code, out.getvalue(), error.getvalue()
    finally:
        os.chdir(before)
    return 0, out.getvalue(), error.getvalue()
