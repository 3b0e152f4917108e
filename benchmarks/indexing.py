"""Indexing the real pages: rate against the encoder's own, peak memory, what was read and refused.

    .venv/bin/python benchmarks/indexing.py

Builds the index, then encodes the same texts again with nothing else to do, in one run. A text that stands
in many places is encoded once by either, and counted once.
`--every 8 --rounds 5` compares on every eighth page, five times in turn.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path

from corpus import unpack
from rich.console import Console

from rag.encoders.base import Encoder
from rag.encoders.loading import load_encoder
from rag.index.builder import build_index
from rag.index.encoding import AT_ONCE
from rag.index.local.finished import embedded_texts, text_keys
from rag.index.local.layout import CHUNKS
from rag.index.plan import BuildOptions, BuildReport
from rag.progress import shown_progress


def main() -> None:
    """Build and encode alone in turn, and print both rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="take every N-th page only")
    parser.add_argument("--rounds", type=int, default=1, help="rounds of building, then encoding alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        pages = _some_pages(Path(scratch), options.every)
        root = Path(scratch) / "index"
        encoder = load_encoder("bundled", cache=root / "encoders")
        ratios = []
        for number in range(options.rounds):
            report, build = _build(pages, root, encoder)
            if number == 0:
                _tell(report, pages)
            alone = _encode(report, encoder)
            ratios.append(alone / build)
            rates = [report.encoded / seconds for seconds in (build, alone)]
            stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in report.seconds.items())
            print(f"build {build:.1f} s ({stages}): {rates[0]:.1f} texts/s; alone {rates[1]:.1f} texts/s")
    print(f"rate of the build / rate of the encoder, median: {statistics.median(ratios):.3f}")


def _some_pages(scratch: Path, every: int) -> Path:
    pages = unpack(scratch)
    for place, page in enumerate(sorted(pages.rglob("*.md"))):
        if place % every:
            page.unlink()
    return pages


def _build(pages: Path, root: Path, encoder: Encoder) -> tuple[BuildReport, float]:
    started = time.perf_counter()
    with shown_progress(Console(stderr=True)) as on_progress:
        report = build_index(
            pages, root, encoder, options=BuildOptions(rebuild=True), on_progress=on_progress
        )
    return report, time.perf_counter() - started


def _encode(report: BuildReport, encoder: Encoder) -> float:
    """Seconds to encode the same texts with nothing else to do."""
    chunks = report.folder / CHUNKS
    first: dict[bytes, int] = {}
    for row, key in enumerate(text_keys(chunks)):
        first.setdefault(key, row)
    batches = list(embedded_texts(chunks, list(first.values()), AT_ONCE))
    started = time.perf_counter()
    for texts in batches:
        encoder.encode_documents(texts)
    return time.perf_counter() - started


def _tell(report: BuildReport, pages: Path) -> None:
    counts = report.manifest.counts
    for problem in report.problems:
        print(f"refused: {problem.path.relative_to(pages)}:{problem.line}: {problem.reason}")
    for doc_id in report.empty:
        print(f"no passage: {doc_id}")
    print(
        f"{counts['documents']} documents, {counts['chunks']} chunks, {report.encoded} texts to encode, "
        f"{report.manifest.encoder['engine']}"
    )
    _peak_memory()


def _peak_memory() -> None:
    own, children = (
        resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(f"peak memory: {own:.0f} MB, the largest of its worker processes {children:.0f} MB")


if __name__ == "__main__":
    main()
