"""Citewell: answers a patient's question with the passages that answer it, each cited exactly.

    import rag

    encoder = rag.load_encoder("bundled", cache="index/encoders")
    rag.build_index("seeds", "index", encoder)
    answer = rag.Answerer.open("index").ask("What can I do about nausea?")

Names are loaded when they are first used, so importing `rag` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag.answer.answer import Answer
    from rag.answer.answerer import Answerer
    from rag.config import Settings, load_settings
    from rag.corpus.chunker import Chunker
    from rag.corpus.reader import read_documents
    from rag.encoders.loading import load_encoder
    from rag.errors import CitewellError
    from rag.index.builder import build_index
    from rag.index.filters import Filters
    from rag.index.opening import open_index
    from rag.index.plan import BuildOptions
    from rag.search.retriever import Retriever

_HOMES = {
    "Answer": "rag.answer.answer",
    "Answerer": "rag.answer.answerer",
    "BuildOptions": "rag.index.plan",
    "Chunker": "rag.corpus.chunker",
    "CitewellError": "rag.errors",
    "Filters": "rag.index.filters",
    "Retriever": "rag.search.retriever",
    "Settings": "rag.config",
    "build_index": "rag.index.builder",
    "load_encoder": "rag.encoders.loading",
    "load_settings": "rag.config",
    "open_index": "rag.index.opening",
    "read_documents": "rag.corpus.reader",
}

__all__ = [
    "Answer",
    "Answerer",
    "BuildOptions",
    "Chunker",
    "CitewellError",
    "Filters",
    "Retriever",
    "Settings",
    "build_index",
    "load_encoder",
    "load_settings",
    "open_index",
    "read_documents",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'rag' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
