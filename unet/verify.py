"""Verifies any U-Net: runs every check on it and says what was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, final

from torch import nn

from unet.checks import CHECKS, PAPER_CHECKS
from unet.checks.finding import Check, Status
from unet.examination import Built, Examination, built
from unet.inference import infer

PROFILES: Final[Mapping[str, Mapping[str, Check]]] = {
    "sound": CHECKS,
    "paper": {**CHECKS, **PAPER_CHECKS},
}
"""What a net is held against: any sound U-Net, or the paper's."""


@final
@dataclass(frozen=True)
class Result:
    """What one check says of a net."""

    check: str
    status: Status
    message: str
    evidence: dict[str, Any] = field(default_factory=dict)


def run_check(name: str, x: Examination, profile: str = "sound") -> list[Result]:
    """What one check says: each of its findings, or that it holds."""
    check = PROFILES[profile][name]
    try:
        found = [Result(name, f.status, f.message, f.evidence) for f in check.run(x)]
    except Exception as error:  # noqa: BLE001  # a net that no check was made for
        text = " ".join(str(error).split())[:200]
        return [Result(name, "skip", f"could not be decided: {type(error).__name__}: {text}")]
    return found or [Result(name, "pass", check.title)]


def results_of(x: Examination, profile: str = "sound") -> list[Result]:
    """What every check of the profile says."""
    return [result for name in PROFILES[profile] for result in run_check(name, x, profile)]


def verify(
    subject: Built,
    *,
    in_channels: int | None = None,
    claims: Mapping[str, str] | None = None,
    profile: str = "sound",
) -> list[Result]:
    """Every check's results for a net, or for a factory of one.

    Raises `Refusal` if it cannot be run on any image.
    """
    x = Examination(built(subject), in_channels=in_channels, claims=claims)
    return results_of(x, profile)


def verdict(results: list[Result]) -> Literal["sound", "defective"]:
    """`defective` if any check failed, else `sound`."""
    return "defective" if any(result.status == "fail" for result in results) else "sound"


def explain(result: Result) -> str:
    """A result in words: what was seen, what it does, and what usually causes it."""
    check = {**CHECKS, **PAPER_CHECKS}[result.check]
    text = f"{result.status}: {result.check}: {result.message}"
    if result.status in ("pass", "skip"):
        return text
    return f"{text}\n    harm: {check.harm}\n    usual cause: {check.cause}"


def findings_on(
    net: nn.Module,
    *,
    in_channels: int | None = None,
    claims: Mapping[str, str] | None = None,
    profile: str = "sound",
) -> dict[str, Any]:
    """What a net is and what every check says, as data; raises `Refusal` if it runs on no image."""
    x = Examination(net, in_channels=in_channels, claims=claims)
    results = [asdict(result) for result in results_of(x, profile)]
    return {"inferred": infer(x), "results": results}
