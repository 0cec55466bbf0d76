"""Sound nets pass, broken ones are found by the check that the record names."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from torch import nn

from tests.kill_matrix import RECORD, row_of
from tests.strategies import specs
from tests.zoo.mutants import MUTANTS
from tests.zoo.sound_nets import SOUND
from unet import (
    PAPER,
    RELEASE,
    Refusal,
    UNet,
    UNetSpec,
    UnsoundUNetError,
    check_unet,
    parametrize_with_checks,
)
from unet.checks import CHECKS, PAPER_CHECKS
from unet.examination import Examination
from unet.inference import infer
from unet.verify import explain, results_of, run_check, verdict, verify

KILLS: dict[str, dict[str, Any]] = {row["net"]: row for row in json.loads(RECORD.read_text())}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_net_raises_no_alarm(name: str) -> None:
    """Every check, on every style; and the record says what they say."""
    row = row_of(name)
    assert row["failed"] == []
    assert row == KILLS[name]


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_net_is_known_for_what_it_is(name: str) -> None:
    """All that a reader would say of it, read off its operations."""
    torch.manual_seed(0)
    net = SOUND[name]
    inferred = infer(Examination(net.factory(), in_channels=net.in_channels))
    assert {trait: inferred[trait] for trait in net.expected} == net.expected


def only(row: dict[str, Any]) -> list[str]:
    """The checks that find a net, or remark on it as they do not on its host."""
    usual = KILLS[row["host"]]["warned"] if row["host"] else []
    return row["failed"] or [warned for warned in row["warned"] if warned not in usual]


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_net_is_found(name: str) -> None:
    """By a check that the record names; a remark is no failure."""
    mutant, row = MUTANTS[name], KILLS[name]
    torch.manual_seed(0)
    x = Examination(mutant.factory().eval(), in_channels=mutant.in_channels, claims=mutant.claims)
    assert bool(row["failed"]) == (mutant.level == "defect")
    said, status = (row["failed"], "fail") if row["failed"] else (row["warned"], "warn")
    # The first of them does, but for nets that draw at random: other numbers are drawn here.
    assert any(status in {result.status for result in run_check(check, x)} for check in said)


def test_a_net_that_draws_at_random_is_judged_alike_each_time() -> None:
    """What is said of it depends on no net that was examined before it."""
    net = MUTANTS["lightning_random_shift"].factory().eval()
    assert verify(net) == verify(net)


def test_the_record_is_of_this_zoo() -> None:
    """Every net has its row, and no row is of a net that is gone."""
    assert list(KILLS) == [*SOUND, *MUTANTS]
    assert all(MUTANTS[name].fault == KILLS[name]["fault"] for name in MUTANTS)


@pytest.mark.parametrize("check", CHECKS)
def test_every_check_is_needed(check: str) -> None:
    """Some net is found by it and by no other check."""
    assert [check] in [only(row) for row in KILLS.values()]


@settings(max_examples=settings.default.max_examples // 5)
@given(specs(deepest=3))
def test_any_net_of_the_tables_is_sound_and_is_known_for_what_it_is(spec: UNetSpec) -> None:
    """Its padding, skip, upsampling, norm, depth and widths are read off its operations."""
    torch.manual_seed(0)
    # A single channel may be dead by the chance of its weights: that is no fault of the design.
    spec = dataclasses.replace(spec, base_channels=spec.base_channels + 3)
    # Aligned corners do drift.
    spec = dataclasses.replace(spec, upsampling=spec.upsampling.removesuffix("_corners"))
    # Skips that are left out on purpose look like forgotten ones.
    left_out = ",".join(map(str, sorted(spec.unskipped))) or "none"
    claims = {"unskipped": left_out} if spec.skip != "none" else {"skip": "none"}
    x = Examination(UNet(spec), in_channels=spec.in_channels, claims=claims)
    results = results_of(x)
    assert [explain(result) for result in results if result.status == "fail"] == []
    inferred = infer(x)
    for name in ("depth", "padding", "skip", "upsampling", "norm", "in_channels", "num_classes"):
        assert inferred[name] == getattr(spec, name), name
    assert inferred["base_channels"] == spec.base_channels
    law = x.net.size_law
    assert inferred["margin"] == law.margin
    assert inferred["off_grid"] == "refuses"


def test_the_papers_profile_tells_paper_from_release() -> None:
    """Every line of both, on nets of few channels."""
    for spec, relu in ((PAPER, False), (RELEASE, True)):
        x = Examination(UNet(spec))
        results = {name: run_check(name, x, "paper") for name in PAPER_CHECKS}
        assert [r.message for found in results.values() for r in found if r.status == "fail"] == []
        assert ("shipped" in results["up_convolutions_are_linear"][0].message) == relu
    small = UNet(UNetSpec(base_channels=4, norm="batch", dropout_levels=0))
    said = [r.message for r in verify(small, profile="paper") if r.status == "fail"]
    assert any("norm is batch, and none in the paper" in message for message in said)
    assert any("parameters against 31,030,658" in message for message in said)
    assert any("no dropout at the end" in message for message in said)


def test_check_unet_explains_every_failure() -> None:
    """What was seen, the harm, the usual cause."""
    check_unet(lambda: UNet(UNetSpec(depth=1, base_channels=4)))
    with pytest.raises(UnsoundUNetError, match=r"harm: .*\n    usual cause: ") as caught:
        check_unet(MUTANTS["crop_one_low"].factory)
    assert "join at level 0: the skip lies 1 px" in str(caught.value)


@parametrize_with_checks([UNet(UNetSpec(depth=1, base_channels=4))])
def test_the_pytest_face(net: nn.Module, check: Any) -> None:  # noqa: ANN401  # a check to call
    """One test for each check."""
    check(net)


def test_what_is_no_net_is_refused() -> None:
    """In one line."""
    with pytest.raises(Refusal, match=r"int is not a torch\.nn\.Module"):
        verify(lambda: 3)  # type: ignore[arg-type, return-value]
    with pytest.raises(Refusal, match="the net ran on no image"):
        verify(nn.Linear(7, 3))


def test_a_net_that_no_check_was_made_for_is_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that fails itself says so."""
    x = Examination(UNet(UNetSpec(depth=1, base_channels=2)))
    monkeypatch.setattr(Examination, "run", lambda *_: 1 / 0)
    (result,) = run_check("takes_every_legal_size", x)
    assert (result.status, verdict([result])) == ("skip", "sound")
    assert "could not be decided: ZeroDivisionError" in result.message


def test_a_level_left_out_on_purpose_is_claimed() -> None:
    """Without the claim it is taken for forgotten; a claim of another level does not help."""

    def failing(**claims: str) -> set[str]:
        net = UNet(UNetSpec(depth=3, base_channels=4, padding="zeros", unskipped=(0,)))
        results = verify(net, claims=claims)
        return {result.check for result in results if result.status == "fail"}

    assert failing() == {"every_level_is_joined"}
    assert failing(unskipped="0") == set()
    assert failing(unskipped="1") == {"every_level_is_joined", "claims_hold"}
    assert failing(unskipped="0,1") == {"claims_hold"}
