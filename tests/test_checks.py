"""What checks say of nets that the zoo has no room for: each message has a net that earns it."""

from __future__ import annotations

import re

import pytest
import torch

from tests.checks import activations, alignment, behaviour, counts, sizes, skips, wiring
from tests.checks.small import Factory, Small, alarms, says
from unet.checks import CHECKS
from unet.examination import Examination
from unet.verify import run_check

FAMILIES = (sizes, alignment, skips, wiring, activations, behaviour, counts)


@pytest.mark.parametrize(
    ("factory", "check", "status", "message"),
    [row for family in FAMILIES for row in family.SAID],
    ids=lambda v: getattr(v, "__name__", str(v)),
)
def test_what_is_wrong_is_said(factory: Factory, check: str, status: str, message: str) -> None:
    """By the check whose matter it is, in words that name it."""
    torch.manual_seed(0)
    result = says(factory(), check)
    assert result.status == status
    assert re.search(message, result.message), result.message


def test_nothing_is_said_of_the_sound_net_that_they_share() -> None:
    """Whatever is said of the others is said of the part that differs."""
    torch.manual_seed(0)
    x = Examination(Small(), in_channels=1)
    said = {check: run_check(check, x)[0].status for check in CHECKS}
    off_grid = {"sizes_off_the_grid_are_refused_or_handled"}  # it fails inside torch there
    assert {check for check, status in said.items() if status != "pass"} == off_grid


@pytest.mark.parametrize(
    "factory", [net for family in FAMILIES for net in family.SOUND], ids=lambda v: v.__name__
)
def test_unusual_nets_raise_no_alarm(factory: Factory) -> None:
    """What a check cannot decide of them it says so, and calls nothing a defect."""
    assert not alarms(factory)
