"""Whether a text says what its sources say: sentence by sentence, sign by sign.

A sentence is verified against what is cited for it. Citing a document covers all of its sentences.
Citing a passage covers the passage's own sentences, those that run across its borders, and its headings,
and nothing else of the document: a reader who follows the citation must find the words there. The same
words found anywhere else are `wrong_document`, with the place to cite instead, even where the sentence is
near one that is cited: true words with a wrong citation are mended otherwise than false words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from rag.answer.verifying.changes import Change, case_changes, find_changes
from rag.answer.verifying.claims import claims, lines_of
from rag.answer.verifying.elsewhere import Elsewhere
from rag.answer.verifying.passages import document_source, passage_source
from rag.answer.verifying.sources import Source
from rag.answer.verifying.tokens import Token, readings
from rag.corpus.quotes import Span
from rag.errors import InvalidRequest
from rag.index.backend import Backend

__all__ = ["MAX_CITED", "MAX_TEXT", "VERDICTS", "Change", "SentenceCheck", "Verification", "Verifier"]

MAX_TEXT = 20_000
MAX_CITED = 50
# Reading a million characters of markdown takes a second.
MAX_CITED_TEXT = 2_000_000
# So many sentences of one text are looked for in the rest of the index.
_MOST_SEARCHED = 200
VERDICTS = ("verbatim", "altered", "unsupported", "wrong_document")
# Below, what two sentences share is mostly the words that any two share.
_ALTERED = 0.6
_KEPT_DOCUMENTS = 8
_KEPT_PASSAGES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceCheck:
    """What became of one sentence, `text[start:end]` of the given text.

    `verdict` is "verbatim", "altered" (`changes` says how), "wrong_document" (it stands word by word in
    the index, but not in what is cited) or "unsupported". `doc_id` and the source's offsets say where the
    nearest sentences stand; `source_text` is what the document's slice renders to. All four are None for
    an unsupported sentence.
    """

    text: str
    start: int
    end: int
    verdict: str
    doc_id: str | None = None
    source_start: int | None = None
    source_end: int | None = None
    source_text: str | None = None
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The sentences of a text in order; what holds no letter and no digit is none."""

    sentences: tuple[SentenceCheck, ...]

    @property
    def is_verbatim(self) -> bool:
        """Whether there are sentences and each one stands in what is cited."""
        return bool(self.sentences) and self.counts["verbatim"] == len(self.sentences)

    @property
    def counts(self) -> Mapping[str, int]:
        """The number of sentences for each verdict."""
        found = Counter(one.verdict for one in self.sentences)
        return {verdict: found[verdict] for verdict in VERDICTS}


class Verifier:
    """Verifies texts against one index. Safe to use from several threads."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        reader = _Reader(backend)
        self._document = lru_cache(maxsize=_KEPT_DOCUMENTS)(reader.document)
        self._passage = lru_cache(maxsize=_KEPT_PASSAGES)(reader.passage)
        self._elsewhere = Elsewhere(backend, self._passage)

    def verify(self, text: str, cited: Sequence[str]) -> Verification:
        """Compare every sentence of `text` with the chunks and documents whose ids are `cited`.

        `text` has 1 to 20,000 characters, `cited` 1 to 50 ids. Raises `InvalidRequest`.
        """
        _check(text, cited)
        sources = self._sources(dict.fromkeys(cited))
        checks = _Checks(text, sources, self._elsewhere)
        return Verification(sentences=tuple(check for span in claims(text) for check in checks.check(span)))

    def _sources(self, cited: Iterable[str]) -> list[Source]:
        found: list[Source] = []
        size = 0
        for one in cited:
            found.append(self._source(one))
            size += 0 if "#" in one else found[-1].size
            if size > MAX_CITED_TEXT:
                raise InvalidRequest(
                    "cited",
                    f"the documents have more than {MAX_CITED_TEXT:,} characters together; cite passages "
                    "(chunk_id) instead",
                )
        return found

    def _source(self, cited: str) -> Source:
        """The sentences of a chunk or a document. A document's id may hold '#' as well."""
        for read in (self._passage, self._document) if "#" in cited else (self._document,):
            try:
                return read(cited)
            except KeyError:
                continue
        raise InvalidRequest(
            "cited", f"there is no '{cited:.200}' in the index {self._backend.info.index_id}"
        )


class _Reader:
    """Reads what can be cited. Apart from the verifier: a cache over its own method would keep it alive."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def document(self, doc_id: str) -> Source:
        return document_source(self._backend.document(doc_id))

    def passage(self, chunk_id: str) -> Source:
        chunk = self._backend.chunks([chunk_id])[0].chunk
        return passage_source(chunk, self._backend.document(chunk.doc_id))


class _Checks:
    """Checks the sentences of one text; a sentence that is said twice is looked up once."""

    def __init__(self, text: str, sources: Sequence[Source], elsewhere: Elsewhere) -> None:
        self._text, self._sources, self._elsewhere = text, sources, elsewhere
        self._judged: dict[str, SentenceCheck] = {}
        self._searched = 0

    def check(self, span: Span) -> Iterator[SentenceCheck]:
        """Judge one sentence, or its lines where one of them is whole without the others."""
        whole = self._judge(span)
        if whole.verdict != "verbatim" and "\n" in whole.text:
            lines = [self._judge(line) for line in lines_of(self._text, span)]
            if any(line.verdict == "verbatim" for line in lines):
                yield from lines
                return
        yield whole

    def _judge(self, span: Span) -> SentenceCheck:
        start, end = span
        said = self._text[start:end]
        if said not in self._judged:
            self._judged[said] = self._verdict(said, readings(said))
        return replace(self._judged[said], text=said, start=start, end=end)

    def _verdict(self, said: str, all_read: Sequence[Sequence[Token]]) -> SentenceCheck:
        for read in all_read:
            for source in self._sources:
                for place in source.find(read):
                    if not _case(read, source, place):
                        return _told(said, "verbatim", source, place)
        preferred = {source.doc_id for source in self._sources}
        self._searched += 1
        for read in all_read if self._searched <= _MOST_SEARCHED else ():
            for source, place in self._elsewhere.find(read, preferred):
                if not _case(read, source, place):
                    return _told(said, "wrong_document", source, place)
        return self._nearest(said, all_read)

    def _nearest(self, said: str, all_read: Sequence[Sequence[Token]]) -> SentenceCheck:
        """What is nearest without labels; then the reading that differs least from it."""
        near = [(found, source) for source in self._sources if (found := source.nearest(all_read[-1]))]
        found, source = max(near, key=lambda one: one[0].rank, default=(None, None))
        if found is None or source is None or found.likeness < _ALTERED:
            return SentenceCheck(text=said, start=0, end=len(said), verdict="unsupported")
        place = found.first, found.last
        theirs = source.tokens[found.first : found.last]
        all_changes = [find_changes(read, theirs) or _case(read, source, place) for read in all_read]
        return _told(said, "altered", source, place, min(all_changes, key=len))


def _case(read: Sequence[Token], source: Source, place: Span) -> tuple[Change, ...]:
    """What the case of letters changes; the source may have a point more or less at the end."""
    theirs = source.tokens[place[0] : place[1]]
    shared = min(len(read), len(theirs))
    return case_changes(read[:shared], theirs[:shared])


def _told(
    said: str, verdict: str, source: Source, place: Span, changes: tuple[Change, ...] = ()
) -> SentenceCheck:
    start, end = source.place(*place)
    return SentenceCheck(
        text=said,
        start=0,
        end=len(said),
        verdict=verdict,
        doc_id=source.doc_id,
        source_start=start,
        source_end=end,
        source_text=source.text_at((start, end)),
        changes=changes,
    )


def _check(text: str, cited: Collection[str]) -> None:
    if not text.strip():
        raise InvalidRequest("text", "is empty; give what is to be verified")
    if len(text) > MAX_TEXT:
        raise InvalidRequest("text", f"has {len(text):,} characters; the limit is {MAX_TEXT:,}")
    for field, value in [("text", text), *(("cited", one) for one in cited)]:
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidRequest(field, "is not valid Unicode text") from None
    if not 1 <= len(cited) <= MAX_CITED:
        raise InvalidRequest("cited", f"has {len(cited)} ids; give 1 to {MAX_CITED} chunk_ids or doc_ids")
