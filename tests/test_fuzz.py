"""Whatever a reader is given, it reads it or refuses it in one line, and no store changes."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ablations.__main__ as command
from ablations.running.sweep import STORE
from ablations.storage.plan_file import load_plan
from tests.endurance import readers as real_readers
from tests.endurance.fuzz import accepts, tally
from tests.endurance.hostile import inputs
from tests.endurance.readers import BytesChangedError, Reader, prepare, readers, unchanged
from tests.samples import TINY
from unet import Refusal

NAMES = (
    "plan", "record", "export", "store", "selection", "target", "options", "claims",
    "command line", "kills", "others", "conformance", "endurance", "first touch", "scale",
    "calibration", "tasks", "performance",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the store is that must not change."""
    place = tmp_path_factory.mktemp("fuzz")
    prepare(place)
    return place


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_is_read_brings_a_traceback(name: str, folder: Path) -> None:
    """Every reader, given real inputs that were damaged and hostile ones from a grammar."""
    reader = readers(folder)[name]

    @settings(suppress_health_check=list(HealthCheck))
    @given(inputs(name, reader.real))
    def once(data: bytes) -> None:
        accepts(reader, folder, data)

    once()


def test_every_reader_is_tried(folder: Path) -> None:
    """And every one accepts the real inputs that the others are made from."""
    of = readers(folder)
    assert tuple(of) == NAMES
    for name, reader in of.items():
        for data in reader.real if name not in ("plan", "command line") else ():
            assert accepts(reader, folder, data), name


def test_command_lines_are_run_as_a_person_would(tmp_path: Path) -> None:
    """Those of the real ones that nothing is wrong with end well, and the others in one line."""
    prepare(tmp_path)
    reader = readers(tmp_path)["command line"]
    refused = [line.decode() for line in reader.real if not accepts(reader, tmp_path, line)]
    # Another plan is not of its pilot, no key begins so, and nothing is measured here.
    assert [line.split()[1] for line in refused] == ["plan", "explain", "bench"]


def test_the_tally_can_fail(folder: Path) -> None:
    """A reader that raises, and one that changes a store, are both found."""

    def change() -> None:
        (folder / "kept" / STORE).touch()
        (folder / "kept" / "new").write_text("more")
        (folder / "kept" / "new").write_text("less")

    def raises(_folder: Path, data: bytes) -> None:
        data.decode("ascii")

    seen = tally("raises", Reader(raises, (b"text",)), folder, 100, start=0)
    assert seen.tried == seen.refused + seen.accepted + seen.tracebacks
    assert seen.tracebacks
    (folder / "kept" / "new").write_text("old")
    with pytest.raises(BytesChangedError):
        unchanged(folder / "kept", change)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seeds = 2", "seeds = 3"),  # another plan, without --extend
        ("seeds = 2", "seeds = 1000000000000000000"),
        ("depth = 1", f"depth = 0x{'f' * 9999}"),
        ("[axes]", "[axes"),
        ("36", "[[[[37]]]]"),
    ],
)
def test_a_bad_plan_leaves_a_store_as_it_is(
    old: str,
    new: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`run` ends with code 2 and one line, and every byte stays."""
    path = folder / "bad.toml"
    path.write_text(TINY.replace(old, new, 1))
    words = ["ablations", "run", str(path), "--out", str(folder / "kept")]
    monkeypatch.setattr(sys, "argv", words)

    def run() -> None:
        with pytest.raises(SystemExit) as caught:
            command.main()
        assert caught.value.code == 2

    unchanged(folder / "kept", run)
    assert re.fullmatch(r"error: [^\n]+\n", capsys.readouterr().err)


@given(st.text())
def test_a_plans_name_may_be_any_text(name: str) -> None:
    """As a path, it leads to a file or to a refusal."""
    with pytest.raises(Refusal):
        load_plan(f"/nowhere/{name}")


def test_the_readers_of_the_fuzzer_are_those_of_the_program() -> None:
    """Each is looked up where the program has it, so that none is tried in a copy."""
    for name in ("read_plan", "read_export", "read_kills", "read_others", "read_target"):
        assert getattr(real_readers, name).__module__.split(".")[0] in ("ablations", "unet")
