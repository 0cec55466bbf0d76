"""The kill matrix as a report: which planted fault is found by which check."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, final

import pandas as pd
from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from ablations.files import read_json
from ablations.tables import as_csv, as_markdown, code, inline
from unet.refusal import Refusal, require_choice

Name = Annotated[str, Field(pattern=r"^\w+$")]


class Row(TypedDict):
    """What the checks say of a net; a sound one has no `host`, `fault`, `level` and `why`."""

    net: str
    host: str
    fault: str
    level: Literal["", "defect", "warn"]
    claims: dict[str, str]
    why: str
    failed: list[Name]
    warned: list[Name]


def read_kills(path: Path) -> list[Row]:
    """The rows of a record that `python -m tests.kill_matrix` wrote; `Refusal` for another file."""
    remedy = "make it anew with `python -m tests.kill_matrix`"
    rows = read_json(path, TypeAdapter(list[Row]), remedy)
    if not any(row["fault"] for row in rows):
        raise Refusal(f"{path}: it tells of no broken net; {remedy}")
    return rows


class Entry(TypedDict, total=False):
    """The releases of the tools, or each tool's objections to a net."""

    versions: dict[str, str]
    net: str
    said: dict[str, list[str]]


@final
@dataclass(frozen=True)
class OtherTools:
    """What other tools say of each net: their releases, and for each net each tool's objections."""

    versions: Mapping[str, str]
    said: Mapping[str, Mapping[str, list[str]]]

    def found(self, tool: str, row: Row) -> bool:
        """Whether the tool objects to something of a broken net that it lets pass in its host."""
        return bool(set(self.said[row["net"]][tool]) - set(self.said[row["host"]][tool]))


def read_others(path: Path) -> OtherTools:
    """The record that `python -m tests.other_tools` wrote; raises `Refusal` for another file."""
    entries = read_json(path, TypeAdapter(list[Entry]), OTHERS_REMEDY)
    versions = {tool: of for entry in entries for tool, of in entry.get("versions", {}).items()}
    for tool in versions:
        require_choice("tool", tool, ASKED)
    said = {entry["net"]: entry["said"] for entry in entries if "net" in entry and "said" in entry}
    return OtherTools(versions, said)


def require_all_told(rows: list[Row], others: OtherTools) -> None:
    """Refuse records that do not belong together: every tool was asked about every net."""
    hosts = {row["host"] for row in rows if row["host"] or row["fault"]}
    asked = {row["net"] for row in rows} | hosts
    for net in sorted(asked):
        for tool in others.versions.keys() - others.said.get(net, {}).keys():
            raise Refusal(
                f"the record of other tools has nothing of {tool} on {net!r}; {OTHERS_REMEDY}"
            )


OTHERS_REMEDY: Final = "make it anew with `nox -s other_tools`"


ASKED: Final[Mapping[str, str]] = {
    "torchinfo": "parameters and output shape, held against those of the sound net",
    "pytest-torch": "its checks for any model: contract, invariance, checkpoint, gradients",
    "torchtest2": "its check before training, warnings included, overfitting left out",
    "torch-audit": "all phases around three steps of training",
}
"""How each tool was asked, in a few words."""


def other_lines(rows: list[Row], others: OtherTools) -> list[dict[str, str]]:
    """One line a tool: how many of the defects it finds, and to how many sound nets it objects."""
    sound = [row for row in rows if not row["fault"]]
    # A claim can be told to no other tool.
    defects = [row for row in rows if row["level"] == "defect" and not row["claims"]]
    ours = {
        "tool": "these checks",
        "asked": "all of them",
        "found": f"{sum(map(is_killed, defects))} of {len(defects)}",
        "sound nets objected to": f"{sum(bool(r['failed']) for r in sound)} of {len(sound)}",
    }
    theirs = [
        {
            "tool": inline(f"{tool} {version}"),
            "asked": ASKED[tool],
            "found": f"{sum(others.found(tool, row) for row in defects)} of {len(defects)}",
            "sound nets objected to": f"{sum(bool(others.said[row['net']][tool]) for row in sound)}"
            f" of {len(sound)}",
        }
        for tool, version in others.versions.items()
    ]
    together = sum(any(others.found(tool, row) for tool in others.versions) for row in defects)
    union = {
        "tool": "the four together",
        "asked": "",
        "found": f"{together} of {len(defects)}",
        "sound nets objected to": "",
    }
    return [ours, *theirs, union]


def is_killed(row: Row) -> bool:
    """Whether a broken net was judged as it should be: failed, or passed with a remark."""
    defect = row["level"] == "defect"
    return bool(row["failed"]) if defect else not row["failed"] and bool(row["warned"])


def families(rows: list[Row]) -> list[dict[str, str]]:
    """One line a family of faults: how many there are, how many are found, and by what."""
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["fault"]:
            grouped[row["fault"]].append(row)
    lines = []
    for fault in sorted(grouped):
        mutants = grouped[fault]
        checks = {check for row in mutants for check in row["failed"] or row["warned"][-1:]}
        lines.append(
            {
                "fault": inline(fault.replace("_", " ")),
                "nets": str(len(mutants)),
                "found": str(sum(map(is_killed, mutants))),
                "hosts": str(len({row["host"] for row in mutants})),
                "found by": ", ".join(map(code, sorted(checks))),
            }
        )
    return lines


def kill_files(rows: list[Row], others: OtherTools) -> dict[str, bytes]:
    """`kill_matrix.md` and `kill_matrix.csv`."""
    require_all_told(rows, others)
    sound = [row for row in rows if not row["fault"]]
    mutants = [row for row in rows if row["fault"]]
    alarms = [row for row in sound if row["failed"]]
    defects = [row for row in mutants if row["level"] == "defect"]
    table = pd.DataFrame(
        {
            "net": row["net"],
            "host": row["host"],
            "fault": row["fault"],
            "level": row["level"],
            "claims": " ".join(f"{name}={value}" for name, value in row["claims"].items()),
            "failed": " ".join(row["failed"]),
            "warned": " ".join(row["warned"]),
            **{
                f"found_by_{tool.replace('-', '_')}": others.found(tool, row) if row["host"] else ""
                for tool in others.versions
            },
            "why": row["why"],
        }
        for row in rows
    )
    page = f"""\
<!-- Generated by `python -m ablations report reports`; do not edit. -->

# Planted faults, and the checks that find them

{sum(map(is_killed, mutants))} of {len(mutants)} broken nets are judged as they should be, and
{len(alarms)} of {len(sound)} sound ones raise a false alarm. {len(defects)} of the broken nets have
a defect and must fail; {len(mutants) - len(defects)} have what may be meant, and must pass with a
remark.

{as_markdown(families(rows))}

## What other tools find on the same nets

{as_markdown(other_lines(rows, others))}

*Of the defects, those that need no claim. A broken net counts as found if a tool objects to part
of it that it lets pass in the sound net that it was made from; torchinfo's numbers are held against
those of that net, which a user would not have. Other tools are made for any model, none of them
knows what a U-Net is, and the nets are ours: the checks were written with these in view.
Their record is written by `nox -s other_tools`.*

*The nets are those of `tests/zoo`: each is one of the sound nets with one thing wrong, in the style
of its host. [Net by net](kill_matrix.csv). The record is written by `python -m tests.kill_matrix`.*
"""
    return {"kill_matrix.md": page.encode(), "kill_matrix.csv": as_csv(table)}
