"""Checkerboards and shifted tiles, where the answer is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ablations.runs.cell import Cell
from ablations.storage.plan_file import read_plan
from ablations.training.hardware import find_hardware
from ablations.training.learner import pair_weights
from ablations.training.probing import _inside, checkerboard, measures_of, shifts
from ablations.training.scoring import Tally, count_test_images, period_two
from tests.samples import TINY
from unet import UNet
from unet.reach import padding_ring
from unet.upsampling import UPSAMPLINGS

HARDWARE = find_hardware("cpu")._replace(precision="float32")


def shares(maps: Tensor) -> list[float]:
    """The shares of rows, columns and both."""
    power = period_two(maps)
    return (power[:3] / power[3]).tolist()


def pattern(down: int, along: int, size: int = 8) -> Tensor:
    """One map that alternates in these directions."""
    line = torch.arange(size)
    return ((-1.0) ** (down * line[:, None] + along * line)).view(1, 1, size, size)


@pytest.mark.parametrize(("down", "along", "place"), [(1, 0, 0), (0, 1, 1), (1, 1, 2)])
def test_a_pure_checkerboard_is_all_there_is(down: int, along: int, place: int) -> None:
    """Whatever the mean that it lies on, and on odd sides as well."""
    for size in (8, 9):
        found = shares(5 + 3 * pattern(down, along, size))
        assert found == pytest.approx([float(k == place) for k in range(3)])


def test_a_constant_has_no_power() -> None:
    """At no frequency."""
    assert period_two(torch.full((2, 3, 8, 8), 7.0)).tolist() == [0, 0, 0, 0]


def test_power_is_that_of_the_fourier_transform() -> None:
    """A second account of the same frequencies."""
    maps = torch.randn(2, 3, 10, 12, dtype=torch.float64, generator=torch.manual_seed(0))
    power = torch.fft.fft2(maps).abs().square().sum(dim=(0, 1)) / (10 * 12)
    theirs = [power[5, 0], power[0, 6], power[5, 6], power.sum() - power[0, 0]]
    assert period_two(maps).tolist() == pytest.approx([each.item() for each in theirs])


def net_and_cell(padding: str, upsampling: str, *, size: int = 60) -> tuple[UNet, Cell]:
    """A net of depth 2 with random weights, and a cell of it."""
    source = TINY.replace("depth = 1", f'depth = 2\npadding = "{padding}"').replace(
        "dropout_levels", f'upsampling = "{upsampling}"\ndropout_levels'
    )
    scored = 20 if padding == "valid" else size
    source = source.replace("size = 36", f"size = {size}").replace(
        "scored = 20", f"scored = {scored}"
    )
    cell = next(read_plan(source, name="p", file="p.toml").cells())
    net = UNet(cell.spec)
    pair_weights(net, 3)
    return net, cell


def changed(net: UNet, cell: Cell) -> tuple[int, int, int]:
    """Pixels that change by 1 pixel, by 2^depth inside, and at the seam."""
    found = shifts(net, cell, HARDWARE)
    assert found is not None
    one, lattice, seam = found[:, 1].tolist()
    return one, lattice, seam


def test_tiles_of_a_net_without_padding_agree_on_the_lattice() -> None:
    """Exactly at 2^depth pixels, up to the last one; not at 1 pixel."""
    one, lattice, seam = changed(*net_and_cell("valid", "transposed"))
    assert (lattice, seam) == (0, 0)
    assert one > 0


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_padding_disagrees_at_the_seam_only(padding: str) -> None:
    """Inside, where it does not reach, tiles agree."""
    _, lattice, seam = changed(*net_and_cell(padding, "transposed"))
    assert lattice == 0
    assert seam > 0


def test_interpolation_lacks_a_neighbour_at_the_seam() -> None:
    """A net without padding that upsamples bilinearly agrees inside, and not at the very end."""
    _, lattice, seam = changed(*net_and_cell("valid", "bilinear"))
    assert lattice == 0
    assert seam > 0


def test_the_same_pixels_are_compared_with_and_without_padding() -> None:
    """Inside; a seam is as long as what is covered."""
    valid, zeros = (shifts(*net_and_cell(p, "nearest"), HARDWARE) for p in ("valid", "zeros"))
    assert valid is not None
    assert zeros is not None
    assert valid[:2, 0].tolist() == zeros[:2, 0].tolist() == [5 * 5**2, 5 * 2**2]
    # Of 5 images: tiles of 56 cover 16 pixels or all 56, and share 4 less.
    assert valid[2, 0] == 5 * (12**2 - 4**2)
    assert zeros[2, 0] == 5 * (52**2 - 44**2)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("choice", [{"upsampling": each} for each in UPSAMPLINGS])
def test_padding_does_not_reach_inside(depth: int, choice: dict[str, str]) -> None:
    """However a net upsamples, the ring that padding can touch is no wider than what is cut off."""
    _, cell = net_and_cell("zeros", "nearest")
    cell = replace(cell, spec=replace(cell.spec, depth=depth, **choice))  # type: ignore[arg-type]  # fields of a spec
    apart = 2**depth
    cut_off = cell.task.size - apart - _inside(cell, apart)
    assert cut_off // 2 >= padding_ring(cell.spec)


def test_images_too_small_for_tiles_are_not_compared() -> None:
    """Nothing is said of them."""
    assert shifts(*net_and_cell("valid", "nearest"), HARDWARE) is not None
    net, cell = net_and_cell("zeros", "nearest", size=52)
    assert shifts(net, cell, HARDWARE) is None


def test_probing_leaves_the_net_as_it_was() -> None:
    """A net in training goes on as if nothing had happened."""
    net, cell = net_and_cell("zeros", "transposed")
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.train()
    checkerboard(net, cell, HARDWARE)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_transposed_convolutions_start_with_checkerboards() -> None:
    """Odena et al. 2016: before any training, and interpolation does not."""
    both = {}
    for upsampling in ("transposed", "bilinear"):
        rows, columns, diagonal, total = checkerboard(
            *net_and_cell("zeros", upsampling), HARDWARE
        ).tolist()
        both[upsampling] = (rows + columns + diagonal) / total
    assert both["transposed"] > 10 * both["bilinear"]


def test_the_checkerboard_at_the_end_is_that_of_the_first_images() -> None:
    """However many are tested: it is of the same logits as the one at the start."""
    net, cell = net_and_cell("valid", "bilinear")
    few = replace(cell, training=cell.training.model_copy(update={"test_images": 32}))
    many = replace(cell, training=cell.training.model_copy(update={"test_images": 70}))
    expected = checkerboard(net, few, HARDWARE)
    for tested in (few, many):
        assert torch.equal(count_test_images(net, tested, HARDWARE).power, expected)


def test_what_overflowed_has_no_checkerboard() -> None:
    """A record has only numbers."""
    counts = (torch.zeros(n, dtype=torch.int64) for n in ((5, 5, 3), (5, 4), (15, 3)))
    found = measures_of(Tally(*counts, torch.full((4,), torch.nan)), torch.ones(4), None)
    assert found.start is not None
    assert found.end is None
    assert found.shifts is None
