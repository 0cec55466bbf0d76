"""Pages as a reader sees them: parsed as GitHub's Markdown is, links that nobody wrote included."""

from __future__ import annotations

from collections.abc import Iterator

from linkify_it import LinkifyIt
from markdown_it import MarkdownIt
from markdown_it.token import Token

CUT = "<!-- -->"
"""What stands between the two halves of an address or a name, and is not shown."""


def _parser() -> MarkdownIt:
    parser = MarkdownIt("gfm-like")
    assert isinstance(parser.linkify, LinkifyIt)
    # As GitHub does: a host is a link where "www." or a scheme stands before it.
    parser.linkify.set({"fuzzy_link": False})
    parser.linkify.add("www.", {"validate": r"[\w-]+(\.[\w-]+)+"})
    return parser


PARSER = _parser()


def _texts(children: list[Token]) -> Iterator[Token]:
    return (each for each in children if each.type != "html_inline" or each.content != CUT)


def shape(page: str) -> list[str]:
    """Everything on a page but its words: each heading, cell, link, emphasis and so on."""
    kinds = []
    for token in PARSER.parse(page):
        kinds.append(token.type + token.tag)
        kinds += [each.type + each.tag for each in _texts(token.children or []) if each.tag]
        kinds += [each.type for each in _texts(token.children or []) if "html" in each.type]
    return kinds


def words(page: str) -> list[str]:
    """What is read of each paragraph, heading and cell, code left out."""
    return [
        "".join(
            "\n" if each.type == "softbreak" else each.content
            for each in _texts(token.children or [])
            if each.type in ("text", "softbreak")
        )
        for token in PARSER.parse(page)
        if token.type == "inline"
    ]
