"""Reports on targets: each is loaded and verified in a process of its own, whatever it does.

Loading a target runs its code: this is no sandbox. But whatever the code does to its own
process, the tool goes on and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, final

from unet.findings import Failure, Findings, Verdict, read_findings, written
from unet.isolation import UnfinishedError, isolated
from unet.limits import Limits
from unet.refusal import Refusal, shortened
from unet.subject import NoNetError, Target, load

Report = dict[str, Any]


@final
@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of every target: its channels, what is claimed of it, the profile, limits."""

    in_channels: int | None = None
    claims: Mapping[str, str] = field(default_factory=dict)
    profile: str = "sound"
    limits: Limits = field(default_factory=Limits)


def reports(targets: Sequence[Target], request: Request) -> Iterator[Report]:
    """The report on each target, one after the other, each from a process of its own."""
    # Loaded once, here: where processes are forked, each starts as a copy of this one.
    from unet.verify import PROFILES, Result, verdict

    for target in targets:
        found = _found(target, request, list(PROFILES[request.profile]))
        if isinstance(found, Failure):
            yield _report(target, found.verdict, {}, [], error=found.error)
            continue
        results = [Result(**said.model_dump()) for said in found.results]
        # The process says what was seen; what follows from it is worked out here.
        plain = [asdict(result) for result in results]
        yield _report(target, verdict(results), found.inferred.model_dump(), plain)


def _report(
    target: Target,
    verdict: Verdict,
    inferred: dict[str, Any],
    results: list[dict[str, Any]],
    **error: str,
) -> Report:
    found = {"inferred": inferred, "results": results}
    return {"subject": target.text, "verdict": verdict, **error, **found}


def _found(target: Target, request: Request, checks: list[str]) -> Findings | Failure:
    try:
        message = isolated(examine, target, request, limits=request.limits)
    except UnfinishedError as error:
        return Failure(verdict="unverified", error=shortened(str(error)))
    try:
        return read_findings(message, checks)
    except ValueError:
        return Failure(verdict="unverified", error="its report could not be read")


def examine(target: Target, request: Request) -> bytes:
    """Load and verify one target, here, and tell what was found; whatever it may raise."""
    # All that is needed, before a package of the target's may have taken our name.
    from unet.running import line_of
    from unet.verify import findings_on

    try:
        found = findings_on(
            load(target),
            in_channels=request.in_channels,
            claims=request.claims,
            profile=request.profile,
        )
        return written(found)
    except NoNetError as mistake:
        return written({"verdict": "mistake", "error": str(mistake)})
    except BaseException as error:  # noqa: BLE001  # whatever its code may raise
        return written({"verdict": "unverified", "error": _in_one_line(error, line_of)})


def _in_one_line(error: BaseException, line_of: Callable[[BaseException], str]) -> str:
    try:
        text = shortened(" ".join(str(error).split()), 400)
    except Exception:  # noqa: BLE001  # an error whose text is an error
        text = ""
    if isinstance(error, Refusal):
        return text
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return shortened(said, 900) + line_of(error)
