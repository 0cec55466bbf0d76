"""From a few seeds to how many it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self, final

from ablations.judgement.comparisons import Comparison
from ablations.judgement.contrasts import Contrast
from ablations.judgement.power import SeedsNeeded, seeds_from_pilot
from ablations.reporting.results import Results
from ablations.runs.plan import Plan
from unet.refusal import Refusal


@final
@dataclass(frozen=True)
class Needed:
    """How many seeds a factor needs: those of the comparison that scatters most."""

    factor: str
    comparison: str
    seeds: SeedsNeeded


@final
@dataclass(frozen=True)
class Needs:
    """The seeds that show a difference of `effect` in `metric` in 4 of 5 cases, factor by factor.

    `seconds_a_seed` is what all variants of one seed took, one after the other.
    """

    metric: str
    effect: float
    factors: list[Needed]
    seconds_a_seed: float

    @classmethod
    def of(cls, plan: Plan, pilot: Results, effect: float) -> Self:
        """As a pilot's scatter asks for; raises `Refusal` if it is of other axes or too small."""
        if pilot.plan.axes != plan.axes:
            raise Refusal(
                f"the pilot is of plan {pilot.plan.name}, whose axes are not those of {plan.name}; "
                "run a few seeds of this one"
            )
        if pilot.runs.empty:
            raise Refusal(f"the pilot of plan {plan.name} has no runs yet; run a few seeds")
        if not pilot.comparisons:
            raise Refusal(f"no axis of plan {plan.name} has two values: there is nothing to tell")
        judged = [contrast for contrast, _ in pilot.effects_on(plan.headline)]
        factors = [_needed(judged, comparison, effect) for comparison in pilot.comparisons]
        return cls(plan.headline, effect, factors, float(pilot.cells["seconds"].sum()))

    @property
    def most(self) -> int:
        """Seeds that do for every factor."""
        return max(each.seeds.seeds for each in self.factors)


def _needed(contrasts: list[Contrast], comparison: Comparison, effect: float) -> Needed:
    family = [each for each in contrasts if each.family == comparison.family]
    each = [(seeds_from_pilot(c.by_seed, effect, len(family)), c) for c in family]
    most, contrast = max(each, key=lambda pair: pair[0].seeds)
    return Needed(comparison.label, _told(contrast), most)


def _told(contrast: Contrast) -> str:
    (low, high), *_ = contrast.levels
    return f"{high} - {low}"
