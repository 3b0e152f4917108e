"""The usual sixty lines: sentence-transformers, a flat FAISS index, FastAPI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
from peer import BATCH, Passage, Vectors, main, read_passages, serve_search, write_passages
from sentence_transformers import SentenceTransformer

_VECTORS, _PASSAGES = "vectors.faiss", "passages.jsonl"


def load(model: str) -> Any:
    """The model itself."""
    return SentenceTransformer(model, device="cpu")


def index(encoder: Any, folder: Path, passages: list[Passage], vectors: Vectors | None) -> None:
    """All vectors in one flat index, all passages in one file."""
    if vectors is None:
        texts = [passage.text for passage in passages]
        vectors = encoder.encode(texts, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False)
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    faiss.write_index(flat, str(folder / _VECTORS))
    write_passages(folder / _PASSAGES, passages)


def serve(folder: Path, model: str, port: int) -> None:
    """Everything in memory; a question is encoded and compared with all vectors."""
    encoder = load(model)
    flat = faiss.read_index(str(folder / _VECTORS))
    passages = read_passages(folder / _PASSAGES)

    def search(question: str, top_k: int) -> list[dict[str, Any]]:
        vector = encoder.encode([question], normalize_embeddings=True, show_progress_bar=False)
        scores, rows = flat.search(vector, top_k)
        return [passages[row].found(score) for row, score in zip(rows[0], scores[0], strict=True)]

    serve_search(search, port)


if __name__ == "__main__":
    main(load, index, serve)
