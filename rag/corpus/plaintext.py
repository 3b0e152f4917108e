"""Markdown to the plain text that is embedded, shown and quoted: a pure function of the slice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from markdown_it.token import Token

from rag.corpus.inline import WrittenLink, inline_text, is_noise, line_text
from rag.corpus.parsing import CELL_END, markdown_parser, parse

_PARSER = markdown_parser()
_TABLE_ROW = re.compile(r"\|.*\|")
_DELIMITER_ROW = re.compile(r"[|:\-\s]+")


class Rendered(NamedTuple):
    """Plain text and the links in it."""

    text: str
    links: tuple[WrittenLink, ...]


def plain_text(markdown: str) -> str:
    """Render a slice of markdown. The same slice always renders to the same text.

    Paragraphs are parted by an empty line, list items and table rows by a newline. Items keep their
    marker, nested ones an indent of two spaces a level; cells are parted by ' | '.
    """
    return render(markdown).text


# A block is rendered when it is counted and again when it makes up a chunk.
@lru_cache(maxsize=8192)
def render(markdown: str) -> Rendered:
    """Render a slice of markdown to its plain text and its links."""
    renderer = _Renderer()
    for token in parse(_PARSER, markdown):
        renderer.take(token)
    return Rendered("\n".join(renderer.lines).strip(), tuple(renderer.links))


class _Renderer:
    """Takes the tokens of a slice one by one; `lines` grows with every block that has words."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.links: list[WrittenLink] = []
        self._lists: list[_List] = []
        self._row: list[str] | None = None
        self._marker = ""
        self._after_item = False

    def take(self, token: Token) -> None:
        """Take the next token."""
        match token.type:
            case "bullet_list_open" | "ordered_list_open":
                self._lists.append(_List(token))
            case "bullet_list_close" | "ordered_list_close":
                self._lists.pop()
            case "list_item_open":
                self._marker = self._lists[-1].next_marker(token.info, depth=len(self._lists) - 1)
            case "list_item_close":
                self._close_item()
            case "inline" | "fence":
                self._take_words(token)
            case _:
                self._take_table_part(token.type)

    def _close_item(self) -> None:
        # A line of its own, '2021.', is an item without words, and yet a word.
        if self._marker.strip(" -"):
            self.lines.append(self._marker.rstrip())
        self._marker = ""

    def _take_table_part(self, kind: str) -> None:
        if kind == "table_open":
            self.lines.append("")
            self._after_item = False
        elif kind == "tr_open":
            self._row = []
        elif kind == "tr_close":
            self.lines += _joined(self._row or [])
            self._row = None

    def _take_words(self, token: Token) -> None:
        if self._row is not None:
            self._row.append(inline_text(token, self.links))
        elif text := self._block_text(token):
            if not (self._after_item and self._lists):
                self.lines.append("")
            self.lines.append((self._marker or "  " * len(self._lists)) + text)
            self._marker, self._after_item = "", bool(self._lists)

    def _block_text(self, token: Token) -> str:
        if token.type != "inline":
            return token.content.strip("\n")
        text = inline_text(token, self.links)
        rows = token.content.split("\n")
        if all(_TABLE_ROW.fullmatch(row.strip()) for row in rows):
            return "\n".join(line for row in rows for line in _headless_row(row))
        return "" if is_noise(text) else text


class _List:
    """Counts the items of one list."""

    def __init__(self, token: Token) -> None:
        self._ordered = token.type == "ordered_list_open"
        start = token.attrGet("start")
        self._start = self._next = 1 if start is None else int(start)

    def next_marker(self, written: str, *, depth: int) -> str:
        """The sign before the next item, indented by its depth.

        Numbers are counted where all items are written with the same one, and else as they are written:
        one may be no marker, but a year at the beginning of a line.
        """
        number = self._next
        self._next += 1
        if not self._ordered:
            return "  " * depth + "- "
        return "  " * depth + f"{number if int(written) == self._start else int(written)}. "


def _headless_row(row: str) -> list[str]:
    """A table row whose header stands in another slice, as one line or none."""
    if _DELIMITER_ROW.fullmatch(row):
        return []
    return _joined([line_text(cell) for cell in CELL_END.split(row.strip().strip("|"))])


def _joined(cells: Sequence[str]) -> list[str]:
    wordy = [cell for cell in cells if cell and not _DELIMITER_ROW.fullmatch(cell)]
    return [" | ".join(wordy)] if wordy else []
