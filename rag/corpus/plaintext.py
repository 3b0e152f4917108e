"""Markdown to the plain text that is embedded, shown and quoted: a pure function of the slice.

Links are unwrapped; what carries no words of the author's (`LAYOUT_NOISE`) is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

# Everything that plain text leaves out besides markdown's own signs. Nothing else may be lost.
LAYOUT_NOISE = {
    "image": "an image and its alternative text",
    "reference mark": "a link into the page's own reference list, '[[1](#cit/section_1.1)]'",
    "enlarge": "a link whose whole text is 'Enlarge'",
    "placeholder": "a paragraph that says only 'Placeholder slot'",
    "credit": "a paragraph that only credits a picture, 'Credit: iStock'",
    "html tag": "the tags (not the words) of common inline and block HTML elements",
    "html comment": "a comment, '<!-- … -->'",
}

_NOISE_PARAGRAPH = re.compile(
    r"(?:Placeholder slot|(?:Photo )?Credit:[^\n]{0,160}|\[?Enlarge\]?)", re.IGNORECASE
)
_HTML = re.compile(
    r"<!--.*?-->|</?(?:a|abbr|b|blockquote|br|center|code|dd|div|dl|dt|em|figcaption|figure|font|h[1-6]"
    r"|hr|i|iframe|img|li|ol|p|pre|section|small|span|strong|sub|sup|table|tbody|td|th|thead|tr|u|ul)"
    r"(?:\s[^<>]*)?/?>",
    re.IGNORECASE | re.DOTALL,
)
_BREAKING_HTML = re.compile(r"</?(?:br|p|div|li|tr|td|th|h[1-6]|hr|dd|dt)\b", re.IGNORECASE)
# A noncharacter stands where a reference mark was, until its brackets are found.
_MARK = "\ufdd0"
_MARKS = re.compile(rf"\s*\[(?:{_MARK}[\s,;–-]*)+\]|{_MARK}")
_TABLE_ROW = re.compile(r"\|.*\|")
_DELIMITER_ROW = re.compile(r"[|:\-\s]+")
_CELL_END = re.compile(r"(?<!\\)\|")


def markdown_parser() -> MarkdownIt:
    """CommonMark with tables; without HTML, which stays text, and without indented code.

    In text converted from web pages an indent is a nested list or an accident, never code.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("code")
    # Link targets are never rendered here, so they need no check and stay as they are written.
    parser.validateLink = _accept  # type: ignore[method-assign]
    parser.normalizeLink = str  # type: ignore[method-assign]
    return parser


def _accept(_url: str) -> bool:
    return True


_PARSER = markdown_parser()


def plain_text(markdown: str) -> str:
    """Render a slice of markdown. The same slice always renders to the same text.

    Paragraphs are parted by an empty line, list items and table rows by a newline. Items keep their
    marker, nested ones an indent of two spaces a level; cells are parted by ' | '.
    """
    return render(markdown).text


class Rendered(NamedTuple):
    """Plain text, and the (text, target) of each link in it, targets as they are written."""

    text: str
    links: list[tuple[str, str]]


def render(markdown: str) -> Rendered:
    """Render a slice of markdown to its plain text and its links."""
    links: list[tuple[str, str]] = []
    text = "\n".join(_lines(_PARSER.parse(markdown), links)).strip()
    return Rendered(text, links)


def _lines(tokens: Sequence[Token], links: list[tuple[str, str]]) -> Iterator[str]:
    """One line for each block that has words, and an empty one between blocks of different kinds."""
    lists: list[_List] = []
    row: list[str] | None = None
    marker = ""
    last_in_list = False
    for token in tokens:
        match token.type:
            case "bullet_list_open" | "ordered_list_open":
                lists.append(_List(token))
            case "bullet_list_close" | "ordered_list_close":
                lists.pop()
            case "list_item_open":
                marker = lists[-1].next_marker(depth=len(lists) - 1)
            case "list_item_close":
                marker = ""
            case "tr_open":
                row = []
            case "tr_close":
                if row and any(row):
                    yield " | ".join(cell for cell in row if cell)
                row = None
            case "inline" if row is not None:
                row.append(_inline_text(token, links))
            case "inline" | "fence" | "code_block":
                text = _block_text(token, links)
                if text:
                    if not (last_in_list and lists):
                        yield ""
                    yield _indented(text, marker, depth=len(lists))
                    marker, last_in_list = "", bool(lists)
            case "table_open":
                yield ""
                last_in_list = False


class _List:
    """Counts the items of one list."""

    def __init__(self, token: Token) -> None:
        self._ordered = token.type == "ordered_list_open"
        start = token.attrGet("start")
        self._next = 1 if start is None else int(start)

    def next_marker(self, *, depth: int) -> str:
        """The sign before the next item, indented by its depth."""
        self._next += 1
        return "  " * depth + (f"{self._next - 1}. " if self._ordered else "- ")


def _indented(text: str, marker: str, *, depth: int) -> str:
    return marker + text if marker else "  " * depth + text


def _block_text(token: Token, links: list[tuple[str, str]]) -> str:
    if token.type != "inline":
        return token.content.strip("\n")
    text = _inline_text(token, links)
    rows = token.content.split("\n")
    if all(_TABLE_ROW.fullmatch(row.strip()) for row in rows):
        return "\n".join(filter(None, map(_headless_row, rows)))
    return "" if _NOISE_PARAGRAPH.fullmatch(text) else text


def _headless_row(row: str) -> str:
    """A table row whose header stands in another slice."""
    if _DELIMITER_ROW.fullmatch(row):
        return ""
    cells = (inline_markdown(cell) for cell in _CELL_END.split(row.strip().strip("|")))
    return " | ".join(cell for cell in cells if cell)


def inline_markdown(markdown: str) -> str:
    """Render a single line of markdown, such as a heading or a cell."""
    tokens = _PARSER.parseInline(markdown.strip())
    return _inline_text(tokens[0], []) if tokens else ""


def _inline_text(token: Token, links: list[tuple[str, str]]) -> str:
    """Render the inline content of a block on one line; append its links to `links`."""
    parts: list[str] = []
    opened: list[tuple[int, str]] = []
    for child in token.children or ():
        match child.type:
            case "text" | "code_inline" | "text_special":
                parts.append(child.content)
            case "softbreak" | "hardbreak":
                parts.append(" ")
            case "link_open":
                opened.append((len(parts), str(child.attrGet("href") or "")))
            case "link_close":
                start, target = opened.pop()
                if link := _close_link(parts, start, target):
                    links.append(link)
    text = "".join(parts)
    if "<" in text:
        text = _HTML.sub(lambda tag: " " if _BREAKING_HTML.match(tag.group()) else "", text)
    if _MARK in text:
        text = _MARKS.sub("", text)
    return " ".join(text.split())


def _close_link(parts: list[str], start: int, target: str) -> tuple[str, str] | None:
    """The link whose text is `parts[start:]`; a noisy one is taken out of `parts` instead."""
    text = " ".join("".join(parts[start:]).split())
    if target.startswith("#cit/"):
        parts[start:] = [_MARK]
    elif text == "Enlarge":
        parts[start:] = [" "]
    elif text and target:
        return text, target
    return None
