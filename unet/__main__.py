"""The command `unet`: sizes, feature maps and costs of a U-Net, and whether any is sound."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from unet import algebra
from unet.claims import require_claims
from unet.commands import example, new_app
from unet.cost import count_with_all
from unet.exchange import answer
from unet.memory import memory
from unet.refusal import Refusal, refusals_shown, require_choice, require_folder, say, shown
from unet.spec import SPECS, UNetSpec, read_value, spec_with

app = new_app("Sizes, feature maps and costs of a U-Net, and whether any is sound.")

Spec = Annotated[str, typer.Option(help=f"One of {', '.join(SPECS)}.")]
Changes = Annotated[
    list[str],
    typer.Option("--set", metavar="FIELD=VALUE", help="Change a field of the spec; repeatable."),
]
Size = Annotated[str, typer.Option(metavar="N|HxW", help="The input, in pixels: 572 or 572x588.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command(epilog=example("unet sizes --spec paper --up-to 600"))
def sizes(
    spec: Spec = "paper",
    changes: Changes = [],  # noqa: B006  # typer reads the default and never changes it
    up_to: Annotated[int, typer.Option(max=1_000_000, help="The largest input to list.")] = 1024,
    as_json: Json = False,
) -> None:
    """List the legal input sizes and the outputs that they produce."""
    law = algebra.size_law(read_spec(spec, changes))
    rows: list[dict[str, object]] = [
        {"input": size, "output": law.output(size)} for size in law.sizes(up_to)
    ]
    if not rows:
        raise Refusal(f"--up-to {up_to} lists nothing: the smallest legal input is {law.smallest}")
    show(rows, as_json)


@app.command(epilog=example("unet trace --spec paper --size 572"))
def trace(
    spec: Spec = "paper",
    changes: Changes = [],  # noqa: B006
    size: Size = "572",
    as_json: Json = False,
) -> None:
    """List every feature map, with its shape and its place in input pixels."""
    feature_maps = algebra.trace(read_spec(spec, changes), *read_size(size))
    show([describe(feature_map) for feature_map in feature_maps], as_json)


@app.command(epilog=example("unet cost --spec tutorial --size 576x560"))
def cost(
    spec: Spec = "paper",
    changes: Changes = [],  # noqa: B006
    size: Size = "572",
    as_json: Json = False,
) -> None:
    """Count parameters, multiply-adds (MACs), FLOPs (two per MAC) and bytes for one image.

    The bytes are those of the feature maps in float32: what training keeps for the backward
    pass, and the most that is alive in inference.
    """
    chosen = read_spec(spec, changes)
    height, width = read_size(size)
    total, maps = algebra.cost(chosen, height, width), memory(chosen, height, width)
    row = {
        "spec": spec,
        "input": [height, width],
        "parameters": total.parameters,
        "macs": total.macs,
        "flops": total.flops,
        "bias_adds": total.bias_adds,
        "training_bytes": maps.training,
        "inference_bytes": maps.inference,
    }
    if as_json:
        print(answer(row))
    else:
        show([row], as_json=False)


@app.command(epilog=example("unet counters --set base_channels=8"))
def counters(
    spec: Spec = "paper",
    changes: Changes = [],  # noqa: B006
    size: Size = "572",
    as_json: Json = False,
) -> None:
    """Run fvcore, torch and torchinfo on the net and hold their counts against the algebra's."""
    chosen = read_spec(spec, changes)
    height, width = read_size(size)
    macs = algebra.cost(chosen, height, width).macs
    rows: list[dict[str, object]] = [
        {"tool": tool, "says": says, "macs": macs, "ratio": says / macs}
        for tool, says in count_with_all(chosen, height, width).items()
    ]
    show(rows, as_json)


@app.command(epilog=example("unet verify unet:UNet --claim padding=valid"))
def verify(  # noqa: PLR0913, PLR0917  # one argument for each option, as typer reads them
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET...",
            help="package.module:Factory, file.py:Factory, or a call: file.py:UNet(channels=3).",
        ),
    ],
    in_channels: Annotated[
        int | None, typer.Option(min=1, help="Channels of its images; found out if not given.")
    ] = None,
    claim: Annotated[
        list[str],
        typer.Option(metavar="NAME=VALUE", help="What must be so: padding=valid; repeatable."),
    ] = [],  # noqa: B006
    profile: Annotated[
        str, typer.Option(help="sound: free of defects. paper: Ronneberger et al. 2015 exactly.")
    ] = "sound",
    as_json: Json = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for each target.")] = 120,
    memory_limit: Annotated[
        float, typer.Option("--memory", min=0.5, help="GiB for each target.")
    ] = 12,
) -> None:
    """Verify any U-Net: name what it is, and find what is wrong with it.

    Loading a target runs its code, in a process of its own with limits, but not in a sandbox.

    Exit code 0: all are sound. 1: one is defective. 3: one could not be verified: it crashed, took
    too long or raised an error. 2: a mistake in what was asked: there is no such net, say. Of
    several targets a mistake counts first, then what could not be verified. The "verdict" of each
    says the same in JSON: sound, defective, unverified, mistake.
    """
    from unet.findings import EXIT_CODES
    from unet.limits import GIB, Limits, not_limited
    from unet.reports import Request, reports
    from unet.subject import read_target

    require_folder()
    require_choice("profile", profile, ("sound", "paper"))
    claims = dict(read_claim(text) for text in claim)
    if len(claims) < len(claim):
        raise Refusal(f"--claim: one name is there twice among {shown(claim)}; leave one out")
    require_claims(claims)
    chosen = [read_target(text) for text in targets]
    request = Request(
        in_channels=in_channels,
        claims=claims,
        profile=profile,
        limits=Limits(seconds=timeout, memory=memory_limit * GIB),
    )
    if not_limited():
        say(f"note: {not_limited()}", file=sys.stderr)
    found = []
    for report in reports(chosen, request):
        found.append(report)
        if not as_json:
            show_report(report)
    if as_json:
        print(answer(found))
    verdicts = {report["verdict"] for report in found}
    raise typer.Exit(next(code for name, code in EXIT_CODES.items() if name in verdicts))


@app.command(epilog=example("unet checks skips_lie_where_they_are_joined"))
def checks(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[CHECK]...", help="All of them by default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List what `verify` checks: what must hold, the harm if it does not, and the usual cause."""
    from unet.verify import PROFILES

    found = PROFILES["paper"]
    for name in names or ():
        require_choice("check", name, found)
    rows = [
        {
            "check": name,
            "profile": "sound" if name in PROFILES["sound"] else "paper",
            "claim": found[name].title,
            "harm": found[name].harm,
            "usual cause": found[name].cause,
        }
        for name in names or found
    ]
    if as_json:
        print(answer(rows))
        return
    for row in rows:
        say(row.pop("check"), *(f"  {name}: {text}" for name, text in row.items()))


def read_claim(text: str) -> tuple[str, str]:
    """A claim's name and value."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise Refusal(f"--claim {shown(text)} is not NAME=VALUE, for example padding=valid")
    return name.strip(), value.strip()


def show_report(report: dict[str, Any]) -> None:
    """One subject for people: the verdict, what it is, and all that did not pass."""
    if "error" in report:
        say(f"{report['verdict']}: {report['subject']}: {report['error']}", file=sys.stderr)
        return
    from unet.verify import Result, explain

    say(f"{report['subject']}: {report['verdict']}")
    inferred = report["inferred"]
    say("  " + ", ".join(f"{name} {value}" for name, value in inferred.items() if value != {}))
    results = [Result(**result) for result in report["results"]]
    for result in results:
        if result.status != "pass":
            say(*(f"  {line}" for line in explain(result).split("\n")))
    held = sum(result.status == "pass" for result in results)
    say(f"  {held} checks hold")


def describe(feature_map: algebra.FeatureMap) -> dict[str, object]:
    """One feature map as a row of plain data.

    Steps and offsets are exact binary fractions, but for those of aligned corners.
    """
    layer, vertical, horizontal = feature_map.layer, feature_map.vertical, feature_map.horizontal
    return {
        "name": layer.name,
        "operation": layer.operation,
        "level": layer.level,
        "channels": layer.channels,
        "height": vertical.size,
        "width": horizontal.size,
        "step": float(vertical.step),
        "offset": [float(vertical.offset), float(horizontal.offset)],
        "parameters": layer.parameters,
        "macs": feature_map.macs,
    }


def read_spec(name: str, changes: list[str]) -> UNetSpec:
    """The named spec with each FIELD=VALUE applied."""
    require_choice("spec", name, SPECS)
    values = {}
    for change in changes:
        field, equals, text = change.partition("=")
        if not equals:
            raise Refusal(f"--set {shown(change)} is not FIELD=VALUE, for example depth=3")
        values[field.strip()] = read_value(text.strip())
    return spec_with(SPECS[name], values)


def read_size(text: str) -> tuple[int, int]:
    """Height and width from `N` or `HxW`."""
    match = re.fullmatch(r"(\d{1,9})(?:x(\d{1,9}))?", text, flags=re.ASCII)
    if not match:
        raise Refusal(f"--size {shown(text)} is not N or HxW in pixels, for example 572 or 572x588")
    return int(match[1]), int(match[2] or match[1])


def show(rows: list[dict[str, object]], as_json: bool) -> None:
    """Print rows of one shape as a JSON list, or as a table for people."""
    if as_json:
        print(answer(rows))
        return
    table = Table(box=None, pad_edge=False)
    for name in rows[0]:
        table.add_column(name, justify="left" if isinstance(rows[0][name], str) else "right")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    # Wider than any row: a number that is cut to fit a terminal is worse than a wrapped line.
    Console(width=1000).print(table)


def _cell(value: object) -> str:
    if isinstance(value, list):
        return " x ".join(map(_cell, value))
    return (
        f"{value:,}" if type(value) is int else f"{value:g}" if type(value) is float else str(value)
    )


def main() -> None:
    """Run the command; a user's mistake is one line and exit code 2."""
    with refusals_shown():
        app(prog_name="unet")


if __name__ == "__main__":
    main()
