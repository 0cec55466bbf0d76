"""The way to a Ray cluster: whether it answers, and who may use it."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from unet.refusal import Refusal

KNOCK_SECONDS: Final = 10.0
"""How long an address may take to answer."""

AUTH_MODE: Final = "RAY_AUTH_MODE"

Ray = Any
"""The module `ray`, which is imported only where a cluster is asked for."""


@contextmanager
def connected(address: str) -> Iterator[Ray]:
    """Ray, connected to the cluster at `address` ("HOST:PORT"); leaving stops all our actors.

    Raises `Refusal` if that is impossible.
    """
    if not re.fullmatch(r"[^\s/]+:[0-9]{1,5}", address):
        raise Refusal(f"address {address!r} is not HOST:PORT, as `ray start --head` prints it")
    # Before the import, which reads it.
    os.environ.setdefault(AUTH_MODE, "token")
    try:
        import ray
    except ImportError:
        raise Refusal("ray is not installed: python -m pip install 'ray>=2.52'") from None
    _require_admission(address)
    _connect(ray, address)
    try:
        yield ray
    finally:
        ray.shutdown()


def _connect(ray: Ray, address: str) -> None:
    # It tells of dead processes on stdout, where JSON may be wanted, and asks only this.
    ray._private.worker._worker_logs_enabled = False  # noqa: SLF001
    heard = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    except Exception as problem:  # noqa: BLE001  # it raises many kinds
        raise Refusal(
            f"address {address}: {' '.join(str(problem).split())}; "
            f"this machine must be a node, too: ray start --address={address}"
        ) from None
    finally:
        if threading.current_thread() is threading.main_thread():
            # Ray has put its own in its place.
            signal.signal(signal.SIGTERM, heard)


def _require_admission(address: str) -> None:
    """Refuse a cluster that does not answer, takes anybody's word, or does not take ours.

    Another process asks: Ray tries a dead address for minutes, and its library prints.
    """
    mode = os.environ[AUTH_MODE]
    if mode == "token" and not _knock(address, "disabled"):
        raise Refusal(
            f"address {address}: this cluster runs what anybody sends it; start it anew with "
            f"{AUTH_MODE}=token, or set {AUTH_MODE}=disabled here to use it all the same"
        )
    if problem := _knock(address, mode):
        raise Refusal(f"address {address}: {problem}")


def _knock(address: str, mode: str) -> str:
    """What a cluster has against somebody with our token in this mode, or nothing."""
    try:
        answer = subprocess.run(  # noqa: S603  # our own interpreter
            [sys.executable, "-m", "ray.scripts.scripts", "status", "--address", address],
            env={**os.environ, AUTH_MODE: mode},
            check=False,
            capture_output=True,
            text=True,
            timeout=KNOCK_SECONDS,
            # Out of Ctrl-C's reach.
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise Refusal(
            f"address {address}: no Ray cluster answers; start one with `ray start --head`"
        ) from None
    if answer.returncode == 0:
        return ""
    if re.search("AuthenticationError|RAY_AUTH_TOKEN", answer.stderr):
        return (
            "the cluster does not take the token of this machine, or there is none; make one with "
            "`ray get-auth-token --generate`, and copy ~/.ray/auth_token to every machine"
        )
    return answer.stderr.strip().rsplit("\n", maxsplit=1)[-1]
