"""The house is as its map says: imports go one way, reports are fresh."""

from __future__ import annotations

import ast
from itertools import groupby
from pathlib import Path

import pytest

from ablations.pages.committed import committed_files, rebuild
from tests.samples import ROOT

# Each module with what it may import from this project. Nothing imports back up: a module's
# imports stand above it.
MAP = {
    "unet.refusal": set(),
    "unet.version": set(),
    "unet.commands": {"unet.version"},
    "unet.exchange": set(),
    "unet.paddings": set(),
    "unet.joins": set(),
    "unet.skips": {"unet.joins"},
    "unet.upsampling": set(),
    "unet.downsamplings": set(),
    "unet.norms": set(),
    "unet.activations": set(),
    "unet.inits": set(),
    "unet.spec": {
        "unet.refusal", "unet.paddings", "unet.skips", "unet.upsampling", "unet.downsamplings",
        "unet.norms", "unet.activations", "unet.inits",
    },
    "unet.claims": {"unet.refusal", "unet.paddings", "unet.upsampling"},
    "unet.algebra": {
        "unet.refusal", "unet.paddings", "unet.skips", "unet.upsampling", "unet.downsamplings",
        "unet.norms", "unet.spec",
    },
    "unet.reach": {"unet.paddings", "unet.upsampling", "unet.spec", "unet.algebra"},
    "unet.memory": {
        "unet.paddings", "unet.skips", "unet.downsamplings", "unet.norms", "unet.activations",
        "unet.spec", "unet.algebra",
    },
    "unet.model": {
        "unet.refusal", "unet.paddings", "unet.skips", "unet.upsampling", "unet.downsamplings",
        "unet.norms", "unet.activations", "unet.inits", "unet.spec", "unet.algebra",
    },
    "unet.tiling": {
        "unet.refusal", "unet.paddings", "unet.upsampling", "unet.spec", "unet.reach", "unet.model",
    },
    "unet.cost": {"unet.refusal", "unet.spec", "unet.model"},
    "unet.places": set(),
    "unet.tracing": {"unet.places"},
    "unet.anatomy": {"unet.places", "unet.tracing"},
    "unet.running": {"unet.tracing"},
    "unet.arguments": set(),
    "unet.examination": {
        "unet.refusal", "unet.tracing", "unet.anatomy", "unet.running", "unet.arguments",
        "unet.claims",
    },
    "unet.inference": {"unet.tracing", "unet.anatomy", "unet.examination"},
    "unet.checks.finding": {"unet.examination"},
    "unet.checks.activations": {
        "unet.tracing", "unet.anatomy", "unet.running", "unet.examination", "unet.inference",
        "unet.checks.finding",
    },
    "unet.checks.behaviour": {
        "unet.tracing", "unet.anatomy", "unet.running", "unet.examination", "unet.checks.finding",
    },
    "unet.checks.sizes": {"unet.anatomy", "unet.examination", "unet.checks.finding"},
    "unet.checks.alignment": {
        "unet.tracing", "unet.anatomy", "unet.running", "unet.examination", "unet.inference",
        "unet.checks.finding",
    },
    "unet.checks.skips": {
        "unet.tracing", "unet.anatomy", "unet.examination", "unet.inference", "unet.checks.finding",
    },
    "unet.checks.wiring": {
        "unet.tracing", "unet.anatomy", "unet.running", "unet.examination", "unet.inference",
        "unet.checks.finding", "unet.checks.skips",
    },
    "unet.checks.counts": {
        "unet.tracing", "unet.anatomy", "unet.examination", "unet.inference", "unet.checks.finding",
        "unet.checks.activations",
    },
    "unet.checks.paper": {
        "unet.spec", "unet.algebra", "unet.anatomy", "unet.examination", "unet.inference",
        "unet.checks.finding", "unet.checks.activations",
    },
    "unet.checks": {
        "unet.checks.finding", "unet.checks.activations", "unet.checks.behaviour",
        "unet.checks.sizes", "unet.checks.alignment", "unet.checks.skips", "unet.checks.wiring",
        "unet.checks.counts", "unet.checks.paper",
    },
    "unet.verify": {"unet.examination", "unet.inference", "unet.checks.finding", "unet.checks"},
    "unet.testing": {"unet.examination", "unet.checks", "unet.verify"},
    "unet.subject": {"unet.refusal"},
    "unet.findings": {"unet.exchange"},
    "unet.lifeline": set(),
    "unet.guard": set(),
    "unet.limits": {"unet.refusal"},
    "unet.isolation": {"unet.guard", "unet.lifeline", "unet.limits"},
    "unet.reports": {
        "unet.refusal", "unet.running", "unet.verify", "unet.subject", "unet.findings",
        "unet.limits", "unet.isolation",
    },
    "unet": {"unet.refusal", "unet.spec", "unet.model", "unet.tiling", "unet.testing"},
    "unet.__main__": {
        "unet.commands",
        "unet.exchange",
        "unet.refusal", "unet.spec", "unet.algebra", "unet.memory", "unet.cost", "unet.verify",
        "unet.subject", "unet.findings", "unet.limits", "unet.reports", "unet.claims",
    },
    "ablations": {"unet"},
    "ablations.files": {"unet.refusal"},
    "ablations.tables": {"unet.refusal"},
    "ablations.compiled": set(),
    "ablations.tasks": set(),
    "ablations.tasks.painters": set(),
    "ablations.tasks.painters.compiled": {"ablations.compiled"},
    "ablations.tasks.painters.randomness": {"ablations.tasks.painters.compiled"},
    "ablations.tasks.painters.raster": {
        "ablations.tasks.painters.compiled", "ablations.tasks.painters.randomness",
    },
    "ablations.tasks.painters.labels": {
        "ablations.tasks.painters.randomness", "ablations.tasks.painters.raster",
    },
    "ablations.tasks.painters.objects": {
        "ablations.tasks.painters.randomness", "ablations.tasks.painters.raster",
    },
    "ablations.tasks.painters.thin": {
        "ablations.tasks.painters.randomness", "ablations.tasks.painters.raster",
    },
    "ablations.tasks.painters.texture": {
        "ablations.tasks.painters.randomness", "ablations.tasks.painters.raster",
    },
    "ablations.tasks.painters.border": {
        "ablations.tasks.painters.randomness", "ablations.tasks.painters.raster",
        "ablations.tasks.painters.labels",
    },
    "ablations.tasks.painters.position": {
        "ablations.tasks.painters.randomness", "ablations.tasks.painters.raster",
    },
    "ablations.tasks.painters.crowded": {
        "ablations.tasks.painters.randomness", "ablations.tasks.painters.raster",
    },
    "ablations.tasks.shapes": {
        "ablations.tasks.painters.randomness", "ablations.tasks.painters.raster",
        "ablations.tasks.painters.labels", "ablations.tasks.painters.objects",
        "ablations.tasks.painters.thin", "ablations.tasks.painters.texture",
        "ablations.tasks.painters.border", "ablations.tasks.painters.position",
        "ablations.tasks.painters.crowded",
    },
    "ablations.runs": set(),
    "ablations.runs.cell": {"unet.refusal", "unet.spec", "unet.algebra", "ablations.tasks.shapes"},
    "ablations.runs.measures": {"unet.refusal", "ablations.runs.cell"},
    "ablations.runs.records": {
        "unet.version",
        "unet.refusal", "ablations.tasks.shapes", "ablations.runs.cell", "ablations.runs.measures",
    },
    "ablations.runs.claims": {"ablations.runs.cell"},
    "ablations.runs.fairness": {"unet.refusal", "unet.spec", "unet.algebra", "ablations.runs.cell"},
    "ablations.runs.plan": {
        "unet.refusal", "unet.spec", "ablations.tasks.shapes", "ablations.runs.cell",
        "ablations.runs.claims", "ablations.runs.fairness",
    },
    "ablations.runs.selection": {
        "unet.refusal", "unet.spec", "ablations.runs.cell", "ablations.runs.plan",
    },
    "ablations.judgement": set(),
    "ablations.judgement.statistics": set(),
    "ablations.judgement.contrasts": {"ablations.judgement.statistics"},
    "ablations.judgement.effects": {
        "ablations.judgement.statistics", "ablations.judgement.contrasts",
    },
    "ablations.judgement.power": {"unet.refusal", "ablations.judgement.statistics"},
    "ablations.judgement.tuning": {"ablations.tables"},
    "ablations.judgement.metrics": {
        "ablations.tasks.shapes", "ablations.runs.measures", "ablations.runs.records",
    },
    "ablations.judgement.comparisons": {"ablations.runs.plan", "ablations.judgement.contrasts"},
    "ablations.judgement.trials": {
        "unet.refusal", "ablations.runs.claims", "ablations.judgement.contrasts",
        "ablations.judgement.effects", "ablations.judgement.metrics",
        "ablations.judgement.comparisons",
    },
    "ablations.storage": set(),
    "ablations.storage.lines": {"unet.refusal"},
    "ablations.storage.soundness": {
        "unet.refusal", "unet.algebra", "ablations.runs.cell", "ablations.runs.plan",
        "ablations.judgement.metrics", "ablations.judgement.trials", "ablations.storage.lines",
    },
    "ablations.storage.plan_file": {
        "unet.refusal", "ablations.runs.cell", "ablations.runs.claims", "ablations.runs.plan",
        "ablations.storage.lines", "ablations.storage.soundness",
        "unet.algebra",
    },
    "ablations.storage.database": {
        "ablations.runs.records",
        "unet.refusal", "ablations.runs.plan", "ablations.storage.plan_file",
    },
    "ablations.storage.attempts": set(),
    "ablations.storage.store": {
        "ablations.storage.attempts",
        "unet.refusal", "ablations.files", "ablations.runs.records", "ablations.runs.plan",
        "ablations.storage.database",
    },
    "ablations.storage.leases": {
        "ablations.storage.attempts",
        "unet.refusal", "ablations.runs.records", "ablations.storage.database",
        "ablations.storage.store",
    },
    "ablations.storage.merge": {
        "unet.refusal", "ablations.runs.records", "ablations.runs.plan", "ablations.storage.store",
    },
    "ablations.storage.doctor": {
        "unet.exchange",
        "unet.refusal", "ablations.files", "ablations.runs.records", "ablations.runs.plan",
        "ablations.storage.database", "ablations.storage.store",
    },
    "ablations.training": set(),
    "ablations.training.hardware": {
        "unet.refusal", "unet.algebra", "unet.memory", "ablations.runs.cell",
    },
    "ablations.training.kernels": set(),
    "ablations.training.kernels.values": set(),
    "ablations.training.kernels.norms": {
        "ablations.compiled", "ablations.training.kernels.values",
    },
    "ablations.training.kernels.pooling": {
        "ablations.compiled", "ablations.training.kernels.values",
    },
    "ablations.training.kernels.resizing": {
        "ablations.compiled", "ablations.training.kernels.values",
    },
    "ablations.training.kernels.losses": {"ablations.compiled"},
    "ablations.training.fused": {
        "unet.model", "ablations.training.kernels.values", "ablations.training.kernels.norms",
        "ablations.training.kernels.pooling", "ablations.training.kernels.resizing",
        "ablations.training.kernels.losses",
    },
    "ablations.training.layout": {"unet.skips", "unet.model"},
    "ablations.training.adam": set(),
    "ablations.training.learner": {
        "unet.skips", "unet.inits", "unet.model", "ablations.tasks.shapes", "ablations.runs.cell",
        "ablations.training.hardware", "ablations.training.fused", "ablations.training.layout",
        "ablations.training.adam",
    },
    "ablations.training.scoring": {
        "unet.model", "ablations.tasks.shapes", "ablations.runs.cell", "ablations.runs.measures",
        "ablations.runs.records", "ablations.training.hardware", "ablations.training.learner",
    },
    "ablations.training.probing": {
        "unet.skips", "unet.algebra", "unet.model", "ablations.runs.cell",
        "ablations.runs.measures", "ablations.training.hardware", "ablations.training.learner",
        "ablations.training.scoring",
    },
    "ablations.training.validation": {
        "unet.model", "ablations.runs.cell", "ablations.runs.records",
        "ablations.training.hardware", "ablations.training.learner", "ablations.training.scoring",
    },
    "ablations.training.train": {
        "unet.algebra", "ablations.runs.cell", "ablations.runs.records",
        "ablations.training.hardware", "ablations.training.learner", "ablations.training.scoring",
        "ablations.training.probing", "ablations.training.validation",
        "unet.version",
    },
    "ablations.running": set(),
    "ablations.running.engines": {
        "unet.refusal", "ablations.runs.cell", "ablations.runs.records",
        "ablations.training.hardware", "ablations.training.train",
    },
    "ablations.running.processes": {
        "unet.refusal", "unet.lifeline", "ablations.runs.cell", "ablations.runs.records",
        "ablations.training.hardware", "ablations.running.engines",
    },
    "ablations.running.admission": {"unet.refusal"},
    "ablations.running.actor": {"ablations.runs.cell", "ablations.running.engines", "unet.version"},
    "ablations.running.cluster": {
        "unet.refusal", "ablations.runs.cell", "ablations.runs.records",
        "ablations.training.hardware", "ablations.running.engines", "ablations.running.admission",
        "ablations.running.actor",
    },
    "ablations.running.estimate": {
        "unet.refusal", "ablations.runs.cell", "ablations.runs.measures", "ablations.runs.records",
        "ablations.runs.plan", "ablations.running.engines", "ablations.running.processes",
    },
    "ablations.running.sweep": {
        "unet.refusal",
        "ablations.runs.cell", "ablations.runs.records", "ablations.runs.plan",
        "ablations.runs.selection", "ablations.storage.store", "ablations.storage.leases",
        "ablations.running.engines",
    },
    "ablations.reporting": set(),
    "ablations.reporting.pictured": {"ablations.runs.plan"},
    "ablations.reporting.run_table": {
        "unet.spec", "unet.memory", "ablations.tasks.shapes", "ablations.runs.cell",
        "ablations.runs.records", "ablations.runs.plan", "ablations.judgement.tuning",
        "ablations.judgement.metrics", "ablations.reporting.pictured",
    },
    "ablations.reporting.results": {
        "ablations.runs.records", "ablations.runs.plan", "ablations.judgement.statistics",
        "ablations.judgement.contrasts", "ablations.judgement.effects",
        "ablations.judgement.tuning", "ablations.judgement.metrics",
        "ablations.judgement.comparisons", "ablations.judgement.trials",
        "ablations.reporting.run_table",
    },
    "ablations.reporting.wording": {
        "ablations.judgement.statistics", "ablations.judgement.effects",
    },
    "ablations.reporting.curves": {
        "ablations.tables", "ablations.judgement.statistics", "ablations.reporting.wording",
    },
    "ablations.reporting.along": {
        "ablations.tables", "ablations.runs.plan", "ablations.judgement.statistics",
        "ablations.judgement.contrasts", "ablations.judgement.metrics",
        "ablations.judgement.comparisons", "ablations.reporting.run_table",
        "ablations.reporting.results", "ablations.reporting.curves",
    },
    "ablations.reporting.exports": {
        "unet.exchange",
        "unet.refusal", "ablations.files", "ablations.tables", "ablations.runs.records",
        "ablations.runs.plan", "ablations.storage.plan_file", "ablations.storage.store",
        "ablations.reporting.results",
    },
    "ablations.reporting.pilot": {
        "unet.refusal", "ablations.runs.plan", "ablations.judgement.contrasts",
        "ablations.judgement.power", "ablations.judgement.comparisons",
        "ablations.reporting.results",
    },
    "ablations.reporting.progress": {
        "ablations.storage.attempts",
        "unet.refusal", "ablations.runs.records", "ablations.runs.plan",
        "ablations.running.engines", "ablations.running.estimate", "ablations.running.sweep",
        "ablations.reporting.pilot",
    },
    "ablations.reporting.explain": {
        "unet.refusal", "unet.spec", "ablations.tasks.shapes", "ablations.runs.records",
        "ablations.runs.plan", "ablations.judgement.metrics", "ablations.judgement.comparisons",
        "ablations.storage.store", "ablations.running.sweep", "ablations.reporting.run_table",
        "ablations.reporting.results", "ablations.reporting.exports",
    },
    "ablations.reporting.verdicts": {
        "ablations.tables", "ablations.runs.plan", "ablations.judgement.statistics",
        "ablations.judgement.contrasts", "ablations.judgement.effects",
        "ablations.judgement.metrics", "ablations.judgement.comparisons",
        "ablations.reporting.results", "ablations.reporting.wording",
    },
    "ablations.reporting.budgets": {
        "ablations.tables", "ablations.runs.plan", "ablations.judgement.contrasts",
        "ablations.judgement.effects", "ablations.judgement.metrics",
        "ablations.judgement.comparisons", "ablations.reporting.results",
        "ablations.reporting.wording", "ablations.reporting.curves",
    },
    "ablations.reporting.canvas": {"unet.refusal"},
    "ablations.reporting.figures": {
        "ablations.tasks.shapes", "ablations.runs.records", "ablations.reporting.pictured",
        "ablations.reporting.run_table", "ablations.reporting.results",
        "ablations.reporting.curves", "ablations.reporting.canvas",
    },
    "ablations.reporting.conditions": {
        "unet.spec", "ablations.tables", "ablations.tasks.shapes", "ablations.runs.fairness",
        "ablations.runs.plan", "ablations.reporting.results",
    },
    "ablations.reporting.metric_tables": {
        "ablations.tables", "ablations.runs.measures", "ablations.judgement.metrics",
        "ablations.reporting.results", "ablations.reporting.wording",
    },
    "ablations.reporting.factor_table": {
        "ablations.tables", "ablations.judgement.statistics", "ablations.judgement.metrics",
        "ablations.reporting.results", "ablations.reporting.wording",
        "ablations.reporting.conditions",
    },
    "ablations.reporting.cell_table": {
        "ablations.tables", "ablations.judgement.statistics", "ablations.judgement.metrics",
        "ablations.reporting.results", "ablations.reporting.wording",
        "ablations.reporting.conditions",
    },
    "ablations.reporting.findings": {
        "ablations.tables", "ablations.tasks.shapes", "ablations.runs.claims",
        "ablations.judgement.statistics", "ablations.judgement.effects",
        "ablations.judgement.metrics", "ablations.judgement.trials", "ablations.reporting.results",
        "ablations.reporting.wording", "ablations.reporting.cell_table",
    },
    "ablations.reporting.limits": {
        "ablations.tasks.shapes", "ablations.judgement.comparisons", "ablations.reporting.results",
        "ablations.reporting.verdicts", "ablations.reporting.conditions",
    },
    "ablations.reporting.report": {
        "unet.refusal", "ablations.files", "ablations.tables", "ablations.runs.plan",
        "ablations.judgement.tuning", "ablations.judgement.metrics", "ablations.reporting.pictured",
        "ablations.reporting.results", "ablations.reporting.along", "ablations.reporting.verdicts",
        "ablations.reporting.budgets", "ablations.reporting.figures",
        "ablations.reporting.conditions", "ablations.reporting.metric_tables",
        "ablations.reporting.findings", "ablations.reporting.factor_table",
        "ablations.reporting.cell_table", "ablations.reporting.limits",
    },
    "ablations.pages": set(),
    "ablations.pages.sheets": {
        "unet.refusal", "ablations.files", "ablations.tasks.shapes", "ablations.runs.cell",
        "ablations.runs.records", "ablations.reporting.canvas", "ablations.reporting.figures",
    },
    "ablations.pages.architecture": {"unet.spec", "unet.algebra", "unet.reach", "ablations.tables"},
    "ablations.pages.costs": {
        "unet.spec", "unet.algebra", "unet.memory", "unet.cost", "ablations.tables",
        "ablations.pages.architecture",
    },
    "ablations.pages.endurance": {
        "unet.refusal", "ablations.files", "ablations.tables", "ablations.runs.cell",
    },
    "ablations.pages.kills": {"unet.refusal", "ablations.files", "ablations.tables"},
    "ablations.pages.conformance": {"ablations.files", "ablations.tables"},
    "ablations.pages.performance": {
        "unet.refusal", "ablations.files", "ablations.tables", "ablations.runs.cell",
    },
    "ablations.pages.promises": {
        "ablations.files", "ablations.runs.cell", "ablations.judgement.statistics",
    },
    "ablations.pages.calibration": {
        "ablations.tables", "ablations.judgement.statistics", "ablations.judgement.power",
        "ablations.pages.promises",
    },
    "ablations.pages.first_touch": {"ablations.files", "ablations.runs.cell", "ablations.tables"},
    "ablations.pages.committed": {
        "ablations.pages.first_touch",
        "ablations.files", "ablations.reporting.results", "ablations.reporting.exports",
        "ablations.reporting.report", "ablations.reporting.findings", "ablations.pages.sheets",
        "ablations.pages.architecture", "ablations.pages.costs", "ablations.pages.endurance",
        "ablations.pages.kills", "ablations.pages.conformance", "ablations.pages.performance",
        "ablations.pages.promises", "ablations.pages.calibration",
    },
    "ablations.pages.bench": {
        "unet.exchange", "unet.refusal", "ablations.files", "ablations.training.hardware",
        "ablations.pages.performance",
    },
    "ablations.__main__": {
        "ablations.runs.cell",
        "unet.commands",
        "unet.exchange",
        "unet.refusal", "ablations.files", "ablations.runs.plan", "ablations.runs.selection",
        "ablations.storage.plan_file", "ablations.storage.store", "ablations.storage.merge",
        "ablations.storage.doctor", "ablations.training.hardware", "ablations.running.engines",
        "ablations.running.processes", "ablations.running.cluster", "ablations.running.estimate",
        "ablations.running.sweep", "ablations.reporting.results", "ablations.reporting.exports",
        "ablations.reporting.pilot", "ablations.reporting.progress", "ablations.reporting.explain",
        "ablations.reporting.report", "ablations.pages.performance", "ablations.pages.committed",
        "ablations.pages.bench",
    },
}  # fmt: skip

WITH_TORCH = {
    "unet.joins", "unet.model", "unet.tiling", "unet.tracing", "unet.anatomy", "unet.running",
    "unet.arguments", "unet.examination", "unet.inference",
    "unet.verify", "unet.testing", "ablations.training.adam", "ablations.training.fused",
    "ablations.training.layout", "ablations.training.learner", "ablations.training.scoring",
    "ablations.training.probing", "ablations.training.train", "ablations.training.validation",
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


def test_rooms_stand_one_above_another() -> None:
    """A room's modules are together in the map, so that no two rooms import from each other."""
    rooms = [name.split(".")[1] for name in MAP if name.count(".") > 1 and name[0] == "a"]
    assert len([room for room, _ in groupby(rooms)]) == len(set(rooms)) == 8


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
    """Every row of the README's results is one of the committed reports."""
    for section, page in (("What came out", "shapes"), ("The literature on trial", "findings")):
        shown = (ROOT / "README.md").read_text().split(f"## {section}")[1].split("\n## ")[0]
        rows = [line for line in shown.splitlines() if line.startswith("|")]
        report = (ROOT / "reports" / f"{page}.md").read_text()
        assert len(rows) > 8
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
    "f'PRAGMA user_version={SCHEMA}'": "a number of ours, where SQLite takes no parameter",
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
