"""What a U-Net is: the frozen `UNetSpec`, and three nets that people mean by the word."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Final, final

from unet.activations import ACTIVATIONS
from unet.downsamplings import DOWNSAMPLINGS
from unet.inits import INITS
from unet.norms import NORMS
from unet.paddings import PADDINGS
from unet.refusal import Refusal, did_you_mean, require_choice, shown
from unet.skips import SKIPS
from unet.upsampling import UPSAMPLINGS

CHOICES: Final[Mapping[str, Mapping[str, object]]] = {
    "padding": PADDINGS,
    "skip": SKIPS,
    "upsampling": UPSAMPLINGS,
    "downsampling": DOWNSAMPLINGS,
    "norm": NORMS,
    "activation": ACTIVATIONS,
    "init": INITS,
}

WIDEST: Final = 65_536
"""Channels at most, at level 0: far beyond any net, and far below what overflows."""

DEEPEST: Final = 16
"""Poolings at most: beyond this even the smallest valid input has more than 10^10 pixels."""


@final
@dataclass(frozen=True, kw_only=True)
class UNetSpec:
    """Everything that distinguishes one U-Net from another; the defaults are the paper's net.

    Ronneberger, Fischer and Brox 2015, arXiv 1505.04597, section 2 and figure 1.

    - `depth`: number of poolings; levels run from 0 (full resolution) to `depth` (bottleneck).
    - `base_channels`: channels at level 0; each level below has twice as many.
    - `unskipped`: the levels, 0 the topmost, that the skip leaves out (Wilm et al. 2024 drop the
      topmost); at least one level keeps it.
    - `residual`: whether what enters a block is added before its last activation (He et al.
      2016): cropped to the centre, and through a 1x1 convolution where the channels differ.
    - `up_relu`: whether the activation, a ReLU in the release, follows each upsampling.
    - `up_keeps_channels`: the levels whose upsampling keeps the channels of the level below
      instead of halving them.
    - `dropout_levels`: how many levels, counted from the bottleneck up, end in dropout of
      probability `dropout`; a skip taken at such a level carries the dropout.

    Raises `Refusal` (a ValueError) for a value that no U-Net can have.

    >>> UNetSpec().channels(4)
    1024
    >>> UNetSpec(skip="sum")
    Traceback (most recent call last):
    unet.refusal.Refusal: skip 'sum' is not one of concat, add, attention, none
    """

    in_channels: int = 1
    num_classes: int = 2
    base_channels: int = 64
    depth: int = 4
    padding: str = "valid"
    skip: str = "concat"
    unskipped: tuple[int, ...] = ()
    upsampling: str = "transposed"
    downsampling: str = "max"
    norm: str = "none"
    activation: str = "relu"
    residual: bool = False
    up_relu: bool = False
    up_keeps_channels: tuple[int, ...] = ()
    dropout_levels: int = 1
    dropout: float = 0.5
    init: str = "he"

    def __post_init__(self) -> None:
        for name, table in CHOICES.items():
            require_choice(name, getattr(self, name), table)
        for name in ("in_channels", "num_classes", "base_channels"):
            _require_integer(name, getattr(self, name), least=1, most=WIDEST)
        _require_integer("depth", self.depth, least=1, most=DEEPEST)
        _require_integer("dropout_levels", self.dropout_levels, least=0, most=self.depth + 1)
        for name in ("up_relu", "residual"):
            if type(getattr(self, name)) is not bool:
                given = shown(getattr(self, name))
                raise Refusal(f"{name} {given} is not true or false", field=name)
        if type(self.dropout) not in (int, float) or not 0 <= self.dropout < 1:
            raise Refusal(
                f"dropout {shown(self.dropout)} is not a probability from 0 to below 1",
                field="dropout",
            )
        # A TOML file may say 0 for 0.0; both must be one spec, with one key.
        object.__setattr__(self, "dropout", float(self.dropout))
        for name in ("up_keeps_channels", "unskipped"):
            # Nor do an order and repetitions make another spec.
            object.__setattr__(self, name, self._levels(name))
        self._require_joins()

    def _levels(self, name: str) -> tuple[int, ...]:
        levels = getattr(self, name)
        if type(levels) is not tuple:
            raise Refusal(f"{name} {shown(levels)} is not a tuple of levels", field=name)
        for level in levels:
            _require_integer(name, level, least=0, most=self.depth - 1)
        return tuple(sorted(set(levels)))

    def _require_joins(self) -> None:
        if self.unskipped and not SKIPS[self.skip].uses_skip:
            raise Refusal(
                f"skip {self.skip!r} leaves out every level, so unskipped "
                f"{shown(self.unskipped)} must be empty",
                field="unskipped",
            )
        if len(self.unskipped) == self.depth:
            raise Refusal(
                f"unskipped {shown(self.unskipped)} leaves out every level: that is skip 'none'",
                field="unskipped",
            )
        if SKIPS[self.skip].same_channels and self.up_keeps_channels:
            raise Refusal(
                f"skip {self.skip!r} needs equal channels on both sides, so "
                f"up_keeps_channels {shown(self.up_keeps_channels)} must be empty",
                field="up_keeps_channels",
            )

    def channels(self, level: int) -> int:
        """Channels of the blocks at `level`: doubled by every pooling."""
        return self.base_channels << level

    def skip_at(self, level: int) -> str:
        """The name in `SKIPS` of the join at `level`: `skip`, or none where it is left out."""
        return "none" if level in self.unskipped else self.skip

    def upsampled_channels(self, level: int) -> int:
        """Channels that the upsampling from `level` + 1 hands to the join at `level`."""
        return self.channels(level + 1 if level in self.up_keeps_channels else level)

    def drops_out(self, level: int) -> bool:
        """Whether the contracting block at `level` ends in dropout."""
        return level > self.depth - self.dropout_levels


def _require_integer(name: str, value: object, *, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise Refusal(
            f"{name} {shown(value)} is not a whole number from {least} to {most}", field=name
        )


PAPER: Final = UNetSpec()
"""The net of the paper's text and figure 1: 572 -> 388, 31,030,658 parameters.

"Drop-out layers at the end of the contracting path" (section 3.1) names neither place nor
probability: here one layer of 0.5 after the bottleneck."""

RELEASE: Final = UNetSpec(up_relu=True, up_keeps_channels=(0,), dropout_levels=2)
"""The net that the authors published with the paper: the Caffe definition phseg_v5, 2015-10-02.

It has a ReLU after each up-convolution, dropout at levels 3 and 4, and a last up-convolution
that keeps its 128 channels: 572 -> 388, 31,100,354 parameters."""

TUTORIAL: Final = UNetSpec(in_channels=3, padding="zeros", dropout_levels=0, init="torch")
"""The widely read PyTorch recipe: RGB input and padding=1, so the output has the input's size.

The recipe leaves the number of classes open; use `dataclasses.replace` for other than 2."""

SPECS: Final[Mapping[str, UNetSpec]] = {"paper": PAPER, "release": RELEASE, "tutorial": TUTORIAL}

SPEC_FIELDS: Final[tuple[str, ...]] = tuple(field.name for field in fields(UNetSpec))


def spec_with(base: UNetSpec, values: Mapping[str, object]) -> UNetSpec:
    """`base` with some fields replaced by plain data, as a TOML or JSON file has them.

    Raises `Refusal` for a field that there is not, or a value that the field cannot have.

    >>> spec_with(PAPER, {"depth": 2, "up_keeps_channels": [0]}).up_keeps_channels
    (0,)
    """
    for name in values:
        if name not in SPEC_FIELDS:
            raise Refusal(
                f"{shown(name)} is not a field of a spec; those are {', '.join(SPEC_FIELDS)}"
                f"{did_you_mean(name, SPEC_FIELDS)}",
                field=name,
            )
    plain = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    return replace(base, **plain)  # type: ignore[arg-type]  # __post_init__ checks each type


def read_value(text: str) -> object:
    """What was written for a value: a number, true, false or a list as in TOML, else a name.

    >>> read_value("[0, 1]"), read_value("true"), read_value("valid")
    ([0, 1], True, 'valid')
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text
