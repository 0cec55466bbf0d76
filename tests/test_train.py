"""One cell in, one record out, and fair to every variant."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from ablations import train as training
from ablations.cell import Cell
from ablations.plan import Plan, read_plan
from ablations.shapes import TASKS
from ablations.store import Record
from ablations.train import find_hardware, pair_weights, segmentation_loss
from tests.conftest import TINY, train
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
        seed=0, split="test", index=torch.arange(1), size=36, noise=cell.task.noise
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
    hardware = find_hardware("cpu")
    spec = UNetSpec(base_channels=2, depth=1, padding="zeros", in_channels=1, num_classes=5)
    plan = read_plan(TINY.replace("depth = 1", 'depth = 1\npadding = "zeros"'), name="p", file="f")
    cell = dataclasses.replace(next(plan.cells()), spec=spec)
    net, image = UNet(spec).eval(), torch.rand(1, 1, 36, 36)
    logits = training._window_logits(net, image, cell, hardware)
    assert torch.equal(logits, net(image)[..., 8:28, 8:28])


def test_the_loss_is_what_it_says() -> None:
    """A confident right answer costs nothing; both kinds of target agree on two classes."""
    label = torch.tensor([[[0, 1], [1, 2]]])
    right = 50.0 * training._one_hot(label, 3)
    assert segmentation_loss(right, label) == pytest.approx(0, abs=1e-6)
    masks = training._one_hot(label, 3).float()
    assert segmentation_loss(100 * (masks - 0.5), masks) == pytest.approx(0, abs=1e-6)
    even = segmentation_loss(torch.zeros(1, 3, 2, 2), label)
    dice = np.mean([(2 * n / 3 + 1) / (4 / 3 + n + 1) for n in (1, 2, 1)])
    assert even.item() == pytest.approx(math.log(3) + 1 - dice)


def test_hardware_is_found_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """bfloat16 only where the chip computes in it; a GPU where there is one."""
    find = find_hardware.__wrapped__
    for flags, precision in (
        ({"avx512_bf16": True, "cpu_name": "chip"}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({}, torch.float32),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda flags=flags: flags)
        hardware = find("cpu")
        assert hardware.precision is precision
        assert hardware.name
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "GPU")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    assert find("auto") == (torch.device("cuda"), "GPU", torch.bfloat16)


def test_bfloat16_trains_too(tiny: Plan) -> None:
    """The precision of newer chips, here possibly emulated, changes nothing but rounding."""
    hardware = find_hardware("cpu")._replace(precision=torch.bfloat16)
    record = training.run_cell(next(tiny.cells()), hardware)
    assert record.environment["precision"] == "bfloat16"
    assert record.outcome == "done"


def test_cells_are_made_of_plain_data(tiny: Plan) -> None:
    """A cell crosses to a worker process and back unchanged."""
    cell = next(tiny.cells())
    assert Cell.from_data(train(cell).cell) == cell
