"""Quality of retrieval on the development questions over the patient pages.

    .venv/bin/python benchmarks/quality.py

Takes the questions and the scorer from ../shared/eval. Prints one line a set, and the best nDCG@10
that any ranking of these chunks could reach: the scorer credits a chunk with one judged text only, so
chunks that hold two of them cap the score.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import Any

from corpus import SHARED, patient_pages, unpack
from rich.console import Console

from rag.answer.answer import Answerer
from rag.encoders.loading import load_encoder
from rag.index.builder import build_index
from rag.index.local.layout import CHUNKS, Layout
from rag.index.opening import open_index
from rag.index.plan import BuildOptions
from rag.progress import shown_progress
from rag.search.retriever import Retriever


def main() -> None:
    """Build an index of the patient pages, or take one, and score it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--index", type=Path, help="an index folder to keep; built when empty")
    parser.add_argument("--encoder", default="bundled")
    parser.add_argument("--engine", choices=("auto", "ctranslate2", "torch"), default="auto")
    parser.add_argument("--max-tokens", type=int, default=256)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = options.index or Path(scratch) / "index"
        if not (root / "current").exists():
            _build(Path(scratch), root, options)
        opened = open_index(root)
        answerer = Answerer(Retriever(opened.backend, opened.encoder))
        scoring = _scoring()
        for name in ("lay-dev", "pdq-dev"):
            questions = scoring.load(SHARED / "eval" / f"{name}.jsonl")
            means = scoring.score(questions, _run(answerer, questions))
            print(name, " ".join(f"{measure} {value:.3f}" for measure, value in means.items()), end=" ")
            print(f"ceiling {_ceiling(root, questions, scoring):.3f}")


def _build(scratch: Path, root: Path, options: argparse.Namespace) -> None:
    pages = patient_pages(unpack(scratch), scratch / "patient")
    encoder = load_encoder(options.encoder, cache=root / "encoders", engine=options.engine)
    with shown_progress(Console(stderr=True)) as on_progress:
        chosen = BuildOptions(max_tokens=options.max_tokens)
        build_index(pages, root, encoder, options=chosen, on_progress=on_progress)


def _run(answerer: Answerer, questions: list[Any]) -> dict[str, list[dict[str, str]]]:
    return {
        question["query_id"]: [
            {"doc_id": passage.location.doc_id, "text": passage.text}
            for passage in answerer.ask(question["question"], top_k=10).passages
        ]
        for question in questions
    }


def _ceiling(root: Path, questions: list[Any], scoring: Any) -> float:
    """The mean nDCG@10 of a ranking that puts the chunks of the judged texts first, best grade first."""
    store = sqlite3.connect(Layout(root).current_version() / CHUNKS)
    texts = "SELECT chunk_id, c.text FROM chunks c JOIN documents USING (doc) WHERE doc_id = ? ORDER BY row"
    total = 0.0
    for question in questions:
        grades: dict[str, int] = {}
        for judged in question["relevant"]:
            wanted = scoring.shingles(judged["text"])
            for chunk_id, text in store.execute(texts, (judged["doc_id"],)):
                found = scoring.shingles(text)
                if len(found & wanted) >= 0.5 * max(1, min(len(found), len(wanted))):
                    grades[chunk_id] = max(grades.get(chunk_id, 0), judged["relevance"])
                    break
        ideal = sorted((judged["relevance"] for judged in question["relevant"]), reverse=True)
        total += _dcg(sorted(grades.values(), reverse=True)) / _dcg(ideal)
    return float(total / len(questions))


def _dcg(grades: list[int]) -> float:
    return sum((2.0**grade - 1) / math.log2(rank + 2) for rank, grade in enumerate(grades[:10]))


def _scoring() -> Any:
    spec = importlib.util.spec_from_file_location("scoring", SHARED / "eval" / "scoring.py")
    if spec is None or spec.loader is None:
        sys.exit(f"the scorer is not in {SHARED / 'eval'}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
