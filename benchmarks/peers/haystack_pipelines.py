"""What both Haystack peers share: an indexing pipeline, a query pipeline, documents."""

from __future__ import annotations

from typing import Any

from haystack import Document, Pipeline
from haystack.components.writers import DocumentWriter
from haystack.utils import ComponentDevice
from haystack_integrations.components.embedders.sentence_transformers import (
    SentenceTransformersDocumentEmbedder,
    SentenceTransformersTextEmbedder,
)
from peer import BATCH, Passage, Search, Vectors, found


def load(model: str) -> Any:
    """The embedder of documents, its model loaded."""
    embedder = SentenceTransformersDocumentEmbedder(
        model=model,
        device=ComponentDevice.from_str("cpu"),
        batch_size=BATCH,
        progress_bar=False,
        normalize_embeddings=True,
    )
    embedder.warm_up()
    return embedder


def write(encoder: Any, store: Any, passages: list[Passage], vectors: Vectors | None) -> None:
    """Embed and write, or only write what has its embedding already."""
    documents = [
        Document(id=passage.chunk_id, content=passage.text, meta=passage.metadata) for passage in passages
    ]
    if vectors is not None:
        for document, vector in zip(documents, vectors.tolist(), strict=True):
            document.embedding = vector
        store.write_documents(documents)
        return
    pipeline = Pipeline()
    pipeline.add_component("embedder", encoder)
    pipeline.add_component("writer", DocumentWriter(document_store=store))
    pipeline.connect("embedder.documents", "writer.documents")
    pipeline.run({"embedder": {"documents": documents}})


def searching(retriever: Any, model: str) -> Search:
    """The query pipeline: text embedder, then retriever."""
    embedder = SentenceTransformersTextEmbedder(
        model=model, device=ComponentDevice.from_str("cpu"), progress_bar=False, normalize_embeddings=True
    )
    pipeline = Pipeline()
    pipeline.add_component("embedder", embedder)
    pipeline.add_component("retriever", retriever)
    pipeline.connect("embedder.embedding", "retriever.query_embedding")
    pipeline.warm_up()

    def search(question: str, top_k: int) -> list[dict[str, Any]]:
        answer = pipeline.run({"embedder": {"text": question}, "retriever": {"top_k": top_k}})
        return [
            found(document.content, document.meta, document.score)
            for document in answer["retriever"]["documents"]
        ]

    return search
