"""Whether speed was bought with wrong neighbours: overlap with exact search, and nDCG@10."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from exporting import Corpus
from peer import Vectors

from rag.encoders.base import Encoder

TOP = 5
# Scores nearer than this are equal: float32 sums differ with their order.
_EQUAL = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Exact:
    """What exact float32 search finds for one question.

    `certain` are the ids that belong to the first `k` by all means, `level` those that score as the last of
    them does: the same words stand on many pages, and any of those is right.
    """

    certain: frozenset[str]
    level: frozenset[str]
    k: int

    def share(self, ids: Sequence[str]) -> float:
        """Which share of the first `k` of these ids is right; a missing id is wrong."""
        found = set(ids[: self.k])
        right = len(found & self.certain) + min(len(found & self.level), self.k - len(self.certain))
        return right / self.k


def exact_search(corpus: Corpus, vectors: Vectors, k: int = TOP) -> list[Exact]:
    """Compare every question ([m, dim], unit length) with every passage; at least `k` passages."""
    ids = [passage.chunk_id for passage in corpus.passages]
    return [_exact(ids, corpus.vectors @ vector, k) for vector in vectors]


def _exact(ids: Sequence[str], scores: Vectors, k: int) -> Exact:
    last = np.partition(scores, -k)[-k]
    return Exact(
        certain=frozenset(ids[row] for row in np.flatnonzero(scores > last + _EQUAL).tolist()),
        level=frozenset(ids[row] for row in np.flatnonzero(np.abs(scores - last) <= _EQUAL).tolist()),
        k=k,
    )


def overlap(exact: Sequence[Exact], found: Sequence[Sequence[str]]) -> float:
    """The share of right ids, mean over all questions."""
    return float(np.mean([truth.share(ids) for truth, ids in zip(exact, found, strict=True)]))


def dense_ids(root: Path, encoder: Encoder, questions: Sequence[str], k: int = TOP) -> list[list[str]]:
    """What the dense half of Citewell finds alone: its own vectors, its own codes."""
    from rag.index.opening import open_index

    backend = open_index(root, encoder=encoder).backend
    vectors = encoder.encode_queries(questions)
    return [[hit.chunk_id for hit in backend.search(vector, k)] for vector in vectors]


def score(
    scoring: Path, questions: Sequence[Mapping[str, Any]], found: Sequence[Sequence[str]], corpus: Corpus
) -> dict[str, float]:
    """nDCG@10 and its companions by the scorer of the development questions."""
    judge = _module(scoring)
    documents = {passage.chunk_id: passage.doc_id for passage in corpus.passages}
    run = {
        question["query_id"]: [{"doc_id": documents[chunk], "text": corpus.texts[chunk]} for chunk in ids]
        for question, ids in zip(questions, found, strict=True)
    }
    measures: dict[str, float] = judge.score(questions, run)
    return measures


def _module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("scoring", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"{path} is no Python module; --eval names the folder of the questions")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
