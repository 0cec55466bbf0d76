"""What a person sees while a sweep runs: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ablations.reporting.pilot import Needs
from ablations.running.engines import Crashed, Outcome
from ablations.running.estimate import Estimate
from ablations.running.sweep import Ended, Tally
from ablations.runs.plan import Plan
from ablations.runs.records import Record
from ablations.storage.attempts import MOST_ATTEMPTS, OUTCOMES, Attempt
from unet.refusal import printable

RUNNING: Final = "running"
"""What an attempt is while it has no outcome."""

MOST_LINES: Final = 1000
"""About so many lines a long sweep leaves in a log; what goes wrong is always told."""


@final
@dataclass(frozen=True)
class Watcher:
    """Tells `console` of each outcome as it passes by."""

    console: Console

    def __call__(self, outcomes: Iterable[Outcome], start: Tally) -> Iterator[Outcome]:
        """Hand on `outcomes`; `start` is how far the sweep was before them."""
        if start.open:
            precisions = " or ".join(map(str, start.plan.values("training.precision")))
            self._say(f"{start.plan.name}: {start.open:,} cells, convolutions in {precisions}")
        watch = self._bar if self.console.is_terminal else self._lines
        return watch(outcomes, start)

    def _bar(self, outcomes: Iterable[Outcome], start: Tally) -> Iterator[Outcome]:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        with Progress(*columns, console=self.console) as bar:
            task = bar.add_task(start.plan.name, completed=start.stored, total=start.cells)
            for outcome in outcomes:
                if isinstance(outcome, Crashed) or outcome.outcome == "diverged":
                    self._say(describe(outcome, start.plan))
                bar.advance(task, isinstance(outcome, Record))
                yield outcome

    def _lines(self, outcomes: Iterable[Outcome], start: Tally) -> Iterator[Outcome]:
        began = time.monotonic()
        place = start.stored
        told = max(1, start.cells // MOST_LINES)
        for ended, outcome in enumerate(outcomes, start=1):
            # One that crashed is tried again.
            place += isinstance(outcome, Record)
            if isinstance(outcome, Crashed) or place % told == 0:
                left = (time.monotonic() - began) / ended * (start.cells - place)
                how = describe(outcome, start.plan)
                self._say(f"{place}/{start.cells} {how}; about {left:.0f} s left")
            yield outcome

    def _say(self, line: str) -> None:
        self.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


def describe(outcome: Outcome, plan: Plan) -> str:
    """One run in a few words: the variant, the seed, and how it went."""
    cell = outcome.cell if isinstance(outcome, Crashed) else outcome.parsed_cell()
    variant = " ".join(map(str, plan.levels(cell)))
    if isinstance(outcome, Crashed):
        return f"{variant} seed {cell.seed}: crashed, {outcome.reason}"
    return f"{variant} seed {cell.seed}: {outcome.outcome} in {outcome.train_seconds:.1f} s"


@final
@dataclass(frozen=True)
class Tried:
    """How often attempts ended how, and why the last one failed."""

    outcomes: dict[str, int]
    reason: str

    @classmethod
    def of(cls, attempts: Iterable[Attempt]) -> Self:
        """Of a history, oldest first."""
        outcomes, reason = Counter[str](), ""
        for attempt in attempts:
            outcomes[attempt.outcome or RUNNING] += 1
            reason = attempt.reason or reason
        return cls(dict(outcomes), reason)

    def lines(self) -> Iterator[str]:
        """For people: nothing but what is not over and well."""
        for outcome, meaning in {RUNNING: "not ended yet", **OUTCOMES}.items():
            count = self.outcomes.get(outcome, 0)
            if count and outcome != "done":
                yield f"{count} attempt{'s' * (count > 1)} {outcome}: {meaning}"
        if self.reason:
            yield f"the last failure: {self.reason}"


def in_words(seconds: float) -> str:
    """A time in the unit that suits it.

    >>> in_words(50), in_words(5000), in_words(1e6)
    ('50 seconds', '83 minutes', '12 days')
    """
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def estimate_lines(about: Estimate, workers: int) -> Iterator[str]:
    """What a plan would take, for people."""
    yield f"  about {in_words(about.seconds)} here, {workers} runs side by side"
    yield f"  about {about.bytes / 1e6:,.1f} MB of records"


def power_lines(needs: Needs, workers: int) -> Iterator[str]:
    """How many seeds it takes, for people."""
    yield f"  to see a difference of {needs.effect:g} in {needs.metric}, in 4 of 5 cases, takes"
    for each in needs.factors:
        seeds = each.seeds
        low, high = ("over 10,000" if n is None else f"{n:,}" for n in (seeds.low, seeds.high))
        yield (
            f"    {each.factor}: {seeds.seeds:,} seeds, most for {each.comparison} "
            f"({low} to {high}: {seeds.pilot} seeds know their scatter no better)"
        )
    took = in_words(needs.most * needs.seconds_a_seed / workers)
    yield f"  {needs.most:,} seeds take about {took}, {workers} runs side by side"


def summary_of(ended: Ended, now: Tally, files: list[Path]) -> dict[str, object]:
    """What became of a sweep, for machines."""
    return {
        "plan": now.plan.name,
        "cells": now.cells,
        "already_done": ended.before,
        "trained": ended.trained,
        "given_up": now.given_up,
        "open": now.open,
        "failed_alike": ended.alike,
        "crashed": [{"key": each.cell.key, "reason": each.reason} for each in ended.crashed],
        "files": [str(file) for file in files],
    }


def lines_of(ended: Ended, now: Tally, files: list[Path], same_line: str) -> Iterator[str]:
    """What became of a sweep, for people."""
    if ended.alike:
        yield (
            f"stopped, with {now.stored} of {now.cells} cells stored: the first {ended.alike} "
            f"failed alike, with {ended.crashed[-1].reason}"
        )
        yield f"mend this and go on with: {same_line}"
    elif now.stored == now.cells and not ended.trained:
        yield f"nothing to train: all {now.cells} cells are stored"
    else:
        others = now.stored - ended.before - ended.trained
        by_others = f", {others} by another process meanwhile" if others else ""
        yield (
            f"trained {ended.trained} of {now.cells} cells, {ended.before} were stored before"
            f"{by_others}"
        )
    if now.given_up:
        reason = f", the last with {ended.crashed[-1].reason}" if ended.crashed else ""
        yield f"{now.given_up} were given up after {MOST_ATTEMPTS} attempts{reason}"
        yield f"try these again with: {same_line} --retry"
    if now.open and not ended.alike:
        yield f"{now.open} are being run by another process"
    if files:
        yield f"report: {files[0]}"
