"""Haystack: the in-memory document store and its embedding retriever, behind FastAPI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack_pipelines import load, searching, write
from peer import Passage, Vectors, main, serve_search

_FILE = "store.json"


def index(encoder: Any, folder: Path, passages: list[Passage], vectors: Vectors | None) -> None:
    """Write to the store and save it."""
    store = InMemoryDocumentStore(embedding_similarity_function="dot_product")
    write(encoder, store, passages, vectors)
    store.save_to_disk(str(folder / _FILE))


def serve(folder: Path, model: str, port: int) -> None:
    """The store is loaded whole."""
    store = InMemoryDocumentStore.load_from_disk(str(folder / _FILE))
    serve_search(searching(InMemoryEmbeddingRetriever(document_store=store), model), port)


if __name__ == "__main__":
    main(load, index, serve)
