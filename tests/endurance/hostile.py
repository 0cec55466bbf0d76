"""Inputs that nobody in his right mind would write, drawn from real ones and from grammars."""

from __future__ import annotations

import copy
import json
import random
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Final

from hypothesis import strategies as st

from ablations.runs.cell import Cell
from ablations.runs.plan import AXES
from tests.endurance.commands import REAL
from unet import Refusal
from unet.spec import SPEC_FIELDS, SPECS

TEXTS: Final = (
    "", " ", "\0", "\n", "\r", "\t", "\x1b[2J\x1b[31m", "\u202e", "\u2028", "\ufeff", "\udcff", "é̄",
    "=1+1", "@SUM(A1)", "+1", "-1", "|", "`", "](javascript:1)", "<script>alert(1)</script>",
    "{{ 7 * 7 }}", "'; DROP TABLE records; --", "../../etc/passwd", "[bold]", "%s%n", "a" * 70_000,
)  # fmt: skip

NUMBERS: Final = (
    "0", "-1", "1e999", "-0.0", "nan", "inf", "1.5", "9" * 40, "9" * 5000, "0x" + "f" * 6000,
    str(2**31), str(2**53), str(2**63), str(-(2**63)), "1_000", "1e-400", str(10**18), "65536",
)  # fmt: skip

TOML_VALUES: Final = (
    *NUMBERS, *(json.dumps(text) for text in TEXTS), "[" * 2000, "[" * 400 + "]" * 400,
    "[[[1]], 'a', 2.5]", "{a = 1}", "{" + ".".join("a" * 900) + " = 1}", "true", "[]", "[[]]",
    "1979-05-27T07:32:00Z", "07:32:00", "'''\n'''", "[nan, nan]", "[1, true]", "[inf]",
    f"[{', '.join(map(str, range(1, 3000)))}]", f"[{', '.join(['[0]'] * 3000)}]",
)  # fmt: skip
"""What may stand where a value should: legal TOML or not, and far from what was meant."""

JSON_VALUES: Final = (
    None, True, False, 0, -1, 1.5, 1e308, 1e-320, float("nan"), float("inf"), 10**18, 2**53, 2**63,
    10**400, [], {}, [[]], [None], {"a": 1}, *TEXTS, [0] * 5000, [[[0, 0, 0]] * 5] * 3,
    {"shape": [2**24], "data": "eJzswTEBAAAAwqD1T20ND6AAAAAAAAAAAAAA"},
    json.loads("[" * 150 + "]" * 150),
)  # fmt: skip

Change = Callable[[bytes, random.Random], bytes]


def flipped(data: bytes, dice: random.Random) -> bytes:
    """Some bits turned over."""
    changed = bytearray(data or b" ")
    for _ in range(dice.choice((1, 1, 2, 8, 64))):
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _span(data: bytes, dice: random.Random) -> tuple[int, int]:
    first = dice.randrange(len(data) + 1)
    return first, min(len(data), first + int(dice.expovariate(1 / 30)))


def cut(data: bytes, dice: random.Random) -> bytes:
    """A piece taken out, or everything after a point."""
    first, last = _span(data, dice)
    return data[:first] + (data[last:] if dice.random() < 0.7 else b"")


def doubled(data: bytes, dice: random.Random) -> bytes:
    """A piece written twice, or very often."""
    first, last = _span(data, dice)
    return data[:first] + data[first:last] * dice.choice((2, 2, 3, 500)) + data[last:]


def overwritten(data: bytes, dice: random.Random) -> bytes:
    """A page of zeros or noise, as a disk leaves it."""
    first = dice.randrange(len(data) + 1) // 512 * 512
    size = dice.choice((4, 512, 4096))
    page = bytes(size) if dice.random() < 0.5 else dice.randbytes(size)
    return data[:first] + page + data[first + size :]


TOKENS: Final = re.compile(rb"""\w+|\s+|"[^"]*"|[^\w\s]""")


def swapped(data: bytes, dice: random.Random) -> bytes:
    """Two tokens in each other's place."""
    tokens = TOKENS.findall(data) or [b""]
    one, other = dice.randrange(len(tokens)), dice.randrange(len(tokens))
    tokens[one], tokens[other] = tokens[other], tokens[one]
    return b"".join(tokens)


def with_odd_token(data: bytes, dice: random.Random) -> bytes:
    """A token replaced by an odd number or text."""
    tokens = TOKENS.findall(data) or [b""]
    odd = dice.choice((*NUMBERS, *TEXTS))
    tokens[dice.randrange(len(tokens))] = odd.encode(errors="surrogateescape")
    return b"".join(tokens)


def with_odd_line(data: bytes, dice: random.Random) -> bytes:
    """A line's value replaced, or a line written twice, left out or moved."""
    lines = data.split(b"\n")
    place = dice.randrange(len(lines))
    line = lines.pop(place)
    name, equals, _ = line.partition(b"=")
    odd = dice.choice(TOML_VALUES).encode(errors="surrogateescape")
    replaced = [[name + equals + b" " + odd], [line, line], [], [line + b" " + odd]]
    lines[place:place] = dice.choice(replaced)
    return b"\n".join(lines)


def _places(content: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    pairs: Iterable[tuple[object, object]] = ()
    if isinstance(content, dict):
        pairs = content.items()
    elif isinstance(content, list):
        pairs = enumerate(content)
    for key, value in pairs:
        yield from _places(value, (*path, key))


def _changed(content: Any, dice: random.Random) -> Any:  # noqa: ANN401  # JSON may be anything
    """JSON content with an odd value, or with a key too many or too few."""
    paths = list(_places(content))[1:]
    if not paths:
        return dice.choice(JSON_VALUES)
    *above, key = dice.choice(paths)
    inner = content
    for step in above:
        inner = inner[step]
    odd = copy.deepcopy(dice.choice(JSON_VALUES))
    if dice.random() < 0.7:
        inner[key] = odd
    elif dice.random() < 0.5:
        del inner[key]
    elif isinstance(inner, dict):
        inner[dice.choice(TEXTS)] = odd
    else:
        inner.append(odd)
    return content


def with_odd_json(data: bytes, dice: random.Random) -> bytes:
    """JSON, or a line of it, changed somewhere; a record mostly gets the key that it then has."""
    whole = data.startswith((b"{\n", b"["))
    lines = [data] if whole else data.split(b"\n")
    place = dice.randrange(len(lines))
    try:
        content = json.loads(lines[place])
    except ValueError:
        return with_odd_token(data, dice)
    except RecursionError:
        return data
    content = _changed(content, dice)
    if dice.random() < 0.8:
        with suppress(Refusal, KeyError, TypeError, ValueError):
            content["key"] = Cell.from_data(content["cell"]).key
    lines[place] = json.dumps(content).encode()
    return b"\n".join(lines)


CHANGES: Final[tuple[Change, ...]] = (
    flipped, cut, doubled, overwritten, swapped, with_odd_token, with_odd_line, with_odd_json,
    with_odd_json,
)  # fmt: skip


def mutated(real: tuple[bytes, ...], seed: int) -> bytes:
    """A real input with some changes, the same for the same seed."""
    dice = random.Random(seed)
    data = dice.choice(real)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        data = dice.choice(CHANGES)(data, dice)
    return data


def _shuffled_toml(parts: dict[str, list[tuple[str, str]]]) -> str:
    lines = ['question = "Does it read?"']
    for group, pairs in parts.items():
        lines += [f"[{group}]" if group else "", *(f"{name} = {value}" for name, value in pairs)]
    return "\n".join(lines)


odd_values = st.sampled_from(TOML_VALUES)
numbers = st.integers(-1, 70_000).map(str) | st.floats().map(str) | odd_values
choices = st.sampled_from(
    [json.dumps(word) for word in ("valid", "zeros", "concat", "add", "none", "batch", "he")]
)
lists = st.lists(choices | numbers, min_size=1, max_size=8).map(lambda each: f"[{', '.join(each)}]")


def plans() -> st.SearchStrategy[bytes]:
    """A plan file of legal names mostly, with values of all kinds; up to all axes at once."""
    axes = st.lists(st.tuples(st.sampled_from(AXES), lists | odd_values), max_size=15)
    spec = st.lists(st.tuples(st.sampled_from(SPEC_FIELDS), choices | numbers), max_size=5)
    task = st.tuples(*(st.tuples(st.just(name), numbers) for name in ("size", "scored", "noise")))
    names = ("steps", "batch", "learning_rate", "test_images")
    training = st.tuples(*(st.tuples(st.just(name), numbers) for name in names))
    parts = st.fixed_dictionaries(
        {
            "": st.tuples(st.just("seeds"), numbers).map(lambda pair: [pair]),
            "axes": axes,
            "spec": spec,
            "task": task.map(lambda pairs: [("name", '"labels"'), *pairs]),
            "training": training.map(list),
        }
    )
    return parts.map(lambda each: _shuffled_toml(each).encode(errors="surrogateescape"))


def many_axes() -> st.SearchStrategy[bytes]:
    """Grids that nobody could count, each of whose cells could be."""
    values = st.integers(2, 1500).map(lambda most: f"[{', '.join(map(str, range(1, most)))}]")
    numeric = ("base_channels", "training.steps", "training.learning_rate", "dropout_levels")
    axes = st.lists(st.tuples(st.sampled_from(numeric), values), min_size=3, max_size=4)
    pairs = {"axes": axes.map(lambda each: list(dict(each).items()))}
    fixed = {
        "": st.integers(1, 10**18).map(lambda seeds: [("seeds", str(seeds))]),
        "task": st.just([("name", '"labels"'), ("size", "96"), ("scored", "4"), ("noise", "0")]),
        "training": st.just([("batch", "2"), ("test_images", "2")]),
    }
    parts = st.fixed_dictionaries({**fixed, **pairs})
    return parts.map(lambda each: _shuffled_toml(each).encode())


def targets() -> st.SearchStrategy[bytes]:
    """Calls with literals that nest, and with what is no literal."""
    odd = (
        *NUMBERS,
        "-" * 900,
        "(" * 900,
        "not " * 300,
        "x",
        "*a",
        "**{}",
        "{[]: 1}",
        "1is 2",
        "f''",
    )
    literal = st.recursive(
        st.sampled_from(odd) | st.text(max_size=9).map(repr),
        lambda inner: st.lists(inner, max_size=3).map(lambda each: f"[{', '.join(each)}]"),
    )
    calls = st.tuples(
        st.sampled_from(("a.py:N", "a:b.c", ":", "a:")), st.lists(literal, max_size=3)
    )
    written = calls.map(lambda call: f"{call[0]}({', '.join(call[1])})")
    return (written | st.text()).map(lambda text: text.encode(errors="surrogateescape"))


def options() -> st.SearchStrategy[bytes]:
    """Any spec and size with some --set, each of a legal field mostly."""
    field = st.sampled_from((*SPEC_FIELDS, "", "x"))
    change = st.tuples(field, odd_values | numbers | choices).map("=".join)
    size = st.sampled_from(("572", "0", "999999999x999999999", "1x", "٣", "-1", "1" * 99))
    parts = st.tuples(st.sampled_from((*SPECS, "x")), size, st.lists(change, max_size=6))
    return parts.map(
        lambda each: "\n".join([each[0], each[1], "a=b", *each[2]]).encode(errors="surrogateescape")
    )


def command_lines() -> st.SearchStrategy[bytes]:
    """A real command with a few of its words left out, doubled, or in the place of others."""
    lines = [line.decode().split() for line in REAL]
    words = sorted({word for line in lines for word in line[1:]})
    odd = st.sampled_from([*words, *NUMBERS, *(text for text in TEXTS if len(text) < 999)])
    changes = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2), odd), max_size=3)

    def changed(parts: tuple[list[str], list[tuple[int, int, str]]]) -> bytes:
        line, edits = list(parts[0]), parts[1]
        for place, taken, word in edits:
            line[1 + place : 1 + place + taken] = [word] * (place % 3)
        return shlex.join(line).encode(errors="surrogateescape")

    return st.tuples(st.sampled_from(lines), changes).map(changed)


GRAMMARS: Final[dict[str, st.SearchStrategy[bytes]]] = {
    "plan": plans() | many_axes(),
    "target": targets(),
    "options": options(),
    "command line": command_lines(),
    "selection": st.from_regex(r"[0-9]{1,9}/[0-9]{1,9}(\n(skip|depth)=[a-z,]{,20})*").map(
        str.encode
    )
    | st.binary(max_size=9),
}
"""By the reader that they are for; the others read JSON or SQLite, of which we have real ones."""


def inputs(name: str, real: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    """What the reader `name` is tried with."""
    changed = st.integers(0, 2**63).map(lambda seed: mutated(real, seed))
    return changed | GRAMMARS[name] if name in GRAMMARS else changed
