"""A document's body as sections of blocks, every block with its exact span in the text.

markdown-it's tokens say where blocks lie; no block is ever found by matching text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from markdown_it.token import Token

from rag.corpus.inline import line_text
from rag.corpus.parsing import markdown_parser, parse
from rag.corpus.plaintext import plain_text

MAX_BORROWED_HEADING = 200

_PARSER = markdown_parser().disable(["inline"])
_NESTED = {"bullet_list": "list", "ordered_list": "list", "list_item": "item"}


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, list, item, table, code or quote at `text[start:end]`.

    A list has its items as `children`, an item its paragraphs and lists; the others have none.
    """

    kind: str
    start: int
    end: int
    children: tuple[Block, ...] = ()


@dataclass(slots=True)
class Section:
    """What stands under one heading. `heading` is the heading's own block, None before the first."""

    heading_path: tuple[str, ...]
    heading: Block | None
    level: int = 0
    blocks: list[Block] = field(default_factory=list)


def sections(text: str, body_start: int) -> list[Section]:
    """Split `text[body_start:]` by its headings, in order, empty sections included.

    A heading without words takes them from the short paragraph that follows it. Levels may be
    skipped. Headings inside lists and quotes are text, not sections.
    """
    source = _Source(text, body_start)
    result = [Section((), None)]
    open_headings: list[tuple[int, str]] = []
    tokens = source.tokens
    for index, token in enumerate(tokens):
        if token.level != 0 or token.map is None:
            continue
        if token.type == "heading_open":
            level, title = int(token.tag[1]), line_text(tokens[index + 1].content)
            while open_headings and open_headings[-1][0] >= level:
                open_headings.pop()
            open_headings.append((level, title))
            heading = source.block(token, tokens, index)
            result.append(Section(_path(open_headings), heading, level))
        elif _lends_heading(open_headings, result[-1], tokens, index):
            level = open_headings[-1][0]
            open_headings[-1] = (level, line_text(tokens[index + 1].content))
            result[-1] = Section(_path(open_headings), source.block(token, tokens, index), level)
        elif token.type != "hr":
            result[-1].blocks.append(source.block(token, tokens, index))
    return [section for section in result if section.heading or section.blocks]


def _path(open_headings: Sequence[tuple[int, str]]) -> tuple[str, ...]:
    return tuple(title for _, title in open_headings if title)


def _lends_heading(
    open_headings: Sequence[tuple[int, str]], section: Section, tokens: Sequence[Token], index: int
) -> bool:
    """Tell whether this paragraph holds the words of the empty heading right before it."""
    if not open_headings or open_headings[-1][1] or section.blocks:
        return False
    if tokens[index].type != "paragraph_open" or len(tokens[index + 1].content) > MAX_BORROWED_HEADING:
        return False
    words = plain_text(tokens[index + 1].content)
    return bool(words) and not words.endswith((".", ":", ";", ","))


class _Source:
    """The tokens of a body and the map from their lines to offsets in the whole text."""

    def __init__(self, text: str, body_start: int) -> None:
        self._text = text
        body = text[body_start:]
        self.tokens = parse(_PARSER, body)
        self._line_starts = [body_start]
        for line in body.split("\n"):
            self._line_starts.append(self._line_starts[-1] + len(line) + 1)

    def block(self, token: Token, tokens: Sequence[Token], index: int) -> Block:
        """The block that `token` opens at `tokens[index]`, with its children."""
        kind = token.type.removesuffix("_open")
        start, end = self._span(token)
        if kind not in _NESTED:
            return Block(kind, start, end)
        children = [
            self.block(child, tokens, place)
            for place, child in _children(tokens, index)
            if child.map is not None
        ]
        if children:
            children[0] = _starting_at(children[0], start)
        return Block(_NESTED[kind], start, end, tuple(children))

    def _span(self, token: Token) -> tuple[int, int]:
        first, last = token.map or (0, 0)
        start, end = self._line_starts[first], min(self._line_starts[last], len(self._text))
        raw = self._text[start:end]
        return start + len(raw) - len(raw.lstrip()), start + len(raw.rstrip())


def _starting_at(block: Block, start: int) -> Block:
    """The first child of an item begins with the item's own marker, however deep it lies."""
    children = block.children
    if children:
        children = (_starting_at(children[0], start), *children[1:])
    return Block(block.kind, start, block.end, children)


def _children(tokens: Sequence[Token], index: int) -> list[tuple[int, Token]]:
    """The tokens that open a block directly below the container opened at `index`."""
    level, found = tokens[index].level, []
    for place in range(index + 1, len(tokens)):
        token = tokens[place]
        if token.level == level:
            break
        if token.level == level + 1 and token.nesting >= 0 and token.type != "inline":
            found.append((place, token))
    return found
