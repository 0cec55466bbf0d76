"""The version that is stored with every record."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from ablations.running.actor import versions
from ablations.runs.plan import Plan
from tests.conftest import train
from tests.samples import ROOT
from unet import version as version_module
from unet.version import PACKAGE, UNKNOWN, _version_of_checkout, version


@pytest.fixture
def uninstalled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a checkout of which nothing was installed but what it needs."""
    real = metadata.version

    def look_up(name: str) -> str:
        if name == PACKAGE:
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", look_up)
    version.cache_clear()
    yield
    version.cache_clear()


@pytest.mark.usefixtures("uninstalled")
def test_a_checkout_that_is_not_installed_trains(
    tiny: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its records hold what git says of it, or that nothing is known."""
    monkeypatch.setattr(version_module, "_version_of_checkout", lambda _: "0+g1a2b3c4")
    record = train(next(tiny.cells()))
    assert record.environment[PACKAGE] == versions()[PACKAGE] == "0+g1a2b3c4"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with one commit."""
    if not shutil.which("git"):
        pytest.skip("there is no git")
    name = ("-c", "user.name=n", "-c", "user.email=e@localhost")
    commit = ("commit", "-q", "--allow-empty", "-m", "first")
    for words in (("init", "-q"), (*name, *commit)):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    return tmp_path


def test_a_checkout_is_known_by_its_commit(checkout: Path) -> None:
    """Seven digits of it, and whether files have changed since."""
    words = ["git", "-C", str(checkout), "rev-parse", "--short=7", "HEAD"]
    commit = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    assert _version_of_checkout(checkout) == f"0+g{commit}"
    (checkout / "file").touch()
    subprocess.run(["git", "-C", str(checkout), "add", "file"], check=True)
    assert _version_of_checkout(checkout) == f"0+g{commit}.dirty"


def test_a_copy_within_another_repository_is_none_of_its_commits(checkout: Path) -> None:
    """A user's own commit is no version of ours."""
    (checkout / "vendored").mkdir()
    assert _version_of_checkout(checkout / "vendored") == UNKNOWN


def test_without_git_nothing_is_known(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing fails."""
    monkeypatch.setenv("PATH", "")
    assert _version_of_checkout(checkout) == UNKNOWN


def test_the_version_is_that_of_the_package() -> None:
    """Where it is installed."""
    assert f'version = "{version()}"' in (ROOT / "pyproject.toml").read_text()
