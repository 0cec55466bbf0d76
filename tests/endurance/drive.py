"""`ablations`, with sleepers for workers: python -m tests.endurance.drive run PLAN --out DIR."""

from __future__ import annotations

from ablations import engines
from ablations.__main__ import main
from tests.endurance import sleeper

if __name__ == "__main__":
    engines._run = sleeper.run
    engines.find_hardware = sleeper.find_hardware
    main()
