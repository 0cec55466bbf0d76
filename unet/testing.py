"""The checks in tests of your own: `check_unet`, and `parametrize_with_checks` for pytest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

from unet.checks import CHECKS
from unet.examination import Built, Examination, built
from unet.verify import explain, results_of, run_check


class UnsoundUNetError(AssertionError):
    """A net has a defect; the text explains each one."""


def check_unet(
    net: Built, *, in_channels: int | None = None, claims: Mapping[str, str] | None = None
) -> None:
    """Raise `UnsoundUNetError`, with all failures explained, unless the net is sound.

    Raises `Refusal` if it cannot be run on any image.
    """
    x = Examination(built(net), in_channels=in_channels, claims=claims)
    failures = [result for result in results_of(x) if result.status == "fail"]
    if failures:
        raise UnsoundUNetError("\n".join(map(explain, failures)))


def parametrize_with_checks(nets: Sequence[Built]) -> Callable[[Any], Any]:
    """Parametrise a test of `(net, check)` with every check of every net.

    Write `check(net)` in the test; it raises `UnsoundUNetError` if the check fails.
    """
    import pytest

    parameters = []
    for net in nets:
        examined = cache(partial(_examined, net))
        name = getattr(net, "__name__", type(net).__name__)
        parameters += [
            pytest.param(net, partial(_require, check, examined), id=f"{name}-{check}")
            for check in CHECKS
        ]
    return pytest.mark.parametrize(("net", "check"), parameters)


def _examined(net: Built) -> Examination:
    return Examination(built(net))


def _require(check: str, examined: Callable[[], Examination], _net: Built) -> None:
    failures = [result for result in run_check(check, examined()) if result.status == "fail"]
    if failures:
        raise UnsoundUNetError("\n".join(map(explain, failures)))
