"""Crumbs to their neighbours: a very short section is joined to the one beside it.

A heading with nothing below it, or a line such as "The cause is not known.", answers little by itself
and yet draws every question that resembles it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rag.corpus.plaintext import plain_text

# Below so many characters of plain text, a span is a crumb.
CRUMB = 250


@dataclass(frozen=True, slots=True)
class Span:
    """A chunk to be: `text[start:end]` under `heading_path`.

    `heading_start` is where the heading right before it begins, None when it follows other text.
    """

    start: int
    end: int
    heading_path: tuple[str, ...]
    heading_start: int | None


def join_crumbs(text: str, spans: Sequence[Span], fits: Callable[[Span], bool]) -> list[Span]:
    """Join each crumb to the span before or after it where both stand under one heading.

    They are joined when one of them stands under the other's heading or both under the same one, and
    when together they fit. The headings between them become part of the slice.
    """
    result: list[Span] = []
    for span in spans:
        joined = _joined(result[-1], span) if result else None
        if joined and (_is_crumb(text, result[-1]) or _is_crumb(text, span)) and fits(joined):
            result[-1] = joined
        else:
            result.append(span)
    return result


def _is_crumb(text: str, span: Span) -> bool:
    return len(plain_text(text[span.start : span.end])) < CRUMB


def _joined(first: Span, second: Span) -> Span | None:
    """One span over both, None when they share no heading or a heading's words would be lost."""
    shared = _shared(first.heading_path, second.heading_path)
    if not shared or second.heading_start is None or second.heading_path[:-1] != shared:
        return None
    if shared == first.heading_path:
        return Span(first.start, second.end, shared, first.heading_start)
    if first.heading_start is None or first.heading_path[:-1] != shared:
        return None
    return Span(first.heading_start, second.end, shared, None)


def _shared(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[str, ...]:
    count = 0
    while count < min(len(a), len(b)) and a[count] == b[count]:
        count += 1
    return a[:count]
