"""What the zoo records about each of its nets: `Sound` and `Mutant`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, final

from torch import nn

Grade = Literal["defect", "warn"]


@final
@dataclass(frozen=True, kw_only=True)
class Sound:
    """A U-Net without defect, and what is plain about it.

    `size` is the side of a legal square input, a cube where `dimensions` is 3. `expected` holds
    what a reader would say of the net, with keys among depth, padding, skip, upsampling, norm,
    num_classes and base_channels; what is ambiguous is left out. `warns` names what may be
    remarked on but is no defect:

    - "off_grid_silent": a size off the grid runs, and nothing promises that its skips are aligned;
    - "off_grid_crash": such a size fails inside torch, not with a refusal in the net's own words;
    - "half_pixel_drift": some levels lie half a pixel off the grid of the others;
    - "no_skips": the net has none, and does not claim any.
    """

    factory: Callable[[], nn.Module]
    in_channels: int
    size: int
    expected: Mapping[str, object]
    warns: tuple[str, ...] = ()
    dimensions: int = 2


@final
@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A net of `SOUND`, named by `host`, that is broken in one way.

    `fault` is the family of the fault and `why` one sentence on it. `claims` holds what somebody
    says of the net and is not so: without the claim it would be no fault. `level` is "warn" for
    what is worth a remark and may be meant.
    """

    host: str
    factory: Callable[[], nn.Module]
    in_channels: int
    size: int
    fault: str
    why: str
    claims: Mapping[str, str] = field(default_factory=dict)
    level: Grade = "defect"


def broken(
    host: str,
    sound: Sound,
    fault: str,
    part: Callable[..., nn.Module],
    *,
    factory: Callable[[], nn.Module] | None = None,
    claims: Mapping[str, str] | None = None,
    level: Grade = "defect",
    size: int | None = None,
) -> Mutant:
    """The mutant of a sound net in which `part` is wrong; the docstring of `part` says why.

    Without a `factory` the part is the whole net; without a `size` it is the sound net's.
    """
    return Mutant(
        host=host,
        factory=factory or part,
        in_channels=sound.in_channels,
        size=size or sound.size,
        fault=fault,
        why=" ".join((part.__doc__ or "").split()),
        claims=claims or {},
        level=level,
    )


def traits(words: str, **numbers: int) -> dict[str, object]:
    """`Sound.expected` from "padding skip upsampling norm", with "?" for the ambiguous ones.

    >>> traits("valid concat ? none", depth=2)
    {'padding': 'valid', 'skip': 'concat', 'norm': 'none', 'depth': 2}
    """
    names = ("padding", "skip", "upsampling", "norm")
    known = zip(names, words.split(), strict=True)
    return {**{name: word for name, word in known if word != "?"}, **numbers}
