"""What a net does on its first test images besides segmenting them: experiments of their own."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ablations.runs.cell import Cell
from ablations.runs.measures import PROBED, Changed, Checkerboard, Measures, Shifts
from ablations.training.hardware import Hardware
from ablations.training.learner import draw, window_logits
from ablations.training.scoring import Tally, decided, period_two
from unet.algebra import size_law
from unet.model import UNet
from unet.skips import center_crop


@torch.inference_mode()
def checkerboard(net: UNet, cell: Cell, hardware: Hardware) -> Tensor:
    """(4,), `scoring.period_two` of the logits, on the device; leaves `net` as it was."""
    training = net.training
    net.eval()
    image = draw(cell, hardware, "test", 0, min(PROBED, cell.training.test_images)).image
    power = period_two(window_logits(net, image, cell, hardware))
    net.train(training)
    return power


@torch.inference_mode()
def shifts(net: UNet, cell: Cell, hardware: Hardware) -> Tensor | None:
    """(3, 2) whole numbers, the fields of `Shifts` in their order, on the device.

    The tiles are of one size, 2^depth pixels smaller than the images, so that only their places
    differ. None where that is no legal size, or leaves no inside.
    """
    apart = 2**cell.spec.depth
    tile, inside = _tile(cell, apart), _inside(cell, apart)
    if inside <= apart or not size_law(tile.spec).is_legal(tile.input_size):
        return None
    net.eval()
    image = draw(cell, hardware, "test", 0, min(PROBED, cell.training.test_images)).image
    here, one, far = (
        decided(window_logits(net, _cut(image, place, tile), tile, hardware), tile)
        for place in (0, 1, apart)
    )
    seam = _differing(here, far, apart)
    central, nearby, distant = (center_crop(each, inside, inside) for each in (here, one, far))
    return torch.stack(
        [
            _counted(_differing(central, nearby, 1)),
            _counted(_differing(central, distant, apart)),
            _counted(seam) - _counted(seam[..., apart:-apart, apart:-apart]),
        ]
    )


def _tile(cell: Cell, apart: int) -> Cell:
    """`cell` for tiles that are so much smaller than its images, and all that it says of them."""
    side = cell.task.size - apart
    tile = replace(cell, task=cell.task.model_copy(update={"size": side, "scored": side}))
    covered = min(side, tile.input_size - size_law(cell.spec).margin)
    return replace(tile, task=tile.task.model_copy(update={"scored": covered}))


def _inside(cell: Cell, apart: int) -> int:
    """The side of what a tile's border does not reach, with and without padding.

    It is what a net without padding covers, less 2^depth + 1 pixels on each side: so much farther
    padding is felt where upsampling interpolates (`reach.padding_ring`).
    """
    margin = size_law(replace(cell.spec, padding="valid")).margin
    return cell.task.size - apart - margin - 2 * (apart + 1)


def _cut(image: Tensor, place: int, tile: Cell) -> Tensor:
    end = place + tile.task.size
    return image[..., place:end, place:end]


def _differing(here: Tensor, there: Tensor, apart: int) -> Tensor:
    """(N, H, W), true where two tiles' decisions differ in some class, in what both cover."""
    return (here[..., apart:, apart:] != there[..., :-apart, :-apart]).any(dim=1)


def _counted(differing: Tensor) -> Tensor:
    """How many pixels there are, and how many of them differ."""
    return torch.stack([torch.ones_like(differing), differing]).sum(dim=(1, 2, 3))


def measures_of(tally: Tally, start: Tensor, moved: Tensor | None) -> Measures:
    """As plain data; waits for the device. `start` is a checkerboard, and `moved` are shifts."""
    pairs = [] if moved is None else [Changed(pixels=n, changed=k) for n, k in moved.tolist()]
    return Measures(
        boundary=tuple(map(tuple, tally.boundary.tolist())),
        confidence=tuple(map(tuple, tally.confidence.tolist())),
        start=_checkerboard(start),
        end=_checkerboard(tally.power),
        shifts=Shifts(**dict(zip(Shifts.model_fields, pairs, strict=True))) if pairs else None,
    )


def _checkerboard(power: Tensor) -> Checkerboard | None:
    if not power.isfinite().all():
        return None
    fields = zip(Checkerboard.model_fields, power.tolist(), strict=True)
    return Checkerboard(**dict(fields))
