"""U-Nets: what they are, what they do to sizes, what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unet.refusal import Refusal
from unet.spec import PAPER, RELEASE, SPECS, TUTORIAL, UNetSpec

if TYPE_CHECKING:
    from unet.model import UNet

__all__ = ["PAPER", "RELEASE", "SPECS", "TUTORIAL", "Refusal", "UNet", "UNetSpec"]


def __getattr__(name: str) -> object:
    # UNet needs torch, which takes seconds to import; the sizes and costs do not.
    if name == "UNet":
        from unet.model import UNet

        return UNet
    raise AttributeError(f"module 'unet' has no attribute {name!r}")
