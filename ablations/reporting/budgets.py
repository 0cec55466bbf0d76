"""Effects over the training budget: what learns faster is told from what ends better."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import final

from ablations.judgement.comparisons import budgets, in_words
from ablations.judgement.contrasts import Contrast, Held
from ablations.judgement.effects import Effect
from ablations.judgement.metrics import METRICS
from ablations.judgement.statistics import Interval
from ablations.reporting.results import Results
from ablations.reporting.verdicts import DECIDED, probability, spanned
from ablations.runs.plan import BUDGET
from ablations.tables import as_markdown


@final
@dataclass(frozen=True, kw_only=True)
class Course:
    """How far level `high` of a factor lies above level `low` at each budget.

    `effects` has a budget's effect by its steps, from the smallest. `change` is by how much the
    effect at the largest is above that at the smallest, and `judged` says how sure that is; all of
    them in `metric`.
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
    def ends(self) -> tuple[int, int]:
        """The smallest and the largest budget, in steps."""
        return min(self.effects), max(self.effects)


def courses(results: Results) -> list[Course]:
    """Of every pair of levels of every factor; none if the plan has one budget."""
    steps = budgets(results.axes)
    if len(steps) < 2:
        return []
    found = {_question(contrast): effect for contrast, effect in results.effects}
    return list(_courses(results, steps, found))


def _courses(results: Results, steps: list[str], found: dict[object, Effect]) -> Iterator[Course]:
    in_order = results.axes[BUDGET]
    ends = sorted((steps[0], steps[-1]), key=in_order.index)
    for comparison in results.comparisons:
        factor, held = comparison.factor, comparison.held_but(BUDGET)
        if factor == BUDGET:
            continue
        for low, high in combinations(results.axes[factor], 2):
            pair = (factor, (low, high))
            judged = found.get((frozenset((pair, (BUDGET, tuple(ends)))), held))
            # Missing where a factor has more levels than are compared at each budget.
            if judged is None or not judged.interval.n:
                continue
            yield Course(
                metric=results.plan.headline,
                factor=factor,
                held=held,
                low=low,
                high=high,
                effects={int(at): found[frozenset((pair, (BUDGET, (at,)))), held] for at in steps},
                change=judged.interval if ends[0] == steps[0] else -judged.interval,
                judged=judged,
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
        change = spanned(course.change if sign > 0 else -course.change, metric.digits)
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
                "factor": course.factor + in_words(course.held),
                "difference": f"`{course.high}` - `{course.low}`",
                **{
                    f"{steps} steps": f"{spanned(effect.interval, digits)}, n {effect.interval.n}"
                    for steps, effect in course.effects.items()
                },
                "change": spanned(course.change, digits),
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
        f"{last} steps less that at {first}, seed by seed, judged with all changes between budgets "
        "that the factor has."
    )
