"""Words on disk: a tantivy index (BM25, English stems) over titles, headings and texts.

A passage is found by its `body` (title, headings and text, as they are embedded) and again, with less
weight, by its `headings` alone, the title among them. A chunk has its `word_key` here, not its row, so
what is written stays true when rows move.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import tantivy
from tantivy import Occur, Query

from rag.errors import ArtefactCorrupt, IndexNotWritable
from rag.index.backend import Term
from rag.index.local.faiss_vectors import Scores
from rag.index.local.keys import word_key
from rag.index.local.layout import rebuild_command
from rag.index.words import joined

Keys = npt.NDArray[np.int64]

# A word of the headings says what the whole passage is about (measured: docs/quality.md).
_HEADINGS_WEIGHT = 0.2
_LONGEST_WORD = 40
_REMEMBERED_WORDS = 65_536
# The library's own files for writers; they come and go and are no part of what was built.
_BOOKKEEPING = (".managed.json", ".tantivy-meta.lock", ".tantivy-writer.lock")


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("body", tokenizer_name="en_stem", index_option="position")
    builder.add_text_field("headings", tokenizer_name="en_stem", index_option="freq")
    builder.add_text_field("title", tokenizer_name="en_stem", index_option="position")
    builder.add_unsigned_field("key", indexed=False, fast=True)
    # A number: sets of them are found in half the time that sets of names take.
    builder.add_unsigned_field("doc", indexed=True)
    return builder.build()


SCHEMA = _schema()
META = "meta.json"
_STEMS = (
    tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    .filter(tantivy.Filter.remove_long(_LONGEST_WORD))
    .filter(tantivy.Filter.lowercase())
    .filter(tantivy.Filter.stemmer("English"))
    .build()
)


def stems(text: str) -> list[str]:
    """The stems of a text's words, as the index has them."""
    return list(_STEMS.analyze(joined(text)))


def artefacts(folder: Path) -> list[str]:
    """The names of the files that make up a lexical index."""
    return sorted(file.name for file in folder.iterdir() if file.name not in _BOOKKEEPING)


def _nothing_to_close() -> None:
    """An index that was opened where it lies leaves nothing behind."""


class Lexical:
    """Reads a finished folder, from several threads as well. `close` removes what it left elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.close: Callable[[], object] = _nothing_to_close
        self._stem_of: dict[str, str] = {}
        try:
            index = self._open(folder)
            if index.schema != SCHEMA:
                # Searched all the same, it would find other things without a word.
                raise ValueError("its fields are others than this program writes")
            self._searcher = index.searcher()
        except (ValueError, OSError) as error:
            raise ArtefactCorrupt(
                f"{folder} holds no lexical index ({error}); {rebuild_command(folder.parent)}"
            ) from None

    def __len__(self) -> int:
        return int(self._searcher.num_docs)

    def stems(self, text: str) -> list[str]:
        """See `stems`. Words of the index are remembered: one alone is asked for again and again."""
        if (known := self._stem_of.get(text)) is not None:
            return [known]
        found = stems(text)
        # Whatever else is asked may be somebody's own.
        if len(found) == 1 and found[0] in self.vocabulary and len(self._stem_of) < _REMEMBERED_WORDS:
            self._stem_of[text] = found[0]
        return found

    def search(self, terms: Sequence[Term], k: int, allowed: Query | None = None) -> tuple[Keys, Scores]:
        """The keys of the `k` allowed chunks with the highest BM25 score, best first; no zeros.

        Fewer come back when fewer hold any of the words. Chunks of equal score come in no set order.
        """
        query = self._any_of(terms)
        if query is None or k < 1:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        if allowed is not None:
            query = Query.boolean_query([(Occur.Must, query), (Occur.Must, allowed)])
        found = self._searcher.search(query, k, count=False).hits
        return self._keys(found), np.array([score for score, _ in found], dtype=np.float32)

    def _open(self, folder: Path) -> tantivy.Index:
        """Open it where it lies, or by links from a temporary folder where it cannot be written.

        The library takes a lock beside the files even to read them.
        """
        try:
            return tantivy.Index.open(str(folder))
        except ValueError as error:
            if "ock" not in str(error):
                raise
        try:
            links = Path(tempfile.mkdtemp(prefix="citewell-"))
        except OSError:
            raise IndexNotWritable(
                f"{folder} cannot be written and there is no temporary folder either; set TMPDIR to a "
                "folder that can be written"
            ) from None
        # The library goes on to touch its lock there, so the links stay until nobody searches any more.
        self.close = weakref.finalize(self, shutil.rmtree, links, ignore_errors=True)
        for name in artefacts(folder):
            (links / name).symlink_to((folder / name).resolve())
        return tantivy.Index.open(str(links))

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """Every stem with the number of chunks that hold it."""
        return dict(self._searcher.terms_with_prefix("body", ""))

    @cached_property
    def _title_vocabulary(self) -> dict[str, int]:
        return dict(self._searcher.terms_with_prefix("title", ""))

    def count(self, phrase: Sequence[str], field: Literal["body", "title"]) -> int:
        """How many chunks hold these stems one after the other in a field."""
        known = self.vocabulary if field == "body" else self._title_vocabulary
        counts = [known.get(stem, 0) for stem in phrase]
        if len(counts) == 1 or not all(counts):
            return min(counts, default=0)
        found = self._searcher.search(_phrase(field, phrase), 1, count=True)
        return int(found.count or 0)  # type: ignore[attr-defined]  # the stubs leave it out

    def holding(self, phrase: Sequence[str]) -> Keys:
        """The keys of the chunks whose body holds these stems one after the other."""
        return self._keys(self._searcher.search(_phrase("body", phrase), max(1, len(self)), count=False).hits)

    def _any_of(self, terms: Sequence[Term]) -> Query | None:
        """BM25 over all stems; a stem that comes twice counts once, with its highest weight."""
        weights: dict[str, float] = {}
        for term in terms:
            for stem in self.stems(term.text):
                weights[stem] = max(weights.get(stem, 0.0), term.weight)
        parts = [
            (Occur.Should, Query.boost_query(Query.term_query(SCHEMA, field, stem, "freq"), weight * share))
            for stem, weight in weights.items()
            for field, share in (("body", 1.0), ("headings", _HEADINGS_WEIGHT))
        ]
        return Query.boolean_query(parts) if parts else None

    def _keys(self, hits: Sequence[tuple[Any, Any]]) -> Keys:
        keys = self._searcher.fast_field_values("key", [address for _, address in hits])
        return np.array(keys, dtype=np.int64)


def only_documents(doc_ids: Sequence[str], allowed: npt.NDArray[np.bool_]) -> Query | None:
    """A condition for `Lexical.search`: of all documents the allowed ones, None when all are.

    It adds nothing to a score.
    """
    if allowed.all():
        return None
    few = 2 * int(allowed.sum()) <= len(allowed)
    keys = [word_key(doc_ids[doc]) for doc in np.flatnonzero(allowed if few else ~allowed).tolist()]
    chosen = Query.term_set_query(SCHEMA, "doc", keys)
    if not few:
        chosen = Query.boolean_query([(Occur.Must, Query.all_query()), (Occur.MustNot, chosen)])
    return Query.const_score_query(chosen, 0.0)


def _phrase(field: str, phrase: Sequence[str]) -> Query:
    if len(phrase) == 1:
        return Query.term_query(SCHEMA, field, phrase[0], "freq")
    return Query.phrase_query(SCHEMA, field, list(phrase))
