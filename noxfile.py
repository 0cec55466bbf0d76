"""Every habit of this project as a session; `nox -l` lists them."""

from pathlib import Path

import nox

nox.needs_version = ">=2024.4"
nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["tests", "lint", "types"]

LOCAL = "reports/local"


def install(session: nox.Session, what: str) -> None:
    """Install this project with the exact versions that CI uses."""
    session.install("--constraint", "constraints.txt", "--editable", what)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests with coverage (more words go to pytest: nox -s tests -- -k sizes)."""
    install(session, ".[tests]")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", "--numprocesses", "auto", *session.posargs)
    session.run("coverage", "combine", "--quiet")
    if not session.posargs:
        session.run("coverage", "report")


@nox.session
def nightly(session: nox.Session) -> None:
    """Hold the algebra against 20,000 nets, statistics against simulations; first_touch (1 h)."""
    install(session, ".[tests]")
    session.run(
        *("python", "-m", "pytest", "--numprocesses", "auto"),
        *("tests/test_algebra.py", "tests/test_cost.py", "tests/test_memory.py"),
        *("tests/test_reach.py", "tests/test_behaviour.py", "tests/test_verify.py"),
        *("tests/test_statistics.py", "tests/test_power.py", "tests/test_calibration.py"),
        "tests/test_axes.py",
        *session.posargs,
        env={"HYPOTHESIS_PROFILE": "nightly"},
    )
    if not session.posargs:
        session.notify("first_touch")


@nox.session
def first_touch(session: nox.Session) -> None:
    """Begin as newcomers do, in sixty-six situations, and write what they met (10 minutes)."""
    needed = nox.project.load_toml("pyproject.toml")["project"]["dependencies"]
    session.install("--constraint", "constraints.txt", *needed)
    session.run("python", "-m", "tests.first_touch", *session.posargs)
    session.run("python", "-m", "ablations", "report", "reports")


@nox.session
def fuzz(session: nox.Session) -> None:
    """Give all that reads 10,000 hostile inputs, then those that atheris finds (40 minutes)."""
    install(session, ".[tests]")
    session.install("--constraint", "constraints.txt", "atheris")
    session.run("python", "-m", "tests.endurance.fuzz", "10000")
    session.run("python", "-m", "tests.endurance.guided", *(session.posargs or ["180"]))


@nox.session
def onnx(session: nox.Session) -> None:
    """Export nets to ONNX and compare them with eager torch."""
    install(session, ".[tests,onnx]")
    session.run("python", "-m", "pytest", "tests/test_export.py", *session.posargs)


@nox.session
def cluster(session: nox.Session) -> None:
    """Sweep on Ray clusters on this machine."""
    install(session, ".[tests,ray]")
    session.run("python", "-m", "pytest", "tests/test_cluster.py", *session.posargs)


@nox.session
def mutation(session: nox.Session) -> None:
    """Change the algebra in a thousand places and list the changes that no test finds (an hour)."""
    install(session, ".[tests]")
    session.install("--constraint", "constraints.txt", "mutmut")
    session.run("mutmut", "run", *session.posargs, env={"HYPOTHESIS_PROFILE": "mutation"})
    session.run("mutmut", "results")


@nox.session
def conformance(session: nox.Session) -> None:
    """Verify U-Nets of published packages, as they are, and write their record and report."""
    install(session, ".[tests]")
    session.run(
        "python", "-m", "tests.published.conformance", f"{session.virtualenv.location}/nets"
    )
    session.run("ablations", "report", "reports")


@nox.session
def other_tools(session: nox.Session) -> None:
    """Ask other tools about our broken nets, and write their record and the report."""
    install(session, ".[tests]")
    session.install("--constraint", "constraints.txt", "pytest-torch", "torchtest2", "torch-audit")
    session.run("python", "-m", "tests.other_tools")
    session.run("ablations", "report", "reports")


@nox.session
def oracles(session: nox.Session) -> None:
    """Hold the statistics against those of statsmodels, and measures against MONAI's."""
    install(session, ".[tests]")
    session.install("--constraint", "constraints.txt", "statsmodels", "monai")
    session.run("python", "-m", "pytest", "tests/test_oracles.py", *session.posargs)


@nox.session
def calibration(session: nox.Session) -> None:
    """Simulate how often the statistics err, and write the record and its report (10 minutes)."""
    install(session, ".[tests]")
    session.run("python", "-m", "tests.calibration")
    session.run("ablations", "report", "reports")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format with ruff."""
    session.install("--constraint", "constraints.txt", "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy, strictly."""
    install(session, ".[dev]")
    session.run("mypy")


@nox.session
def findings(session: nox.Session) -> None:
    """Train every plan that makes claims, and write what came of them (two hours)."""
    install(session, ".")
    for path in sorted(Path("ablations/plans").glob("*.toml")):
        if "[[claims]]" in path.read_text():
            folder = f"{LOCAL}/{path.stem}"
            session.run("ablations", "run", path.stem, "--out", folder, *session.posargs)
            record = f"reports/records/{path.stem}.jsonl"
            session.run("ablations", "export", folder, "--to", record)
    session.run("ablations", "report", "reports")


@nox.session
def sweep(session: nox.Session) -> None:
    """Train the quick ablation and write its report (minutes; another plan: -- shapes)."""
    install(session, ".")
    plan = session.posargs[0] if session.posargs else "quick"
    session.run("ablations", "run", plan, "--out", f"{LOCAL}/{plan}", *session.posargs[1:])


@nox.session
def endurance(session: nox.Session) -> None:
    """Kill, starve and deceive sweeps as root, and write what was lost (half an hour)."""
    install(session, ".[tests,ray]")
    session.run("python", "-m", "tests.endurance", *session.posargs)
    session.run("ablations", "report", "reports")


@nox.session
def scale(session: nox.Session) -> None:
    """Run sweeps of up to a million cells that only sleep, and write what they took (an hour)."""
    install(session, ".[tests]")
    session.run("python", "-m", "tests.endurance.scale", *session.posargs)
    session.run("ablations", "report", "reports")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure speed, also against Lightning, MONAI and scikit-image, with nothing beside (1 h)."""
    install(session, ".[tests]")
    session.install(
        *("--constraint", "constraints.txt"),
        *("lightning", "monai", "pytorch-ignite", "scikit-image"),
    )
    session.run("python", "-m", "ablations", "bench", *session.posargs)


@nox.session
def report(session: nox.Session) -> None:
    """Rebuild the committed reports from the committed records."""
    install(session, ".")
    session.run("ablations", "report", "reports")
