"""One cell in, one record out, and fair to every variant."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ablations.runs.cell import Cell
from ablations.runs.plan import Plan
from ablations.runs.records import Record
from ablations.storage.plan_file import read_plan
from ablations.tasks.shapes import TASKS, Look
from ablations.training import learner
from ablations.training.hardware import Hardware, find_hardware, groups, side_by_side
from ablations.training.learner import (
    Learner,
    learning_rates,
    one_hot,
    pair_weights,
    segmentation_loss,
    window_logits,
)
from ablations.training.train import Trainer
from tests.conftest import train
from tests.samples import TINY
from unet import UNet, UNetSpec, algebra
from unet.model import convolutions


def test_a_record_is_whole(tiny_records: list[Record]) -> None:
    """Counts of every scored pixel, costs of the algebra, and where it ran."""
    record = tiny_records[0]
    cell = record.parsed_cell()
    assert record.outcome == "done"
    assert record.counts is not None
    tp, fp, fn = np.asarray(record.counts).sum(axis=0).T
    pixels = cell.task.scored**2 * cell.training.test_images
    # Each pixel has one true and one predicted class.
    assert (tp + fn).sum() == (tp + fp).sum() == pixels
    assert record.parameters == algebra.parameters(cell.spec)
    assert record.macs == algebra.cost(cell.spec, 36, 36).macs
    assert set(record.environment) == {"unet-ablations", "torch", "device", "precision", "threads"}


def test_bands_are_distances_to_the_windows_edge(tiny_records: list[Record]) -> None:
    """A window of 20 has rings of 20² - 16², 16² - 12², 12² - 4² and 4² pixels."""
    counts = np.asarray(tiny_records[0].counts)
    in_band = (
        counts[..., [0, 2]].sum(axis=(1, 2)) / tiny_records[0].parsed_cell().training.test_images
    )
    assert in_band.tolist() == [20**2 - 16**2, 16**2 - 12**2, 12**2 - 4**2, 4**2, 0]


def test_training_repeats_to_the_bit(tiny: Plan, tiny_records: list[Record]) -> None:
    """The same cell gives the same counts and losses; only the clock differs."""
    again = train(next(tiny.cells()))
    assert again.counts == tiny_records[0].counts
    assert again.losses == tiny_records[0].losses


def test_only_seed_0_keeps_a_picture(tiny_records: list[Record]) -> None:
    """One example for each variant is enough for the figure."""
    for record in tiny_records:
        assert (record.example is not None) == (record.parsed_cell().seed == 0)
    example = tiny_records[0].example
    assert example is not None
    cell = tiny_records[0].parsed_cell()
    truth = TASKS["labels"].sample(
        seed=0, split="test", index=torch.arange(1), size=36, look=Look(cell.task.noise)
    )
    assert example.image.pixels().shape == (36, 36)
    np.testing.assert_array_equal(example.mask.pixels(), truth.target[0, 8:28, 8:28])


def test_overlapping_classes_are_trained_and_scored() -> None:
    """The six objects: one mask each, packed as bits in the picture."""
    source = TINY.replace('"labels"', '"objects"').replace('"concat", "none"', '"concat"')
    cell = next(read_plan(source, name="objects", file="f").cells())
    record = train(cell)
    counts = np.asarray(record.counts)
    assert counts.shape == (5, 6, 3)
    assert record.example is not None
    assert record.example.image.pixels().shape == (36, 36, 3)
    truth = TASKS["objects"].sample(seed=0, split="test", index=torch.arange(5), size=36)
    inside = truth.target[..., 8:28, 8:28]
    assert (counts[..., [0, 2]].sum(axis=(0, 2)) == inside.sum(dim=(0, 2, 3)).numpy()).all()
    bits = record.example.mask.pixels()
    unpacked = (bits[None] >> np.arange(6)[:, None, None]) & 1
    np.testing.assert_array_equal(unpacked, inside[0])


def test_a_diverged_run_says_so(tiny: Plan) -> None:
    """No counts, and no number that is not one."""
    cell = next(tiny.cells())
    wild = cell.training.model_copy(update={"learning_rate": 1e38, "steps": 12})
    record = train(dataclasses.replace(cell, training=wild))
    assert record.outcome == "diverged"
    assert record.counts is None
    assert None in record.losses
    assert Record.read(record.model_dump_json(), "here") == record


def test_a_longer_run_learns(tiny: Plan) -> None:
    """The loss falls: the loop really trains."""
    cell = next(tiny.cells())
    longer = cell.training.model_copy(update={"steps": 60, "batch": 4})
    losses = train(dataclasses.replace(cell, training=longer)).losses
    assert len(losses) == 10
    assert losses[0] is not None
    assert losses[-1] is not None
    assert losses[-1] < 0.8 * losses[0]


def test_variants_of_a_seed_start_equal_where_shapes_allow() -> None:
    """Layers of the same place and shape have the same weights whatever stands before them."""
    concat, none = (UNet(UNetSpec(base_channels=2, skip=skip)) for skip in ("concat", "none"))
    pair_weights(concat, seed=4)
    pair_weights(none, seed=4)
    theirs = convolutions(none)
    equal = {
        name: torch.equal(layer.weight, theirs[name].weight)
        for name, layer in convolutions(concat).items()
        if layer.weight.shape == theirs[name].weight.shape
    }
    assert all(equal.values())
    assert {"contracting.0.conv1", "upsampling.0", "expansive.0.conv2", "head"} <= set(equal)
    pair_weights(none, seed=5)
    assert not torch.equal(concat.head.weight, none.head.weight)


def test_every_variant_sees_and_is_scored_on_the_same_pixels() -> None:
    """A same-padding net is cut to the window that the valid one covers: its centre."""
    hardware = find_hardware("cpu")._replace(precision="float32")
    spec = UNetSpec(base_channels=2, depth=1, padding="zeros", in_channels=1, num_classes=5)
    plan = read_plan(TINY.replace("depth = 1", 'depth = 1\npadding = "zeros"'), name="p", file="f")
    cell = dataclasses.replace(next(plan.cells()), spec=spec)
    net, image = UNet(spec).eval(), torch.rand(1, 1, 36, 36)
    logits = window_logits(net, image, cell, hardware)
    torch.testing.assert_close(logits, net(image)[..., 8:28, 8:28])


def test_a_net_without_padding_sees_the_image_mirrored() -> None:
    """Pixels -k and S - 1 + k are those at k and S - 1 - k; a padded net gets the image alone."""
    source = TINY.replace("scored = 20", "scored = 36\nborder = 'mirrored'").replace(
        "[axes]", '[axes]\npadding = ["valid", "zeros"]'
    )
    cells = {c.spec.padding: c for c in read_plan(source, name="p", file="f").cells()}
    hardware = find_hardware("cpu")._replace(precision="float32")
    image = torch.rand(1, 1, 36, 36)
    place = torch.arange(-8, 44).abs()
    place = torch.minimum(place, 70 - place)
    mirrored = image[..., place[:, None], place]
    for padding, given in (("valid", mirrored), ("zeros", image)):
        cell = cells[padding]
        net = UNet(cell.spec).eval()
        logits = window_logits(net, image, cell, hardware)
        assert logits.shape == (1, 5, 36, 36)
        torch.testing.assert_close(logits, net(given))


def test_every_pixel_of_a_mirrored_image_is_scored() -> None:
    """The bands begin at the image's edge, and the costs are those of the mirrored input."""
    source = TINY.replace("scored = 20", "scored = 36\nborder = 'mirrored'")
    record = train(next(read_plan(source, name="p", file="f").cells()))
    counts = np.asarray(record.counts)
    ring = counts[0, :, [0, 2]].sum() / record.parsed_cell().training.test_images
    assert ring == 36**2 - 32**2
    assert record.macs == algebra.cost(record.parsed_cell().spec, 52, 52).macs


def test_the_loss_is_what_it_says() -> None:
    """A confident right answer costs nothing; both kinds of target agree on two classes."""
    label = torch.tensor([[[0, 1], [1, 2]]])
    right = 50.0 * one_hot(label, 3)
    assert segmentation_loss(right, label) == pytest.approx(0, abs=1e-6)
    masks = one_hot(label, 3).float()
    assert segmentation_loss(100 * (masks - 0.5), masks) == pytest.approx(0, abs=1e-6)
    even = segmentation_loss(torch.zeros(1, 3, 2, 2), label)
    dice = np.mean([(2 * n / 3 + 1) / (4 / 3 + n + 1) for n in (1, 2, 1)])
    assert even.item() == pytest.approx(math.log(3) + 1 - dice)


def test_hardware_is_found_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """bfloat16 only where the chip computes in it; a GPU where there is one."""
    find = find_hardware.__wrapped__
    for flags, precision in (
        ({"avx512_bf16": True, "cpu_name": "chip"}, "bfloat16"),
        ({"amx_bf16": True}, "bfloat16"),
        ({}, "float32"),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda flags=flags: flags)
        assert find("cpu").precision == precision
        assert find("cpu").name
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    gpu = SimpleNamespace(name="GPU", total_memory=8)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    assert find("auto") == Hardware("cuda", "GPU", "bfloat16", 8)


def test_bfloat16_trains_too(tiny: Plan) -> None:
    """The precision of newer chips, here possibly emulated, changes nothing but rounding."""
    cell = next(tiny.cells())
    training = cell.training.model_copy(update={"precision": "bfloat16"})
    rounded = dataclasses.replace(cell, training=training)
    assert rounded.key != cell.key, "what changes results is in the key"
    (record,) = Trainer(find_hardware("cpu")).run([rounded])
    assert record.environment["precision"] == "bfloat16"
    assert record.outcome == "done"


def test_nothing_is_rounded_unless_it_is_asked_for(
    tiny_records: list[Record],
) -> None:
    """Whatever the chip is fastest in: a cell's key says nothing of a chip."""
    hardware = find_hardware("cpu")._replace(precision="bfloat16")
    (record,) = Trainer(hardware).run([tiny_records[0].parsed_cell()])
    assert record.environment["precision"] == "float32"
    assert record.counts == tiny_records[0].counts


def test_seeds_trained_side_by_side_are_trained_as_if_alone(
    tiny: Plan, tiny_records: list[Record]
) -> None:
    """To the bit, whatever the trainer has done before."""
    trainer, alone = Trainer(find_hardware("cpu")), {r.key: r for r in tiny_records}
    for cells in groups(tiny.cells(), GPU, sharers=1):
        assert {cell.seed for cell in cells} == {0, 1}
        for together in (cells, cells[::-1]):
            for record in trainer.run(together):
                assert record.counts == alone[record.key].counts
                assert record.losses == alone[record.key].losses
                assert (record.example is None) == (alone[record.key].example is None)


def test_a_gpu_takes_as_many_seeds_as_fit(tiny: Plan) -> None:
    """In groups of one size; nets with dropout, and nets that fill the memory, alone."""
    cell = next(tiny.cells())
    many = [dataclasses.replace(cell, seed=seed) for seed in range(10)]
    assert [len(group) for group in groups(many, GPU, sharers=1)] == [5, 5]
    assert [cell.seed for group in groups(many, GPU, sharers=1) for cell in group] == [*range(10)]
    assert [len(group) for group in groups(many, find_hardware("cpu"), sharers=1)] == [1] * 10
    assert side_by_side(cell, 1) == 1
    paper = dataclasses.replace(cell, spec=UNetSpec(in_channels=1, num_classes=5))
    assert side_by_side(paper, GPU.memory) == 1


GPU = Hardware("cuda", "a GPU", "bfloat16", memory=80 * 10**9)


def test_images_are_drawn_a_few_steps_at_a_time(
    tiny: Plan, tiny_records: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many makes no difference, nor that the last ones are fewer."""
    for steps in (1, 2):
        pixels = steps * 2 * 36**2
        monkeypatch.setitem(learner.DRAWN_TOGETHER, "cpu", pixels)
        cell = next(tiny.cells())
        assert Learner(cell, find_hardware("cpu")).drawn_together == steps
        assert train(cell).losses == tiny_records[0].losses


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 101])
def test_learning_rates_are_torchs_one_cycle(tiny: Plan, steps: int) -> None:
    """A second account of the same curve."""
    settings = next(tiny.cells()).training.model_copy(update={"steps": steps})
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=settings.learning_rate, total_steps=max(steps, 2)
    )
    theirs = []
    for _ in range(steps):
        theirs.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert list(learning_rates(settings)) == pytest.approx(theirs)


def test_cells_are_made_of_plain_data(tiny: Plan) -> None:
    """A cell crosses to a worker process and back unchanged."""
    cell = next(tiny.cells())
    assert Cell.from_data(train(cell).cell) == cell
