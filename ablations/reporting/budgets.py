"""Effects over the training budget: what learns faster is told from what ends better."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import final

import numpy as np

from ablations.judgement.comparisons import Comparison, budgets, in_words
from ablations.judgement.contrasts import Contrast, Held
from ablations.judgement.effects import Effect, effects
from ablations.judgement.metrics import METRICS
from ablations.judgement.statistics import Interval
from ablations.reporting.curves import Curve, row
from ablations.reporting.results import Results
from ablations.reporting.verdicts import DECIDED, Judged
from ablations.reporting.wording import difference, probability
from ablations.runs.plan import BUDGET
from ablations.tables import as_markdown


@final
@dataclass(frozen=True, kw_only=True)
class Course:
    """How far level `high` of a factor lies above level `low` at each budget.

    `effects` has a budget's effect by its steps, from the smallest. `change` is by how much the
    effect at the largest is above that at the smallest, and `judged` says how sure that is, in a
    family with those of the factor's other levels; all of them in `metric`.
    """

    metric: str
    factor: str
    held: Held
    low: str
    high: str
    effects: dict[int, Effect]
    change: Interval
    judged: Effect

    @property
    def curve(self) -> Curve:
        """The difference at each budget."""
        points = {steps: effect.interval for steps, effect in self.effects.items()}
        place = self.factor + in_words(self.held)
        return Curve(place, f"`{self.high}` - `{self.low}`", points)

    @property
    def ends(self) -> tuple[int, int]:
        """The smallest and the largest budget, in steps."""
        return min(self.effects), max(self.effects)


def courses(results: Results) -> list[Course]:
    """Of every pair of levels of every factor; none if the plan has one budget."""
    steps = budgets(results.axes)
    if len(steps) < 2:
        return []
    found = {_question(contrast): (contrast, effect) for contrast, effect in results.effects}
    compared = (each for each in results.comparisons if each.factor != BUDGET)
    return [course for each in compared for course in _courses(results, steps, found, each)]


def _courses(
    results: Results, steps: list[str], found: Mapping[object, Judged], comparison: Comparison
) -> Iterator[Course]:
    factor, held = comparison.factor, comparison.held_but(BUDGET)
    ends = tuple(sorted((steps[0], steps[-1]), key=results.axes[BUDGET].index))
    changes: dict[tuple[str, str], Contrast] = {}
    for pair in combinations(results.axes[factor], 2):
        # Missing where a factor has more levels than are compared at each budget.
        change, _ = found.get((frozenset(((factor, pair), (BUDGET, ends))), held), (None, None))
        if change is not None and np.isfinite(change.by_seed).any():
            changes[pair] = change
    judged = effects([change.by_seed for change in changes.values()], results.plan.margin)
    for pair, effect in zip(changes, judged, strict=True):
        at_each = (found[frozenset(((factor, pair), (BUDGET, (at,)))), held] for at in steps)
        yield Course(
            metric=results.plan.headline,
            factor=factor,
            held=held,
            low=pair[0],
            high=pair[1],
            effects={int(at): effect for at, (_, effect) in zip(steps, at_each, strict=True)},
            change=effect.interval if ends[0] == steps[0] else -effect.interval,
            judged=effect,
        )


def _question(contrast: Contrast) -> object:
    """Which levels of which factors it compares, in whatever order the factors stand."""
    return frozenset(zip(contrast.factors, contrast.levels, strict=True)), contrast.held


def sentences(found: list[Course]) -> Iterator[str]:
    """One for each course: whether the effect grows or shrinks, from what to what."""
    for course in found:
        metric = METRICS[course.metric]
        first, last = (course.effects[steps].interval.mean for steps in course.ends)
        # Told from the side that is ahead in the end.
        sign = -1 if last < 0 else 1
        ahead = sign if metric.higher_is_better else -sign
        low, high = (course.low, course.high)[::ahead]
        first, last = sign * first, sign * last
        change = difference(course.change if sign > 0 else -course.change, metric.digits)
        yield (
            f"**{course.factor}**{in_words(course.held)}: the lead of `{high}` over `{low}` "
            f"{_verdict(course, first, last)}: {first:+.{metric.digits}f} at {course.ends[0]} "
            f"steps, {last:+.{metric.digits}f} at {course.ends[1]} (change {change}, p "
            f"{probability(course.judged.adjusted_p)})."
        )


def _verdict(course: Course, first: float, last: float) -> str:
    judged = course.judged
    if not judged.can_decide:
        return "cannot be judged to grow or shrink with so few seeds"
    if judged.verdict in DECIDED:
        if first < 0 < last:
            return "comes only with the larger budget"
        return "grows with the budget" if last > first else "shrinks as the budget grows"
    if judged.verdict == "equivalent":
        return f"changes by less than {judged.margin:g} with the budget"
    return "cannot be told to grow or to shrink"


def table(found: list[Course]) -> str:
    """One row a course; the effect at each budget, with its interval and its seeds."""
    digits = METRICS[found[0].metric].digits
    return as_markdown(
        [
            {
                **row(course.curve, "{} steps", digits),
                "change": difference(course.change, digits),
                "p (Holm)": probability(course.judged.adjusted_p),
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
