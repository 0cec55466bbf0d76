"""Where the package comes from: a clone, a clone that is installed, or a wheel."""

from __future__ import annotations

import functools
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, final

from tests.samples import ROOT

NOBODY: Final = 65534
"""The user and group that have no rights of their own."""


def run(*words: str | Path) -> None:
    """Run a command that must work, and say nothing."""
    subprocess.run(list(map(str, words)), check=True, stdout=subprocess.DEVNULL)


def is_reachable(path: Path) -> bool:
    """Whether any user may go along the folders above a file."""
    return all(each.stat().st_mode & 0o001 for each in path.resolve().parents)


def base_python() -> str:
    """This Python, or the system's of the same version if any user can start only that."""
    system = Path("/usr/bin/python3")
    same = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if is_reachable(Path(sys.executable)) or system.resolve().name != same:
        return sys.executable
    return str(system)


@functools.cache
def old_python() -> str:
    """A Python before 3.11, or nothing."""
    beside = sorted(Path(sys.base_prefix).parent.glob("3.10*/bin/python3.10"))
    for each in (shutil.which("python3.10"), *map(str, beside)):
        if (
            each
            and subprocess.run([each, "-c", ""], capture_output=True, check=False).returncode == 0
        ):
            return each
    return ""


@final
@dataclass(frozen=True)
class Places:
    """A clone of what is committed, and an environment for each place, in `scratch`."""

    scratch: Path
    reachable: bool

    @classmethod
    def made(cls, scratch: Path) -> Self:
        """Make them: what the package needs is that of the environment which this runs in."""
        python = base_python()
        needed = Path(sysconfig.get_path("purelib"))
        is_root = hasattr(os, "geteuid") and os.geteuid() == 0
        reachable = is_root and all(
            map(is_reachable, (Path(python), needed / "torch", scratch / "x"))
        )
        places = cls(scratch, reachable)
        editable = places.clone(scratch / "installed")
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
        run(*pip, "wheel", "--no-deps", "--wheel-dir", scratch / "wheels", editable)
        (wheel,) = (scratch / "wheels").glob("*.whl")
        for place, package in (
            ("checkout", ()),
            ("editable", ("--editable", editable)),
            ("wheel", (wheel,)),
        ):
            folder = scratch / place
            run(python, "-m", "venv", "--without-pip", folder)
            (site,) = folder.glob("lib/python*/site-packages")
            (site / "needed.pth").write_text(f"{needed}\n")
            if package:
                run(*pip, "--python", folder / "bin" / "python", "install", "--no-deps", *package)
        return places

    def clone(self, folder: Path) -> Path:
        """A fresh clone of what is committed."""
        run("git", "clone", "--quiet", "--no-hardlinks", ROOT, folder)
        return folder

    def scripts(self, place: str) -> Path:
        """The folder of a place's `python`."""
        return self.scratch / place / "bin"

    @property
    def machine(self) -> str:
        """Where this runs, in a few words."""
        return f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
