"""The command `ablations`: plan a sweep, run it, see how far it is, report it."""

from __future__ import annotations

import json
import shlex
import signal
from pathlib import Path
from typing import Annotated, Literal

# Until a sweep begins, Ctrl-C just ends the command: the imports below take seconds.
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import typer
from rich.console import Console

from ablations.bench import measure
from ablations.committed import rebuild
from ablations.engines import Workers
from ablations.files import replace_file
from ablations.hardware import usual_workers
from ablations.performance import BENCHMARKS, performance_files, read_measurements
from ablations.plan import load_plan, shipped_plans
from ablations.progress import Watcher
from ablations.report import write_report
from ablations.results import Results
from ablations.store import Store, export
from ablations.sweep import STORE, run_plan, tally
from unet.refusal import refusals_shown, require_choice

INTERRUPTED = 130
"""The exit code that shells give to a command that Ctrl-C ended."""

REPORTS = Path("reports")
"""The committed reports of a checkout."""

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None, help=__doc__)

PlanName = Annotated[
    str,
    typer.Argument(
        metavar="PLAN", help=f"{', '.join(shipped_plans())}, or a path to a .toml file."
    ),
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder that `run` wrote to.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command()
def plan(name: PlanName, as_json: Json = False) -> None:
    """Show what a plan would run, without running it."""
    chosen = load_plan(name)
    variants = [chosen.cell(values, seed=0) for values in chosen.variants()]
    training_macs = chosen.seeds * sum(cell.training_macs for cell in variants)
    cells = chosen.seeds * len(variants)
    summary = {
        "plan": chosen.name,
        "question": chosen.question,
        "axes": {axis: list(values) for axis, values in chosen.axes.items()},
        "seeds": chosen.seeds,
        "cells": cells,
        "training_macs": training_macs,
    }
    if as_json:
        print(json.dumps(summary))
        return
    print(f"{chosen.name}: {chosen.question}")
    for axis, values in chosen.axes.items():
        print(f"  {axis}: {', '.join(map(str, values))}")
    print(f"  {cells} cells: {len(variants)} variants, {chosen.seeds} seeds each")
    print(f"  {training_macs / 1e12:.1f} T multiply-adds of training")


@app.command()
def run(
    name: PlanName,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where records and report go.")],
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that train side by side: one a core, 4 on a GPU."),
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="auto is a GPU if there is one.")
    ] = "auto",
    as_json: Json = False,
) -> None:
    """Train every cell of a plan that DIR does not have yet, and write the report there."""
    chosen = load_plan(name)
    words = ["python", "-m", "ablations", "run", name, "--out", str(out)]
    if device != "auto":
        words += ["--device", device]
    if workers:
        words += ["--workers", str(workers)]
    same_line = shlex.join(words)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        trained, crashed = run_plan(
            chosen,
            out,
            Workers(workers or usual_workers(device), device),
            Watcher(Console(stderr=True)),
        )
    except KeyboardInterrupt:
        with Store.open(out / STORE) as store:
            now = tally(store)
        if as_json:
            print(json.dumps({"stopped": True, "stored": now.stored, "cells": now.cells}))
        else:
            print(f"stopped: {now.stored} of {now.cells} cells are stored; go on with: {same_line}")
        raise SystemExit(INTERRUPTED) from None
    with Store.open(out / STORE) as store:
        now = tally(store)
        files = write_report(Results.of(chosen, store.records()), out) if now.stored else []
    summary = {
        "plan": chosen.name,
        "cells": now.cells,
        "already_done": now.stored - trained,
        "trained": trained,
        "crashed": [{"key": each.cell.key, "reason": each.reason} for each in crashed],
        "files": [str(file) for file in files],
    }
    if as_json:
        print(json.dumps(summary))
    else:
        print(
            f"trained {trained} of {now.cells} cells, {now.stored - trained} were stored before"
            if trained or crashed
            else f"nothing to train: all {now.cells} cells are stored"
        )
        if crashed:
            print(f"{len(crashed)} crashed, the first with {crashed[0].reason}")
            print(f"try these again with: {same_line}")
        if files:
            print(f"report: {files[0]}")
    if crashed:
        raise SystemExit(1)


@app.command()
def status(folder: Folder, as_json: Json = False) -> None:
    """Say how much of a sweep is stored."""
    with Store.open(folder / STORE) as store:
        now = tally(store)
    if as_json:
        print(json.dumps({"plan": now.plan.name, "cells": now.cells, "stored": now.stored}))
    else:
        print(f"{now.plan.name}: {now.stored} of {now.cells} cells are stored")


@app.command()
def report(folder: Folder, as_json: Json = False) -> None:
    """Write the report again: of a sweep's folder, or of a folder of exported records."""
    if (folder / "records").is_dir() and not (folder / STORE).exists():
        files = rebuild(folder)
    else:
        with Store.open(folder / STORE) as store:
            files = write_report(Results.of(store.plan, store.records()), folder)
    if as_json:
        print(json.dumps([str(file) for file in files]))
    else:
        print("\n".join(str(file) for file in files))


@app.command(name="export")
def export_records(
    folder: Folder,
    to: Annotated[Path, typer.Option(metavar="FILE", help="A .jsonl file.")],
    as_json: Json = False,
) -> None:
    """Write a sweep's records as text, one JSON object a line, for keeping or committing."""
    with Store.open(folder / STORE) as store:
        count = export(store, to)
    print(json.dumps({"records": count, "file": str(to)}) if as_json else f"{count} records: {to}")


@app.command()
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
    print("\n".join(map(str, (record, *(out / name for name in files)))))


def main() -> None:
    """Run the command; a user's mistake is one line and exit code 2."""
    with refusals_shown():
        app(prog_name="ablations")


if __name__ == "__main__":
    main()
