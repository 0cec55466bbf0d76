"""JSON for any reader, of which many know neither infinity nor what is not a number."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

_WORDS: Final = {"inf": "infinity", "-inf": "minus infinity", "nan": "not a number"}


SCHEMA: Final = 1
"""Of answers: it grows when a field goes or comes to mean something else, not when one is added."""


def answer(result: Mapping[str, object] | Sequence[Mapping[str, object]]) -> str:
    """What a command prints for machines: each of its rows tells how it is to be read.

    >>> print(answer([{"input": 572, "output": 388}]))
    [{"schema": 1, "input": 572, "output": 388}]
    """
    number = {"schema": SCHEMA}
    if isinstance(result, Mapping):
        return to_json({**number, **result})
    return to_json([{**number, **row} for row in result])


def to_json(value: object) -> str:
    """`value` as strict JSON in one line.

    A number that JSON cannot hold is null, and what it is stands beside it under NAME_is.

    >>> print(to_json({"depth": 4, "largest": -math.inf, "gaps": [0.5, math.nan]}))
    {"depth": 4, "largest": null, "largest_is": "minus infinity", "gaps": [0.5, null], \
"gaps_is": [null, "not a number"]}
    """
    return json.dumps(_strict(value), allow_nan=False)


def _strict(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(_fields(value))
    if isinstance(value, list | tuple):
        return [_strict(each) for each in value]
    if isinstance(value, str):
        # Half of a surrogate pair, as of a file's name that is not UTF-8, is no text to many.
        return value.encode(errors="backslashreplace").decode()
    return None if _meaning(value) else value


def _fields(value: Mapping[object, object]) -> Iterator[tuple[object, object]]:
    for name, each in value.items():
        yield name, _strict(each)
        if (meaning := _meaning(each)) and f"{name}_is" not in value:
            yield f"{name}_is", meaning


def _meaning(value: object) -> object:
    """Of what JSON cannot hold: in words, in a list where it is one of several; else None."""
    if isinstance(value, float) and not math.isfinite(value):
        return _WORDS[f"{value:g}"]
    if isinstance(value, list | tuple):
        meanings = [_meaning(each) for each in value]
        return meanings if any(meanings) else None
    return None
