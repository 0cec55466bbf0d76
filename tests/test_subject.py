"""Targets are read, loaded and verified in processes of their own, whatever they do."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import unet.__main__ as unet_command
from tests.samples import result_of
from unet import Refusal
from unet.limits import GIB, Limits
from unet.reports import Request, reports
from unet.subject import load, read_target

NETS = """
import ctypes, os, sys, threading, time
import torch
from torch import nn

class Mine(nn.Module):
    def __init__(self, channels=3, classes=2):
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.ReLU())
        self.up = nn.ConvTranspose2d(8, 4, 2, 2)
        self.out = nn.Sequential(nn.Conv2d(8, 4, 3, padding=1), nn.ReLU())
        self.head = nn.Conv2d(4, classes, 1)

    def forward(self, x):
        skip = self.down(x)
        deep = self.deep(nn.functional.max_pool2d(skip, 2))
        return self.head(self.out(torch.cat([skip, self.up(deep)], 1)))

class Bare(Mine):
    def __init__(self):
        super().__init__()
        self.down[1] = nn.Identity()

class Needs(Mine):
    def __init__(self, channels):
        super().__init__(channels)

class Exits(Mine):
    def __init__(self):
        os._exit(3)

class Hangs(Mine):
    def __init__(self):
        time.sleep(600)

class Crashes(Mine):
    def __init__(self):
        ctypes.string_at(0)

class Eats(Mine):
    def __init__(self):
        self.kept = [bytearray(2**30) for _ in range(64)]

class LeavesByExit(Mine):
    def __init__(self):
        sys.exit("enough")

class IsInterrupted(Mine):
    def __init__(self):
        super().__init__()
    def forward(self, x):
        raise KeyboardInterrupt

class ClosesFiles(Mine):
    def __init__(self):
        super().__init__()
        os.closerange(0, 200)

class Threads(Mine):
    def __init__(self):
        super().__init__()
        threading.Thread(target=time.sleep, args=(600,)).start()

class ChecksNothing(Mine):
    def __init__(self):
        import unet.verify
        super().__init__()
        unet.verify.PROFILES["sound"].clear()

class SaysOnlyGood(Mine):
    def __init__(self):
        import unet.verify
        super().__init__()
        unet.verify.infer = lambda x: {"sound": True}

class Forks(Mine):
    def __init__(self):
        super().__init__()
        os.fork()

class Shouts(Mine):
    def forward(self, x):
        print("x" * 1_000_000)
        return super().forward(x)

class Mute(Mine):
    def __init__(self):
        class Odd(Exception):
            def __str__(self):
                raise ValueError
        raise Odd

class Unprintable(Mine):
    def __repr__(self):
        raise ValueError

class Odd(Mine):
    def forward(self, x):
        return {"logits": object()}

number = 3
"""


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of nets, most of them hostile."""
    path = tmp_path_factory.mktemp("subjects") / "nets.py"
    path.write_text(NETS)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nets.py", "is not package.module:Factory"),
        ("nets.py:", "is not package.module:Factory"),
        ("nets.py:UNet(", "is not package.module:Factory"),
        ("nets.py:UNet(x)", "arguments must be literals"),
        ("nets.py:UNet(a=1, a=2)", "each once"),
        ("nets.py:UNet()()", "is not package.module:Factory"),
        ("nets.py:UNet(**{'channels': 3})", "arguments must be literals"),
        ("nets.py:UNet(*[3])", "arguments must be literals"),
        ("nets.py:UNet({[]: 3})", "arguments must be literals"),
        ("nets.py:UNet(\0)", "is not package.module:Factory"),
        ("nets.py:UNet(\x1b[2J)", "is not package.module:Factory"),
        (f"nets.py:UNet({'-' * 1900}3)", "arguments must be literals|is not package"),
        (f"nets.py:UNet({'(' * 900}3)", "is not package.module:Factory"),
        (f"nets.py:UNet('{'x' * 9999}')", "is not package.module:Factory"),
    ],
)
def test_a_target_that_cannot_be_read_is_refused(text: str, message: str) -> None:
    """With the way it is written."""
    with pytest.raises(Refusal, match=message):
        read_target(text)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Mine(4, bands=2)", "cannot be called so"),
        ("Needs", "missing a required argument: 'channels'"),
        ("Missing", "has no Missing; its nets are Mine, Bare"),
        ("number", "is a int, not a net or a factory of one"),
    ],
)
def test_what_cannot_be_loaded_is_named(nets: Path, name: str, message: str) -> None:
    """In one line, with what there is."""
    with pytest.raises(Refusal, match=message):
        load(read_target(f"{nets}:{name}"))


def test_files_modules_and_calls_are_loaded(nets: Path) -> None:
    """A class, a call with arguments, a module's own."""
    assert type(load(read_target(f"{nets}:Mine"))).__name__ == "Mine"
    assert load(read_target(f"{nets}:Mine(1, classes=5)")).head.out_channels == 5  # type: ignore[union-attr]
    assert type(load(read_target("unet.model:UNet"))).__name__ == "UNet"
    with pytest.raises(Refusal, match="there is no module no_such_module"):
        load(read_target("no_such_module:UNet"))
    with pytest.raises(Refusal, match=r"there is no file missing\.py"):
        load(read_target("missing.py:UNet"))


PARTS = NETS.partition("class Bare")[0]
"""The imports of `NETS` and its first net."""


@pytest.mark.parametrize("with_init", [True, False])
def test_a_file_of_a_package_is_loaded_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_init: bool
) -> None:
    """Its relative imports work, and so they do if the package has our own name."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("theirs", "unet"):
        package = tmp_path / name
        package.mkdir()
        (package / "parts.py").write_text(PARTS)
        (package / "model.py").write_text("from .parts import Mine\n")
        if with_init:
            (package / "__init__.py").write_text("from .model import Mine\n")
    theirs = load(read_target(f"{tmp_path}/theirs/model.py:Mine"))
    assert type(theirs).__module__ == "theirs.parts"
    for name in [name for name in sys.modules if name.split(".")[0] == "theirs"]:
        del sys.modules[name]
    [report] = reports([read_target(f"{tmp_path}/unet/model.py:Mine(1, 2)")], Request())
    assert report["verdict"] == "sound", report
    assert report["inferred"]["in_channels"] == 1


def test_a_neighbour_of_our_own_name_comes_first(tmp_path: Path) -> None:
    """Many a folder holds a file `unet.py`, from which the next one imports."""
    (tmp_path / "unet.py").write_text(PARTS)
    (tmp_path / "model.py").write_text("from unet import Mine\n")
    [report] = reports([read_target(f"{tmp_path}/model.py:Mine(1, 2)")], Request())
    assert report["verdict"] == "sound", report


def test_no_subject_takes_the_tool_down(nets: Path) -> None:
    """Each gets its line, and the next one is verified."""
    expected = {
        "Exits": "its process exited with code 3",
        "Hangs": "did not finish within 4 s",
        "Crashes": "was ended by SIGSEGV",
        "Eats": "MemoryError",
        "LeavesByExit": "SystemExit: enough",
        "IsInterrupted": "KeyboardInterrupt",
        "ClosesFiles": "its process",
        "ChecksNothing": "its report could not be read",
        "SaysOnlyGood": "its report could not be read",
        "Threads": None,
        "Mute": "Odd",
        "Odd": "the net ran on no image",
        "Forks": None,
        "Shouts": None,
        "Unprintable": None,
        "Mine": None,
    }
    for name, error in expected.items():
        # On a busy machine a sound net takes seconds, too.
        limits = Limits(seconds=4 if name == "Hangs" else 60, memory=4 * GIB)
        (report,) = reports([read_target(f"{nets}:{name}")], Request(limits=limits))
        assert report["verdict"] == ("unverified" if error else "sound"), (name, report)
        assert (error or "") in report.get("error", ""), (name, report)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("self.conv = nn.Conv2d(3, 'x', 3)", r"^TypeError: .* \(own.py:6\)$"),
        ("torch.zeros(1, 3).reshape(2, 2)", r"^RuntimeError: .* \(own.py:6\)$"),
        (
            "self.forward = lambda x: torch.cat([x, x[..., 1:]], 1)",
            r"on no image: .* \(own.py:6\);",
        ),
    ],
)
def test_an_error_is_told_with_its_line(tmp_path: Path, broken: str, said: str) -> None:
    """That of the net's own code, however deep inside torch it came up."""
    lines = ["import torch", "from torch import nn", "class Own(nn.Module):"]
    lines += ["    def __init__(self):", "        super().__init__()", f"        {broken}"]
    path = tmp_path / "own.py"
    path.write_text("\n".join(lines))
    (report,) = reports([read_target(f"{path}:Own")], Request())
    assert re.search(said, report["error"]), report


@pytest.mark.parametrize(
    ("words", "code", "shown"),
    [
        (["{}:Mine"], 0, "sound"),
        (["{}:Bare", "{}:Mine"], 1, "no activation between down.0 (3x3, 3 -> 4 channels)"),
        (["{}:Mine", "--claim", "padding=valid"], 1, "padding is claimed to be valid and is zeros"),
        (["{}:Exits", "{}:Bare", "{}:Mine"], 3, "sound"),
        (["{}:Missing", "{}:Exits", "{}:Mine"], 2, "sound"),
    ],
)
def test_exit_codes_mean_what_they_say(nets: Path, words: list[str], code: int, shown: str) -> None:
    """0 sound, 1 defective, 3 not verified, 2 a mistake, which counts first; what was found."""
    found = CliRunner().invoke(unet_command.app, ["verify", *(w.format(nets) for w in words)])
    assert found.exit_code == code
    assert shown in found.stdout


def test_the_commands_json(nets: Path) -> None:
    """A list of subjects with verdict, what was inferred, and one result or more a check."""
    found = CliRunner().invoke(unet_command.app, ["verify", f"{nets}:Mine", "--json"])
    (report,) = result_of(found.stdout)
    assert report["verdict"] == "sound"
    assert report["inferred"]["depth"] == 1
    assert report["inferred"]["parameters"] == 842
    assert {result["status"] for result in report["results"]} <= {"pass", "warn", "skip"}


def test_json_tells_a_mistake_from_what_could_not_be_verified(nets: Path) -> None:
    """By the verdict; what a net raises is no mistake of who asks."""
    targets = [f"{nets}:{name}" for name in ("Missing", "Needs", "number", "Mute", "Odd")]
    found = CliRunner().invoke(unet_command.app, ["verify", *targets, "--json"])
    said = [(report["verdict"], report["results"]) for report in result_of(found.stdout)]
    assert said == [*[("mistake", [])] * 3, *[("unverified", [])] * 2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--memory", "inf"], "--memory inf is not a number from 0 to 1,000,000"),
        (["--claim", "colour=red"], "claim 'colour' is not one of in_channels"),
        (["--claim", "padding"], "--claim 'padding' is not NAME=VALUE"),
        (["--profile", "strict"], "profile 'strict' is not one of sound, paper"),
    ],
)
def test_a_mistake_is_one_line(
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With exit code 2."""
    monkeypatch.setattr(sys, "argv", ["unet", "verify", "nets.py:Mine", *words])
    with pytest.raises(SystemExit) as caught:
        unet_command.main()
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_a_module_of_a_package_that_is_called_as_ours_is_theirs(tmp_path: Path) -> None:
    """By its dotted name, in a folder with a package `unet`."""
    package = tmp_path / "unet"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "net.py").write_text("class Net:\n    pass\n\ndef Bad():\n    raise KeyError(7)\n")
    unet = Path(sys.executable).with_name("unet")
    words = [unet, "verify", "unet.net:Net", "unet.net:Bad"]
    found = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "unet.net:Net makes a Net, not a torch.nn.Module" in found.stderr
    # Its own error is told, though our package has gone by then.
    assert "unet.net:Bad: KeyError: 7" in found.stderr
