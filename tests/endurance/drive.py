"""`ablations`, with sleepers for workers: python -m tests.endurance.drive run PLAN --out DIR."""

from __future__ import annotations

from ablations.__main__ import app
from tests.endurance.sleeper import Sleeper
from unet.refusal import refusals_shown

if __name__ == "__main__":
    with refusals_shown():
        app(obj=Sleeper)
