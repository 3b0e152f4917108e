"""Checks that need more than one document: duplicates, shared titles, addresses, sections and dates."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from rag.corpus.document import Metadata
from rag.corpus.freshness import collection_dates
from rag.corpus.linting.findings import RULES, Finding
from rag.corpus.linting.page import Page, counted, quoted

# Shorter sections say the same by chance: "See also", "None".
SHORTEST_SECTION = 200


@dataclass(frozen=True, slots=True)
class SectionPlace:
    """A section of at least 200 characters: a digest of its words, its line and its first line."""

    digest: bytes
    line: int
    opening: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Abstract:
    """What is kept of a page once it was looked at, so that the texts need not be."""

    path: str
    doc_id: str
    metadata: Metadata
    sha256: str
    body_digest: bytes
    sections: tuple[SectionPlace, ...]
    key_lines: dict[str, int] = field(default_factory=dict)

    def finding(self, rule_id: str, message: str, *, line: int, subject: str = "") -> Finding:
        """A finding in this document."""
        return Finding(
            rule=RULES[rule_id],
            path=self.path,
            doc_id=self.doc_id,
            line=line,
            message=message,
            subject=subject,
        )


def abstract(page: Page) -> Abstract:
    """What the checks below need of a page."""
    return Abstract(
        path=page.path,
        doc_id=page.document.doc_id,
        metadata=page.metadata,
        sha256=page.document.sha256,
        body_digest=_digest(page.body),
        sections=tuple(
            SectionPlace(_digest(part), page.line(start), part.partition("\n")[0].strip("# "))
            for start, part in page.parts
            if len(part) >= SHORTEST_SECTION
        ),
        key_lines=page.key_lines,
    )


def _digest(text: str) -> bytes:
    """Sixteen bytes by which texts are compared; how their white space is laid out does not matter."""
    return hashlib.blake2b(" ".join(text.split()).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def across(pages: Sequence[Abstract]) -> Iterator[Finding]:
    """All findings about pages that have something in common; the later page is told, the first is named."""
    yield from _duplicates(pages)
    yield from _shared(pages, "title/shared", "title", lambda one: one.metadata.title.casefold().strip())
    yield from _shared(pages, "url/shared", "url", lambda one: (one.metadata.url or "").rstrip("/"))
    yield from _copied_sections(pages)
    yield from _shared_dates(pages)


def _duplicates(pages: Sequence[Abstract]) -> Iterator[Finding]:
    empty = _digest("")
    for first, *others in _alike(pages, lambda one: one.sha256):
        for one in others:
            message = f"the same file as {first.path}, byte for byte; delete one of them"
            yield one.finding("file/duplicate", message, line=1, subject=first.path)
    for first, *others in _alike(pages, lambda one: one.body_digest if one.body_digest != empty else None):
        for one in others:
            if one.sha256 != first.sha256:
                message = f"the same text as {first.path} under other front matter; delete one of them"
                yield one.finding("body/duplicate", message, line=1, subject=first.path)


def _shared(
    pages: Sequence[Abstract], rule_id: str, key: str, value: Callable[[Abstract], str]
) -> Iterator[Finding]:
    for first, *others in _alike(pages, lambda one: value(one) or None):
        for one in others:
            shown = quoted(getattr(one.metadata, key) or "")
            message = f"{key} {shown} is that of {first.path} as well; give each page its own"
            yield one.finding(rule_id, message, line=one.key_lines.get(key, 1), subject=key)


def _alike(pages: Sequence[Abstract], key: Callable[[Abstract], Hashable]) -> Iterator[list[Abstract]]:
    """Groups of two pages or more that have one key; None is no key."""
    groups: dict[Hashable, list[Abstract]] = defaultdict(list)
    for one in pages:
        if (found := key(one)) is not None:
            groups[found].append(one)
    return (group for group in groups.values() if len(group) > 1)


def _copied_sections(pages: Sequence[Abstract]) -> Iterator[Finding]:
    """Every section whose words stood in an earlier one, in the order of the files."""
    places: dict[bytes, list[tuple[Abstract, SectionPlace]]] = defaultdict(list)
    for one in pages:
        for section in one.sections:
            places[section.digest].append((one, section))
    for (first, earliest), *copies in (found for found in places.values() if len(found) > 1):
        documents = len({one.path for one, _ in [(first, earliest), *copies]})
        for one, section in copies:
            message = (
                f"{quoted(section.opening)} stands word for word in {first.path}:{earliest.line}, "
                f"and {counted(len(copies) + 1, 'time')} in {counted(documents, 'document')} of the folder; "
                "keep it in one place"
            )
            yield one.finding("section/copied", message, line=section.line, subject=section.opening)


def _shared_dates(pages: Sequence[Abstract]) -> Iterator[Finding]:
    """One finding for each source, at the first of its documents that bears the date."""
    for source, day in sorted(collection_dates(one.metadata for one in pages).items()):
        of_source = [one for one in pages if one.metadata.source == source]
        bearing = [one for one in of_source if one.metadata.last_reviewed == day]
        message = (
            f"{len(bearing):,} of {counted(len(of_source), 'document')} of {quoted(source)} bear "
            f"lastReviewed {day}: rather the day they were collected; write when each page was reviewed"
        )
        line = bearing[0].key_lines.get("lastReviewed", 1)
        yield bearing[0].finding("review/shared-date", message, line=line, subject=source)
