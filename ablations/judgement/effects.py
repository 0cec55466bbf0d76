"""What the seeds say of contrasts: effects with a verdict, judged in families."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, final

import numpy as np

from ablations.judgement.contrasts import Contrast
from ablations.judgement.statistics import (
    ALPHA,
    Array,
    Interval,
    bootstrap_interval,
    equivalence_p,
    hedges_g,
    holm,
    improvement,
    mean_interval,
    sign_flip_p,
    smallest_p,
)

DECIDED: Final = ("higher", "lower")
"""The verdicts by which there is a difference."""

Verdict = Literal["higher", "lower", "equivalent", "undecided", "not decidable with so few seeds"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What the seeds say of one contrast, as one of a family.

    `interval` is Student's, `bootstrap` the studentised bootstrap's. `p` is of the sign-flip test,
    `equivalence_p` of two one-sided t tests against `margin`; `adjusted` is by Holm's method within
    the family. `smallest_p` is the least that so many seeds can reach, and `can_decide` says
    whether it would do if it were that of the whole family. `standardised` is Hedges' g of paired
    differences; `improvement` the share of seeds above 0. `left_out` counts seeds without a number.
    """

    interval: Interval
    bootstrap: Interval
    p: float
    adjusted_p: float
    smallest_p: float
    can_decide: bool
    standardised: float
    improvement: Interval
    margin: float
    equivalence_p: float
    adjusted_equivalence_p: float
    left_out: int

    @property
    def within_margin(self) -> bool:
        """Whether any difference is shown to be smaller than the margin; it can be real as well."""
        return self.adjusted_equivalence_p <= ALPHA

    @property
    def beyond_margin(self) -> bool:
        """Whether there is a difference and it is shown to be larger than the margin."""
        reaches = self.interval.low > self.margin or self.interval.high < -self.margin
        return self.verdict in DECIDED and reaches

    @property
    def verdict(self) -> Verdict:
        """In words; seeds too few to show a difference are too few to show that there is none."""
        if not self.can_decide:
            return "not decidable with so few seeds"
        if self.adjusted_p <= ALPHA:
            return "higher" if self.interval.mean > 0 else "lower"
        return "equivalent" if self.within_margin else "undecided"


def effects(
    family: Sequence[Sequence[float] | Array], margin: float | Sequence[float] = 0
) -> list[Effect]:
    """The effect of each contrast of a family; seeds whose number is not finite are left out.

    `margin` is the largest difference that does not matter, in the contrasts' own unit: one for all
    of them, or one for each. With 0 every difference does, and nothing is equivalent.
    """
    contrasts = [np.asarray(contrast, dtype=np.float64) for contrast in family]
    whole = [contrast[np.isfinite(contrast)] for contrast in contrasts]
    p = [sign_flip_p(values) for values in whole]
    least = [smallest_p(len(values)) for values in whole]
    margins = np.broadcast_to(margin, len(whole)).tolist()
    same = [float(equivalence_p(*each)) for each in zip(whole, margins, strict=True)]
    adjusted_p, adjusted_least, adjusted_same = holm(p), holm(least), holm(same)
    return [
        Effect(
            interval=mean_interval(values),
            bootstrap=bootstrap_interval(values),
            p=p[i],
            adjusted_p=adjusted_p[i],
            smallest_p=least[i],
            can_decide=adjusted_least[i] <= ALPHA,
            standardised=hedges_g(values),
            improvement=improvement(values),
            margin=margins[i],
            equivalence_p=same[i],
            adjusted_equivalence_p=adjusted_same[i],
            left_out=len(contrasts[i]) - len(values),
        )
        for i, values in enumerate(whole)
    ]


def judged(contrasts: Sequence[Contrast], margin: float = 0) -> list[tuple[Contrast, Effect]]:
    """Each contrast with its effect, every family judged by itself; in the order given."""
    families: dict[object, list[Contrast]] = {}
    for contrast in contrasts:
        families.setdefault(contrast.family, []).append(contrast)
    found: dict[Contrast, Effect] = {}
    for family in families.values():
        found |= zip(family, effects([each.by_seed for each in family], margin), strict=True)
    return [(contrast, found[contrast]) for contrast in contrasts]
