"""Effects in words and tables: what made a difference, by how much, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import pandas as pd

from ablations.judgement.comparisons import Comparison, in_words
from ablations.judgement.contrasts import Contrast
from ablations.judgement.effects import DECIDED, Effect
from ablations.judgement.metrics import METRICS, Metric
from ablations.judgement.statistics import ALPHA, smallest_p
from ablations.reporting.results import Results
from ablations.reporting.wording import bounds, difference, known, probability, seeds, share
from ablations.runs.plan import BUDGET
from ablations.tables import as_markdown, code

Judged = tuple[Contrast, Effect]


def findings(results: Results) -> Iterator[str]:
    """One sentence for each factor that says whether it mattered, and by how much."""
    if not results.factors:
        yield "No axis of the plan has two values, so there is nothing to compare."
        return
    if len(results.whole_seeds) < 2:
        yield (
            f"Nothing yet: {len(results.whole_seeds)} of {results.plan.seeds} seeds have all their "
            "runs, and a difference needs at least two seeds to be told from chance."
        )
        return
    if results.runs[results.plan.headline].isna().all():
        yield f"Nothing: no run has a {results.plan.headline}; older versions did not measure it."
        return
    metric = METRICS[results.plan.headline]
    for comparison in results.comparisons:
        family = _family(results, comparison)
        pairs = sorted(family, key=lambda pair: -abs(pair[1].interval.mean))
        told = "; ".join(_compared(contrast, effect, metric) for contrast, effect in pairs)
        verdict = _verdict([effect for _, effect in family])
        yield f"**{comparison.factor}**{comparison.where} {verdict}: {told}."


def _family(results: Results, comparison: Comparison) -> list[Judged]:
    """The main effects of a factor, where it is compared."""
    return [pair for pair in results.effects if pair[0].family == comparison.family]


def _verdict(family: list[Effect]) -> str:
    """Of a factor, from those of its comparisons."""
    verdicts = {effect.verdict for effect in family}
    if verdicts & set(DECIDED):
        return "made a difference"
    if verdicts == {"equivalent"}:
        return f"made no difference above {family[0].margin:g}"
    if any(effect.can_decide for effect in family):
        return "made no difference that these seeds can tell"
    return f"cannot be judged: {_seeds_in_words(family)}"


def _seeds_in_words(family: list[Effect]) -> str:
    most = max(effect.interval.n for effect in family)
    return (
        f"with {most} seeds chance alone does as much in {smallest_p(most):.2g} of all cases or "
        f"more, and {seeds_to_decide(len(family))} seeds or more could decide"
    )


def seeds_to_decide(comparisons: int) -> int:
    """The fewest seeds whose smallest p, times the comparisons of a family, is small enough."""
    return next(n for n in range(1, 99) if comparisons * smallest_p(n) <= ALPHA)


def _compared(contrast: Contrast, effect: Effect, metric: Metric) -> str:
    """`concat` scores 0.097 above `none` (...); or that they are alike, or cannot be told apart.

    The better one comes first, which for some metrics lies below.
    """
    (worse, better), *_ = contrast.levels
    interval = effect.interval
    if (interval.mean < 0) is metric.higher_is_better:
        worse, better = better, worse
    if interval.mean < 0:
        interval = -interval
    mean, low, high = (
        f"{value:.{metric.digits}f}" for value in (interval.mean, interval.low, interval.high)
    )
    bounds = f"95 % interval {low} to {high}, p {probability(effect.adjusted_p)}"
    if effect.verdict in DECIDED:
        small = f", which is less than {effect.margin:g}" if effect.within_margin else ""
        beside = "above" if metric.higher_is_better else "below"
        return f"{code(better)} scores {mean} {beside} {code(worse)} ({bounds}){small}"
    if effect.verdict == "equivalent":
        return f"{code(better)} and {code(worse)} differ by less than {effect.margin:g} ({bounds})"
    return f"{code(better)} and {code(worse)} cannot be told apart ({bounds})"


def chance(results: Results) -> str:
    """What the statistics leave open."""
    families = len({contrast.family for contrast, _ in results.effects})
    told = (
        "Much about chance: p values are those of the exact sign-flip test over seeds, corrected "
        "by Holm's method within each factor's comparisons. "
    )
    if families > 1:
        told += (
            f"There are {families} families of comparisons, interactions included, each with a "
            f"chance of {ALPHA:.0%} to err: were all differences really nothing, at least one "
            f"would look like something with a chance of at most {min(1, families * ALPHA):.0%}. "
        )
    return told + (
        "They hold for as many seeds as were settled on before anybody looked: whoever adds some "
        "until a p is small enough errs more often. "
        f"{len(results.whole_seeds)} seeds are few: the intervals assume that differences scatter "
        "normally, and where they do not they hold the truth less often."
    )


def main_effects_table(results: Results) -> str:
    """One row a pair of levels."""
    headline = results.plan.headline
    digits = METRICS[headline].digits
    rows = [
        {
            "factor": comparison.label,
            "difference": _difference(contrast.levels[0]),
            "seeds": seeds(effect),
            headline: difference(effect.interval, digits),
            "bootstrap": bounds(effect.bootstrap, digits, "+"),
            "p": probability(effect.p),
            "p (Holm)": probability(effect.adjusted_p),
            "g": known(effect.standardised, 1, "+"),
            "seeds above 0": share(effect.improvement.mean),
            "verdict": effect.verdict,
        }
        for comparison in results.comparisons
        for contrast, effect in _family(results, comparison)
    ]
    return as_markdown(rows) if rows else "No axis of the plan has two values."


def _difference(levels: tuple[str, ...]) -> str:
    low, high = levels
    return f"{code(high)} - {code(low)}"


def main_effects_caption(results: Results) -> str:
    """How to read that table."""
    seeds = len(results.whole_seeds)
    margin = results.plan.margin
    alike = (
        f"*equivalent* means that two one-sided t tests show a difference of less than {margin:g}, "
        "the plan's margin"
        if margin
        else "the plan names no margin, so that no difference counts as too small to matter"
    )
    return (
        f"Differences in {results.plan.headline}, paired by seed and averaged over all other "
        "factors, with Student's 95 % interval and the studentised bootstrap's. p is of the exact "
        f"sign-flip test (with {seeds} seeds at least {probability(smallest_p(seeds))}), beside it "
        "after Holm's correction within the factor; g is Hedges' g of paired differences. Verdicts "
        f"go by the corrected p; {alike}. A seed with a missing or diverged run is left out where "
        "the run is needed."
    )


def interactions_table(results: Results) -> str:
    """One row a pair of factors: how many of its differences of differences are not nothing."""
    headline = results.plan.headline
    # How a difference changes with the budget is told by itself.
    kept = [
        pair
        for pair in results.effects
        if pair[0].kind == "interaction" and BUDGET not in pair[0].factors
    ]
    rows = []
    for _, pairs in groupby(kept, key=lambda pair: pair[0].family):
        family = list(pairs)
        contrast, effect = max(family, key=lambda pair: abs(pair[1].interval.mean))
        rows.append(
            {
                "factors": " x ".join(contrast.factors) + in_words(contrast.held),
                "comparisons": f"{len(family)}",
                "not nothing": f"{sum(e.verdict in DECIDED for _, e in family)}",
                "largest": " x ".join(map(_difference, contrast.levels)),
                headline: difference(effect.interval, METRICS[headline].digits),
                "p (Holm)": probability(effect.adjusted_p),
                "verdict": effect.verdict,
            }
        )
    return as_markdown(rows) if rows else ""


def effect_rows(results: Results) -> pd.DataFrame:
    """One row a contrast, main effects, simple effects and interactions."""
    return pd.DataFrame(
        {
            "kind": contrast.kind,
            "contrast": contrast.label,
            "seeds": effect.interval.n,
            "left out": effect.left_out,
            results.plan.headline: effect.interval.mean,
            "low": effect.interval.low,
            "high": effect.interval.high,
            "bootstrap low": effect.bootstrap.low,
            "bootstrap high": effect.bootstrap.high,
            "p": effect.p,
            "p (Holm)": effect.adjusted_p,
            "smallest p": effect.smallest_p,
            "g": effect.standardised,
            "share above 0": effect.improvement.mean,
            "share above 0 low": effect.improvement.low,
            "share above 0 high": effect.improvement.high,
            "margin": effect.margin,
            "equivalence p": effect.equivalence_p,
            "equivalence p (Holm)": effect.adjusted_equivalence_p,
            "verdict": effect.verdict,
        }
        for contrast, effect in results.effects
    )
