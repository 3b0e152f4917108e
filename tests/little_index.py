"""Indexes of a few short pages whose rankings a person can foresee."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from keyword_encoder import WORDS, KeywordEncoder

from rag.index.builder import build_index
from rag.index.local.local_index import LocalIndex


def page(body: str, **front_matter: str) -> str:
    """A document; keyword arguments are lines of its front matter."""
    lines = {"title": "Page"} | front_matter
    head = "\n".join(f"{key}: {value}" for key, value in lines.items())
    return f"---\n{head}\n---\n\n{body}\n"


def fillers(count: int = 30, *, body: str = "Nothing to see.") -> dict[str, str]:
    """Pages about other things, so that no subject of a test is in every fifth page."""
    return {f"z-{number:02}": page(f"{body} Zq{number}.", title=f"Zq{number}") for number in range(count)}


def little_index(folder: Path, pages: Mapping[str, str], words: Sequence[str] = WORDS) -> LocalIndex:
    """Build an index of `pages` (documents by doc_id) below `folder` with the KeywordEncoder; open it."""
    seeds = folder / "seeds"
    for doc_id, text in pages.items():
        file = seeds / f"{doc_id}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    build_index(seeds, folder / "index", KeywordEncoder(words))
    return LocalIndex.open(folder / "index")


def all_ids(index: LocalIndex) -> list[str]:
    """The ids of all active chunks, in order."""
    anywhere = np.eye(1, index.manifest.encoder["dim"], dtype=np.float32)[0]
    return sorted(hit.chunk_id for hit in index.search(anywhere, index.info.chunks))
