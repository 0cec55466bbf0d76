"""Each variant at its own best of a few settings, chosen on validation images by equal effort."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, final

import pandas as pd

from ablations.tables import as_markdown, code

SEEN: Final = "validation"
"""The column of runs that is chosen by: the IoU on the validation images."""


@final
@dataclass(frozen=True)
class Choice:
    """What one variant chose of the tuned axis' values.

    `means` has the mean over the seeds that each value came to, in the axis' order; `at_an_end`
    says that it chose the least or the greatest, so that the best may lie beyond.
    """

    variant: tuple[str, ...]
    means: dict[str, float]

    @property
    def value(self) -> str:
        """The one with the best mean."""
        return max(self.means, key=lambda value: self.means[value])

    @property
    def at_an_end(self) -> bool:
        """Whether no smaller or no larger value was tried."""
        tried = sorted(map(float, self.means))
        return float(self.value) in (tried[0], tried[-1])


def choices(runs: pd.DataFrame, tuned: str, others: Sequence[str]) -> list[Choice]:
    """The choice of every variant, by all of its runs; a run that diverged counts as 0."""
    seen = runs.assign(**{SEEN: runs[SEEN].fillna(0.0)})
    found = []
    for variant, mine in seen.groupby(list(others), sort=False, observed=True):
        means = mine.groupby(tuned, sort=False, observed=True)[SEEN].mean()
        found.append(Choice(tuple(map(str, variant)), {str(k): float(v) for k, v in means.items()}))
    return found


def sentences(found: Sequence[Choice], tuned: str, diverged: int) -> Iterator[str]:
    """How the choice was made, and whether the list of values may have been too short."""
    name = tuned.rpartition(".")[2]
    yield (
        f"Every variant was trained with each {name} on the same seeds, and is compared at the one "
        "with the highest mean on the validation images, which are neither learnt from nor tested "
        f"on. A diverged run counts as 0 there: of all runs, chosen or not, {diverged} diverged. "
        "The best of several is chosen a little too well where runs scatter, so that the choice "
        "favours a variant that scatters more."
    )
    ends = sum(choice.at_an_end for choice in found)
    if ends:
        yield (
            f"{ends} of {len(found)} variants chose an end of the list (marked): for them a better "
            f"{name} may lie beyond it, and a difference may come from that."
        )


def table(found: Sequence[Choice], others: Sequence[str], values: Sequence[str]) -> str:
    """One row a variant: its mean at every value, and what it chose."""
    return as_markdown(
        [
            {
                **{axis: code(level) for axis, level in zip(others, choice.variant, strict=True)},
                **{
                    value: f"{choice.means[value]:.3f}" if value in choice.means else "-"
                    for value in values
                },
                "chosen": code(choice.value) + " (an end)" * choice.at_an_end,
            }
            for choice in found
        ]
    )
