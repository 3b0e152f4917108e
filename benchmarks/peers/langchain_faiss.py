"""LangChain: HuggingFaceEmbeddings and the FAISS vector store, behind FastAPI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langchain_community.vectorstores import FAISS
from langchain_community.vectorstores.utils import DistanceStrategy
from langchain_huggingface import HuggingFaceEmbeddings
from peer import BATCH, Passage, Vectors, found, main, serve_search

_STRATEGY = DistanceStrategy.MAX_INNER_PRODUCT


def load(model: str) -> Any:
    """The embeddings, normalised, in batches."""
    return HuggingFaceEmbeddings(
        model_name=model,
        model_kwargs={"device": "cpu"},
        encode_kwargs={"normalize_embeddings": True, "batch_size": BATCH},
    )


def index(encoder: Any, folder: Path, passages: list[Passage], vectors: Vectors | None) -> None:
    """`from_texts` where it is to encode, `from_embeddings` where the vectors are given."""
    texts = [passage.text for passage in passages]
    described = {
        "metadatas": [passage.metadata for passage in passages],
        "ids": [passage.chunk_id for passage in passages],
        "distance_strategy": _STRATEGY,
    }
    if vectors is None:
        store = FAISS.from_texts(texts, encoder, **described)
    else:
        pairs = zip(texts, vectors.tolist(), strict=True)
        store = FAISS.from_embeddings(pairs, encoder, **described)
    store.save_local(str(folder))


def serve(folder: Path, model: str, port: int) -> None:
    """The store is read whole; `similarity_search_with_score` answers."""
    store = FAISS.load_local(
        str(folder), load(model), allow_dangerous_deserialization=True, distance_strategy=_STRATEGY
    )

    def search(question: str, top_k: int) -> list[dict[str, Any]]:
        hits = store.similarity_search_with_score(question, k=top_k)
        return [found(document.page_content, document.metadata, score) for document, score in hits]

    serve_search(search, port)


if __name__ == "__main__":
    main(load, index, serve)
