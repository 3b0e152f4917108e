"""Broken front matter and markdown for ten minutes: no crash, no hang, no growing memory, no wrong offset.

    .venv/bin/python benchmarks/fuzzing.py --minutes 10

Takes the sample documents and damages them at random: bytes are flipped, cut, repeated and moved, pieces of
YAML and markdown that are hard to read are put in, two documents are joined. Each result is read, chunked
and cut into sentences, as `rag index` does. Allowed are a document and `UnreadableDocument`;
anything else is written to `--keep` with the seed that makes it again. A text that takes longer than 20 ms
for each of its KB (and 5 s at least) counts as a hang. Exit status 1 when something was found.
"""

from __future__ import annotations

import argparse
import faulthandler
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import psutil

from rag.corpus.chunker import Chunker
from rag.corpus.quotes import sentences_of
from rag.corpus.reader import parse_document
from rag.errors import UnreadableDocument

_SEEDS = Path(__file__).resolve().parent.parent / "seeds"
_SECONDS_AT_LEAST = 5.0
_SECONDS_A_BYTE = 20e-6
# What stands still this long is ended with a trace of where it stood.
_HANG_SECONDS = 60
_LARGEST = 400_000
_GROWTH = 0.03
_T = TypeVar("_T")
_HARD = (
    *(
        "---\n",
        "\n---\n",
        "--- |\n",
        "&a *a ",
        "*b",
        "<<: *a\n",
        "!!python/object:os.system ",
        "? [a]\n: 1\n",
    ),
    *("last_reviewed: 2024-02-30\n", "url: [1, {2: 3}]\n", "title:\n", "title: 1e999\n", "tags: {a: [b]}\n"),
    *("\t", "\r", "\r\n", "\x00", "\ufeff", "\u2028", "\u202e", "\u200b", "\ud7ff", "é", "â€™", "𝔘", "\x85"),
    *(
        "# ",
        "####### ",
        "\n===\n",
        "\n- - - a\n",
        "> > > ",
        "1) ",
        "    ",
        "```\n",
        "~~~~\n",
        "***",
        "__",
        "*_*",
    ),
    *(
        "[",
        "](",
        "![",
        "[a](b 'c",
        "[[1](#a)]",
        "<a href='",
        "<!--",
        "-->",
        "<script>",
        "</b>",
        "&amp;",
        "&#0;",
    ),
    *(
        "| a | b |\n|---|---|\n",
        "\\",
        "`",
        "``",
        "$",
        "{",
        "}",
        ": ",
        " #",
        "%",
        "\n\n\n",
        "Dr. ",
        "e.g. ",
        "5.5. ",
    ),
)


@dataclass(slots=True)
class Tally:
    """What became of the texts."""

    read: int = 0
    refused: int = 0
    chunks: int = 0
    slowest: float = 0.0
    memory: list[int] = field(default_factory=list)
    found: list[str] = field(default_factory=list)


def damaged(texts: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """One of the texts after a few random accidents."""
    text = _any(texts, rng)
    for _ in range(int(rng.integers(1, 12))):
        text = _any(_ACCIDENTS, rng)(text, texts, rng)
    return text[:_LARGEST]


def _any(choices: Sequence[_T], rng: np.random.Generator) -> _T:
    return choices[int(rng.integers(len(choices)))]


def _place(text: bytes, rng: np.random.Generator) -> int:
    """Anywhere, and as often as not in the front matter."""
    return int(rng.integers(0, min(len(text), 600) + 1 if rng.random() < 0.5 else len(text) + 1))


def _hard(text: bytes, _: Sequence[bytes], rng: np.random.Generator) -> bytes:
    at, piece = _place(text, rng), _any(_HARD, rng).encode("utf-8", "surrogatepass")
    times = int(rng.choice([1, 1, 2, 3, 50, 2_000]))
    return text[:at] + piece * times + text[at:]


def _flipped(text: bytes, _: Sequence[bytes], rng: np.random.Generator) -> bytes:
    if not text:
        return text
    at = min(_place(text, rng), len(text) - 1)
    return text[:at] + bytes([text[at] ^ (1 << int(rng.integers(8)))]) + text[at + 1 :]


def _cut(text: bytes, _: Sequence[bytes], rng: np.random.Generator) -> bytes:
    at = _place(text, rng)
    return text[:at] + text[at + int(rng.choice([1, 2, 10, 100, 10_000])) :]


def _moved(text: bytes, _: Sequence[bytes], rng: np.random.Generator) -> bytes:
    here, there, length = _place(text, rng), _place(text, rng), int(rng.choice([1, 5, 50, 500]))
    return text[:there] + text[here : here + length] + text[there:]


def _joined(text: bytes, texts: Sequence[bytes], rng: np.random.Generator) -> bytes:
    other = _any(texts, rng)
    return text[: _place(text, rng)] + other[_place(other, rng) :]


_ACCIDENTS: tuple[Callable[[bytes, Sequence[bytes], np.random.Generator], bytes], ...] = (
    *(_hard, _hard, _hard, _flipped, _cut, _moved),
    _joined,
)


def count_words(texts: Sequence[str]) -> list[int]:
    """In place of the tokenizer: here the time goes to the texts."""
    return [len(text.split()) for text in texts]


class WrongOffset(Exception):
    """Something does not stand where it says."""


def put_to_test(data: bytes, tally: Tally) -> None:
    """Read, chunk and cut one text. Raises `WrongOffset`, and whatever goes wrong."""
    try:
        document = parse_document(data, doc_id="fuzzed")
    except UnreadableDocument:
        tally.refused += 1
        return
    tally.read += 1
    for chunk in Chunker(count_words).chunk(document):
        tally.chunks += 1
        if document.text[chunk.start : chunk.end] != chunk.markdown:
            raise WrongOffset("a chunk is no slice of its document")
        for sentence in sentences_of(chunk.markdown, chunk.text):
            if chunk.text[sentence.text_start : sentence.text_end] != sentence.text:
                raise WrongOffset("a sentence does not stand in its chunk")


def fuzz(seconds: float, seed: int, keep: Path | None, tell: Callable[[str], None]) -> Tally:
    """Damage and test for so many seconds."""
    texts = [path.read_bytes() for path in sorted(_SEEDS.rglob("*.md"))]
    tally, end, number = Tally(), time.monotonic() + seconds, 0
    told = time.monotonic()
    while time.monotonic() < end:
        rng = np.random.default_rng([seed, number])
        data = damaged(texts, rng)
        faulthandler.dump_traceback_later(_HANG_SECONDS, exit=True)
        began = time.process_time()
        try:
            put_to_test(data, tally)
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            _note(f"{type(error).__name__}: {error}", data, number, tally, keep)
        took = time.process_time() - began
        faulthandler.cancel_dump_traceback_later()
        tally.slowest = max(tally.slowest, took)
        if took > max(_SECONDS_AT_LEAST, _SECONDS_A_BYTE * len(data)):
            _note(f"{took:.1f} s for {len(data):,} bytes", data, number, tally, keep)
        number += 1
        if time.monotonic() - told > 10:
            told = time.monotonic()
            size = psutil.Process().memory_info().rss / 2**20
            tell(
                f"{number:,} texts, {len(tally.found)} findings, slowest {tally.slowest:.2f} s, {size:.0f} MB"
            )
    return tally


def _note(what: str, data: bytes, number: int, tally: Tally, keep: Path | None) -> None:
    tally.found.append(f"text {number}: {what[:200]}")
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"{number}.md").write_bytes(data)


def main() -> None:
    """Fuzz and say what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for texts that show a fault")
    options = parser.parse_args()
    tally = fuzz(60 * options.minutes, options.seed, options.keep, print)
    print(f"{tally.read:,} documents with {tally.chunks:,} chunks, {tally.refused:,} refused")
    print(f"slowest {tally.slowest:.2f} s; memory {growth(tally.memory):+.1%} in the last quarter")
    print("\n".join(tally.found) or "nothing found")
    sys.exit(1 if tally.found or growth(tally.memory) > _GROWTH else 0)


def growth(memory: Sequence[int]) -> float:
    """How much more the last quarter holds than the third; before that, caches of bounded size fill."""
    quarter = len(memory) // 4
    if not quarter:
        return 0.0
    return float(np.mean(memory[-quarter:]) / np.mean(memory[-2 * quarter : -quarter]) - 1)


if __name__ == "__main__":
    main()
