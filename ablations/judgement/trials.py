"""Claims put to the test: each prediction's contrast, judged, and a verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, final

import numpy as np

from ablations.judgement.comparisons import asked, parts
from ablations.judgement.contrasts import Contrast, Design, levels_alone
from ablations.judgement.effects import DECIDED, Effect, effects
from ablations.judgement.metrics import METRICS
from ablations.runs.claims import Claim, Prediction
from unet.refusal import Refusal, require_choice, shown

Outcome = Literal["reproduced", "not reproduced", "undecided"]

MOST_NAMED: Final = 8


def require_testable(claims: Sequence[Claim], axes: Mapping[str, Sequence[object]]) -> None:
    """Refuse a prediction about a metric or a contrast that there is not."""
    named = {axis: list(map(str, values)) for axis, values in axes.items()}
    nothing = Design(np.zeros((1, *map(len, named.values()))), named)
    labels = [contrast.label for contrast in _predictable(nothing)]
    numbers = [claim.number for claim in claims]
    for claim in claims:
        if numbers.count(claim.number) > 1:
            raise Refusal(f"claim {claim.number}: two claims have this number")
        if any(claim.predictions.count(each) > 1 for each in claim.predictions):
            raise Refusal(f"claim {claim.number}: one prediction is made twice")
        for prediction in claim.predictions:
            require_choice(f"claim {claim.number}: metric", prediction.metric, METRICS)
            if prediction.contrast not in labels:
                raise Refusal(
                    f"claim {claim.number}: the plan has no contrast "
                    f"{shown(prediction.contrast)}; {_alike(prediction.contrast, labels)}"
                )
            if prediction.expected == "equivalent" and not prediction.margin:
                raise Refusal(
                    f"claim {claim.number}: what is to be equivalent needs a margin above 0"
                )


def _alike(contrast: str, labels: Sequence[str]) -> str:
    """What there is, that of the same factor first."""
    factor = contrast.partition(":")[0]
    some = sorted(labels, key=lambda label: not label.startswith(f"{factor}:"))[:MOST_NAMED]
    more = f" and {len(labels) - MOST_NAMED} more" if len(labels) > MOST_NAMED else ""
    return f"it has {', '.join(some)}{more}"


def _predictable(design: Design) -> Iterator[Contrast]:
    yield from asked(design)
    for held in parts(design.axes):
        yield from levels_alone(design.at(held))


@final
@dataclass(frozen=True)
class Trial:
    """A claim with contrast and effect of each prediction; the effects are judged as one family."""

    claim: Claim
    contrasts: tuple[Contrast, ...]
    effects: tuple[Effect, ...]

    @classmethod
    def of(cls, claim: Claim, design_on: Callable[[str], Design]) -> Trial:
        """By the scores that `design_on` has of each metric."""
        found = tuple(_contrast(each, design_on(each.metric)) for each in claim.predictions)
        margins = [each.margin for each in claim.predictions]
        judged = effects([contrast.by_seed for contrast in found], margins)
        return cls(claim, found, tuple(judged))

    @property
    def outcomes(self) -> list[Outcome]:
        """Of each prediction."""
        return list(map(_outcome, self.claim.predictions, self.effects))

    @property
    def verdict(self) -> Outcome:
        """A claim is reproduced if all that it predicts is, and not if any of it is not."""
        seen = set(self.outcomes)
        if seen == {"reproduced"}:
            return "reproduced"
        return "not reproduced" if "not reproduced" in seen else "undecided"


def _contrast(prediction: Prediction, design: Design) -> Contrast:
    return next(each for each in _predictable(design) if each.label == prediction.contrast)


def _outcome(prediction: Prediction, effect: Effect) -> Outcome:
    """A difference that is shown to be smaller than the margin is none."""
    if not effect.can_decide:
        return "undecided"
    seen = effect.verdict in DECIDED
    match prediction.expected:
        case "equivalent":
            held, refuted = effect.within_margin, effect.beyond_margin
        case "different":
            held, refuted = seen and not effect.within_margin, effect.within_margin
        case way:
            held = effect.verdict == way and not effect.within_margin
            refuted = effect.within_margin or (seen and effect.verdict != way)
    if held:
        return "reproduced"
    return "not reproduced" if refuted else "undecided"
