"""Cross-entropy plus soft Dice, where each pixel has one class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ablations.compiled import kernel

Maps = NDArray[np.float32]
"""A number for each image, class and pixel, (N, C, P)."""

Labels = NDArray[np.int64]
"""The class of each pixel, (N, P)."""

Sums = NDArray[np.float64]
"""A number for each class, (C,)."""


@kernel
def entropy_and_dice(
    chance: Maps, logarithm: Maps, label: Labels, of_classes: tuple[Sums, Sums]
) -> float:
    """The loss, from the probability of each class in each pixel and its logarithm.

    `of_classes` is what a class's Dice is made of: twice its overlap plus 1, which is filled, and
    its total plus 1, in which the sum of the probabilities is already.
    """
    twice, total = of_classes
    twice[:] = 1
    total[:] += 1
    entropy = 0.0
    images, pixels = label.shape
    for image in range(images):
        for pixel in range(pixels):
            true = label[image, pixel]
            entropy -= logarithm[image, true, pixel]
            twice[true] += 2 * chance[image, true, pixel]
            total[true] += 1
    return float(entropy / label.size + 1 - (twice / total).mean())


@kernel
def entropy_and_dice_gradient(
    slope: float, chance: Maps, label: Labels, of_classes: tuple[Sums, Sums], of: Maps
) -> None:
    """`slope` times the gradient of `entropy_and_dice` by the logits, which is what `of` is."""
    twice, total = of_classes
    images, classes, pixels = chance.shape
    # What a probability does to the Dice of its class, and does more where the class is true.
    level = (slope / classes * twice / (total * total)).astype(np.float32)
    gain = (-2 * slope / classes / total).astype(np.float32)
    share = np.float32(slope / label.size)
    mean = np.empty(pixels, np.float32)
    for image in range(images):
        for pixel in range(pixels):
            true = label[image, pixel]
            mean[pixel] = gain[true] * chance[image, true, pixel] - share
        for each in range(classes):
            here = chance[image, each]
            for pixel in range(pixels):
                mean[pixel] += level[each] * here[pixel]
        for each in range(classes):
            here, result = chance[image, each], of[image, each]
            for pixel in range(pixels):
                result[pixel] = here[pixel] * (level[each] - mean[pixel])
        for pixel in range(pixels):
            true = label[image, pixel]
            of[image, true, pixel] += chance[image, true, pixel] * gain[true] - share
