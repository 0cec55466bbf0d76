"""Tables as text: Markdown for people, CSV for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd


def as_markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """A Markdown table of rows that share their columns; at least one row."""
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([row[name] for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_csv(table: pd.DataFrame) -> bytes:
    """CSV with six decimals, the same bytes on every system."""
    text: str = table.to_csv(index=False, float_format="%.6f", lineterminator="\n")
    return text.encode()


def without_formula(value: object) -> object:
    """A cell that a spreadsheet would take for a formula gets an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") else value
