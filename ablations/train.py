"""One cell in, one record out: the training loop.

Every variant of a seed sees the same images in the same order, starts from the same weights
wherever the shapes are equal, and is supervised and scored on the same central window.
"""

from __future__ import annotations

import functools
import hashlib
import math
import platform
import time
from collections.abc import Iterator
from importlib import metadata
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ablations.cell import Cell
from ablations.shapes import TASKS, Batch
from ablations.store import Example, Picture, Record
from unet import algebra
from unet.inits import INITS
from unet.model import UNet, convolutions
from unet.skips import center_crop

BANDS: Final = (0, 2, 4, 8, 16)
"""Distances to the edge of the scored window, in pixels, at which the bands of counts begin."""

LOSS_SAMPLES: Final = 10
DRAWN_TOGETHER: Final = 2**18
"""Pixels: to draw small images a few at a time takes longer than to draw them."""
TEST_BATCH: Final = 32


class Hardware(NamedTuple):
    """Where a cell is trained, and in which precision its convolutions run."""

    device: torch.device
    name: str
    precision: torch.dtype


@functools.cache
def find_hardware(device: str) -> Hardware:
    """The hardware for `device`: "cpu", "cuda", or "auto" for a GPU if there is one.

    bfloat16 is chosen where the chip computes in it, and float32 where it would be emulated.
    """
    if device == "cuda" or (device == "auto" and torch.cuda.is_available()):
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        precision = torch.bfloat16 if native else torch.float32
        return Hardware(torch.device("cuda"), torch.cuda.get_device_name(), precision)
    chip = torch.cpu.get_capabilities()
    native = chip.get("avx512_bf16") or chip.get("amx_bf16")
    name = str(chip.get("cpu_name") or platform.processor() or platform.machine())
    return Hardware(torch.device("cpu"), name, torch.bfloat16 if native else torch.float32)


def run_cell(cell: Cell, hardware: Hardware) -> Record:
    """Train the cell's net, score it on its test images, and say what it took."""
    torch.manual_seed(cell.seed)
    net = UNet(cell.spec)
    pair_weights(net, cell.seed)
    net = net.to(device=hardware.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs know no memory_format here

    start = time.perf_counter()
    losses = _train(net, cell, hardware)
    trained = time.perf_counter()
    diverged = not all(map(math.isfinite, losses))
    counts = None if diverged else _count_test_images(net, cell, hardware)
    tested = time.perf_counter()

    cost = algebra.cost(cell.spec, cell.task.size, cell.task.size)
    return Record(
        key=cell.key,
        cell=cell.as_data(),
        outcome="diverged" if diverged else "done",
        bands=BANDS,
        counts=None if counts is None else tuple(tuple(map(tuple, band)) for band in counts),
        losses=tuple(loss if math.isfinite(loss) else None for loss in losses),
        parameters=cost.parameters,
        macs=cost.macs,
        train_seconds=round(trained - start, 3),
        test_seconds=round(tested - trained, 3),
        environment=_environment(hardware),
        # One picture for each variant is enough for a figure, and keeps the store small.
        example=_example(net, cell, hardware) if cell.seed == 0 and not diverged else None,
    )


def pair_weights(net: UNet, seed: int) -> None:
    """Start each convolution from a random state of its own, named by `seed` and its place.

    Two variants then start equal wherever their layers have the same place and shape,
    however many weights the layers before them have.
    """
    with torch.random.fork_rng(devices=[]):
        for name, convolution in convolutions(net).items():
            digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
            torch.manual_seed(int.from_bytes(digest[:8], "big", signed=True))
            INITS[net.spec.init].apply(convolution)


def _train(net: UNet, cell: Cell, hardware: Hardware) -> list[float]:
    """Run all steps; returns the mean loss over each tenth of them."""
    training = cell.training
    optimizer = torch.optim.Adam(net.parameters(), lr=training.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=training.learning_rate, total_steps=max(training.steps, 2)
    )
    # The losses stay on the device: reading one would stop a GPU at every step.
    losses = torch.zeros(training.steps, device=hardware.device)
    net.train()
    for step, batch in enumerate(_training_batches(cell, hardware)):
        loss = segmentation_loss(_window_logits(net, batch.image, cell, hardware), batch.target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        schedule.step()
        losses[step] = loss.detach()
    return [part.mean().item() for part in losses.tensor_split(LOSS_SAMPLES) if part.numel()]


def _training_batches(cell: Cell, hardware: Hardware) -> Iterator[Batch]:
    """The batch of each step; those of several steps are drawn together while they are small."""
    size, steps = cell.training.batch, cell.training.steps
    together = max(1, DRAWN_TOGETHER // (size * cell.task.size**2))
    for first in range(0, steps, together):
        count = size * min(together, steps - first)
        drawn = _draw(cell, hardware, "train", first * size, count)
        for start in range(0, count, size):
            yield Batch(*(each[start : start + size] for each in drawn))


def segmentation_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy plus soft Dice, a scalar.

    Logits (N, classes, H, W); target (N, H, W) class indices, or (N, classes, H, W) zeros
    and ones for classes that may overlap. Soft Dice is 1 minus the mean over the classes of
    (2 sum(p t) + 1) / (sum(p) + sum(t) + 1), with sums over the batch and all pixels.
    """
    if target.dim() == logits.dim():
        target = target.to(logits.dtype)
        entropy = functional.binary_cross_entropy_with_logits(logits, target)
        probability = logits.sigmoid()
    else:
        entropy = functional.cross_entropy(logits, target)
        probability = logits.softmax(dim=1)
        target = _one_hot(target, logits.shape[1]).to(logits.dtype)
    overlap = (probability * target).sum(dim=(0, 2, 3))
    total = (probability + target).sum(dim=(0, 2, 3))
    return entropy + 1 - ((2 * overlap + 1) / (total + 1)).mean()


def _draw(cell: Cell, hardware: Hardware, split: str, start: int, count: int) -> Batch:
    """Images and their targets in the scored window."""
    task = cell.task
    index = torch.arange(start, start + count, device=hardware.device)
    batch = TASKS[task.name].sample(
        seed=cell.seed, split=split, index=index, size=task.size, noise=task.noise
    )
    image = batch.image.contiguous(memory_format=torch.channels_last)
    return Batch(image, center_crop(batch.target, task.scored, task.scored))


def _window_logits(net: nn.Module, image: Tensor, cell: Cell, hardware: Hardware) -> Tensor:
    """Logits of the scored window, (N, classes, scored, scored) in float32."""
    with torch.autocast(
        hardware.device.type,
        dtype=torch.bfloat16,
        enabled=hardware.precision is torch.bfloat16,
    ):
        logits = net(image)
    return center_crop(logits, cell.task.scored, cell.task.scored).float()


def _one_hot(label: Tensor, classes: int) -> Tensor:
    """Class indices (N, H, W) to booleans (N, classes, H, W)."""
    return label[:, None] == torch.arange(classes, device=label.device).view(1, -1, 1, 1)


def _decide(logits: Tensor, exclusive: bool) -> Tensor:
    """The prediction as booleans (N, classes, H, W)."""
    return _one_hot(logits.argmax(dim=1), logits.shape[1]) if exclusive else logits > 0


@torch.inference_mode()
def _count_test_images(net: UNet, cell: Cell, hardware: Hardware) -> list[list[list[int]]]:
    """(bands, classes, 3) as `Record.counts` describes."""
    exclusive = TASKS[cell.task.name].exclusive
    band = _band_masks(cell.task.scored, hardware.device)
    total = torch.zeros(
        3, cell.spec.num_classes, len(BANDS), dtype=torch.float64, device=hardware.device
    )
    net.eval()
    for start in range(0, cell.training.test_images, TEST_BATCH):
        count = min(TEST_BATCH, cell.training.test_images - start)
        batch = _draw(cell, hardware, "test", start, count)
        predicted = _decide(_window_logits(net, batch.image, cell, hardware), exclusive)
        true = _one_hot(batch.target, predicted.shape[1]) if exclusive else batch.target > 0
        outcomes = torch.stack([predicted & true, predicted & ~true, ~predicted & true])
        pixels = outcomes.sum(dim=1).flatten(start_dim=2)
        total += pixels.double() @ band
    counts: list[list[list[int]]] = total.round().long().permute(2, 1, 0).tolist()
    return counts


def _band_masks(side: int, device: torch.device) -> Tensor:
    """(side * side, bands): 1 where a pixel's distance to the window's edge is in the band."""
    line = torch.arange(side, device=device)
    inward = line.minimum(side - 1 - line)
    distance = inward[:, None].minimum(inward).flatten()
    band = torch.bucketize(distance, torch.tensor(BANDS, device=device), right=True) - 1
    # Double counts pixels exactly up to 2^53, and unlike integers has a matrix product on a GPU.
    return functional.one_hot(band, len(BANDS)).double()


@torch.inference_mode()
def _example(net: UNet, cell: Cell, hardware: Hardware) -> Example:
    """The first test image, its mask and the prediction."""
    exclusive = TASKS[cell.task.name].exclusive
    batch = _draw(cell, hardware, "test", 0, 1)
    predicted = _decide(_window_logits(net, batch.image, cell, hardware), exclusive)
    true = _one_hot(batch.target, predicted.shape[1]) if exclusive else batch.target > 0
    weight = torch.arange(predicted.shape[1], device=predicted.device).view(-1, 1, 1)
    if not exclusive:
        weight = 2**weight
    image = (batch.image[0].clamp(0, 1) * 255).round().permute(1, 2, 0).squeeze(-1)
    return Example(
        image=_picture(image),
        mask=_picture((true[0] * weight).sum(dim=0)),
        prediction=_picture((predicted[0] * weight).sum(dim=0)),
    )


def _picture(pixels: Tensor) -> Picture:
    return Picture.of(pixels.to(device="cpu", dtype=torch.uint8).numpy())


def _environment(hardware: Hardware) -> dict[str, str]:
    return {
        "unet-ablations": metadata.version("unet-ablations"),
        "torch": torch.__version__,
        "device": hardware.name,
        "precision": str(hardware.precision).removeprefix("torch."),
        "threads": str(torch.get_num_threads()),
    }
