"""A GPU against the CPU: the same images, the same logits, the same scores.

python -m tests.benchmarks.gpu_correctness
"""

from __future__ import annotations

from itertools import product
from typing import Final

import torch

from ablations.reporting.run_table import scores
from ablations.storage.plan_file import load_plan
from ablations.tasks.shapes import TASKS, Look
from ablations.training.hardware import find_hardware, groups
from ablations.training.learner import Stack
from ablations.training.train import Trainer
from tests.benchmarks.timing import tell
from unet import UNet, UNetSpec
from unet.paddings import PADDINGS
from unet.skips import SKIPS
from unet.upsampling import UPSAMPLINGS

SPECS: Final = [
    UNetSpec(
        in_channels=1,
        num_classes=3,
        base_channels=8,
        depth=2,
        padding=padding,
        skip=skip,
        upsampling=up,
    )
    for padding, skip, up in product(PADDINGS, SKIPS, UPSAMPLINGS)
]


def images() -> None:
    """Tell the share of numbers that are the same to the bit."""
    for name, task in TASKS.items():
        ours, theirs = (
            task.sample(
                seed=3,
                split="test",
                index=torch.arange(64, device=device),
                size=192,
                look=Look(0.1),
            )
            for device in ("cuda", "cpu")
        )
        for what, one, other in zip(("images", "masks"), ours, theirs, strict=True):
            same = (one.cpu() == other).sum().item()
            tell("share", f"{what} of {name}, equal to the bit", "all", [(same, other.numel())])


def logits() -> None:
    """Tell the error of every kind of net against the CPU's double precision."""
    for precision in ("float32", "bfloat16"):
        errors = []
        for spec in SPECS:
            torch.manual_seed(len(errors))
            net, image = UNet(spec).eval(), torch.rand(2, 1, 92, 108)
            with torch.no_grad():
                truth = net.double()(image.double())
                gpu = net.float().to("cuda", memory_format=torch.channels_last)
                with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bfloat16"):
                    seen = gpu(image.cuda()).double().cpu()
            errors.append(((seen - truth).norm().item(), truth.norm().item()))
        tell(
            "share", f"error of {len(SPECS)} nets in {precision}", "the norm of the logits", errors
        )


def training() -> None:
    """Tell how steps replayed from a graph differ from the CPU's."""
    hardware, cpu = (
        find_hardware(device)._replace(precision="float32") for device in ("cuda", "cpu")
    )
    plan = load_plan("smoke")
    for cells in groups(plan.cells(), hardware, 1):
        stack = Stack(cells, hardware)
        stack.begin(cells)
        stack.run()
        for learner, cell in zip(stack.learners, cells, strict=True):
            alone = Stack([cell], cpu)
            alone.begin([cell])
            alone.run()
            pairs = list(zip(learner.losses(10), alone.learners[0].losses(10), strict=True))
            name = f"losses of smoke's {cell.spec.padding}, {cell.spec.skip}, seed {cell.seed}"
            tell("difference", name, "the CPU's", pairs)


def scored() -> None:
    """Tell how the GPU's scores differ from the CPU's in float32."""
    hardware, cpu = find_hardware("cuda"), find_hardware("cpu")
    exact = load_plan("quick")
    plan = load_plan("quick", precision="bfloat16")
    for padding, upsampling in (("valid", "transposed"), ("zeros", "bilinear")):
        cells = [plan.cell((padding, "concat", upsampling), seed) for seed in range(3)]
        ours = [scores(record)["IoU"] for record in Trainer(hardware).run(cells)]
        same = [exact.cell((padding, "concat", upsampling), seed) for seed in range(3)]
        theirs = [scores(Trainer(cpu).run([cell])[0])["IoU"] for cell in same]
        name = f"IoU of quick's {padding}, {upsampling}, 3 seeds side by side in a graph"
        tell("difference", name, "the CPU's in float32", list(zip(ours, theirs, strict=True)))


def main() -> None:
    """Tell all of it."""
    torch.backends.cudnn.allow_tf32 = False
    images()
    logits()
    training()
    torch.backends.cudnn.allow_tf32 = True
    scored()


if __name__ == "__main__":
    main()
