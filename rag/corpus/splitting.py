"""A block that is too long to its parts: items, lines, sentences, words, in this order of preference.

Parts are blocks with exact spans; together they hold every word of the block, in order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from rag.corpus.markdown import Block
from rag.corpus.sentences import sentence_spans

Spans = Iterable[tuple[int, int]]

# Groups are atomic rather than possessive, which Python 3.11.2 gets wrong.
# Markdown that falls apart when a cut goes through it: links, images, code, emphasis.
_INSEPARABLE = re.compile(
    r"""!?\[ (?> (?: [^\[\]] | \[[^\[\]]*+\] )* ) \]
            \( [^()\s]*+ (?> (?: \([^()\s]*+\) [^()\s]*+ )* ) (?: \s+"[^"]*" )? \)
      | (?<!`)(`{1,2}+)[^`]++\1(?!`)
      | \*\*\S (?> (?: [^*] | \*[^*]++\* )* ) (?<!\s)\*\*
      | (?<![\w*])\*[^*\s][^*]*+(?<!\s)\*
      | (?<!\w)__\S (?> (?: [^_] | _[^_]++_ )* ) (?<!\s)__(?!\w)
      | (?<!\w)_[^_\s][^_]*+(?<!\s)_(?!\w)
      | \[ \[[^\[\]\s]*\]\([^()\s]*\) (?> (?: [\s,;–-]* \[[^\[\]\s]*\]\([^()\s]*\) )+ ) \]""",
    re.VERBOSE,
)
_WORD = re.compile(r"\S+")
_SUBWORD = re.compile(r"\w+\W*|\W+")
_CHARACTER = re.compile(r".", re.DOTALL)
_TABLE_HEAD_LINES = 3
_MAX_RUNS = 64
_VERY_LONG = 2_000
_MAX_FRACTIONS = 16


def keep_introductions(text: str, blocks: Sequence[Block]) -> list[Block]:
    """Join each list to the line before it that introduces it ("… may include:")."""
    joined: list[Block] = []
    for block in blocks:
        if block.kind == "list" and joined and _introduces(text, joined[-1]):
            introduction = joined.pop()
            parts = (introduction, *block.children)
            joined.append(Block("introduced", introduction.start, block.end, parts))
        else:
            joined.append(block)
    return joined


def _introduces(text: str, block: Block) -> bool:
    tail = text[max(block.start, block.end - 5) : block.end]
    return block.kind == "paragraph" and tail.rstrip("*_ ").endswith(":")


def split_block(text: str, block: Block) -> list[Block]:
    """Return the smaller parts of `block`; [] when it cannot be divided further."""
    if block.kind == "introduced" and len(block.children) > 2:
        introduction, first, *others = block.children
        pair = Block("introduced", introduction.start, first.end, (introduction, first))
        return [pair, *others]
    if block.children:
        return keep_introductions(text, block.children)
    for kind, split in _WAYS:
        spans = list(split(text, block))
        if len(spans) > 1:
            return [Block(kind, *span) for span in spans]
    return []


def _table_rows(text: str, block: Block) -> Spans:
    """The rows, the first of them with the header and the line below it."""
    if block.kind != "table":
        return []
    lines = list(_lines(text, block))
    head = lines[:_TABLE_HEAD_LINES]
    return [(head[0][0], head[-1][1]), *lines[_TABLE_HEAD_LINES:]]


def _code_lines(text: str, block: Block) -> Spans:
    """The lines of a fence, and of a table's first part where that is too long itself."""
    return _lines(text, block) if block.kind in ("fence", "row") else []


def _lines(text: str, block: Block) -> Iterator[tuple[int, int]]:
    start = block.start
    for line in text[block.start : block.end].split("\n"):
        if line.strip():
            indent = len(line) - len(line.lstrip())
            yield start + indent, start + len(line.rstrip())
        start += len(line) + 1


def _sentences(text: str, block: Block) -> Spans:
    return _whole(text, block, sentence_spans)


def _words(text: str, block: Block) -> Spans:
    """Runs of words, of one word unless there are very many; a run is divided again where it must be."""
    words = _whole(text, block, lambda raw: (word.span() for word in _WORD.finditer(raw)))
    size = -(-len(words) // _MAX_RUNS) or 1
    runs = (words[at : at + size] for at in range(0, len(words), size))
    return [(run[0][0], run[-1][1]) for run in runs]


def _torn_sentences(text: str, block: Block) -> Spans:
    """Sentences of one link or emphasis that is longer than the whole budget."""
    raw = text[block.start : block.end]
    return [(block.start + start, block.start + end) for start, end in sentence_spans(raw)]


def _whole(text: str, block: Block, split: Callable[[str], Spans]) -> list[tuple[int, int]]:
    """Spans of the split, joined again where a cut would go through a link, code or emphasis."""
    raw = text[block.start : block.end]
    guarded = [match.span() for match in _INSEPARABLE.finditer(raw)]
    joined: list[tuple[int, int]] = []
    place = 0
    for start, end in split(raw):
        while place < len(guarded) and guarded[place][1] <= start:
            place += 1
        if joined and place < len(guarded) and guarded[place][0] < start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return [(block.start + start, block.start + end) for start, end in joined]


def _fractions(text: str, block: Block) -> Spans:
    """The last resort: one word, or one link, that is longer than the whole budget."""
    raw = text[block.start : block.end]
    for piece in (_WORD, _SUBWORD, _CHARACTER):
        ends = [match.end() for match in piece.finditer(raw)]
        if len(ends) > 1:
            break
    count = min(len(ends), 2 if len(raw) < _VERY_LONG else _MAX_FRACTIONS)
    start = block.start
    for part in range(1, count + 1):
        end = block.start + ends[len(ends) * part // count - 1]
        yield start + len(text[start:end]) - len(text[start:end].lstrip()), end
        start = end


# Tried in this order; the kind is that of the parts.
_WAYS: tuple[tuple[str, Callable[[str, Block], Spans]], ...] = (
    ("row", _table_rows),
    ("line", _code_lines),
    ("sentence", _sentences),
    ("word", _words),
    ("half", _torn_sentences),
    ("half", _fractions),
)
