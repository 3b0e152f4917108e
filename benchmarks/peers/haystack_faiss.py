"""Haystack: the FAISS document store and its embedding retriever, behind FastAPI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from haystack_integrations.components.retrievers.faiss import FAISSEmbeddingRetriever
from haystack_integrations.document_stores.faiss import FAISSDocumentStore
from haystack_pipelines import load, searching, write
from peer import Passage, Vectors, main, serve_search

_DIM, _NAME = 384, "store"


def index(encoder: Any, folder: Path, passages: list[Passage], vectors: Vectors | None) -> None:
    """Write to the store and save it. The index is flat, by distance: the same order for unit vectors."""
    store = FAISSDocumentStore(index_string="Flat", embedding_dim=_DIM)
    write(encoder, store, passages, vectors)
    store.save(folder / _NAME)


def serve(folder: Path, model: str, port: int) -> None:
    """The store is loaded whole."""
    store = FAISSDocumentStore(index_path=str(folder / _NAME), index_string="Flat", embedding_dim=_DIM)
    serve_search(searching(FAISSEmbeddingRetriever(document_store=store), model), port)


if __name__ == "__main__":
    main(load, index, serve)
