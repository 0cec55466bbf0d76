"""What a reader must not conclude from a report."""

from __future__ import annotations

from collections.abc import Iterator

from ablations.judgement.comparisons import budgets
from ablations.reporting.conditions import varied_or_fixed
from ablations.reporting.results import Results
from ablations.reporting.verdicts import chance
from ablations.tasks.shapes import TASKS


def limits(results: Results) -> Iterator[str]:
    """What a reader must not conclude."""
    if len(results.environments) > 1:
        yield (
            f"What the machine did: the runs were made in {len(results.environments)} environments "
            "(see Conditions), whose arithmetic or versions may differ; where one level's runs are "
            "from one and another's from another, a difference may come from that."
        )
    task = TASKS[results.plan.task.name]
    yield (
        f"How it would be on other images: there is one task, {task.summary}, and it was "
        "made, not photographed."
    )
    yield _budget_in_words(results)
    yield chance(results)
    if "padding" in results.factors and results.plan.task.border == "context":
        yield (
            "What padding does at the border of an image: the scored window lies inside it, where "
            "padding hardly reaches. Nets of different padding also differ in where their poolings "
            "lie and in how much of the image their training (and batch norm) sees; a gap may "
            "come from there."
        )
    yield (
        'That two variants are equal: "cannot be told apart" means that the difference is '
        "smaller than these seeds can see, as far as its interval reaches."
    )
    held = (
        "where one of parameters and multiply-adds is held equal, the other is not"
        if results.plan.solved
        else "variants differ in parameters and multiply-adds too"
    )
    yield (
        f"The choice alone: {held} (last columns "
        "below), and a factor's row averages over all other factors, which may hide that it "
        "helps with one and hurts with another."
    )


def _budget_in_words(results: Results) -> str:
    varied = budgets(results.axes)
    if len(varied) > 1:
        return (
            "Which variant is best in the end: what is said of a factor is said of "
            f"{varied[-1]} steps, the largest of {len(varied)} budgets. One that learns more "
            "slowly could still catch up; how differences change with the budget is told below."
        )
    steps = varied_or_fixed(results, "training.steps")
    so_many = f"{steps} steps" + (", or what equals them" if results.plan.solved else "")
    return (
        f"Which variant is best in the end: every net was trained for {so_many}. One that "
        "learns more slowly could still catch up."
    )
