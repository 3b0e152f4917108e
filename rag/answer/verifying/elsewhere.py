"""Searches a whole index for a sentence that stands in it word by word."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from rag.answer.verifying.sources import Source
from rag.answer.verifying.tokens import Token, shown
from rag.corpus.quotes import Span
from rag.index.backend import Backend, Term
from rag.index.filters import NO_FILTERS, Filters

# In pieces of so many stems a sentence is looked for; what they find is compared sign by sign.
_PHRASE = 12
_RAREST = 6
_HITS = 200
_READ = 20
# The lexical index leaves out longer words.
_LONGEST_WORD = 40


class Elsewhere:
    """Finds the document where a sentence stands. Safe to use from several threads."""

    def __init__(self, backend: Backend, read: Callable[[str], Source]) -> None:
        """`read` gives the sentences of the chunk with an id."""
        self._backend, self._read = backend, read

    def find(self, said: Sequence[Token], preferred: Collection[str]) -> Iterator[tuple[Source, Span]]:
        """Yield where these tokens stand as whole sentences, in the `preferred` documents first."""
        words = [token for token in said if len(token.key) < _LONGEST_WORD]
        stems = self._backend.stems(shown(words))
        if not stems or len(words) < len(said):
            return
        phrases = [stems[at : at + _PHRASE] for at in range(0, len(stems), _PHRASE)]
        if not all(self._backend.occurrences(phrase).mentioned for phrase in phrases):
            return
        for chunk_id in self._holding(phrases, stems, preferred):
            source = self._read(chunk_id)
            for span in source.find(said):
                yield source, span

    def _holding(
        self, phrases: Sequence[Sequence[str]], stems: Sequence[str], preferred: Collection[str]
    ) -> Iterator[str]:
        """The chunks with all phrases among the best hits for the rarest words."""
        known = self._backend.vocabulary()
        rarest = sorted(set(stems), key=lambda stem: (known.get(stem, 0), stem))[:_RAREST]
        terms = [Term(stem) for stem in rarest]
        within = [Filters(doc_id=tuple(sorted(preferred)))] if preferred else []
        for filters in (*within, NO_FILTERS):
            ids = [hit.chunk_id for hit in self._backend.match(terms, _HITS, filters)]
            for phrase in phrases:
                held = self._backend.mentions(phrase, ids)
                ids = [one for one, has in zip(ids, held, strict=True) if has]
            yield from ids[:_READ]
