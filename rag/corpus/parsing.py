"""The markdown parser: CommonMark with tables, changed wherever it would lose a word.

Nesting deeper than the limit is text, a row keeps the cells that its header has no column for, and a
fence that is never closed hides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, blockquote, list_block, table
from markdown_it.token import Token

_Rule = Callable[[StateBlock, int, int, bool], bool]

# A list takes two levels. The parser drops all that is nested deeper than 20.
_DEEPEST = 16
_FENCE_ROUNDS = 8
_FENCE = re.compile(r"`{3,}|~{3,}")
CELL_END = re.compile(r"(?<!\\)\|")


def markdown_parser() -> MarkdownIt:
    """CommonMark with tables; without HTML, which stays text, and without indented code.

    In text converted from web pages an indent is a nested list or an accident, never code. Link
    definitions stay text as well: a slice seldom holds both a link and its definition.
    """
    parser = MarkdownIt("commonmark", {"html": False}).disable(["code", "reference"])
    rules = parser.block.ruler
    rules.at("list", _limited(list_block), {"alt": ["paragraph", "reference", "blockquote"]})
    rules.at("blockquote", _limited(blockquote), {"alt": ["paragraph", "reference", "blockquote", "list"]})
    rules.at("table", _whole_table, {"alt": ["paragraph", "reference"]})
    parser.enable("table")
    # Link targets are never rendered here, so they need no check and stay as they are written.
    parser.validateLink = _accept  # type: ignore[method-assign,assignment]
    parser.normalizeLink = str  # type: ignore[method-assign,assignment]
    return parser


def parse(parser: MarkdownIt, markdown: str) -> list[Token]:
    """Parse, treating a fence that is never closed as plain text. Offsets stay as they are."""
    for _ in range(_FENCE_ROUNDS):
        tokens = parser.parse(markdown)
        unclosed = [token.map[0] for token in tokens if token.map and _is_unclosed(token)]
        if not unclosed:
            return tokens
        markdown = _without_fences(markdown, unclosed)
    return parser.parse(_FENCE.sub(_blank, markdown))


def _accept(_url: str) -> bool:
    return True


def _limited(rule: _Rule) -> _Rule:
    def limited(state: StateBlock, start: int, end: int, silent: bool) -> bool:  # noqa: FBT001 - theirs
        return state.level <= _DEEPEST and rule(state, start, end, silent)

    return limited


def _whole_table(state: StateBlock, start: int, end: int, silent: bool) -> bool:  # noqa: FBT001 - theirs
    first = len(state.tokens)
    if not table(state, start, end, silent):
        return False
    tokens = state.tokens[first:]
    columns = sum(token.type == "th_open" for token in tokens)
    line, last_cell = 0, None
    for token in tokens:
        if token.type == "tr_open" and token.map:
            line = token.map[0]
        elif token.type == "inline":
            last_cell = token
        elif token.type == "tr_close" and last_cell and (more := _cells(state, line)[columns:]):
            last_cell.content = " | ".join([last_cell.content, *filter(str.strip, more)])
    return True


def _cells(state: StateBlock, line: int) -> list[str]:
    row = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].strip()
    return CELL_END.split(row.removeprefix("|"))


def _is_unclosed(token: Token) -> bool:
    """A closed fence has two lines more than its content."""
    if token.type != "fence" or token.map is None:
        return False
    content = token.content
    lines = content.count("\n") + (not content.endswith("\n") and content != "")
    return token.map[1] - token.map[0] < lines + 2


def _without_fences(markdown: str, places: Sequence[int]) -> str:
    lines = markdown.split("\n")
    for place in places:
        lines[place] = _FENCE.sub(_blank, lines[place], count=1)
    return "\n".join(lines)


def _blank(fence: re.Match[str]) -> str:
    return " " * len(fence.group())
