"""Quality of retrieval on the development questions over the patient pages.

    .venv/bin/python benchmarks/quality.py

Takes the questions and the scorer from ../shared/eval. Prints one line a set.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from pathlib import Path
from typing import Any

from corpus import SHARED, patient_pages, unpack
from rich.console import Console

from rag.answer.answer import Answerer
from rag.encoders.loading import load_encoder
from rag.index.builder import build_index
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
            print(name, " ".join(f"{measure} {value:.3f}" for measure, value in means.items()))


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


def _scoring() -> Any:
    spec = importlib.util.spec_from_file_location("scoring", SHARED / "eval" / "scoring.py")
    if spec is None or spec.loader is None:
        sys.exit(f"the scorer is not in {SHARED / 'eval'}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
