"""The engines side by side on the same texts: interleaved rounds, medians, ratios.

    .venv/bin/python benchmarks/encoders.py

Questions are encoded one by one on one thread, passages in bulk on all cores.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from corpus import unpack

from rag.corpus.pipeline import ChunkedDocument, chunk_files
from rag.corpus.reader import find_files
from rag.encoders.base import Encoder
from rag.encoders.loading import load_encoder

QUESTIONS = (
    "What can I do about nausea after chemotherapy?",
    "Is it safe to take aspirin when my white blood cell count is low?",
    "how is small cell lung cancer treated",
    "my mouth hurts since radiation",
)


def main() -> None:
    """Print milliseconds a question and passages a second of both engines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--passages", type=int, default=256)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(scratch) / "encoders"
        engines: dict[str, Encoder] = {
            "ctranslate2": load_encoder("bundled", cache=cache),
            "torch": load_encoder("bundled", cache=cache, engine="torch"),
        }
        texts = _passages(unpack(Path(scratch)), engines["ctranslate2"], options.passages)
    ours, theirs = (engine.encode_documents(texts) for engine in engines.values())
    cosines = (ours * theirs).sum(axis=1)
    print(f"cosine of the two: mean {cosines.mean():.4f}, lowest {cosines.min():.4f}")
    questions: dict[str, list[float]] = {name: [] for name in engines}
    passages: dict[str, list[float]] = {name: [] for name in engines}
    cores = torch.get_num_threads()
    for _ in range(options.rounds):
        for name, engine in engines.items():
            torch.set_num_threads(1)
            questions[name] += [_seconds(partial(engine.encode_queries, [q])) for q in QUESTIONS * 5]
            torch.set_num_threads(cores)
            passages[name].append(_seconds(partial(engine.encode_documents, texts)))
    for name in engines:
        asked = statistics.median(questions[name]) * 1e3
        rate = len(texts) / statistics.median(passages[name])
        print(f"{name}: {asked:.1f} ms a question, {rate:.0f} passages a second")
    print(f"question, torch / ctranslate2: {_ratio(questions):.1f}")
    print(f"passages, torch / ctranslate2: {_ratio(passages):.1f}")


def _passages(pages: Path, encoder: Encoder, count: int) -> list[str]:
    outcomes = chunk_files(find_files(pages)[0][::20], encoder.count_tokens, max_tokens=256)
    texts = [
        chunk.embedded_text
        for found in outcomes
        if isinstance(found, ChunkedDocument)
        for chunk in found.chunks
    ]
    chosen = np.linspace(0, len(texts) - 1, count).astype(int)
    return [texts[place] for place in chosen]


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _ratio(seconds: dict[str, list[float]]) -> float:
    return statistics.median(seconds["torch"]) / statistics.median(seconds["ctranslate2"])


if __name__ == "__main__":
    main()
