"""Quality of retrieval on the development questions over the patient pages, as tables in Markdown.

    .venv/bin/python benchmarks/quality.py

Takes pages and questions from ../shared, builds an index (or takes one) and measures: the means, each
part of the search left out, and where the first relevant text stands. The same figures come from
`rag evaluate QUESTIONS --index DIR --ablation --misses 1` for any other questions and index.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from corpus import SHARED, patient_pages, unpack
from rich.console import Console

from rag.encoders.loading import load_encoder
from rag.evaluate.ablation import ablate
from rag.evaluate.ceiling import ceilings, chunks_of_index
from rag.evaluate.evaluate import evaluate
from rag.evaluate.measures import mean
from rag.evaluate.misses import find_misses
from rag.evaluate.questions import read_questions
from rag.evaluate.report import ablation_table, places_table
from rag.evaluate.system import make_system
from rag.index.builder import build_index
from rag.index.opening import OpenIndex, open_index
from rag.index.plan import BuildOptions
from rag.progress import shown_progress

_SHOWN = ("nDCG@10", "RR@10", "Success@1", "Success@5")


def main() -> None:
    """Build an index of the patient pages, or take one, and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--index", type=Path, help="an index folder to keep; built when empty")
    parser.add_argument("--all-pages", action="store_true", help="professional pages as well")
    parser.add_argument("--encoder", default="bundled")
    parser.add_argument("--engine", choices=("auto", "ctranslate2", "torch"), default="auto")
    parser.add_argument("--max-tokens", type=int, default=256)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = options.index or Path(scratch) / "index"
        if not (root / "current").exists():
            _build(Path(scratch), root, options)
        opened = open_index(root)
        print(f"{opened.backend.info.documents:,} documents, {opened.backend.info.chunks:,} chunks\n")
        for name in ("lay-dev", "pdq-dev"):
            _measure(opened, name)


def _build(scratch: Path, root: Path, options: argparse.Namespace) -> None:
    pages = unpack(scratch)
    if not options.all_pages:
        pages = patient_pages(pages, scratch / "patient")
    encoder = load_encoder(options.encoder, cache=root / "encoders", engine=options.engine)
    with shown_progress(Console(stderr=True)) as on_progress:
        chosen = BuildOptions(max_tokens=options.max_tokens)
        build_index(pages, root, encoder, options=chosen, on_progress=on_progress)


def _measure(opened: OpenIndex, name: str) -> None:
    questions = read_questions(SHARED / "eval" / f"{name}.jsonl")
    system = make_system(opened)
    chunks_of = chunks_of_index(opened.backend, dim=opened.encoder.dim)
    best = mean(ceilings(questions, chunks_of).values())
    print(f"## {name}, {len(questions)} questions, best nDCG@10 possible {best:.3f}\n")
    rows = ablate(lambda features: make_system(opened, features), questions, measures=_SHOWN)
    print(ablation_table(rows, _SHOWN).markdown() + "\n")
    evaluation = evaluate(system, questions, measures=_SHOWN)
    found = find_misses(system, questions, evaluation, measure=_SHOWN[0], chunks_of=chunks_of)
    print(places_table(found).markdown() + "\n")


if __name__ == "__main__":
    main()
