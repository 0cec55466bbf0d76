"""Effects over the training budget: what learns faster is told from what ends better."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np

from ablations.judgement.comparisons import Comparison, budgets, in_words
from ablations.judgement.contrasts import DECIMALS, Held, main_effects
from ablations.judgement.effects import DECIDED, Effect, effects
from ablations.judgement.metrics import METRICS
from ablations.reporting.curves import Curve, row
from ablations.reporting.results import Results
from ablations.reporting.wording import difference, probability
from ablations.runs.plan import BUDGET
from ablations.tables import as_markdown, code


@final
@dataclass(frozen=True, kw_only=True)
class Course:
    """How far level `high` of a factor lies above level `low` at each budget.

    `effects` has a budget's effect by its steps, from the smallest; `change` is by how much the
    difference at the largest is above that at the smallest. All are in `metric`, and each is judged
    together with those of the factor's other levels.
    """

    metric: str
    factor: str
    held: Held
    low: str
    high: str
    effects: dict[int, Effect]
    change: Effect

    @property
    def curve(self) -> Curve:
        """The difference at each budget."""
        points = {steps: effect.interval for steps, effect in self.effects.items()}
        return Curve(self.factor + in_words(self.held), self.high, self.low, points)

    @property
    def ends(self) -> tuple[int, int]:
        """The smallest and the largest budget, in steps."""
        return min(self.effects), max(self.effects)


def courses(results: Results) -> list[Course]:
    """Of every pair of levels of every factor; none if the plan has one budget."""
    steps = budgets(results.axes)
    if len(steps) < 2:
        return []
    compared = (each for each in results.comparisons if each.factor != BUDGET)
    return [course for each in compared for course in _courses(results, steps, each)]


def _courses(results: Results, steps: list[str], comparison: Comparison) -> Iterator[Course]:
    plan, held = results.plan, comparison.held_but(BUDGET)
    design = results.design_on(plan.headline).at(held)
    found = {
        int(at): list(main_effects(design.at(((BUDGET, at),)), comparison.factor)) for at in steps
    }
    judged = {
        at: effects([each.by_seed for each in pairs], plan.margin) for at, pairs in found.items()
    }
    first, last = found[int(steps[0])], found[int(steps[-1])]
    changes = [late.by_seed - early.by_seed for early, late in zip(first, last, strict=True)]
    changed = effects([np.round(each, DECIMALS) for each in changes], plan.margin)
    for place, (contrast, change) in enumerate(zip(first, changed, strict=True)):
        if change.interval.n:
            low, high = contrast.levels[0]
            yield Course(
                metric=plan.headline,
                factor=comparison.factor,
                held=held,
                low=low,
                high=high,
                effects={at: each[place] for at, each in judged.items()},
                change=change,
            )


def sentences(found: list[Course]) -> Iterator[str]:
    """One for each course: whether the effect grows or shrinks, from what to what."""
    for course in found:
        metric = METRICS[course.metric]
        start, end = (course.effects[steps] for steps in course.ends)
        # Told from the side that is ahead in the end or, if none is, was so at the start.
        sure = [each for each in (end, start) if each.verdict in DECIDED]
        sign = -1 if (sure or [end])[0].interval.mean < 0 else 1
        ahead = sign if metric.higher_is_better else -sign
        low, high = (course.low, course.high)[::ahead]
        first, last = (sign * each.interval.mean for each in (start, end))
        change = course.change.interval if sign > 0 else -course.change.interval
        yield (
            f"**{course.factor}**{in_words(course.held)}: the {'lead' if sure else 'difference'} "
            f"of {code(high)} {'over' if sure else 'to'} {code(low)} "
            f"{_verdict(course, first, last)}: {first:+.{metric.digits}f} at {course.ends[0]} "
            f"steps, {last:+.{metric.digits}f} at {course.ends[1]} (change "
            f"{difference(change, metric.digits)}, p {probability(course.change.adjusted_p)})."
        )


def _verdict(course: Course, first: float, last: float) -> str:
    change = course.change
    if not change.can_decide:
        return "cannot be judged to grow or shrink with so few seeds"
    if change.verdict == "equivalent":
        return f"changes by less than {change.margin:g} with the budget"
    if change.verdict not in DECIDED:
        return "cannot be told to grow or to shrink"
    small = f", if by less than {change.margin:g}" * change.within_margin
    return _moved(course, first, last) + small


def _moved(course: Course, first: float, last: float) -> str:
    """Of a difference that is known to change; at an end it may be too small to be told."""
    start, end = (course.effects[steps].verdict in DECIDED for steps in course.ends)
    if not start and not end:
        return "changes with the budget, and at neither end can it be told from nothing"
    if not end:
        return "shrinks until it cannot be told from nothing"
    if first < 0:
        return "comes only with the larger budget"
    return "grows with the budget" if last > first else "shrinks as the budget grows"


def table(found: list[Course]) -> str:
    """One row a course; the effect at each budget, with its interval and its seeds."""
    digits = METRICS[found[0].metric].digits
    return as_markdown(
        [
            {
                **row(course.curve, "{} steps", digits),
                "change": difference(course.change.interval, digits),
                "p (Holm)": probability(course.change.adjusted_p),
            }
            for course in found
        ]
    )


def caption(found: list[Course]) -> str:
    """How to read that table and its figure."""
    first, last = found[0].ends
    return (
        f"Differences in {found[0].metric}, paired by seed, with Student's 95 % interval and the "
        "number of seeds, at each training budget. Every budget is a run of its own, whose "
        "learning rate falls to nearly 0 at its end. The change is the difference at "
        f"{last} steps less that at {first}, seed by seed, judged with those of the factor's "
        "other levels."
    )
