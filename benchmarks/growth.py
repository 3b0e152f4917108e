"""What an index costs as it grows: latency, recall, memory and build time at several sizes.

    .venv/bin/python benchmarks/growth.py --index NCI

`NCI` is an index folder of all NCI pages. Larger ones are made of it (`growing`): real texts again with a
tenth of the words gone, and vectors drawn from the neighbourhoods of the real ones. Every size is served
by two processes on one thread each; all sizes take turns, so that a busy machine is unfair to none.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

import faiss
import numpy as np
import psutil
from corpus import SHARED
from growing import grow, nearest_distances

from rag.encoders.base import Encoder, Vectors
from rag.encoders.loading import load_encoder
from rag.index.local.faiss_vectors import FaissVectors
from rag.index.local.layout import SHORT_CODES, VECTORS, Layout
from rag.index.local.local_index import LocalIndex
from rag.index.local.manifest import read_manifest
from rag.index.local.short_codes import ShortCodes
from rag.index.local.vector_plan import VectorPlan
from rag.search.retriever import Retriever

SIZES = (79_000, 300_000, 1_000_000)
POOL = 200
_STAGES = ("encode", "dense", "exact", "words", "retrieval")


# The medians of one round over all questions in milliseconds, the memory of the process in MiB, the recall.
Round = dict[str, float]


def main() -> None:
    """Make the indexes, let readers take turns over them, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--index", type=Path, required=True, help="an index folder of real pages")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--questions", type=Path, nargs="*", default=sorted((SHARED / "eval").glob("*.jsonl"))
    )
    parser.add_argument("--keep", type=Path, help="a folder for the indexes, made only where they lack")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    questions = [
        str(json.loads(line)["question"])
        for file in options.questions
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    if options.read:
        _serve_rounds(options.read, questions, options.index)
        return
    with tempfile.TemporaryDirectory() as scratch:
        _compare(options.index, options.keep or Path(scratch), options)


def _compare(root: Path, target: Path, options: argparse.Namespace) -> None:
    base = Layout(root).current_version()
    _print_distances("real", base)
    for size in options.sizes:
        if not (target / str(size) / "manifest.json").exists():
            seconds = grow(base, target / str(size), size)
            told = ", ".join(f"{stage} {spent:.1f} s" for stage, spent in seconds.items())
            print(f"{size:,} made: {told}", flush=True)
        _print_distances(f"{size:,}", target / str(size))
    rounds: dict[int, list[Round]] = {size: [] for size in options.sizes}
    command = [sys.executable, __file__, "--index", str(root), "--questions", *map(str, options.questions)]
    readers = {
        (size, number): _Reader([*command, "--read", str(target / str(size))])
        for size in options.sizes
        for number in (1, 2)
    }
    try:
        for _ in range(options.rounds):
            for (size, _), reader in readers.items():
                rounds[size].append(reader.round())
    finally:
        for reader in readers.values():
            reader.close()
    _print_table(rounds)


class _Reader:
    """A process that serves one index and goes over all questions when it is told to."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._words = cast("IO[str]", self._process.stdin)
        self._answers = cast("IO[str]", self._process.stdout)

    def round(self) -> Round:
        """Go over all questions once. Raises `ValueError` when the process has died."""
        self._words.write("go\n")
        self._words.flush()
        told: Round = json.loads(self._answers.readline())
        return told

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


class _Encoded:
    """An encoder that knows the vectors of all questions already."""

    def __init__(self, encoder: Encoder, questions: Sequence[str]) -> None:
        self.name, self.dim, self.fingerprint = encoder.name, encoder.dim, encoder.fingerprint
        self.max_tokens, self.count_tokens = encoder.max_tokens, encoder.count_tokens
        self.encode_documents = encoder.encode_documents
        self.encode_anew = encoder.encode_queries
        self._known = dict(zip(questions, encoder.encode_queries(list(questions)), strict=True))

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """See `Encoder`."""
        return np.stack([self._known[text] for text in texts])


def _serve_rounds(folder: Path, questions: Sequence[str], root: Path) -> None:
    """Answer every line on the input with the figures of a round."""
    faiss.omp_set_num_threads(1)
    encoder = _Encoded(load_encoder("bundled", cache=root / "encoders"), questions)
    index = LocalIndex.open_version(folder)
    retriever = Retriever(index, encoder)
    for question in questions:
        retriever.search(question)
    memory: dict[str, float] = {}
    for _ in sys.stdin:
        # Before anything else is opened for the comparison, and when the other process is there too.
        memory = memory or _memory()
        print(json.dumps({**_round(folder, index, retriever, encoder, questions), **memory}), flush=True)


def _memory() -> dict[str, float]:
    found = psutil.Process().memory_full_info()
    return {"rss": found.rss / 2**20, "pss": found.pss / 2**20}


def _round(
    folder: Path, index: LocalIndex, retriever: Retriever, encoder: _Encoded, questions: Sequence[str]
) -> dict[str, float]:
    exact, quick = _vectors(folder)
    spent: dict[str, list[float]] = {name: [] for name in _STAGES}
    shared = []
    for question, vector in zip(questions, encoder.encode_queries(questions), strict=True):
        found = retriever.search(question)
        spent["retrieval"].append(sum(found.timings_ms.values()) - found.timings_ms["encode"])
        spent["encode"].append(_milliseconds(partial(encoder.encode_anew, [question]))[0])
        spent["words"].append(_milliseconds(partial(index.match, found.terms, POOL))[0])
        took, (near, _) = _milliseconds(partial(quick.search, vector, POOL))
        spent["dense"].append(took)
        took, (nearest, _) = _milliseconds(partial(exact.search, vector, POOL))
        spent["exact"].append(took)
        shared.append(len(set(near[:10].tolist()) & set(nearest[:10].tolist())) / 10)
    return {name: float(np.median(values)) for name, values in spent.items()} | {
        "recall": float(np.mean(shared))
    }


def _vectors(folder: Path) -> tuple[FaissVectors, FaissVectors]:
    """The vectors of a version, searched exactly and as its manifest says."""
    exact = FaissVectors.read(folder / VECTORS)
    plan = VectorPlan.recorded(read_manifest(folder).vectors)
    if plan.kind == "exact":
        return exact, exact
    return exact, exact.found_by(ShortCodes.read(folder / SHORT_CODES, plan))


def _milliseconds(search: Callable[[], Any]) -> tuple[float, Any]:
    """How long a search takes, and what it finds."""
    started = time.perf_counter()
    found = search()
    return (time.perf_counter() - started) * 1e3, found


def _print_distances(name: str, folder: Path) -> None:
    told = " ".join(f"{one:.3f}" for one in nearest_distances(FaissVectors.read(folder / VECTORS)))
    print(f"{name}: distance to the nearest vector, percentiles 5 25 50 75 95: {told}", flush=True)


def _print_table(rounds: dict[int, list[Round]]) -> None:
    """The best round's latencies; memory and recall are the same in all. Ratios to the first size."""
    titles = ("passages", *(f"{stage}, ms" for stage in _STAGES), "ratio", "with encoder", "recall@10")
    print(f"| {' | '.join((*titles, 'RSS, MiB', 'PSS, MiB'))} |\n{'|---' * (len(titles) + 2)}|")
    fastest: list[dict[str, float]] = []
    for size, told in rounds.items():
        best: dict[str, float] = {stage: min(one[stage] for one in told) for stage in _STAGES}
        fastest.append(best)
        first = fastest[0]
        ratio = best["retrieval"] / first["retrieval"]
        # The encoder does not know how large an index is: one figure for all.
        whole = (first["encode"] + best["retrieval"]) / (first["encode"] + first["retrieval"])
        cells = [f"{size:,}", *(f"{best[stage]:.2f}" for stage in _STAGES), f"{ratio:.2f}", f"{whole:.2f}"]
        last = told[-1]
        print(f"| {' | '.join(cells)} | {last['recall']:.4f} | {last['rss']:,.0f} | {last['pss']:,.0f} |")


if __name__ == "__main__":
    main()
