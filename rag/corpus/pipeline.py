"""Many files to chunks, on all cores, in the order of the files.

Files are independent of each other: one that cannot be read costs only itself.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rag.corpus.chunker import Chunker, chunks_key
from rag.corpus.document import Chunk, Document
from rag.corpus.fragments import text_fragments
from rag.corpus.packing import CountTokens
from rag.corpus.reader import MAX_FILE_BYTES, FoundFile, read_document
from rag.corpus.traits import TextTraits, text_traits
from rag.errors import UnreadableDocument

_FILES_A_TASK = 8
_WORTH_PROCESSES = 100


@dataclass(frozen=True, slots=True)
class ChunkedDocument:
    """A document with its chunks, and for each of them a text fragment and the traits of its text.

    It has no chunks when nothing but its title holds words.
    """

    document: Document
    chunks: list[Chunk]
    fragments: list[str]
    traits: list[TextTraits]


@dataclass(frozen=True, slots=True)
class KnownDocument:
    """A document whose chunks need not be cut again: they are those of another one with this key."""

    document: Document
    key: str


Outcome = ChunkedDocument | KnownDocument | UnreadableDocument
# For a doc_id the `chunks_key` of a document whose chunks are at hand.
KnownKeys = Mapping[str, str]


def chunk_files(
    files: Sequence[FoundFile],
    count_tokens: CountTokens,
    *,
    max_tokens: int,
    max_bytes: int = MAX_FILE_BYTES,
    workers: int = 1,
    known: KnownKeys | None = None,
) -> Iterator[Outcome]:
    """Read and chunk `files`; yield one outcome for each, in their order.

    Read them all: with several processes, whoever stops early is told so by the library at length.
    A document whose key is the `known` one of its id is not chunked. More than `workers` = 1 processes
    are used only for enough files and a counter that can travel.
    """
    known = known or {}
    if workers < 2 or len(files) < _WORTH_PROCESSES or not _can_travel(count_tokens):
        chunker = Chunker(count_tokens, max_tokens=max_tokens)
        yield from (_chunk(file, chunker, max_bytes, known) for file in files)
        return
    from joblib import Parallel, delayed

    batches = (files[at : at + _FILES_A_TASK] for at in range(0, len(files), _FILES_A_TASK))
    tasks = (
        delayed(_chunk_batch)(batch, count_tokens, max_tokens, max_bytes, _only(known, batch))
        for batch in batches
    )
    for outcomes in Parallel(n_jobs=workers, return_as="generator", batch_size=1)(tasks):
        yield from outcomes


def _only(known: KnownKeys, files: Sequence[FoundFile]) -> KnownKeys:
    return {file.doc_id: known[file.doc_id] for file in files if file.doc_id in known}


def _chunk(file: FoundFile, chunker: Chunker, max_bytes: int, known: KnownKeys) -> Outcome:
    try:
        document = read_document(file, max_bytes=max_bytes)
    except UnreadableDocument as problem:
        return problem
    key = known.get(file.doc_id)
    if key and key == chunks_key(document):
        return KnownDocument(document, key)
    chunks = chunker.chunk(document)
    traits = [text_traits(chunk.text) for chunk in chunks]
    return ChunkedDocument(document, chunks, text_fragments(chunks), traits)


def _chunk_batch(
    files: Sequence[FoundFile],
    count_tokens: CountTokens,
    max_tokens: int,
    max_bytes: int,
    known: KnownKeys,
) -> list[Outcome]:
    # Each worker has one core; the tokenizer's own threads would only get in each other's way.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    chunker = Chunker(count_tokens, max_tokens=max_tokens)
    return [_chunk(file, chunker, max_bytes, known) for file in files]


def _can_travel(count_tokens: CountTokens) -> bool:
    try:
        pickle.dumps(count_tokens)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True
