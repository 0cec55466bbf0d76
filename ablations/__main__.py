"""The command `ablations`: plan a sweep, run it, see how far it is, report it."""

from __future__ import annotations

import math
import shlex
import signal
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

# Until a sweep begins, Ctrl-C just ends the command: the imports below take seconds.
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import typer
from rich.console import Console

from ablations.files import replace_file
from ablations.pages.bench import measure
from ablations.pages.committed import rebuild
from ablations.pages.performance import BENCHMARKS, performance_files, read_measurements
from ablations.reporting.explain import find, told
from ablations.reporting.exports import FORMATS, export
from ablations.reporting.pilot import Needs
from ablations.reporting.progress import (
    Tried,
    Watcher,
    estimate_lines,
    lines_of,
    power_lines,
    summary_of,
)
from ablations.reporting.report import write_report
from ablations.reporting.results import Results
from ablations.running.cluster import Cluster
from ablations.running.engines import RUN_SECONDS, Engine, Make, trainer
from ablations.running.estimate import Work, estimate
from ablations.running.processes import Workers
from ablations.running.sweep import STORE, Sweep, brought_to_end, heeding_signals, tally
from ablations.runs.cell import Precision
from ablations.runs.plan import Plan
from ablations.runs.selection import Selection, Shard, read_only
from ablations.storage.doctor import examine, mend
from ablations.storage.merge import merge
from ablations.storage.plan_file import load_plan, shipped_plans
from ablations.storage.store import Store
from ablations.training.hardware import usual_workers
from unet.commands import example, new_app
from unet.exchange import answer
from unet.refusal import Refusal, refusals_shown, require_choice, require_folder, say

INTERRUPTED = 130
"""The exit code that shells give to a command that Ctrl-C ended."""

REPORTS = Path("reports")
"""The committed reports of a checkout."""

app = new_app("Plan a sweep, run it, see how far it is, report it.")

PlanName = Annotated[
    str,
    typer.Argument(
        metavar="PLAN", help=f"{', '.join(shipped_plans())}, or a path to a .toml file."
    ),
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder that `run` wrote to.")]
WorkerCount = Annotated[
    int | None,
    typer.Option(min=1, help="Processes that train side by side: one a core, 4 on a GPU."),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option(help="auto is a GPU if there is one.")
]
Seeds = Annotated[
    int | None, typer.Option(min=1, help="How many seeds, in place of the plan's own number.")
]
Precise = Annotated[
    Precision | None,
    typer.Option(help="Of the convolutions: float32 unless the plan says otherwise."),
]
OnlyValues = Annotated[
    list[str] | None,
    typer.Option(metavar="AXIS=VALUE,...", help="Only these values of an axis; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command(epilog=example("ablations plan smoke --seeds 5"))
def plan(
    name: PlanName,
    seeds: Seeds = None,
    precision: Precise = None,
    only: OnlyValues = None,
    estimated: Annotated[
        bool, typer.Option("--estimate", help="Try a few steps, to tell hours and disk.")
    ] = False,
    power: Annotated[
        float | None,
        typer.Option(metavar="IOU", help="How many seeds a difference of this size needs."),
    ] = None,
    pilot: Annotated[
        Path | None, typer.Option(metavar="DIR", help="For --power: a sweep of a few seeds.")
    ] = None,
    workers: WorkerCount = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Show what a plan would run, without running it."""
    chosen = load_plan(name, seeds, precision)
    kept = read_only(only or [], chosen)
    todo = Work.of(chosen, kept)
    axes = {a: [v for v in vs if str(v) in kept.get(a, (str(v),))] for a, vs in chosen.axes.items()}
    told: dict[str, object] = {
        "plan": chosen.name,
        "question": chosen.question,
        "axes": axes,
        "seeds": chosen.seeds,
        "cells": todo.cells,
        "training_macs": todo.training_macs,
    }
    variants = todo.cells // chosen.seeds
    lines = [
        f"{chosen.name}: {chosen.question}",
        *(f"  {axis}: {', '.join(map(str, values))}" for axis, values in axes.items()),
        f"  {todo.cells:,} cells: {variants:,} variants, {chosen.seeds} seeds each",
        f"  {todo.training_macs / 1e12:,.1f} T multiply-adds of training",
    ]
    side_by_side = workers or usual_workers(device)
    if estimated:
        about = estimate(chosen, todo, Workers(side_by_side, device))
        told |= asdict(about)
        lines += estimate_lines(about, side_by_side)
    if power is not None or pilot is not None:
        needs = seeds_needed_by(chosen, pilot, power)
        told["power"] = asdict(needs)
        lines += power_lines(needs, side_by_side)
    if as_json:
        print(answer(told))
    else:
        say(*lines)


def seeds_needed_by(plan: Plan, pilot: Path | None, effect: float | None) -> Needs:
    """What the pilot in a folder asks for; raises `Refusal` if that or the effect is missing."""
    if pilot is None or effect is None:
        raise Refusal("--power IOU and --pilot DIR go together: from what is the scatter known?")
    if not 0 < effect < math.inf:
        raise Refusal(f"--power {effect:g} is no difference: give one above 0, as 0.02")
    with Store.open(pilot / STORE) as store:
        return Needs.of(plan, Results.of(store.plan, store.records()), effect)


@app.command(epilog=example("ablations run smoke --out my/folder"))
def run(
    context: typer.Context,
    name: PlanName,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where records and report go.")],
    seeds: Seeds = None,
    precision: Precise = None,
    workers: WorkerCount = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="ray trains on the machines of a cluster.")
    ] = "local",
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="The cluster's, with --engine ray.")
    ] = None,
    device: Device = "auto",
    limit: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="What a run may take at most.")
    ] = RUN_SECONDS,
    extend: Annotated[bool, typer.Option("--extend", help="Go on with a changed plan.")] = False,
    shard: Annotated[
        str, typer.Option(metavar="I/N", help="Only the I-th of N parts, for one of N machines.")
    ] = "1/1",
    only: OnlyValues = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try again what was given up.")] = False,
    as_json: Json = False,
) -> None:
    """Train every cell of a plan that DIR does not have yet, and write the report there.

    Ctrl-C ends it when the runs under way have ended; once more, at once.
    """
    require_folder()
    chosen, console = load_plan(name, seeds, precision), Console(stderr=True)
    words = ["python", "-m", "ablations", "run", name, "--out", str(out)]
    for option, value, usual in (
        ("--seeds", seeds, None),
        ("--precision", precision, None),
        ("--workers", workers, None),
        ("--engine", engine, "local"),
        ("--address", address, None),
        ("--device", device, "auto"),
        ("--limit", limit, RUN_SECONDS),
        ("--shard", shard, "1/1"),
        *(("--only", text, None) for text in only or ()),
    ):
        if value != usual:
            words += [option, f"{value:g}" if isinstance(value, float) else str(value)]
    selection = Selection(read_only(only or [], chosen), Shard.parse(shard))
    # A test may hand in something that does not train.
    where = engine_of(engine, address, workers, device, limit, context.obj or trainer)
    with Store.create(out / STORE, chosen, extend=extend) as store:
        if retry:
            store.forgive()
        sweep = Sweep(store, where, selection)
        with heeding_signals(sweep):
            ended = brought_to_end(sweep, Watcher(console))
        now = tally(store, selection)
        if ended.stopped and now.open:
            said = {"stopped": True, "stored": now.stored, "cells": now.cells}
            way_on = f"go on with: {shlex.join(words)}"
            say(
                answer(said)
                if as_json
                else f"stopped: {now.stored} of {now.cells} cells are stored; {way_on}"
            )
            raise SystemExit(INTERRUPTED)
        files = write_report(Results.of(chosen, store.records()), out) if now.stored else []
    if as_json:
        print(answer(summary_of(ended, now, files)))
    else:
        say(*lines_of(ended, now, files, shlex.join(words)))
    if now.given_up or ended.alike:
        raise SystemExit(1)


def engine_of(
    name: str, address: str | None, workers: int | None, device: str, limit: float, make: Make
) -> Engine:
    """The engine of that name; raises `Refusal` for an address that is missing or idle."""
    if name == "ray" and address:
        return Cluster(address, workers, device, limit, make)
    if name == "ray":
        raise Refusal("--engine ray: which cluster? add --address HOST:PORT, or leave both out")
    if address:
        raise Refusal(f"--address {address}: that is a Ray cluster's; add --engine ray")
    return Workers(workers or usual_workers(device), device, limit, make)


@app.command(epilog=example("ablations status my/folder"))
def status(folder: Folder, as_json: Json = False) -> None:
    """Say how much of a sweep is stored, and what went wrong so far."""
    with Store.open(folder / STORE) as store:
        now = tally(store)
        tried = Tried.of(store.attempts())
    if as_json:
        counted = {"cells": now.cells, "stored": now.stored, "given_up": now.given_up}
        print(answer({"plan": now.plan.name, **counted, "attempts": tried.outcomes}))
    else:
        say(f"{now.plan.name}: {now.stored} of {now.cells} cells are stored", *tried.lines())
        if now.given_up:
            say(f"given up: {now.given_up}; `run --retry` tries them again")


@app.command(epilog=example("ablations report my/folder"))
def report(folder: Folder, as_json: Json = False) -> None:
    """Write the report again: of a sweep's folder, or of a folder of exported records."""
    if (folder / "records").is_dir() and not (folder / STORE).exists():
        files = rebuild(folder)
    else:
        with Store.open(folder / STORE) as store:
            files = write_report(Results.of(store.plan, store.records()), folder)
    if as_json:
        print(answer({"files": [str(file) for file in files]}))
    else:
        say(*map(str, files))


@app.command(name="export", epilog=example("ablations export my/folder --to runs.csv"))
def export_records(
    folder: Folder,
    to: Annotated[
        Path, typer.Option(metavar="FILE", help=f"A file in {', '.join(FORMATS)}, by its ending.")
    ],
    as_json: Json = False,
) -> None:
    """Write a sweep's records: whole as JSON lines, or the runs' scores as a table."""
    with Store.open(folder / STORE) as store:
        count = export(store, to)
    say(answer({"records": count, "file": str(to)}) if as_json else f"{count} records: {to}")


@app.command(epilog=example("ablations copy my/folder --to backup.db"))
def copy(
    folder: Folder,
    to: Annotated[Path, typer.Option(metavar="FILE.db", help="A file that is not there yet.")],
    as_json: Json = False,
) -> None:
    """Copy a sweep's store, also while it is written to: cp would miss what is in its log."""
    with Store.open(folder / STORE) as store:
        store.copy(to)
        count = len(store.keys())
    say(answer({"records": count, "file": str(to)}) if as_json else f"{count} records: {to}")


@app.command(name="merge", epilog=example("ablations merge backup.db --into all.db"))
def merge_stores(
    stores: Annotated[list[Path], typer.Argument(metavar="A.db B.db ...", help="Stores to read.")],
    into: Annotated[Path, typer.Option(metavar="C.db", help="The store to write.")],
    as_json: Json = False,
) -> None:
    """Bring the records of several stores of one plan together; twice is as good as once."""
    merged = merge(stores, into)
    if as_json:
        print(answer(asdict(merged)))
    else:
        say(f"{merged.added} records added, {merged.known} were there: {into}")
        for key in merged.conflicts:
            say(f"conflict: {key} has another result elsewhere; the first one stays")
    if merged.conflicts:
        raise SystemExit(1)


@app.command(epilog=example("ablations explain d1d5fc7f my/folder"))
def explain(
    key: Annotated[str, typer.Argument(help="A run's key, or how it begins.")],
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A sweep's folder, or one of committed reports.")
    ] = REPORTS,
    as_json: Json = False,
) -> None:
    """Tell what a run was, what it left, and which rows of which tables are made of it."""
    if folder == REPORTS and not folder.exists():
        raise Refusal(
            "no reports/ here, as a checkout has it: give the folder that `run` wrote to, as in "
            f"`python -m ablations explain {key} my/folder`"
        )
    found = find(key, folder)
    if as_json:
        print(answer([record.model_dump() for record, _ in found]))
        return
    for record, results in found:
        say(*told(record, results))


@app.command(epilog=example("ablations doctor my/folder"))
def doctor(
    folder: Folder,
    repair: Annotated[bool, typer.Option("--mend", help="Take damaged records out.")] = False,
    as_json: Json = False,
) -> None:
    """Look a sweep's store over, record by record."""
    found = (mend if repair else examine)(folder / STORE)
    if as_json:
        print(answer(asdict(found)))
    else:
        say(f"{found.sound} records are sound, {len(found.damaged)} damaged")
        say(*found.damaged.values(), *(f"the file: {each}" for each in found.file))
        if repair and not found.healthy:
            say(f"mended; what was taken out is in {folder / 'quarantine.jsonl'}")
        elif not found.healthy:
            say(f"mend it with: python -m ablations doctor {shlex.quote(str(folder))} --mend")
    if not found.healthy and not repair:
        raise SystemExit(1)


@app.command(epilog=example("ablations bench algebra --out my/bench"))
def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[BENCHMARK]...", help=f"{', '.join(BENCHMARKS)}: all by default."),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where record and tables go.")] = REPORTS,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="What is measured.")] = "cpu",
) -> None:
    """Measure this machine's speed, in a checkout: half an hour with nothing beside it."""
    for name in names or ():
        require_choice("benchmark", name, BENCHMARKS)
    record = measure(out, names or [], device, Console(stderr=True).print)
    files = performance_files(read_measurements(record))
    for name, content in files.items():
        replace_file(out / name, content)
    say(*map(str, (record, *(out / name for name in files))))


def main() -> None:
    """Run the command; a user's mistake is one line and exit code 2."""
    with refusals_shown():
        app(prog_name="ablations")


if __name__ == "__main__":
    main()
