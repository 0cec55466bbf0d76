"""U-Nets: what they are, what they do to sizes, what they cost."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if sys.version_info < (3, 11):  # noqa: UP036  # pip sees to it, and who installs nothing has no pip
    said = ".".join(map(str, sys.version_info[:3]))
    raise SystemExit(f"error: unet-ablations needs Python 3.11 or newer, and this is {said}")

from unet.refusal import Refusal
from unet.spec import PAPER, RELEASE, SPECS, TUTORIAL, UNetSpec

if TYPE_CHECKING:
    from unet.model import UNet
    from unet.testing import UnsoundUNetError, check_unet, parametrize_with_checks
    from unet.tiling import predict_tiled

__all__ = [
    "PAPER",
    "RELEASE",
    "SPECS",
    "TUTORIAL",
    "Refusal",
    "UNet",
    "UNetSpec",
    "UnsoundUNetError",
    "check_unet",
    "parametrize_with_checks",
    "predict_tiled",
]


def __getattr__(name: str) -> object:
    # These need torch, which takes seconds to import; the sizes and costs do not.
    if name == "UNet":
        from unet.model import UNet

        return UNet
    if name == "predict_tiled":
        from unet.tiling import predict_tiled

        return predict_tiled
    if name in ("UnsoundUNetError", "check_unet", "parametrize_with_checks"):
        from unet import testing

        return getattr(testing, name)
    raise AttributeError(f"module 'unet' has no attribute {name!r}")
