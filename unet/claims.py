"""What may be claimed of a net: `CLAIMS`, by the names under which verification describes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from unet.paddings import PADDINGS
from unet.refusal import Refusal, require_choice, shown
from unet.upsampling import UPSAMPLINGS

NUMBER: Final = re.compile(r"\d+", re.ASCII)
"""What is written for a count; a net of which it is not known answers `None`."""

CLAIMS: Final[Mapping[str, tuple[str, ...] | re.Pattern[str]]] = {
    "in_channels": NUMBER,
    "further_inputs": re.compile(r"\{.*\}"),
    "num_classes": NUMBER,
    "depth": NUMBER,
    "padding": (*PADDINGS, "mixed"),
    "skip": ("concat", "add", "attention", "none", "mixed"),
    "unskipped": re.compile(r"none|\d+(,\d+)*", re.ASCII),
    "upsampling": (
        *UPSAMPLINGS, "trilinear", "trilinear_corners", "bicubic", "bicubic_corners", "unpooling",
        "none", "mixed",
    ),
    "norm": ("batch", "instance", "group", "layer", "none", "mixed"),
    "base_channels": NUMBER,
    "kernel": re.compile(r"\d+(x\d+)+|mixed", re.ASCII),
    "parameters": NUMBER,
    "macs": NUMBER,
    "macs_at": re.compile(r"\[\d+(, \d+)*\]", re.ASCII),
    "final_activation": re.compile(r"\w+"),
    "legal_sizes": re.compile(r"any|\d+ \+ \d+k", re.ASCII),
    "margin": re.compile(r"-?\d+", re.ASCII),
    "off_grid": ("accepts", "shrinks", "refuses"),
    "receptive_field": re.compile(r"\[\d+(, \d+)*\]|the whole image", re.ASCII),
}  # fmt: skip
"""Each name with its legal values, or the pattern of one. What stays unknown is no claim."""

EXAMPLES: Final = "padding=valid, depth=4, unskipped=0,1, kernel=3x3 or legal_sizes='0 + 16k'"


def require_claims(claims: Mapping[str, object]) -> None:
    """Refuse a claim about what is not described, or of a value that no net could have.

    >>> require_claims({"pad": "valid"})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    unet.refusal.Refusal: claim 'pad' is not one of in_channels, ...; did you mean 'padding'?
    """
    for name, value in claims.items():
        require_choice("claim", name, CLAIMS)
        legal = CLAIMS[name]
        if isinstance(legal, tuple):
            require_choice(f"claim {name} =", value, legal)
        elif not legal.fullmatch(str(value)):
            raise Refusal(
                f"claim {name} = {shown(value)} is no such value; claims are written as {EXAMPLES}"
            )
