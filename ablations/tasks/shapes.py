"""Synthetic images of shapes with their masks: the table `TASKS`.

A sample is a pure function of (seed, split, index): the same on every machine and device,
whatever batch it is drawn in. All geometry and noise is integer arithmetic on hashed
counters, and a whole batch is drawn at once on the device where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, final

from ablations.tasks.painters import border, crowded, labels, objects, position, texture, thin
from ablations.tasks.painters.randomness import grey_noise, random_bits, whole
from ablations.tasks.painters.raster import Painted

if TYPE_CHECKING:
    from torch import Tensor

SPLITS: Final[Mapping[str, int]] = {"train": 0, "test": 1, "validation": 2}
"""Independent streams of images."""


class Batch(NamedTuple):
    """Images (N, channels, S, S), float32 in about [0, 1], and their targets.

    `target` is (N, S, S) int64 class indices where classes exclude each other, else
    (N, classes, S, S) uint8 zeros and ones.
    """

    image: Tensor
    target: Tensor


class Look(NamedTuple):
    """How images look, wherever their objects are.

    `noise` is the standard deviation of the grey noise, where white is 1; `contrast` scales how far
    greys are from the ground's; `difficulty`, from 0 to 1, is for tasks that have such a dial.
    """

    noise: float = 0.0
    contrast: float = 1.0
    difficulty: float = 0.0


PLAIN: Final = Look()
"""Without noise."""


@final
@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be segmented.

    `classes` names the output channels; `exclusive` says that each pixel has exactly one,
    the first being the background. `draws` is how many random numbers `paint` takes, before the
    size and, where the task has a `dial`, its difficulty; `dial` says what that does.
    """

    summary: str
    in_channels: int
    classes: tuple[str, ...]
    exclusive: bool
    draws: int
    paint: Callable[..., Painted]
    dial: str = ""

    @property
    def scored_classes(self) -> tuple[str, ...]:
        """The classes that a score averages over: all but the background."""
        return self.classes[1:] if self.exclusive else self.classes

    def sample(
        self, *, seed: int, split: str, index: Tensor, size: int, look: Look = PLAIN
    ) -> Batch:
        """The samples of `index` (N,), on its device, `size` pixels a side."""
        number = whole(random_bits(seed, SPLITS[split], index, self.draws))
        dials = (look.difficulty,) if self.dial else ()
        painted = self.paint(number, size, *dials)
        # Products round alike on every device; quotients do not.
        image = _contrasted(painted, look.contrast).mul_(1 / 255)
        if look.noise:
            image = image + grey_noise(seed, SPLITS[split], index, size).mul_(look.noise)
        return Batch(image.expand(-1, self.in_channels, -1, -1), painted.target)


def _contrasted(painted: Painted, contrast: float) -> Tensor:
    if contrast == 1:
        return painted.image.float()
    return (painted.image.long() - painted.ground).float().mul_(contrast).add_(painted.ground)


TASKS: Final[Mapping[str, Task]] = {
    "labels": Task(
        summary="triangles, circles, squares and crosses in noisy grey, one label for each pixel",
        in_channels=1,
        classes=("ground", "triangle", "circle", "square", "cross"),
        exclusive=True,
        draws=labels.DRAWS,
        paint=labels.paint,
    ),
    "objects": Task(
        summary="the tutorial's six kinds of object in white, one mask for each kind",
        in_channels=3,
        classes=tuple(objects.KINDS),
        exclusive=False,
        draws=objects.DRAWS,
        paint=objects.paint,
    ),
    "thin": Task(
        summary="curves 1 to 3 pixels wide over discs of any grey",
        in_channels=1,
        classes=("ground", "line"),
        exclusive=True,
        draws=thin.DRAWS,
        paint=thin.paint,
    ),
    "texture": Task(
        summary="discs that differ from the ground in texture only",
        in_channels=1,
        classes=("ground", "object"),
        exclusive=True,
        draws=texture.DRAWS,
        paint=texture.paint,
        dial="the share of pixels whose texture is drawn by lot, on both sides alike",
    ),
    "border": Task(
        summary="triangles, circles, squares and crosses at and across the edge of the image",
        in_channels=1,
        classes=("ground", "triangle", "circle", "square", "cross"),
        exclusive=True,
        draws=border.DRAWS,
        paint=border.paint,
    ),
    "position": Task(
        summary="equal discs, labelled by the half of the image that their centre is in",
        in_channels=1,
        classes=("ground", "left", "right"),
        exclusive=True,
        draws=position.DRAWS,
        paint=position.paint,
    ),
    "crowded": Task(
        summary="cells of like greys, one over another, with a gap of one pixel between them",
        in_channels=1,
        classes=("ground", "cell"),
        exclusive=True,
        draws=crowded.DRAWS,
        paint=crowded.paint,
    ),
}
