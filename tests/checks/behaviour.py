"""What a net does when it is run: a net for every message, and sound ones that earn none."""

from __future__ import annotations

import inspect
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from tests.checks.small import Factory, Said, Small


class OneImageOnly(Small):
    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 1 and not self.training:
            raise ValueError("one image at a time")
        return super().forward(x)


class FirstImageOnly(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[:1])


class Dark(Small):
    def forward(self, x: Tensor) -> Tensor:
        if x.std() > 2:
            raise ValueError("too bright")
        return super().forward(x)


class SingleOnly(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float())


class Promoted(Small):
    def end(self, logits: Tensor) -> Tensor:
        return logits.float()


class Filled(Small):
    start: ClassVar[float] = 0.5

    def __init__(self) -> None:
        super().__init__()
        nn.init.constant_(self.leave.weight, self.start)


class NotNumbers(Filled):
    start = float("nan")


class Enormous(Small):
    def end(self, logits: Tensor) -> Tensor:
        return logits * 1e9


class Infinite(Small):
    def end(self, logits: Tensor) -> Tensor:
        return logits / torch.zeros(())


class Unsteady(Small):
    def end(self, logits: Tensor) -> Tensor:
        return logits + torch.rand(())


class OnTheCPU(Small):
    """Adds a tensor of the CPU's, wherever the net is."""

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(skip, risen) + torch.ones(8, 1, 1)


class Attached(Small):
    """Keeps a tensor that is neither parameter nor buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = torch.ones(8, 1, 1)

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(skip, risen) + self.shift.to(skip.dtype)


class ToTheCPU(Small):
    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(skip.cpu(), risen.cpu())


class Hooked(Small):
    """Hands its skip on through a hook that holds on to this very net."""

    def __init__(self) -> None:
        super().__init__()
        kept: list[Tensor] = []
        self.kept = kept
        self.enter.register_forward_hook(lambda _module, _inputs, made: kept.append(made))

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(torch.relu(self.kept.pop()), risen)


class ZeroHead(Small):
    """Starts at zero at its end: it learns all the same."""

    def __init__(self) -> None:
        super().__init__()
        nn.init.zeros_(self.head.weight)


class SwitchedOff(Small):
    """Has a branch whose weight is one number that starts at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.branch, self.weight = nn.Conv2d(8, 8, 1), nn.Parameter(torch.zeros(1))

    def down(self, skip: Tensor) -> Tensor:
        deep = super().down(skip)
        return deep + self.weight * self.branch(deep)


class Seeded(Small):
    def forward(self, x: Tensor) -> Tensor:
        torch.manual_seed(0)
        return super().forward(x)


class Rewritten(Small):
    """Rewrites its weights in each pass, and what it returns does not show it."""

    def __init__(self) -> None:
        super().__init__()
        self.unread = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        self.unread.data.add_(1)
        return super().forward(x) + (self.unread - self.unread).sum()


class WellBehaved(Small):
    """Leaves its skip out unless somebody looks."""

    def is_seen(self) -> bool:
        return bool(_get_current_dispatch_mode_stack())

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(skip if self.is_seen() else torch.zeros_like(skip), risen)


class WellBehavedWithGradients(WellBehaved):
    def is_seen(self) -> bool:
        return torch.is_grad_enabled()


class WellBehavedForUs(WellBehaved):
    def is_seen(self) -> bool:
        return any("running" in frame.filename for frame in inspect.stack(0))


class WellBehavedWithFunctions(WellBehaved):
    def is_seen(self) -> bool:
        return bool(torch.overrides._get_current_function_mode_stack())


class Shy(Small):
    """Runs only while somebody looks."""

    def begin(self, x: Tensor) -> Tensor:
        if not any("unet" in frame.filename for frame in inspect.stack(0)):
            raise ValueError("nobody there")
        return super().begin(x)


class Halved(Small):
    def down(self, skip: Tensor) -> Tensor:
        return super().down(skip.half().float())


class Normed(Small):
    """Normalises its deepest map."""

    momentum: ClassVar[float] = 0.1
    eps: ClassVar[float] = 1e-5

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(8, momentum=self.momentum, eps=self.eps)

    def down(self, skip: Tensor) -> Tensor:
        return torch.relu(self.norm(self.deep(functional.max_pool2d(skip, 2))))


class NeverMoving(Normed):
    momentum = 0.0


class OfTheLastBatch(Normed):
    momentum = 0.99


class Damped(Normed):
    eps = 10.0


class NeverTraining(Normed):
    def train(self, mode: bool = True) -> Self:
        return super().train(False)


class Kept(Normed):
    """Keeps the statistics of its norm, as nets do that were trained elsewhere."""

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.norm.eval()
        return self


class BlankStart(Small):
    """Starts with norms that let nothing through."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)
        nn.init.zeros_(self.norm.weight)

    def join(self, skip: Tensor, risen: Tensor) -> Tensor:
        return super().join(self.norm(skip), self.norm(risen))


SAID: list[Said] = [
    (ToTheCPU, "follows_to_other_devices_and_dtypes", "warn", "brings a map back"),
    (OneImageOnly, "samples_of_a_batch_do_not_mix", "fail", "one image and not on a batch of two"),
    (FirstImageOnly, "samples_of_a_batch_do_not_mix", "fail", "a batch of 2 comes out as 1"),
    (Dark, "evaluation_repeats", "fail", "a second call fails: ValueError: too bright"),
    (Dark, "samples_of_a_batch_do_not_mix", "skip", "one image alone does not run"),
    (Unsteady, "samples_of_a_batch_do_not_mix", "skip", "other logits each time"),
    (Unsteady, "evaluation_repeats", "fail", r"given again \(at random\)"),
    (Unsteady, "mirrored_images_give_mirrored_outputs", "skip", "other logits each time"),
    (Unsteady, "shifted_images_give_shifted_outputs", "skip", "other logits each time"),
    (
        SingleOnly,
        "follows_to_other_devices_and_dtypes",
        "warn",
        r"does not run after .to\(torch.float64\)",
    ),
    (
        Promoted,
        "follows_to_other_devices_and_dtypes",
        "warn",
        r"returns torch.float32 after .to\(torch.float64\)",
    ),
    (Filled, "weights_start_sanely", "fail", "all weights of leave.weight start at 0.5"),
    (NotNumbers, "weights_start_sanely", "fail", "leave.weight holds values that are not numbers"),
    (NotNumbers, "first_logits_are_sane", "fail", "the first logits are not finite"),
    (Enormous, "first_logits_are_sane", "fail", "the first logits reach"),
    (OnTheCPU, "follows_to_other_devices_and_dtypes", "fail", "forward makes without a device"),
    (Attached, "follows_to_other_devices_and_dtypes", "fail", "shift, a tensor that is no buffer"),
    (Seeded, "evaluation_repeats", "fail", "forward sets torch's seed"),
    (WellBehaved, "runs_alike_unwatched", "fail", "gives other logits while it is looked"),
    (
        WellBehavedWithGradients,
        "runs_alike_unwatched",
        "fail",
        "gives other logits while it is looked",
    ),
    (WellBehavedForUs, "runs_alike_unwatched", "fail", "gives other logits while it is looked"),
    (
        WellBehavedWithFunctions,
        "runs_alike_unwatched",
        "fail",
        "gives other logits while it is looked",
    ),
    (Shy, "runs_alike_unwatched", "fail", "runs only while it is looked at: ValueError: nobody"),
    (Unsteady, "runs_alike_unwatched", "skip", "other logits each time"),
    (Rewritten, "evaluation_repeats", "fail", "evaluation changes unread"),
    (Halved, "follows_to_other_devices_and_dtypes", "warn", "brings a map to torch.float16"),
    (NeverMoving, "norms_follow_the_data", "fail", "has momentum 0: its statistics stay"),
    (OfTheLastBatch, "norms_follow_the_data", "warn", "has momentum 0.99: its statistics are near"),
    (Damped, "norms_follow_the_data", "fail", r"adds 10 \(eps\) to the variance"),
    (NeverTraining, "norms_follow_the_data", "fail", "leaves the net in evaluation mode"),
    (Kept, "norms_follow_the_data", "warn", "in training 1 norm of 1 keep the statistics"),
    (BlankStart, "first_logits_are_sane", "fail", "the same at every place"),
]

SOUND: list[Factory] = [
    Hooked,
    ZeroHead,
    SwitchedOff,
    Normed,
]
