"""Under which conditions runs were compared: what they share, and what was held equal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ablations.reporting.results import Results
from ablations.runs.fairness import EQUALITIES
from ablations.runs.plan import Plan
from ablations.tables import code, inline
from ablations.tasks.shapes import TASKS
from unet.spec import CHOICES


def conditions(results: Results) -> Iterator[str]:
    """Everything that was the same in all runs, and what the records were made with."""
    plan = results.plan
    yield f"Task: {TASKS[plan.task.name].summary}; " + _settings(plan.settings["task"])
    yield "Net: " + _settings(plan.settings["spec"])
    yield (
        "Training: Adam, one-cycle learning rate, cross-entropy plus soft Dice in float32, "
        "convolutions in the precision that stands below; " + _settings(plan.settings["training"])
    )
    for factor in results.factors:
        table = CHOICES.get(factor, {})
        for value in plan.axes[factor]:
            summary = getattr(table.get(str(value)), "summary", None)
            if summary:
                yield f"{factor} {code(value)}: {summary}"
    for environment, count in results.environments:
        yield f"{count} runs with {inline(environment)}"


def _settings(values: Mapping[str, object]) -> str:
    return (
        inline(", ".join(f"{name} {value}" for name, value in values.items()))
        or "the paper's settings"
    )


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


def scoring(results: Results) -> str:
    """How variants are scored: what a table of scores is to be read with."""
    size = varied_or_fixed(results, "task.size")
    weights = (
        " and starts from the same weights wherever shapes allow"
        if "init" not in results.factors
        else ""
    )
    return (
        f"A seed decides the training images, the initial weights and the test images. For each "
        f"seed every variant sees the same {size} x {size} images in the same order{weights}; "
        f"every variant is supervised and scored on the same pixels, {_window(results)}. "
        f"{_looks(results)}Scores are over all "
        f"{varied_or_fixed(results, 'training.test_images')} test images of a run together, "
        "class by class, then averaged over the "
        f"classes {', '.join(TASKS[results.plan.task.name].scored_classes)}."
    )


def _looks(results: Results) -> str:
    """What is not the same for the levels of an axis that varies how images look."""
    dials = [code(axis) for axis in results.factors if axis.startswith("task.")]
    if not dials:
        return ""
    return (
        f"But the levels of {' and '.join(dials)} are not scored on the same images: a seed's "
        "objects are the same and in the same places, and look different. "
    )


def _window(results: Results) -> str:
    """Which pixels are scored, and how a net without padding comes to see around them."""
    task, unpadded = results.plan.task, "valid" in results.plan.values("padding")
    if task.border == "mirrored":
        rim = ", which a net without padding sees extended by mirroring" if unpadded else ""
        return f"all of the image{rim}"
    covered = ", all that a net without padding covers" if unpadded else ""
    return f"the central {task.scored} x {task.scored}{covered}"


def varied_or_fixed(results: Results, axis: str) -> str:
    """The value that all cells share, or the values of the axis."""
    return " or ".join(map(str, results.plan.values(axis)))
