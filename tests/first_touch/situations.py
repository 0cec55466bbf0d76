"""Situations in which somebody may begin, each with the exit code and the words it must come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, final

NET: Final = "net.py"
"""A small U-Net of a newcomer's own, in the folder of every situation."""

SMOKE: Final = "python -m ablations run smoke --out sweep"
TRAINED: Final = "report: sweep/smoke.md"
VERIFY: Final = f"python -m unet verify {NET}:Net"
SOUND: Final = "checks hold"
SIZES: Final = "python -m unet sizes"
LARGEST: Final = "836"


@final
@dataclass(frozen=True, kw_only=True)
class Situation:
    """A shell command in a place, and what it must come to.

    `place` is where the package comes from: `checkout` is a fresh clone that is not installed,
    `editable` one that is, `wheel` an empty folder with the package installed. `environment` adds
    variables, or takes away those that are None. `ordinary` begins it as a user who is not root,
    in a folder of root's if it is `locked`; `columns` are those of a terminal, if it has one.
    """

    command: str
    says: str
    code: int = 0
    place: str = "wheel"
    environment: Mapping[str, str | None] = field(default_factory=dict)
    ordinary: bool = False
    locked: bool = False
    columns: int = 0


PLACES: Final = {
    "checkout": "a clone that is not installed",
    "editable": "a clone that is installed",
    "wheel": "a wheel",
}


def _in_each_place(name: str, command: str, says: str) -> dict[str, Situation]:
    return {
        f"{name}, {told}": Situation(command=command, says=says, place=place)
        for place, told in PLACES.items()
    }


FULL: Final = "No space left on device"

SITUATIONS: Final[Mapping[str, Situation]] = {
    **_in_each_place("version", "python -m unet --version", "unet-ablations 0"),
    **_in_each_place("legal sizes", SIZES, LARGEST),
    **_in_each_place("an own net", VERIFY, SOUND),
    **_in_each_place("a sweep", SMOKE, TRAINED),
    **_in_each_place(
        "what it would take", "python -m ablations plan smoke --estimate", "of records"
    ),
    **_in_each_place(
        "a run explained",
        f"{SMOKE} && python -m ablations explain d1d5fc7f sweep",
        "figures/smoke.png",
    ),
    "the scripts beside python -m": Situation(
        command=f"unet sizes && ablations plan quick && unet verify {NET}:Net", says=SOUND
    ),
    "a run of a committed report": Situation(
        command="python -m ablations explain 03ceb2944f", says="shapes", place="checkout"
    ),
    "the same outside a checkout": Situation(
        command="python -m ablations explain 03ceb2944f",
        says="give the folder that `run` wrote",
        code=2,
    ),
    "a sweep that is gone on with": Situation(
        command=f"{SMOKE} --only skip=none && {SMOKE}", says=TRAINED
    ),
    "a copy of a store, and a report of it": Situation(
        command=f"{SMOKE} && mkdir kept && python -m ablations copy sweep --to kept/sweep.db"
        " && python -m ablations report kept",
        says="kept/smoke.md",
    ),
    "an ordinary user": Situation(command=SMOKE, says=TRAINED, ordinary=True),
    "an ordinary user's own net": Situation(command=VERIFY, says=SOUND, ordinary=True),
    "an ordinary user in a checkout of root's": Situation(
        command="python -m ablations run smoke --out $TMPDIR/sweep",
        says="sweep/smoke.md",
        place="checkout",
        ordinary=True,
        locked=True,
    ),
    "a net in a folder that cannot be written to": Situation(
        command=VERIFY, says=SOUND, ordinary=True, locked=True
    ),
    "a sweep into such a folder": Situation(
        command=SMOKE,
        says="error: sweep/sweep.db: Permission denied",
        code=3,
        ordinary=True,
        locked=True,
    ),
    "HOME not set": Situation(command=SMOKE, says=TRAINED, environment={"HOME": None}),
    "HOME not set, an own net": Situation(command=VERIFY, says=SOUND, environment={"HOME": None}),
    "HOME that is not there": Situation(
        command=f"{SMOKE} && {VERIFY}",
        says=SOUND,
        environment={"HOME": "/nowhere/at/all"},
        ordinary=True,
    ),
    "no terminal and no input": Situation(command=f"{SMOKE} <&-", says=TRAINED),
    "a terminal of 80 columns": Situation(command=f"{SIZES} && {VERIFY}", says=SOUND, columns=80),
    "a terminal of 40 columns": Situation(
        command=f"python -m unet trace && {VERIFY}", says=SOUND, columns=40
    ),
    "a sweep on a terminal of 40 columns": Situation(
        command=SMOKE, says=TRAINED, environment={"TERM": "xterm"}, columns=40
    ),
    "a dumb terminal": Situation(
        command=SMOKE, says=TRAINED, environment={"TERM": "dumb"}, columns=80
    ),
    "help on a terminal of 40 columns": Situation(
        command="python -m ablations run --help", says="run smoke", columns=40
    ),
    "LC_ALL=C": Situation(
        command=f"{SMOKE} && {VERIFY}", says=SOUND, environment={"LC_ALL": "C", "PYTHONUTF8": "0"}
    ),
    "output in ASCII": Situation(
        command=VERIFY, says=SOUND, environment={"PYTHONIOENCODING": "ascii"}
    ),
    "a folder with blanks and umlauts": Situation(
        command=f"mkdir 'a Földer' && cp {NET} a* && cd a* && {SMOKE} && {VERIFY}",
        says=SOUND,
    ),
    "all warnings are errors": Situation(
        command=f"{SIZES} && python -m ablations plan smoke",
        says="multiply-adds of training",
        environment={"PYTHONWARNINGS": "error"},
    ),
    "python -O": Situation(command="python -O -m ablations run smoke --out sweep", says=TRAINED),
    "a umask that lets nobody else read": Situation(command=f"umask 077 && {SMOKE}", says=TRAINED),
    "one core": Situation(command=f"taskset -c 0 {SMOKE}", says=TRAINED),
    "OMP_NUM_THREADS=7": Situation(
        command=SMOKE, says=TRAINED, environment={"OMP_NUM_THREADS": "7"}
    ),
    "a backend of matplotlib that is not there": Situation(
        command=SMOKE, says=TRAINED, environment={"MPLBACKEND": "nonsense"}
    ),
    "a matplotlibrc of the user's": Situation(
        command=f"printf 'figure.dpi: 9\\nfont.size: 40\\n' > matplotlibrc && {SMOKE}", says=TRAINED
    ),
    "a package unet in the folder": Situation(
        command=f"mkdir unet && cp {NET} unet && >unet/__init__.py && unet verify unet.net:Net",
        says=SOUND,
    ),
    "a full disk behind the output": Situation(command=f"{SIZES} > /dev/full", says=FULL, code=3),
    "no output at all": Situation(command=f"{SIZES} >&- && echo fine", says="fine"),
    "a reader that leaves": Situation(command=f"{SIZES} --up-to 900000 | head -1", says="output"),
    "few files": Situation(command=f"ulimit -n 20 && {SMOKE}", says="Too many open files", code=3),
    "a folder that was removed": Situation(
        command=f"mkdir gone && cd gone && rmdir ../gone && {SIZES}", says=LARGEST
    ),
    "an own net in a folder that was removed": Situation(
        command="mkdir gone && cd gone && rmdir ../gone && python -m unet verify nothing:Net",
        says="the current folder was removed",
        code=2,
    ),
    "a GPU that is not there": Situation(
        command=f"{SMOKE} --device cuda", says="torch finds no GPU on this machine", code=2
    ),
    "convolutions in bfloat16": Situation(command=f"{SMOKE} --precision bfloat16", says=TRAINED),
    "a mistyped command": Situation(
        command="python -m ablations rum smoke", says="Did you mean 'run'?", code=2
    ),
    "a mistyped plan": Situation(
        command="python -m ablations plan smoek", says="did you mean 'smoke'?", code=2
    ),
    "a mistyped claim": Situation(
        command=f"{VERIFY} --claim pading=zeros", says="did you mean 'padding'?", code=2
    ),
    "a mistyped option": Situation(
        command="python -m ablations run smoke --ot sweep", says="No such option", code=2
    ),
    "a net that is not there": Situation(
        command="python -m unet verify nets.py:Net", says="there is no file nets.py", code=2
    ),
    "a class that is not there": Situation(
        command=f"python -m unet verify {NET}:Nett", says="its nets are Net", code=2
    ),
    "a net that raises": Situation(
        command="echo 'raise RuntimeError(7)' > bad.py && python -m unet verify bad.py:Net",
        says="RuntimeError: 7",
        code=3,
    ),
    "a net that ends its process": Situation(
        command="echo 'import os; os._exit(0)' > bad.py && python -m unet verify bad.py:Net",
        says="exited with code 0 before it was verified",
        code=3,
    ),
    "a net that never ends": Situation(
        command="echo 'while True: pass' > bad.py && python -m unet verify bad.py:Net --timeout 3",
        says="did not finish within 3 s",
        code=3,
    ),
    "a Python that is too old": Situation(
        command="cd $CHECKOUT && $OLD_PYTHON -m unet sizes",
        says="needs Python 3.11 or newer",
        code=1,
        place="checkout",
    ),
}
"""By what is unusual about each."""
