"""An index in service that has nothing but a name, for tests of what is measured around it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

from rag.answer.answerer import Answerer
from rag.index.backend import IndexInfo
from rag.serve.live import LiveIndex


def named_index(index_id: str = "one") -> LiveIndex:
    """A live index whose status tells this name; it answers nothing."""
    info = IndexInfo(
        index_id=index_id,
        built_at="2026-01-31T00:00:00+00:00",
        encoder="keywords",
        encoder_fingerprint="f",
        documents=1,
        chunks=1,
    )
    return LiveIndex(cast("Answerer", SimpleNamespace(backend=SimpleNamespace(info=info))))


def rename(live: LiveIndex, index_id: str) -> None:
    """Let it serve a version of another name."""
    with live.lease() as answerer:
        backend = cast("SimpleNamespace", answerer.backend)
        backend.info = replace(backend.info, index_id=index_id)
