"""Digests by which a chunk, its text and its document are known again in another version."""

from __future__ import annotations

import hashlib

from rag.corpus.document import embedded_text


def text_key(context: str, text: str) -> bytes:
    """16 bytes over what an encoder gets to see: equal keys have equal vectors."""
    return _digest(embedded_text(context, text), 16)


def word_key(an_id: str) -> int:
    """63 bits that stand for a chunk or document in the lexical index, whatever its row."""
    return int.from_bytes(_digest(an_id, 8), "big") >> 1


def bucket_of(doc_id: str, buckets: int) -> int:
    """In which of the parts of the lexical index a document stands."""
    return int.from_bytes(_digest(doc_id, 8), "big") % buckets


def _digest(text: str, size: int) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()
