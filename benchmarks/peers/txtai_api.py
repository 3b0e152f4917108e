"""txtai: an embeddings index with content, behind its own API."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from peer import BATCH, Passage, Vectors, main
from txtai import Embeddings

_BATCH = 1024


def load(model: str) -> Any:
    """An empty index with the model loaded; content on, so that texts are stored and returned."""
    return Embeddings({"path": model, "content": True, "gpu": False, "encodebatch": BATCH, "batch": _BATCH})


def index(encoder: Any, folder: Path, passages: list[Passage], vectors: Vectors | None) -> None:
    """Index and save; vectors that are given go in as a checkpoint, which txtai takes up."""
    checkpoint = None if vectors is None else _checkpoint(encoder, folder, vectors)
    rows = ((passage.chunk_id, passage.metadata | {"text": passage.text}, None) for passage in passages)
    encoder.index(rows, checkpoint=checkpoint)
    encoder.save(str(folder / "index"))


def _checkpoint(encoder: Any, folder: Path, vectors: Vectors) -> str:
    place = folder / "checkpoint"
    place.mkdir(exist_ok=True)
    with (place / encoder.model.vectorsid()).open("wb") as file:
        for start in range(0, len(vectors), _BATCH):
            np.save(file, vectors[start : start + _BATCH])
    return str(place)


def serve(folder: Path, model: str, port: int) -> None:
    """`uvicorn txtai.api:app` over the saved index; naming `embeddings` opens its routes."""
    config = folder / "api.yml"
    lines = f"path: {folder / 'index'}\nwritable: false\nembeddings:\n  path: {model}\n"
    config.write_text(lines, encoding="utf-8")
    program = [sys.executable, "-m", "uvicorn", "txtai.api:app", "--host", "127.0.0.1", "--port", str(port)]
    quiet = ["--log-level", "warning", "--no-access-log"]
    os.execve(sys.executable, [*program, *quiet], os.environ | {"CONFIG": str(config)})  # noqa: S606


if __name__ == "__main__":
    main(load, index, serve)
