"""What must hold of any U-Net: the table `CHECKS`, one file a family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from unet.checks import activations, alignment, behaviour, counts, paper, sizes, skips, wiring
from unet.checks.finding import Check

CHECKS: Final[Mapping[str, Check]] = {
    **sizes.CHECKS,
    **alignment.CHECKS,
    **skips.CHECKS,
    **wiring.CHECKS,
    **activations.CHECKS,
    **behaviour.CHECKS,
    **counts.CHECKS,
}
"""What must hold of any U-Net."""

PAPER_CHECKS: Final[Mapping[str, Check]] = paper.CHECKS
"""What must hold of the paper's net besides."""
