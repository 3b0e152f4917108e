"""Words on disk: a tantivy index (BM25, English stems) over titles, headings and texts.

A passage is found by its `body` (title, headings and text, as they are embedded) and again, with less
weight, by its `headings` alone, the title among them. Row `i` of the store has `row` = `i` here.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import tantivy
from tantivy import Occur, Query

from rag.errors import ArtefactCorrupt, IndexNotWritable
from rag.index.backend import Term
from rag.index.local.faiss_vectors import Rows, Scores
from rag.index.local.layout import rebuild_command
from rag.index.words import joined

# A word of the headings says what the whole passage is about (measured: docs/quality.md).
_HEADINGS_WEIGHT = 0.2
_HEAP_BYTES = 128_000_000
_LONGEST_WORD = 40
_PROBE_BYTES = 1 << 20
# The library's own files for writers; they come and go and are no part of what was built.
_BOOKKEEPING = (".managed.json", ".tantivy-meta.lock", ".tantivy-writer.lock")


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("body", tokenizer_name="en_stem", index_option="position")
    builder.add_text_field("headings", tokenizer_name="en_stem", index_option="freq")
    builder.add_text_field("title", tokenizer_name="en_stem", index_option="position")
    builder.add_unsigned_field("row", indexed=False, fast=True)
    builder.add_unsigned_field("doc", indexed=True, fast=True)
    return builder.build()


_SCHEMA = _schema()
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


class LexicalRow(NamedTuple):
    """What is indexed of a chunk: its row, its document's number and its words."""

    row: int
    doc: int
    title: str
    headings: str
    body: str


class LexicalWriter:
    """Fills a new folder, row by row."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        with _writing(folder):
            # One thread: rows keep their order, and the reading processes keep their cores.
            self._writer = tantivy.Index(_SCHEMA, path=str(folder)).writer(_HEAP_BYTES, 1)

    def add(self, rows: Iterable[LexicalRow]) -> None:
        """Append rows in their order. Raises `OSError`."""
        for row, doc, title, headings, body in rows:
            entry = tantivy.Document()
            entry.add_unsigned("row", row)
            entry.add_unsigned("doc", doc)
            entry.add_text("title", joined(title))
            entry.add_text("headings", joined(headings))
            entry.add_text("body", joined(body))
            with _writing(self._folder):
                self._writer.add_document(entry)

    def finish(self) -> None:
        """Write everything out. Raises `OSError`."""
        with _writing(self._folder):
            self._writer.commit()
            self._writer.wait_merging_threads()
        for file in self._folder.iterdir():
            file.chmod(0o644)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """What the library says of a disk that is full, as the error that it is."""
    try:
        yield
    except ValueError as error:
        # Its threads die without naming the reason; the same disk names it to whoever writes again.
        probe = folder / "probe"
        probe.write_bytes(bytes(_PROBE_BYTES))
        probe.unlink()
        raise OSError(str(error)) from error


def artefacts(folder: Path) -> list[str]:
    """The names of the files that make up a lexical index."""
    return sorted(file.name for file in folder.iterdir() if file.name not in _BOOKKEEPING)


def _nothing_to_close() -> None:
    """An index that was opened where it lies leaves nothing behind."""


class Lexical:
    """Reads a finished folder, from several threads as well. `close` removes what it left elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.close: Callable[[], object] = _nothing_to_close
        try:
            self._searcher = self._open(folder).searcher()
        except (ValueError, OSError) as error:
            raise ArtefactCorrupt(
                f"{folder} holds no lexical index ({error}); {rebuild_command(folder.parent)}"
            ) from None

    def __len__(self) -> int:
        return int(self._searcher.num_docs)

    def search(self, terms: Sequence[Term], k: int, allowed: Query | None = None) -> tuple[Rows, Scores]:
        """The `k` rows with the highest BM25 score among the allowed ones, best first; no zeros.

        Fewer come back when fewer hold any of the words. Rows of equal score come in no set order.
        """
        query = _any_of(terms)
        if query is None or k < 1:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        if allowed is not None:
            query = Query.boolean_query([(Occur.Must, query), (Occur.Must, allowed)])
        found = self._searcher.search(query, k, count=False).hits
        rows = self._searcher.fast_field_values("row", [address for _, address in found])
        return np.array(rows, dtype=np.int64), np.array([score for score, _ in found], dtype=np.float32)

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
        """Every stem with the number of rows that hold it."""
        return dict(self._searcher.terms_with_prefix("body", ""))

    @cached_property
    def _title_vocabulary(self) -> dict[str, int]:
        return dict(self._searcher.terms_with_prefix("title", ""))

    def count(self, phrase: Sequence[str], field: Literal["body", "title"]) -> int:
        """How many rows hold these stems one after the other in a field."""
        known = self.vocabulary if field == "body" else self._title_vocabulary
        counts = [known.get(stem, 0) for stem in phrase]
        if len(counts) == 1 or not all(counts):
            return min(counts, default=0)
        found = self._searcher.search(_phrase(field, phrase), 1, count=True)
        return int(found.count or 0)  # type: ignore[attr-defined]  # the stubs leave it out

    def holding(self, phrase: Sequence[str]) -> Rows:
        """The rows whose body holds these stems one after the other."""
        found = self._searcher.search(_phrase("body", phrase), max(1, len(self)), count=False).hits
        rows = self._searcher.fast_field_values("row", [address for _, address in found])
        return np.array(rows, dtype=np.int64)


def only_documents(allowed: npt.NDArray[np.bool_]) -> Query | None:
    """A condition for `Lexical.search`: the documents allowed by number, None when all are.

    It adds nothing to a score.
    """
    if allowed.all():
        return None
    few = 2 * int(allowed.sum()) <= len(allowed)
    numbers = np.flatnonzero(allowed if few else ~allowed).tolist()
    chosen = Query.term_set_query(_SCHEMA, "doc", numbers)
    if not few:
        chosen = Query.boolean_query([(Occur.Must, Query.all_query()), (Occur.MustNot, chosen)])
    return Query.const_score_query(chosen, 0.0)


def _any_of(terms: Sequence[Term]) -> Query | None:
    """BM25 over all stems; a stem that comes twice counts once, with its highest weight."""
    weights: dict[str, float] = {}
    for term in terms:
        for stem in stems(term.text):
            weights[stem] = max(weights.get(stem, 0.0), term.weight)
    parts = [
        (Occur.Should, Query.boost_query(Query.term_query(_SCHEMA, field, stem, "freq"), weight * share))
        for stem, weight in weights.items()
        for field, share in (("body", 1.0), ("headings", _HEADINGS_WEIGHT))
    ]
    return Query.boolean_query(parts) if parts else None


def _phrase(field: str, phrase: Sequence[str]) -> Query:
    if len(phrase) == 1:
        return Query.term_query(_SCHEMA, field, phrase[0], "freq")
    return Query.phrase_query(_SCHEMA, field, list(phrase))
