"""Indexing the real pages: rate against the encoder's own, peak memory, what was read and refused.

    .venv/bin/python benchmarks/indexing.py

Builds the index, then encodes the same texts again with nothing else to do, in one run. Takes about
twice as long as one build; `--every 10` takes every tenth page for a quick look.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from corpus import unpack
from rich.console import Console

from rag.encoders.loading import load_encoder
from rag.index.builder import build_index
from rag.index.local.layout import CHUNKS
from rag.index.local.store import embedded_texts
from rag.progress import shown_progress


def main() -> None:
    """Build, then encode alone, and print both rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="take every N-th page only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        pages = unpack(Path(scratch))
        for place, page in enumerate(sorted(pages.rglob("*.md"))):
            if place % options.every:
                page.unlink()
        root = Path(scratch) / "index"
        encoder = load_encoder("bundled", cache=root / "encoders")
        started = time.perf_counter()
        with shown_progress(Console(stderr=True)) as on_progress:
            report = build_index(pages, root, encoder, on_progress=on_progress)
        build = time.perf_counter() - started
        counts = report.manifest.counts
        for problem in report.problems:
            print(f"refused: {problem.path.relative_to(pages)}:{problem.line}: {problem.reason}")
        for doc_id in report.empty:
            print(f"no passage: {doc_id}")
        _peak_memory()

        texts = [text for batch in embedded_texts(report.folder / CHUNKS, 512) for text in batch]
        started = time.perf_counter()
        for start in range(0, len(texts), 512):
            encoder.encode_documents(texts[start : start + 512])
        alone = time.perf_counter() - started
    print(f"{counts['documents']} documents, {counts['chunks']} chunks, {report.manifest.encoder['engine']}")
    print(f"build {build:.1f} s ({', '.join(f'{k} {v:.1f} s' for k, v in report.seconds.items())})")
    rates = (counts["chunks"] / build, counts["chunks"] / alone)
    print(f"build {rates[0]:.1f} chunks/s, encoder alone {rates[1]:.1f} chunks/s")
    print(f"rate of the build / rate of the encoder: {alone / build:.3f}")


def _peak_memory() -> None:
    own, children = (
        resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(f"peak memory: {own:.0f} MB, the largest of its worker processes {children:.0f} MB")


if __name__ == "__main__":
    main()
