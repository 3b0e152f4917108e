"""What the programs of the peers have in common: their two commands, their passages, their front door.

Runs in each peer's own environment: nothing is imported but the standard library, NumPy and FastAPI.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A chunk as every peer gets it; `text` is what is encoded, title and headings first."""

    chunk_id: str
    doc_id: str
    title: str
    url: str
    text: str

    @property
    def metadata(self) -> dict[str, str]:
        """All but the text."""
        return {
            "chunk_id": self.chunk_id,
            "doc_id": self.doc_id,
            "title": self.title,
            "url": self.url,
        }

    def found(self, score: float) -> dict[str, Any]:
        """The passage as an answer shows it."""
        return found(self.text, self.metadata, score)


def found(text: str, metadata: dict[str, Any], score: float) -> dict[str, Any]:
    """One passage of an answer."""
    return {"score": float(score), "text": text, "metadata": metadata}


# A question and how many passages: the passages, best first.
Search = Callable[[str, int], list[dict[str, Any]]]
# Loads what turns texts into vectors, given the model's folder.
Load = Callable[[str], Any]
# Encodes the passages unless their vectors are given, and keeps everything in a folder.
Index = Callable[[Any, Path, list[Passage], Vectors | None], None]
# Serves a folder with the model on a port until it is told to stop.
Serve = Callable[[Path, str, int], None]


def main(load: Load, index: Index, serve: Serve) -> None:
    """`build FOLDER CHUNKS [--vectors FILE]` or `serve FOLDER --port PORT`.

    Building prints how many passages it took and how many seconds, loading the model not included.
    """
    options = _options()
    if options.command == "serve":
        serve(options.folder, options.model, options.port)
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    passages = read_passages(options.chunks)
    vectors = np.load(options.vectors) if options.vectors else None
    encoder = load(options.model)
    started = time.perf_counter()
    index(encoder, options.folder, passages, vectors)
    json.dump({"passages": len(passages), "seconds": time.perf_counter() - started}, sys.stdout)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="One of the peers of Citewell.")
    parser.add_argument("--model", required=True, help="folder of the sentence-transformers model")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build")
    build.add_argument("folder", type=Path)
    build.add_argument("chunks", type=Path, help="JSON lines, a passage each")
    build.add_argument("--vectors", type=Path, help=".npy [n, dim]; without it the passages are encoded")
    serve = commands.add_parser("serve")
    serve.add_argument("folder", type=Path)
    serve.add_argument("--port", type=int, required=True)
    return parser.parse_args()


def read_passages(path: Path) -> list[Passage]:
    """The passages of a file of JSON lines."""
    with path.open(encoding="utf-8") as lines:
        return [Passage(**json.loads(line)) for line in lines]


def write_passages(path: Path, passages: list[Passage]) -> None:
    """Write what `read_passages` reads."""
    with path.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(asdict(passage), ensure_ascii=False) + "\n" for passage in passages)


def serve_search(search: Search, port: int) -> None:
    """`POST /ask` behind FastAPI and uvicorn, on a thread of FastAPI's pool as its documentation advises."""
    import uvicorn
    from fastapi import FastAPI

    app = FastAPI()

    @app.post("/ask")
    def ask(asked: dict[str, Any]) -> dict[str, Any]:
        return {"passages": search(asked["question"], asked["top_k"])}

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)
