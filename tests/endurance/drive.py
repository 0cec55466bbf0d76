"""`ablations`, with sleepers for workers: python -m tests.endurance.drive run PLAN --out DIR."""

from __future__ import annotations

import os
import random
import sys
import time
from types import SimpleNamespace
from typing import Final

from ablations.__main__ import app
from ablations.storage import leases
from tests.endurance.faulty import Faulty
from unet.refusal import refusals_shown

CLOCK: Final = "DRIVE_CLOCK"
"""The variable that says by how many seconds the driver's clock leaps, forwards or back."""


def leaping() -> float:
    """A time of day that is another one every fifth of a second."""
    leap = float(os.environ[CLOCK])
    return time.time() + random.Random(int(5 * time.time())).uniform(-leap, leap)


def main() -> None:
    """Run the command."""
    if CLOCK in os.environ:
        leases.time = SimpleNamespace(time=leaping)  # type: ignore[assignment]
    sys.argv[0] = "ablations"
    with refusals_shown():
        app(obj=Faulty)


if __name__ == "__main__":
    main()
