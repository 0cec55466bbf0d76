"""Under which conditions runs were compared: what they share, and what was held equal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ablations.reporting.results import Results
from ablations.runs.fairness import EQUALITIES
from ablations.runs.plan import Plan
from ablations.tables import inline
from ablations.tasks.shapes import TASKS
from unet.spec import CHOICES


def conditions(results: Results) -> Iterator[str]:
    """Everything that was the same in all runs, and what the records were made with."""
    plan = results.plan
    yield f"Task: {TASKS[plan.task.name].summary}; " + _settings(plan.settings["task"])
    yield "Net: " + _settings(plan.settings["spec"])
    yield (
        "Training: Adam, one-cycle learning rate, cross-entropy plus soft Dice in float32; "
        + _settings(plan.settings["training"])
    )
    for factor in results.factors:
        table = CHOICES.get(factor, {})
        for value in plan.axes[factor]:
            summary = getattr(table.get(str(value)), "summary", None)
            if summary:
                yield f"{factor} `{value}`: {summary}"
    for environment, count in results.environments:
        yield f"{count} runs with {inline(environment)}"


def _settings(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "the paper's settings"


def held_equal(plan: Plan) -> Iterator[str]:
    """At equal what variants were compared, and how nearly so; nothing if all had equal steps."""
    if not plan.solved:
        return
    for name in map(str, plan.equalities):
        share, variant = _farthest(plan, name)
        near = "all exactly" if share == 1 else f"at the farthest {share:.2%} of it ({variant})"
        yield f"equal `{name}`: {EQUALITIES[name].summary}; {near}"


def _farthest(plan: Plan, name: str) -> tuple[float, str]:
    """The share of the first's that the least equal variant has, and which one that is."""
    told = EQUALITIES[name].told
    shares = []
    for values in plan.variants():
        cell = plan.cell(values, seed=0)
        if cell.training.equal == name:
            share = told(cell) / told(plan.cell(plan.reference(values), seed=0))
            shares.append((share, ", ".join(map(str, values))))
    return max(shares, key=lambda pair: abs(pair[0] - 1))
