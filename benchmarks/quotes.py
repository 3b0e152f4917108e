"""Counts the chunks and sentences of whole indexes that keep the offset law, every one of them.

    .venv/bin/python benchmarks/quotes.py INDEX [INDEX ...]

A chunk keeps it when `document.text[start:end]` is its markdown and renders to its text; a sentence when
its slice of the document's text renders to its words alone, and these stand where it says in the passage.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from quoting import judged_sentences, lawful_chunk

from rag.corpus.document import Chunk
from rag.corpus.quotes import sentence_slices
from rag.index.local.finished import query
from rag.index.local.layout import CHUNKS, Layout
from rag.index.local.local_index import LocalIndex


def main() -> None:
    """Count every index named, and end with status 1 if one breaks the law."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("index", type=Path, nargs="+", help="index folders")
    parser.add_argument("--show", type=int, default=0, help="print so many of those that break the law")
    options = parser.parse_args()
    broken = sum([_counted(root, options.show) for root in options.index])
    sys.exit(1 if broken else 0)


def _counted(root: Path, show: int) -> int:
    """Print the counts of one index; returns how many break the law."""
    started = time.perf_counter()
    counts: Counter[str] = Counter()
    for text, chunk in _chunks(root):
        counts["chunks"] += 1
        counts["lawful chunks"] += lawful_chunk(text, chunk)
        counts["found"] += sum(1 for _ in sentence_slices(chunk.markdown, headings=False))
        for sentence, lawful in judged_sentences(text, chunk):
            counts["sentences"] += 1
            counts["lawful sentences"] += lawful
            if not lawful and (show := show - 1) >= 0:
                print(f"{chunk.chunk_id}: {sentence}")
    for kind in ("chunks", "sentences"):
        print(f"{root}: {counts[f'lawful {kind}']:,} of {counts[kind]:,} {kind} keep the law")
    print(
        f"{root}: {counts['found'] - counts['sentences']:,} of {counts['found']:,} sentences are not quoted, "
        f"since they do not stand in the passage as they render; {time.perf_counter() - started:.0f} s"
    )
    return sum(counts[kind] - counts[f"lawful {kind}"] for kind in ("chunks", "sentences"))


def _chunks(root: Path) -> Iterator[tuple[str, Chunk]]:
    """Every chunk with its document's text, withdrawn documents included."""
    rows = query(
        Layout(root).current_version() / CHUNKS,
        "SELECT doc_id, chunk_id FROM chunks JOIN documents USING (doc) ORDER BY doc, row",
    )
    with closing(LocalIndex.open(root)) as index:
        for doc_id, of_document in groupby(rows, key=lambda row: str(row[0])):
            text = index.document(doc_id).text
            for stored in index.chunks([chunk_id for _, chunk_id in of_document]):
                yield text, stored.chunk


if __name__ == "__main__":
    main()
