"""Tables as text: Markdown for people, CSV for machines."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

import pandas as pd

from unet.refusal import printable

_MARKS: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", **{mark: f"\\{mark}" for mark in "\\`*[]|~$"}}
)


_PLACES: Final = tuple(
    (re.compile(pattern), escape)
    for pattern, escape in (
        # Within a word an underscore is one, and a hash is one but where it begins a word: at the
        # start of a line it would make a heading, and at the end of one it would be left out.
        (r"(?<!\w)_+|_+(?!\w)", lambda found: found[0].replace("_", r"\_")),
        (r"(?<!\S)#", r"\\#"),
        # What makes a list, a quotation, a rule or the row above a heading of a line.
        (r"^[-+=:>]", r"\\\g<0>"),
        (r"^(\d+)([.)])", r"\1\\\2"),
        # Parsers look for "://" and "www." in the source, before they undo an escape.
        (r"/(?=/)", r"\\/"),
        (r"(?i)(?<=www)\.", r"\\."),
        # GitHub looks for an address after it has undone escapes and entities, and for a name after
        # all else; either has to lie in one piece of text, which an empty comment cuts in two.
        (r"@(?=\S)", "@<!-- -->"),
        # GitHub makes a picture of a name between two colons, and knows them as it knows addresses.
        (r":(?=[\w+-]+:)", ":<!-- -->"),
        # A line, a cell and a heading lose the spaces at their ends.
        (r"^ | $", "&#32;"),
    )
)


def inline(text: object) -> str:
    r"""Text from outside within a line of Markdown: nothing but that text comes of it.

    >>> print(inline("# <b> | [x](y), a_b, _c_, www.d.e"))
    \# &lt;b> \| \[x\](y), a_b, \_c\_, www\.d.e
    """
    escaped = printable(str(text)).translate(_MARKS)
    for place, escape in _PLACES:
        escaped = place.sub(escape, escaped)
    return escaped


def sentence(text: object) -> str:
    r"""`text` and its full stop: a number is one, and no first item of a list.

    >>> print(sentence("Odena 2016"), sentence(2016))
    Odena 2016. 2016\.
    """
    escaped = inline(text)
    return f"{escaped}\\." if escaped.isdigit() else f"{escaped}."


def code(text: object) -> str:
    r"""A name or a number as code; what code cannot hold in every place, as text.

    >>> print(code("concat"), code("a|b"))
    `concat` a\|b
    """
    name = str(text)
    plain = name.isprintable() and name.strip() == name != "" and not {"`", "|"} & set(name)
    return f"`{name}`" if plain else inline(name)


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
    """CSV with six decimals, the same bytes on every system; no cell of it is a formula.

    What is no finite number has an empty cell: sheets and readers differ on any word for it.
    """
    texts = table.select_dtypes(exclude=["number", "bool"])
    numbers = table.select_dtypes("number").replace([math.inf, -math.inf], math.nan)
    plain = {str(name): column.map(_as_cell) for name, column in texts.items()}
    plain |= {str(name): column for name, column in numbers.items()}
    text: str = table.assign(**plain).to_csv(index=False, float_format="%.6f", lineterminator="\n")
    return text.encode()


def _as_cell(value: object) -> object:
    """A cell that a spreadsheet would take for a formula gets an apostrophe before it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if not isinstance(value, str):
        return value
    text = printable(value)
    # Some sheets take the wide signs of East Asian scripts for the plain ones.
    first = unicodedata.normalize("NFKC", value.lstrip()[:1])
    return f"'{text}" if first in ("=", "+", "-", "@") or value[:1] in ("\t", "\r") else text
