"""What comes from outside is text on every page: shown as it is, and nothing else."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ablations.pages.calibration import calibration_files
from ablations.pages.conformance import conformance_files, read_conformance
from ablations.pages.endurance import endurance_files, read_endurance, read_scale, scale_files
from ablations.pages.kills import kill_files, read_kills, read_others
from ablations.pages.performance import Comparison, Measurements, performance_files
from ablations.pages.promises import read_calibration
from ablations.reporting.findings import findings_files, trials
from ablations.reporting.report import render
from ablations.reporting.results import Results
from ablations.runs.claims import Claim, Prediction
from ablations.runs.plan import Plan
from ablations.runs.records import Record
from ablations.tables import as_markdown, code, inline, sentence
from tests.markdown import PARSER, shape, words
from tests.samples import ROOT
from unet.refusal import printable

RECORDS = ROOT / "reports" / "records"

PIECES = (
    *("# ", "#", " ", "  ", "    ", "- ", "+ ", "* ", "> ", "1. ", "2)", "---", "===", ":-", "|"),
    *("_", "__", "*", "**", "~~", "`", "```", "$", "\\", "<b>", "</b>", "<!--", "&amp;", "&", "["),
    *("](x)", "![", "]", "(", ")", "http://a.bc", "https://", "HTTP://", "ftp://d.ef", "www.g.hi"),
    *("WWW.", "//", ":", "j@k.lm", "@", "mailto:", "xmpp:", "a", "B7", "2016", ".", "é", "漢", "¹"),
    *("\n", "\t", "\u202e", "\x1b", "\u00a0", "\ud800", "^", "{{", "}}", "%", "!", "?", ";", "'"),
)
TEXTS = st.lists(st.sampled_from(PIECES) | st.characters(), max_size=12).map("".join)

NASTY = (
    "# x",
    "2016",
    "1. _x_ __y__ #",
    "- **z** ~~q~~ `c` $m$",
    "see http://a.bc, https://d.ef/_g_ and _www.h.ij or //k.lm",
    "me@host.tld, @team, mailto:you@host.tld and x @ y",
    "<b>bold</b> <!-- &amp; --> | a|b \\| c",
    "![i](http://t) [l](javascript:1) [1]: http://u",
    "  >  two  spaces  ",
    "===",
)
"""Each would be something else than text, if it were not kept from that."""

PLACES: dict[str, Callable[[str], str]] = {
    "a line": lambda text: text,
    "a line after others": lambda text: f"before\n{text}\nafter",
    "within a line": lambda text: f"before {text} after",
    "a heading": lambda text: f"## {text}",
    "an item": lambda text: f"- {text}",
    "bold": lambda text: f"before **{text}** after",
    "a caption": lambda text: f"*{text}, and others.*",
    "a cell": lambda text: as_markdown([{"first": "a", "text": text, "last": "b"}]),
    "a link": lambda text: f"[{text}](page.md)",
}


@pytest.mark.parametrize("place", PLACES)
@given(text=TEXTS.filter(bool))
def test_text_is_text_in_every_place(place: str, text: str) -> None:
    """Whatever it holds, it is read as it is, and makes nothing that a word would not make."""
    page = PLACES[place](inline(text))
    assert shape(page) == shape(PLACES[place]("word"))
    assert any(printable(text) in each for each in words(page))


@pytest.mark.parametrize("text", NASTY)
def test_what_is_not_escaped_is_no_text(text: str) -> None:
    """The parser that these tests trust sees what each nasty text would be by itself."""
    places = [*PLACES.values(), lambda text: f"{text}. Tried here."]
    assert any(shape(place(text)) != shape(place("word")) for place in places)


@given(text=TEXTS)
def test_a_sentence_is_a_paragraph(text: str) -> None:
    """A year before its full stop begins no list."""
    page = f"{sentence(text)} Tried here."
    assert words(page) == [f"{printable(text)}. Tried here."]


@given(text=TEXTS.filter(bool))
@example("concat")
@example("`")
def test_a_name_is_code_or_text(text: str) -> None:
    """It is read as it is in a line and in a cell; what code cannot hold in both is text."""
    for page in (f"before {code(text)} after", as_markdown([{"a": code(text), "b": "c"}])):
        tokens = [each for token in PARSER.parse(page) for each in token.children or []]
        inside = [each.content for each in tokens if each.type == "code_inline"]
        assert inside == [text] or any(printable(text) in each for each in words(page))
    assert code("concat") == "`concat`"


@pytest.mark.parametrize(
    "text",
    [
        "65 x 65: 'a_b' -> c; d, e (f) + g^2 = 3 > 2",
        "in net.py, line 12: C# at 3.5 / 4, A&B @ 50 %!",
        "Ronneberger, Fischer and Brox 2015, arXiv 1505.04597",
    ],
)
def test_common_text_is_read_in_the_source_too(text: str) -> None:
    """What needs no escape has none."""
    assert inline(text) == text.replace("&", "&amp;")


def test_an_address_is_cut_where_github_looks() -> None:
    """Its parser undoes escapes and entities before it looks for addresses, so that those fail."""
    assert inline("me@host.tld") == "me@<!-- -->host.tld"
    assert inline("http://a.bc") == r"http:\//a.bc"


def pages_of_a_sweep(text: str, plan: Plan, records: list[Record]) -> Iterator[str]:
    """A sweep whose question, claims and machine are all `text`: its page, and the claims'."""
    prediction = Prediction(contrast="skip: none - concat", metric="IoU", expected="higher")
    claim = Claim.model_construct(
        number=1, claim=text, source=text, differs=text, predictions=[prediction]
    )
    plan = dataclasses.replace(plan, question=text, claims=(claim,))
    update = {"environment": {text: text}, "example": None}
    results = Results.of(plan, [record.model_copy(update=update) for record in records])
    yield render(results)["tiny.md"].decode()
    yield findings_files(trials([results]))["findings.md"].decode()


@pytest.mark.parametrize("text", NASTY)
def test_the_text_of_a_sweep_is_text(text: str, tiny: Plan, tiny_records: list[Record]) -> None:
    """Question, claim, source, what differs, and the machine that it ran on."""
    page, findings = pages_of_a_sweep(text, tiny, tiny_records)
    plain_page, plain_findings = pages_of_a_sweep("word", tiny, tiny_records)
    assert shape(page) == shape(plain_page)
    assert shape(findings) == shape(plain_findings)
    assert sum(text in each for each in words(page)) == 5
    assert sum(text in each for each in words(findings)) == 5


@pytest.mark.parametrize("name", ["__init__", "1.", "www.a.bc", "_x_"])
def test_the_name_of_a_plan_is_text(name: str, tiny: Plan, tiny_records: list[Record]) -> None:
    """In the heading of its page, and where the page of claims leads to it."""
    shapes = []
    for each in (name, "word"):
        plan = dataclasses.replace(tiny, name=each)
        shapes.append(shape(render(Results.of(plan, tiny_records))[f"{each}.md"].decode()))
    assert shapes[0] == shapes[1]


def _written(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def _record(name: str) -> Any:  # noqa: ANN401  # lists and tables of JSON
    return json.loads((RECORDS / name).read_text())


def conformance(text: str, folder: Path) -> str:
    """A package, a net, what was inferred of it, a message and a place in its source."""
    row, *_ = _record("conformance.json")
    said = {"check": "a_check", "status": "fail", "message": text}
    row |= {"package": text, "net": f"a:{text}", "verdict": "defective", "results": [said]}
    row |= {"expected": {"a_check": text}}
    row["inferred"] = dict.fromkeys(row["inferred"], text)
    rows = read_conformance(_written(folder, "conformance.json", [row]))
    return conformance_files(rows)["conformance.md"].decode()


def kills(text: str, folder: Path) -> str:
    """A fault, and the release of another tool."""
    rows = [row for row in _record("kill_matrix.json") if not row["fault"]][:1]
    broken = {"net": "b", "host": rows[0]["net"], "level": "defect", "claims": {}, "why": text}
    rows.append(broken | {"fault": text, "failed": ["a_check"], "warned": []})
    others = [{"versions": {"torchinfo": text}}]
    others += [{"net": row["net"], "said": {"torchinfo": [text]}} for row in rows]
    read = (
        read_kills(_written(folder, "kills", rows)),
        read_others(_written(folder, "others", others)),
    )
    return kill_files(*read)["kill_matrix.md"].decode()


def performance(text: str, _: Path) -> str:
    """What was measured, against what, on which machine."""
    compared = Comparison(
        benchmark="sweep", kind="ratio", what=text, against=text, pairs=((1.0, 2.0),)
    )
    measured = Measurements(command="c", machine={text: text}, comparisons=(compared,))
    return performance_files(measured)["performance.md"].decode()


def endurance(text: str, folder: Path) -> str:
    """A fault and how it was done, what the user reads, a reader, and the machine."""
    found = _record("endurance.json")
    found["machine"] = text
    found["faults"] = [found["faults"][0] | {"fault": text, "how": text, "told": text}]
    found["inputs"] = [found["inputs"][0] | {"reader": text}]
    read = read_endurance(_written(folder, "endurance.json", found))
    return endurance_files(read)["endurance.md"].decode()


def scale(text: str, folder: Path) -> str:
    """The machine."""
    sizes = [size | {"machine": text} for size in _record("scale.json")]
    return scale_files(read_scale(_written(folder, "scale.json", sizes)))["scale.md"].decode()


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("page", [conformance, kills, performance, endurance, scale])
def test_the_text_of_a_page_is_text(
    page: Callable[[str, Path], str], text: str, tmp_path: Path
) -> None:
    """All that a record of others' nets, tools and machines may hold."""
    made = page(text, tmp_path)
    assert shape(made) == shape(page("word", tmp_path))
    assert any(text in each for each in words(made))


@pytest.mark.parametrize("text", ["__x__", "www.a.bc", "1. x", "_y_", "- - -", ":-"])
def test_the_text_of_the_calibration_is_text(text: str, tmp_path: Path) -> None:
    """Noises and the releases of what counted."""
    shapes = []
    for each in (text, "word"):
        found = _record("calibration.json")
        found["versions"] = {each: each}
        found["noises"][0]["said"] = each
        read = read_calibration(_written(tmp_path, "calibration.json", found))
        page = calibration_files(read)["calibration.md"].decode()
        assert any(each in found for found in words(page))
        shapes.append(shape(page))
    assert shapes[0] == shapes[1]


def test_every_committed_page_says_what_its_source_says() -> None:
    """No page has a link that it does not write as one, and no tag but its opening comment."""
    for path in sorted((ROOT / "reports").rglob("*.md")):
        source = path.read_text()
        kinds = shape(source)
        assert kinds.count("link_opena") == len(re.findall(r"(?<!!)\[[^\]]*\]\([^)]*\)", source))
        assert kinds.count("html_inline") == 0, path.name
        assert kinds.count("html_block") == 1, path.name
