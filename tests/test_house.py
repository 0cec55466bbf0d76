"""The house is as its map says: imports go one way, reports are fresh."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from ablations.committed import committed_files, rebuild
from tests.samples import ROOT

# Each module with what it may import from this project. Nothing imports back up: a module's
# imports stand above it.
MAP = {
    "unet.refusal": set(),
    "unet.paddings": set(),
    "unet.joins": set(),
    "unet.skips": {"unet.joins"},
    "unet.upsampling": set(),
    "unet.downsamplings": set(),
    "unet.norms": set(),
    "unet.activations": set(),
    "unet.inits": set(),
    "unet.spec": {
        "unet.refusal", "unet.paddings", "unet.skips", "unet.upsampling", "unet.norms",
        "unet.inits", "unet.downsamplings", "unet.activations",
    },
    "unet.algebra": {
        "unet.refusal", "unet.paddings", "unet.skips", "unet.upsampling", "unet.norms", "unet.spec",
        "unet.downsamplings",
    },
    "unet.reach": {"unet.paddings", "unet.upsampling", "unet.spec", "unet.algebra"},
    "unet.memory": {
        "unet.norms", "unet.paddings", "unet.skips", "unet.spec", "unet.algebra",
        "unet.downsamplings", "unet.activations",
    },
    "unet.model": {
        "unet.refusal", "unet.paddings", "unet.skips", "unet.upsampling", "unet.norms",
        "unet.inits", "unet.spec", "unet.algebra", "unet.downsamplings", "unet.activations",
    },
    "unet.cost": {"unet.refusal", "unet.spec", "unet.model"},
    "unet.places": set(),
    "unet.tracing": {"unet.places"},
    "unet.anatomy": {"unet.places", "unet.tracing"},
    "unet.running": {"unet.tracing"},
    "unet.arguments": set(),
    "unet.examination": {
        "unet.refusal", "unet.tracing", "unet.anatomy", "unet.running", "unet.arguments",
    },
    "unet.inference": {"unet.tracing", "unet.anatomy", "unet.examination"},
    "unet.checks.finding": {"unet.examination"},
    "unet.checks.activations": {
        "unet.tracing", "unet.anatomy", "unet.running", "unet.examination", "unet.inference",
        "unet.checks.finding",
    },
    "unet.checks.behaviour": {
        "unet.anatomy", "unet.running", "unet.examination", "unet.checks.finding",
    },
    "unet.checks.sizes": {"unet.anatomy", "unet.examination", "unet.checks.finding"},
    "unet.checks.alignment": {
        "unet.tracing", "unet.anatomy", "unet.running", "unet.examination",
        "unet.checks.finding",
    },
    "unet.checks.wiring": {
        "unet.tracing", "unet.anatomy", "unet.examination", "unet.checks.finding",
        "unet.inference",
    },
    "unet.checks.counts": {
        "unet.tracing", "unet.anatomy", "unet.examination", "unet.checks.finding",
        "unet.inference",
    },
    "unet.checks.paper": {
        "unet.spec", "unet.algebra", "unet.anatomy", "unet.examination", "unet.checks.finding",
        "unet.checks.activations", "unet.inference",
    },
    "unet.checks": {
        "unet.checks.finding", "unet.checks.activations", "unet.checks.alignment",
        "unet.checks.behaviour", "unet.checks.counts", "unet.checks.paper", "unet.checks.sizes",
        "unet.checks.wiring",
    },
    "unet.verify": {
        "unet.examination", "unet.inference", "unet.checks", "unet.checks.finding",
    },
    "unet.testing": {"unet.examination", "unet.checks", "unet.verify"},
    "unet.subject": {"unet.refusal", "unet.verify"},
    "unet": {"unet.refusal", "unet.spec", "unet.model", "unet.testing"},
    "unet.__main__": {
        "unet.refusal", "unet.spec", "unet.algebra", "unet.memory", "unet.cost", "unet.verify",
        "unet.subject",
    },
    "ablations": set(),
    "ablations.painters": set(),
    "ablations.painters.randomness": set(),
    "ablations.painters.raster": set(),
    "ablations.painters.labels": {
        "ablations.painters.randomness", "ablations.painters.raster",
    },
    "ablations.painters.objects": {
        "ablations.painters.randomness", "ablations.painters.raster",
    },
    "ablations.painters.thin": {
        "ablations.painters.randomness", "ablations.painters.raster",
    },
    "ablations.painters.texture": {
        "ablations.painters.randomness", "ablations.painters.raster",
    },
    "ablations.painters.border": {
        "ablations.painters.randomness", "ablations.painters.raster", "ablations.painters.labels",
    },
    "ablations.painters.position": {
        "ablations.painters.randomness", "ablations.painters.raster",
    },
    "ablations.painters.crowded": {
        "ablations.painters.randomness", "ablations.painters.raster",
    },
    "ablations.shapes": {
        "ablations.painters.randomness", "ablations.painters.raster",
        "ablations.painters.labels", "ablations.painters.objects", "ablations.painters.thin",
        "ablations.painters.texture", "ablations.painters.border", "ablations.painters.position",
        "ablations.painters.crowded",
    },
    "ablations.statistics": set(),
    "ablations.contrasts": {"ablations.statistics"},
    "ablations.effects": {"ablations.statistics", "ablations.contrasts"},
    "ablations.power": {"unet.refusal", "ablations.statistics"},
    "ablations.files": {"unet.refusal"},
    "ablations.tables": {"unet.refusal"},
    "ablations.tuning": {"ablations.tables"},
    "ablations.cell": {"unet.refusal", "unet.spec", "unet.algebra", "ablations.shapes"},
    "ablations.measures": {"unet.refusal", "ablations.cell"},
    "ablations.records": {
        "unet.refusal", "ablations.shapes", "ablations.cell", "ablations.measures",
    },
    "ablations.metrics": {"ablations.shapes", "ablations.measures", "ablations.records"},
    "ablations.claims": {"ablations.cell"},
    "ablations.fairness": {"unet.refusal", "unet.spec", "unet.algebra", "ablations.cell"},
    "ablations.plan": {
        "unet.refusal", "unet.spec", "ablations.shapes", "ablations.cell", "ablations.claims",
        "ablations.fairness",
    },
    "ablations.comparisons": {"ablations.contrasts", "ablations.plan"},
    "ablations.trials": {
        "unet.refusal", "ablations.claims", "ablations.comparisons", "ablations.contrasts",
        "ablations.effects", "ablations.metrics", "ablations.statistics",
    },
    "ablations.plan_file": {
        "unet.refusal", "unet.algebra", "ablations.cell", "ablations.claims", "ablations.trials",
        "ablations.metrics", "ablations.plan",
    },
    "ablations.store": {
        "unet.refusal", "ablations.files", "ablations.plan", "ablations.plan_file",
        "ablations.records",
    },
    "ablations.leases": {"unet.refusal", "ablations.records", "ablations.store"},
    "ablations.merge": {
        "unet.refusal", "ablations.plan", "ablations.records", "ablations.store",
    },
    "ablations.doctor": {
        "unet.refusal", "ablations.files", "ablations.plan", "ablations.records",
        "ablations.store",
    },
    "ablations.hardware": {"unet.refusal", "unet.algebra", "unet.memory", "ablations.cell"},
    "ablations.learner": {
        "unet.inits", "unet.skips", "unet.model",
        "ablations.shapes", "ablations.cell", "ablations.hardware",
    },
    "ablations.scoring": {
        "unet.model", "ablations.shapes", "ablations.cell", "ablations.measures",
        "ablations.records", "ablations.hardware", "ablations.learner",
    },
    "ablations.probing": {
        "unet.algebra", "unet.skips", "unet.model", "ablations.cell", "ablations.measures",
        "ablations.hardware", "ablations.learner", "ablations.scoring",
    },
    "ablations.validation": {
        "unet.model", "ablations.cell", "ablations.records", "ablations.hardware",
        "ablations.learner", "ablations.scoring",
    },
    "ablations.train": {
        "unet.algebra", "ablations.cell", "ablations.records", "ablations.hardware",
        "ablations.learner", "ablations.scoring", "ablations.probing", "ablations.validation",
    },
    "ablations.engines": {
        "unet.refusal", "ablations.cell", "ablations.records", "ablations.hardware",
        "ablations.train",
    },
    "ablations.processes": {
        "unet.refusal", "ablations.cell", "ablations.records", "ablations.hardware",
        "ablations.engines",
    },
    "ablations.admission": {"unet.refusal"},
    "ablations.actor": {"ablations.cell", "ablations.engines"},
    "ablations.cluster": {
        "unet.refusal", "ablations.cell", "ablations.records", "ablations.hardware",
        "ablations.engines", "ablations.admission", "ablations.actor",
    },
    "ablations.estimate": {
        "unet.refusal", "ablations.cell", "ablations.measures", "ablations.plan",
        "ablations.records", "ablations.engines", "ablations.processes",
    },
    "ablations.selection": {"unet.refusal", "ablations.cell", "ablations.plan"},
    "ablations.sweep": {
        "ablations.cell", "ablations.plan", "ablations.records", "ablations.store",
        "ablations.leases", "ablations.engines", "ablations.selection",
    },
    "ablations.results": {
        "unet.spec", "unet.memory", "ablations.shapes", "ablations.metrics",
        "ablations.statistics", "ablations.cell",
        "ablations.contrasts", "ablations.comparisons", "ablations.effects", "ablations.plan",
        "ablations.records", "ablations.tuning",
    },
    "ablations.exports": {
        "unet.refusal", "ablations.files", "ablations.tables", "ablations.plan",
        "ablations.plan_file", "ablations.records", "ablations.store", "ablations.results",
    },
    "ablations.pilot": {
        "unet.refusal", "ablations.contrasts", "ablations.comparisons", "ablations.plan",
        "ablations.power",
        "ablations.results",
    },
    "ablations.progress": {
        "unet.refusal", "ablations.plan", "ablations.records", "ablations.store",
        "ablations.engines", "ablations.sweep", "ablations.estimate", "ablations.pilot",
    },
    "ablations.explain": {
        "unet.refusal", "unet.spec", "ablations.shapes", "ablations.metrics", "ablations.contrasts",
        "ablations.plan", "ablations.records", "ablations.store", "ablations.sweep",
        "ablations.results", "ablations.exports",
    },
    "ablations.verdicts": {
        "ablations.metrics", "ablations.statistics", "ablations.contrasts", "ablations.comparisons",
        "ablations.effects", "ablations.tables", "ablations.results",
    },
    "ablations.budgets": {
        "ablations.metrics", "ablations.statistics", "ablations.contrasts",
        "ablations.comparisons", "ablations.effects", "ablations.plan", "ablations.tables",
        "ablations.results", "ablations.verdicts",
    },
    "ablations.figures": {
        "ablations.shapes", "ablations.records", "ablations.comparisons", "ablations.results",
        "ablations.budgets",
    },
    "ablations.sheets": {
        "unet.refusal", "ablations.files", "ablations.cell", "ablations.shapes",
        "ablations.records", "ablations.figures",
    },
    "ablations.conditions": {
        "unet.spec", "ablations.shapes", "ablations.fairness", "ablations.plan",
        "ablations.results", "ablations.tables",
    },
    "ablations.metric_tables": {
        "ablations.measures", "ablations.metrics", "ablations.statistics", "ablations.tables",
        "ablations.results",
    },
    "ablations.report": {
        "unet.refusal", "ablations.shapes", "ablations.metrics", "ablations.plan",
        "ablations.statistics", "ablations.files", "ablations.tables", "ablations.comparisons",
        "ablations.results", "ablations.budgets", "ablations.conditions", "ablations.figures",
        "ablations.verdicts", "ablations.metric_tables", "ablations.tuning",
    },
    "ablations.findings": {
        "ablations.shapes", "ablations.statistics", "ablations.effects", "ablations.claims",
        "ablations.trials", "ablations.tables", "ablations.results",
    },
    "ablations.architecture": {"unet.spec", "unet.algebra", "unet.reach", "ablations.tables"},
    "ablations.costs": {
        "unet.spec", "unet.algebra", "unet.memory", "unet.cost", "ablations.tables",
        "ablations.architecture",
    },
    "ablations.endurance": {
        "unet.refusal", "ablations.cell", "ablations.files", "ablations.tables",
    },
    "ablations.kills": {"unet.refusal", "ablations.files", "ablations.tables"},
    "ablations.conformance": {"ablations.files", "ablations.tables"},
    "ablations.performance": {
        "unet.refusal", "ablations.files", "ablations.cell", "ablations.tables",
    },
    "ablations.promises": {"ablations.cell", "ablations.files", "ablations.statistics"},
    "ablations.calibration": {
        "ablations.statistics", "ablations.power", "ablations.promises", "ablations.tables",
    },
    "ablations.committed": {
        "ablations.files", "ablations.endurance", "ablations.kills", "ablations.conformance",
        "ablations.exports", "ablations.results", "ablations.performance", "ablations.promises",
        "ablations.calibration", "ablations.report", "ablations.architecture", "ablations.costs",
        "ablations.findings", "ablations.sheets",
    },
    "ablations.bench": {
        "unet.refusal", "ablations.files", "ablations.hardware", "ablations.performance",
    },
    "ablations.__main__": {
        "unet.refusal", "ablations.bench", "ablations.files", "ablations.performance",
        "ablations.committed", "ablations.cluster", "ablations.engines", "ablations.hardware",
        "ablations.pilot", "ablations.plan",
        "ablations.plan_file", "ablations.processes",
        "ablations.progress", "ablations.report", "ablations.results", "ablations.store",
        "ablations.exports", "ablations.merge", "ablations.doctor", "ablations.sweep",
        "ablations.estimate", "ablations.explain", "ablations.selection",
    },
}  # fmt: skip

WITH_TORCH = {
    "unet.joins", "unet.model", "unet.tracing", "unet.anatomy", "unet.running", "unet.arguments",
    "unet.examination", "unet.inference",
    "unet.verify", "unet.testing", "ablations.learner", "ablations.scoring", "ablations.probing",
    "ablations.train", "ablations.validation",
}  # fmt: skip

NEVER_TORCH = [
    name for name in MAP if name not in WITH_TORCH and not name.startswith("unet.checks")
]


def source_of(module: str) -> Path:
    """The file of a module or a package."""
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imports(module: str, *, at_start: bool = False) -> set[str]:
    """What the module imports, anywhere or only when it is itself imported."""
    tree = ast.parse(source_of(module).read_text())
    found: set[str] = set()
    for node in tree.body if at_start else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & set(MAP) or {node.module}
    return found


def test_the_map_is_complete() -> None:
    """Every module has its place."""
    files = [*(ROOT / "unet").rglob("*.py"), *(ROOT / "ablations").rglob("*.py")]
    assert {source_of(module) for module in MAP} == set(files)


@pytest.mark.parametrize("module", MAP)
def test_imports_follow_the_map(module: str) -> None:
    """A module imports what the map allows, and the map allows no more than is used."""
    ours = {name for name in imports(module) if name.split(".")[0] in ("unet", "ablations")}
    assert ours == MAP[module]


def test_nothing_imports_back_up() -> None:
    """In the map's order every import stands above its importer, but for unet's lazy name."""
    seen: set[str] = set()
    for module, allowed in MAP.items():
        assert allowed <= seen, module
        seen.add(module)


@pytest.mark.parametrize("module", NEVER_TORCH)
def test_torch_is_only_where_tensors_are(module: str) -> None:
    """Commands start in a blink: who holds no tensors imports what is slow when it is used."""
    slow = {"torch", "matplotlib"}
    assert not {name for name in imports(module, at_start=True) if name.split(".")[0] in slow}


def test_the_committed_reports_are_fresh(tmp_path: Path) -> None:
    """Rebuilt from the committed records, every byte is the same."""
    for name, content in committed_files(ROOT / "reports").items():
        assert (ROOT / "reports" / name).read_bytes() == content, f"{name}: run nox -s report"
    pages = ("architecture", "tutorial", "cost", "counters")
    names = [f"{page}.{suffix}" for page in pages for suffix in ("md", "csv")]
    names.append("gpu/performance.md")
    assert rebuild(tmp_path) == [tmp_path / name for name in names]


def test_the_readme_shows_the_reports_own_table() -> None:
    """Every row of the README's result is one of the committed report."""
    shown = (ROOT / "README.md").read_text().split("## What came out")[1].split("\n## ")[0]
    rows = [line for line in shown.splitlines() if line.startswith("|")]
    report = (ROOT / "reports" / "shapes.md").read_text()
    assert len(rows) > 10
    assert "\n".join(rows) in report


def test_nothing_in_reports_is_written_by_hand() -> None:
    """Every committed file there is a record, or made from records."""
    folder = ROOT / "reports"
    made = {folder / name for name in committed_files(folder)}
    kept = {
        path
        for path in folder.rglob("*")
        if path.is_file() and not {"local", "records"} & set(path.relative_to(folder).parts)
    }
    assert kept == made


NEVER_CALLED = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load",
    "numpy.load", "np.load", "pd.read_pickle", "pandas.read_pickle", "yaml.load",
}  # fmt: skip
"""What would run data as code. Weights are neither written nor read; who comes to need that uses
safetensors, or `torch.load` with `weights_only=True` and a test that it never falls back."""

NEVER_IMPORTED = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml"}

MAY_IMPORT_CODE = {"unet.subject": "a target of `unet verify` is code, and is said to be run"}


def calls(module: str) -> list[ast.Call]:
    """Every call in a module."""
    tree = ast.parse(source_of(module).read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("module", MAP)
def test_data_is_never_run(module: str) -> None:
    """No pickle, no YAML, no eval; and only a target's module is loaded by name."""
    assert not {name.split(".")[0] for name in imports(module)} & NEVER_IMPORTED
    called = {ast.unparse(call.func) for call in calls(module)}
    assert not called & NEVER_CALLED
    loaded = [name for name in called if name.endswith(("exec_module", "import_module"))]
    assert not loaded or module in MAY_IMPORT_CODE


def test_data_that_is_run_would_be_found() -> None:
    """The walk sees a call for what it is, and the exceptions are needed."""
    (call,) = [n for n in ast.walk(ast.parse("torch.load(f)")) if isinstance(n, ast.Call)]
    assert ast.unparse(call.func) in NEVER_CALLED
    for module in MAY_IMPORT_CODE:
        assert any(ast.unparse(call.func).endswith("exec_module") for call in calls(module))


OUR_QUERIES = {
    "statement": "a line of the schema",
    "query": "one of two that differ in their order",
    "f'PRAGMA application_id={APPLICATION}'": "a number of ours, where SQLite takes no parameter",
    "f'PRAGMA user_version={VERSION}'": "a number of ours, where SQLite takes no parameter",
}
"""Queries that are no literal, with the reason."""


def test_queries_are_literals() -> None:
    """What users and files say is bound to a parameter, and never part of a query."""
    used = set()
    for module in MAP:
        for call in calls(module):
            name = ast.unparse(call.func).rpartition(".")[2]
            if name in ("execute", "executemany", "executescript"):
                query = call.args[0]
                if not isinstance(query, ast.Constant):
                    used.add(ast.unparse(query))
    assert used == set(OUR_QUERIES)
