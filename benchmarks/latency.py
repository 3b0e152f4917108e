"""What lexical search, fusion, filters, demotions and copies add to a dense search, in milliseconds.

    .venv/bin/python benchmarks/latency.py

Builds an index of all real pages in small chunks (about 79,000) with vectors that cost nothing to make:
how long a search takes does not depend on what the vectors mean. Then asks the development questions,
each of them once dense only and once with everything, in turn. The first round meets cold caches.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from corpus import SHARED, unpack
from rich.console import Console

from rag.encoders.base import Encoder, Vectors, unit_rows
from rag.encoders.loading import load_encoder
from rag.index.builder import build_index
from rag.index.filters import NO_FILTERS, Filters
from rag.index.opening import open_index
from rag.index.plan import BuildOptions
from rag.progress import shown_progress
from rag.search.features import FEATURE_NAMES, Features
from rag.search.retriever import Retriever

_DENSE_ONLY = Features(**{name: name == "dense" for name in FEATURE_NAMES})
_FILTERS = {
    "no filter": NO_FILTERS,
    "audience=patient": Filters(audience=("patient",)),
    "cancer_types=lung": Filters(cancer_types=("lung",)),
    "cancer_types=thyroid": Filters(cancer_types=("thyroid",)),
}


class WordHashEncoder:
    """A text's vector is the sum of fixed random vectors of its words: cheap, and alike texts are near."""

    name = "word-hash"
    dim = 384

    def __init__(self, counter: Encoder) -> None:
        self.max_tokens = counter.max_tokens
        self.count_tokens = counter.count_tokens
        self.fingerprint = "word-hash"
        self._table = np.random.default_rng(0).standard_normal((4096, self.dim)).astype(np.float32)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """See `Encoder`."""
        return self.encode_documents(texts)

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """See `Encoder`."""
        rows = [
            self._table[
                [zlib.crc32(word.encode()) % 4096 for word in re.findall(r"\w+", text.lower())] or [0]
            ]
            for text in texts
        ]
        return unit_rows(np.stack([row.sum(axis=0) for row in rows]))


def main() -> None:
    """Build or open the index, time every question, print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--index", type=Path, help="an index folder to keep; built when empty")
    parser.add_argument("--max-tokens", type=int, default=174)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = options.index or Path(scratch) / "index"
        encoder = WordHashEncoder(load_encoder("bundled", cache=root / "encoders"))
        if not (root / "current").exists():
            with shown_progress(Console(stderr=True)) as on_progress:
                chosen = BuildOptions(max_tokens=options.max_tokens)
                build_index(unpack(Path(scratch)), root, encoder, options=chosen, on_progress=on_progress)
        _time(root, encoder, options.rounds)


def _time(root: Path, encoder: Encoder, rounds: int) -> None:
    backend = open_index(root, encoder=encoder).backend
    print(f"{backend.info.chunks:,} chunks")
    bare = Retriever(backend, encoder, features=_DENSE_ONLY)
    full = Retriever(backend, encoder)
    questions = [
        json.loads(line)["question"]
        for name in ("lay-dev", "pdq-dev")
        for line in (SHARED / "eval" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    bare.search(questions[0])
    for name, filters in _FILTERS.items():
        for number in range(1, rounds + 1):
            pairs = [
                (_milliseconds(bare, question, NO_FILTERS), _milliseconds(full, question, filters))
                for question in questions
            ]
            dense, whole = zip(*pairs, strict=True)
            added = [after - before for before, after in pairs]
            print(
                f"{name}, round {number}: dense {statistics.median(dense):.2f} ms, "
                f"everything {statistics.median(whole):.2f} ms, added {statistics.median(added):.2f} ms "
                f"(95 of 100 below {np.percentile(added, 95):.2f} ms)"
            )


def _milliseconds(retriever: Retriever, question: str, filters: Filters) -> float:
    """The time of a search without the encoder's."""
    timings = retriever.search(question, filters=filters).timings_ms
    return sum(timings.values()) - timings["encode"]


if __name__ == "__main__":
    main()
