"""LlamaIndex: VectorStoreIndex over a FaissVectorStore, behind FastAPI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
from llama_index.core import StorageContext, VectorStoreIndex, load_index_from_storage
from llama_index.core.schema import TextNode
from llama_index.embeddings.huggingface import HuggingFaceEmbedding
from llama_index.vector_stores.faiss import FaissVectorStore
from peer import BATCH, Passage, Vectors, found, main, serve_search

_DIM = 384


def load(model: str) -> Any:
    """The embedding model; its own default of 10 texts a batch is slower."""
    return HuggingFaceEmbedding(model_name=model, device="cpu", embed_batch_size=BATCH)


def index(encoder: Any, folder: Path, passages: list[Passage], vectors: Vectors | None) -> None:
    """One node a passage; a node that has its embedding already is not encoded."""
    store = FaissVectorStore(faiss_index=faiss.IndexFlatIP(_DIM))
    nodes = [_node(passage) for passage in passages]
    if vectors is not None:
        for node, vector in zip(nodes, vectors.tolist(), strict=True):
            node.embedding = vector
    built = VectorStoreIndex(
        nodes, storage_context=StorageContext.from_defaults(vector_store=store), embed_model=encoder
    )
    built.storage_context.persist(persist_dir=str(folder))


def _node(passage: Passage) -> Any:
    metadata = passage.metadata
    # Metadata would be put before the text that is encoded, where the title stands already.
    return TextNode(
        id_=passage.chunk_id,
        text=passage.text,
        metadata=metadata,
        excluded_embed_metadata_keys=list(metadata),
    )


def serve(folder: Path, model: str, port: int) -> None:
    """The index is loaded from storage; a retriever answers, no language model is asked."""
    storage = StorageContext.from_defaults(
        vector_store=FaissVectorStore.from_persist_dir(str(folder)), persist_dir=str(folder)
    )
    loaded = load_index_from_storage(storage, embed_model=load(model))
    retrievers = {top_k: loaded.as_retriever(similarity_top_k=top_k) for top_k in (5, 10)}

    def search(question: str, top_k: int) -> list[dict[str, Any]]:
        hits = retrievers[top_k].retrieve(question)
        return [found(hit.node.text, hit.node.metadata, hit.score) for hit in hits]

    serve_search(search, port)


if __name__ == "__main__":
    main(load, index, serve)
