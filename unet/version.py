"""Which version of this package runs: the installed one, or what the checkout says of itself."""

from __future__ import annotations

import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final

PACKAGE: Final = "unet-ablations"

UNKNOWN: Final = "0+unknown"
"""The version of code that is neither installed nor in a checkout with git at hand."""


@cache
def version() -> str:
    """`0.1.0` where the package is installed, `0+g1a2b3c4` in a checkout, else `0+unknown`."""
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return _version_of_checkout(Path(__file__).resolve().parent.parent)


def _version_of_checkout(folder: Path) -> str:
    """What git says of the commit; of a folder that is no checkout's root nothing is known.

    A copy of the package within somebody else's repository is none of its commits.
    """
    if not (folder / ".git").exists():
        return UNKNOWN
    words = ("git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=7")
    try:
        said = subprocess.run(  # noqa: S603  # the words are ours, and git is where it is
            words, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN
    return f"0+g{said.replace('-', '.')}" if said else UNKNOWN
