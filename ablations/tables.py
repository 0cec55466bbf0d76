"""Tables as text: Markdown for people, CSV for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import pandas as pd

from unet.refusal import printable

_MARKS: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", **{mark: f"\\{mark}" for mark in "\\`*[]|~$"}}
)


def inline(text: object) -> str:
    r"""Text from outside within a line of Markdown: no tag, link, column or heading comes of it.

    >>> print(inline("<b> | [x](y)"))
    &lt;b> \| \[x\](y)
    """
    return printable(str(text)).translate(_MARKS)


def as_markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """A Markdown table of rows that share their columns, or that there are none.

    Cells are Markdown: text from outside goes through `inline` first.
    """
    if not rows:
        return "None."
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([row[name] for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_csv(table: pd.DataFrame) -> bytes:
    """CSV with six decimals, the same bytes on every system; no cell of it is a formula."""
    texts = table.select_dtypes(exclude=["number", "bool"])
    plain = {str(name): column.map(_as_cell) for name, column in texts.items()}
    text: str = table.assign(**plain).to_csv(index=False, float_format="%.6f", lineterminator="\n")
    return text.encode()


def _as_cell(value: object) -> object:
    """A cell that a spreadsheet would take for a formula gets an apostrophe before it."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if value.lstrip()[:1] in tuple("=+-@") or value[:1] in ("\t", "\r") else text
