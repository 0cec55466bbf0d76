"""What a trained net does on the test images: counts, and one example to look at."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ablations.runs.cell import Cell
from ablations.runs.measures import CONFIDENCE_BINS, CONFIDENCE_UNIT, PROBED
from ablations.runs.records import Example, Picture
from ablations.tasks.shapes import TASKS
from ablations.training.hardware import Hardware
from ablations.training.learner import draw, one_hot, window_logits
from unet.model import UNet

BANDS: Final = (0, 2, 4, 8, 16)
"""Distances to the edge of the scored window, in pixels, at which the bands of counts begin."""

TEST_BATCH: Final = PROBED
"""Images that are tested at once: the first of them are those that are looked at more closely."""


class Tally(NamedTuple):
    """Sums over the test images, on the device.

    `counts` is (bands, classes, 3) as `Record` describes it; `boundary` (classes, 4) and
    `confidence` (bins, 3) are as in `Measures`. `power` (4,) is `period_two` of the first images,
    the fields of a `Checkerboard` in their order.
    """

    counts: Tensor
    boundary: Tensor
    confidence: Tensor
    power: Tensor


def decided(logits: Tensor, cell: Cell) -> Tensor:
    """The prediction as booleans (N, classes, H, W)."""
    exclusive = TASKS[cell.task.name].exclusive
    return one_hot(logits.argmax(dim=1), logits.shape[1]) if exclusive else logits > 0


def truth(target: Tensor, cell: Cell) -> Tensor:
    """The masks as booleans (N, classes, H, W)."""
    return one_hot(target, cell.spec.num_classes) if target.dim() == 3 else target > 0


@torch.inference_mode()
def count_test_images(net: UNet, cell: Cell, hardware: Hardware) -> Tally:
    """What the net gets right and wrong in all test images, and how sure it is."""
    band = _band_masks(cell.task.scored, hardware.device)
    parts: list[Tally] = []
    net.eval()
    for start in range(0, cell.training.test_images, TEST_BATCH):
        count = min(TEST_BATCH, cell.training.test_images - start)
        batch = draw(cell, hardware, "test", start, count)
        logits = window_logits(net, batch.image, cell, hardware)
        predicted, true = decided(logits, cell), truth(batch.target, cell)
        outcomes = torch.stack([predicted & true, predicted & ~true, ~predicted & true])
        by_band = outcomes.sum(dim=1).flatten(start_dim=2).double() @ band
        parts.append(
            Tally(
                counts=by_band.round().long().permute(2, 1, 0),
                boundary=boundary_counts(predicted, true),
                confidence=confidence_counts(logits, true, cell),
                power=period_two(logits if start == 0 else logits[:0]),
            )
        )
    return Tally(*(torch.stack(each).sum(dim=0) for each in zip(*parts, strict=True)))


def boundary_counts(predicted: Tensor, true: Tensor) -> Tensor:
    """(classes, 4), as in `Measures`, of masks (N, classes, H, W), with a tolerance of 1 pixel.

    A boundary pixel of a mask is one with a neighbour above, below, left or right that is outside
    of the mask; beyond the edge of the window nothing is known, so it makes no boundary.
    """
    found, real = _boundary(predicted), _boundary(true)
    each = [found, found & _grown(real), real, real & _grown(found)]
    return torch.stack([part.sum(dim=(0, 2, 3)) for part in each], dim=1)


def _boundary(mask: Tensor) -> Tensor:
    return mask & _grown(~mask)


def _grown(mask: Tensor) -> Tensor:
    """The mask and the pixels at distance 1 of it."""
    grown = mask.clone()
    for here, there in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
        grown[..., here, :] |= mask[..., there, :]
        grown[..., here] |= mask[..., there]
    return grown


def period_two(maps: Tensor) -> Tensor:
    """Power of maps (N, C, H, W) that alternates along rows, along columns, along both, and all.

    (4,) in float64, summed over maps: the squared discrete Fourier coefficients at the frequencies
    (1/2, 0), (0, 1/2) and (1/2, 1/2), and those of all frequencies but 0, divided by H W. The last
    row and column of an odd side are left out, since such a side has no frequency 1/2.
    """
    height, width = (side - side % 2 for side in maps.shape[-2:])
    maps = maps[..., :height, :width].double()
    maps = maps - maps.mean(dim=(-2, -1), keepdim=True)
    down, along = (1 - 2 * (torch.arange(n, device=maps.device) % 2) for n in (height, width))
    patterns = torch.stack(
        [down[:, None].expand(height, width), along.expand(height, width), down[:, None] * along]
    )
    at_two = (maps.flatten(0, 1).flatten(1) @ patterns.double().flatten(1).T).square().sum(dim=0)
    return torch.cat([at_two / (height * width), maps.square().sum().view(1)])


def confidence_counts(logits: Tensor, true: Tensor, cell: Cell) -> Tensor:
    """(bins, 3), as in `Measures`: of the class of each pixel, or of each overlapping class."""
    if TASKS[cell.task.name].exclusive:
        confidence, decision = logits.softmax(dim=1).max(dim=1)
        right = true.gather(1, decision[:, None])[:, 0]
    else:
        confidence = logits.abs().sigmoid()
        right = (logits > 0) == true
    # A net that overflows has no confidence.
    units = (confidence.nan_to_num(0) * CONFIDENCE_UNIT).round().long().flatten()
    place = (units * CONFIDENCE_BINS // CONFIDENCE_UNIT).clamp(max=CONFIDENCE_BINS - 1)
    each = torch.stack([torch.ones_like(units), units, right.long().flatten()], dim=1)
    return each.new_zeros(CONFIDENCE_BINS, 3).index_add_(0, place, each)


def _band_masks(side: int, device: str) -> Tensor:
    """(side * side, bands): 1 where a pixel's distance to the window's edge is in the band."""
    line = torch.arange(side, device=device)
    inward = line.minimum(side - 1 - line)
    distance = inward[:, None].minimum(inward).flatten()
    band = torch.bucketize(distance, torch.tensor(BANDS, device=device), right=True) - 1
    # Double counts pixels exactly up to 2^53, and unlike integers has a matrix product on a GPU.
    return functional.one_hot(band, len(BANDS)).double()


@torch.inference_mode()
def example(net: UNet, cell: Cell, hardware: Hardware) -> Example:
    """The first test image, its mask and the prediction."""
    batch = draw(cell, hardware, "test", 0, 1)
    predicted = decided(window_logits(net, batch.image, cell, hardware), cell)
    true = truth(batch.target, cell)
    weight = torch.arange(predicted.shape[1], device=predicted.device).view(-1, 1, 1)
    if not TASKS[cell.task.name].exclusive:
        weight = 2**weight
    image = (batch.image[0].clamp(0, 1) * 255).round().permute(1, 2, 0).squeeze(-1)
    return Example(
        image=_picture(image),
        mask=_picture((true[0] * weight).sum(dim=0)),
        prediction=_picture((predicted[0] * weight).sum(dim=0)),
    )


def _picture(pixels: Tensor) -> Picture:
    return Picture.of(pixels.to(device="cpu", dtype=torch.uint8).numpy())
