"""What a process says of its target is believed only if an examination can have said it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from unet.claims import CLAIMS
from unet.findings import Failure, Findings, Inferred, read_findings, written

CHECKS = ("one", "other")


def said(check: str, **more: object) -> dict[str, Any]:
    """A result."""
    return {"check": check, "status": "pass", "message": "It holds.", "evidence": {}} | more


def test_every_trait_can_be_claimed() -> None:
    """What a net is described by, and what may be claimed of one, have the same names."""
    assert list(CLAIMS) == list(Inferred.model_fields)


def whole() -> dict[str, Any]:
    """Findings as they should be."""
    names = ("padding", "skip", "unskipped", "upsampling", "norm", "kernel", "final_activation")
    numbers = ("in_channels", "num_classes", "base_channels", "parameters", "macs", "margin")
    inferred: dict[str, Any] = dict.fromkeys(names, "none") | dict.fromkeys(numbers, 3)
    inferred |= {"depth": "unknown", "further_inputs": {}, "macs_at": [64, 64]}
    inferred |= {"legal_sizes": "any", "off_grid": "refuses", "receptive_field": [9, 9]}
    return {"inferred": inferred, "results": [said("one"), said("one"), said("other")]}


def test_what_an_examination_says_is_read() -> None:
    """Findings, or why there are none."""
    found = read_findings(json.dumps(whole()).encode(), CHECKS)
    assert isinstance(found, Findings)
    assert [result.check for result in found.results] == ["one", "one", "other"]
    failure = read_findings(b'{"verdict": "mistake", "error": "no such net"}', CHECKS)
    assert failure == Failure(verdict="mistake", error="no such net")


Change = Callable[[dict[str, Any]], Any]

MISSHAPED: dict[str, Change] = {
    "a key too many": lambda found: found.update(verdict="sound"),
    "no results": lambda found: found.pop("results"),
    "a check too few": lambda found: found["results"].pop(),
    "none": lambda found: found["results"].clear(),
    "a check too many": lambda found: found["results"].append(said("third")),
    "another order": lambda found: found["results"].reverse(),
    "a status of its own": lambda found: found["results"][0].update(status="fine"),
    "a message that is none": lambda found: found["results"][0].update(message=3),
    "evidence that is none": lambda found: found["results"][0].update(evidence=[]),
    "an endless number": lambda found: found["results"][0].update(evidence={"gap": math.inf}),
    "no number": lambda found: found["results"][0].update(evidence={"gap": math.nan}),
    "an unknown trait": lambda found: found["inferred"].update(colour="red"),
    "a trait too few": lambda found: found["inferred"].pop("depth"),
    "a number as text": lambda found: found["inferred"].update(macs="3"),
}


@pytest.mark.parametrize("name", MISSHAPED)
def test_a_misshaped_report_is_not_believed(name: str) -> None:
    """Whatever is wrong with it."""
    found = whole()
    MISSHAPED[name](found)
    with pytest.raises(ValueError, match=r"."):
        read_findings(json.dumps(found).encode(), CHECKS)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"[" * 200_000,
        b'{"verdict": "sound", "error": ""}',
        b'{"verdict": "mistake", "error": "%s"}' % (b"x" * 3000),
        json.dumps(whole()).replace("{}", '{"gap": 1e999}', 1).encode(),
        json.dumps(whole()).replace("{}", '{"gap": %s}' % ("9" * 5000), 1).encode(),
    ],
)
def test_what_is_no_report_is_not_believed(message: bytes) -> None:
    """However it is misshaped, it is a `ValueError`, and no crash."""
    with pytest.raises(ValueError, match=r"."):
        read_findings(message, CHECKS)


def test_evidence_is_written_as_strict_json() -> None:
    """What JSON has no word for is null and named beside, and what is no plain data is text."""
    evidence = {"gaps": (math.inf, math.nan, 0.5), 3: {"shape": object}, "none": None}
    expected = {
        "gaps": [None, None, 0.5],
        "gaps_is": ["infinity", "not a number", None],
        "3": {"shape": str(object)},
        "none": None,
    }
    assert json.loads(written(evidence), parse_constant=lambda _: 1 / 0) == expected
