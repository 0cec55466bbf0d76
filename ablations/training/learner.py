"""The fast loop: nets in training, stepped one by one or, on a GPU, by one graph of kernels."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final, final

import torch
from torch import Tensor
from torch.nn import functional

from ablations.runs.cell import Cell, Training
from ablations.tasks.shapes import TASKS, Batch
from ablations.training.adam import Adam
from ablations.training.hardware import Hardware
from ablations.training.layout import channels_last, crop, keep_layout
from unet.inits import INITS
from unet.model import UNet, convolutions
from unet.skips import center_crop

DRAWN_TOGETHER: Final = {"cpu": 2**18, "cuda": 2**25}
"""Pixels whose images are drawn at once: a few small ones at a time cost more than they take."""

WARM_UP_STEPS: Final = 3
"""Steps before a graph is captured: libraries choose their algorithms in the first ones."""

TUNED_FROM: Final = 10**16
"""Multiply-adds, about a minute of the fastest GPU."""


@final
class Learner:
    """One net in training, whose tensors stay in their places from seed to seed.

    A step reads from the device which one it is, and nothing in it waits for the device, so
    that a GPU can replay it as often as there are steps.
    """

    def __init__(self, cell: Cell, hardware: Hardware) -> None:
        self.cell, self.hardware = cell, hardware
        training, device = cell.training, hardware.device
        net = UNet(cell.spec)
        self._loss: Callable[[Tensor, Tensor], Tensor] = segmentation_loss
        # First, since the up-convolution that `fuse` puts in takes gradients as they come.
        keep_layout(net)
        if device == "cpu":
            # Its kernels are compiled, and a GPU has no use for them.
            from ablations.training.fused import entropy_and_dice, fuse

            fuse(net, hardware.precision)
            if TASKS[cell.task.name].exclusive:
                # Compiled loops do not see where an array ends.
                assert cell.spec.num_classes >= len(TASKS[cell.task.name].classes), "one for each"
                self._loss = entropy_and_dice
        if hardware.precision == "bfloat16":
            for convolution in convolutions(net).values():
                convolution.bfloat16()
        self.net = net.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs know no memory_format here
        self._rate = torch.zeros((), device=device)
        self._rates = torch.tensor(list(learning_rates(training)), device=device)
        self._optimizer = Adam(self.net, self._rate)
        self._losses = torch.zeros(training.steps, device=device)
        self._done = torch.zeros(1, dtype=torch.int64, device=device)
        self._place = torch.zeros_like(self._done)
        self._batches: Batch | None = None

    def begin(self, cell: Cell) -> None:
        """Go to the start of a run: `cell` differs from the first one in its seed only."""
        self.cell = cell
        start = UNet(cell.spec)
        pair_weights(start, cell.seed)
        self.net.load_state_dict(start.state_dict())
        self.net.train()
        self._optimizer.begin(start)
        self._done.zero_()

    @property
    def drawn_together(self) -> int:
        """Steps whose batches are drawn at once."""
        pixels = self.cell.training.batch * self.cell.task.size**2
        most = max(1, DRAWN_TOGETHER[self.hardware.device] // pixels)
        return min(most, self.cell.training.steps)

    def draw(self, first: int) -> None:
        """Put the batches of the steps from `first` on where those of the last ones were."""
        size = self.cell.training.batch
        steps = min(self.drawn_together, self.cell.training.steps - first)
        drawn = draw(self.cell, self.hardware, "train", first * size, steps * size)
        batches = Batch(*(each.view(steps, size, *each.shape[1:]) for each in drawn))
        if self._batches is None:
            self._batches = batches
        for place, new in zip(self._batches, batches, strict=True):
            place[:steps].copy_(new)
        self._place.zero_()

    def step(self) -> None:
        """One step of Adam, on the next batch."""
        assert self._batches is not None, "batches are drawn before they are learnt from"
        image, target = (each.index_select(0, self._place)[0] for each in self._batches)
        logits = window_logits(self.net, image, self.cell, self.hardware)
        loss = self._loss(logits, target)
        self._optimizer.forget_gradients()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._rate.copy_(self._rates.index_select(0, self._done)[0])
        self._optimizer.step()
        self._losses.index_copy_(0, self._done, loss.detach().view(1))
        self._done += 1
        self._place += 1

    def losses(self, parts: int) -> list[float]:
        """The mean loss over each of so many parts of the run; waits for the device."""
        return [p.mean().item() for p in self._losses.cpu().tensor_split(parts) if p.numel()]


@final
class Stack:
    """Learners of one variant, side by side, each with a seed of its own."""

    def __init__(self, cells: Sequence[Cell], hardware: Hardware) -> None:
        self.learners = [Learner(cell, hardware) for cell in cells]
        # Timing all algorithms for every convolution takes seconds, and pays in long runs only.
        torch.backends.cudnn.benchmark = sum(cell.training_macs for cell in cells) >= TUNED_FROM
        self._graph = self._captured() if hardware.device == "cuda" else None

    def begin(self, cells: Sequence[Cell]) -> None:
        """Put every learner at the start of a run."""
        # Dropout draws from torch's own stream.
        torch.manual_seed(cells[0].seed)
        for learner, cell in zip(self.learners, cells, strict=True):
            learner.begin(cell)

    def run(self, evaluate: Callable[[Learner], None] = lambda _: None) -> None:
        """Take every learner to the end of its run, and evaluate it where its training says."""
        training, together = self.learners[0].cell.training, self.learners[0].drawn_together
        evaluated_at = set(training.evaluated_at)
        for step in range(training.steps):
            if step % together == 0:
                for learner in self.learners:
                    learner.draw(step)
            self.step()
            if step + 1 in evaluated_at:
                for learner in self.learners:
                    evaluate(learner)

    def step(self) -> None:
        """One step of every learner."""
        if self._graph is not None:
            self._graph.replay()
            return
        for learner in self.learners:
            learner.step()

    def _captured(self) -> torch.cuda.CUDAGraph:
        """One step of every learner, as branches of one graph that run at the same time."""
        streams = [torch.cuda.Stream() for _ in self.learners]  # type: ignore[no-untyped-call]
        for learner, stream in zip(self.learners, streams, strict=True):
            for _ in range(WARM_UP_STEPS):
                learner.begin(learner.cell)
                learner.draw(0)
                torch.cuda.synchronize()
                with torch.cuda.stream(stream):
                    learner.step()
                torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            trunk = torch.cuda.current_stream()
            for learner, stream in zip(self.learners, streams, strict=True):
                stream.wait_stream(trunk)
                with torch.cuda.stream(stream):
                    learner.step()
            for stream in streams:
                trunk.wait_stream(stream)
        return graph


def learning_rates(training: Training) -> Iterator[float]:
    """The rate of every step: up along a cosine for 0.3 of the run, then down to nearly 0.

    From 1/25 of the peak, and to 1/250,000 of it (the one-cycle policy of Smith and Topin 2017,
    with torch's defaults but for a constant momentum).
    """
    peak, steps = training.learning_rate, training.steps
    top = 0.3 * max(steps, 2) - 1
    for step in range(steps):
        if step <= top:
            yield _along_cosine(peak / 25, peak, step / top)
        else:
            yield _along_cosine(peak, peak / 250_000, (step - top) / (max(steps, 2) - 1 - top))


def _along_cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * part))


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
        target = one_hot(target, logits.shape[1]).to(logits.dtype)
    overlap = (probability * target).sum(dim=(0, 2, 3))
    total = (probability + target).sum(dim=(0, 2, 3))
    return entropy + 1 - ((2 * overlap + 1) / (total + 1)).mean()


def one_hot(label: Tensor, classes: int) -> Tensor:
    """Class indices (N, H, W) to booleans (N, classes, H, W)."""
    return label[:, None] == torch.arange(classes, device=label.device).view(1, -1, 1, 1)


def draw(cell: Cell, hardware: Hardware, split: str, start: int, count: int) -> Batch:
    """Images and their targets in the scored window."""
    task = cell.task
    index = torch.arange(start, start + count, device=hardware.device)
    batch = TASKS[task.name].sample(
        seed=cell.seed, split=split, index=index, size=task.size, look=task.look(split)
    )
    return Batch(batch.image, center_crop(batch.target, task.scored, task.scored))


def window_logits(net: UNet, image: Tensor, cell: Cell, hardware: Hardware) -> Tensor:
    """Logits of the scored window, (N, classes, scored, scored) in float32.

    `image` is (N, channels, size, size), to which a mirrored rim is added where the cell has one.
    """
    rim = (cell.input_size - image.shape[-1]) // 2
    if rim:
        image = functional.pad(image, (rim,) * 4, mode="reflect")
    image = channels_last(image)
    with torch.autocast(
        hardware.device, dtype=torch.bfloat16, enabled=hardware.precision == "bfloat16"
    ):
        # The head sees single pixels, so it need not see those that nobody scores.
        logits: Tensor = net.head(crop(net.features(image), cell.task.scored, cell.task.scored))
    return logits.float()
