"""How well altered sentences are told from real ones, over all documents of an index.

    .venv/bin/python benchmarks/verifying.py --index DIR

Takes real sentences by chance (always the same ones), passes them untouched in several layouts and
altered in seven ways, and counts the verdicts. Then the times, and the law that every source's offsets
lead to the text that was shown.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from altering import ALTERATIONS, Alter

from rag.answer.verify import Verification, Verifier
from rag.corpus.document import Chunk
from rag.corpus.plaintext import plain_text
from rag.corpus.quotes import rendered, sentence_slices
from rag.index.backend import Backend
from rag.index.opening import open_index

_SHORTEST = 5
_PASSAGES = 5
_SENTENCES = 10


def main() -> None:
    """Measure one index and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--index", type=Path, required=True, help="an index folder")
    parser.add_argument("--chunks", type=int, default=1000, help="so many are passed untouched")
    parser.add_argument("--altered", type=int, default=300, help="so many sentences are altered in each way")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=0, help="print so many of each kind that went wrong")
    options = parser.parse_args()
    opened = open_index(options.index)
    rng = random.Random(options.seed)  # noqa: S311 - a sample, no secret
    chunks = _shuffled(opened.backend, opened.encoder.dim, rng)
    print(f"{opened.backend.info.documents:,} documents, {len(chunks):,} chunks\n")
    verifier = Verifier(opened.backend)
    _untouched(verifier, opened.backend, chunks[: options.chunks], rng, options.show)
    for kind, alter in ALTERATIONS.items():
        made = list(islice(_altered(chunks, alter, rng), options.altered))
        _count_found(verifier, kind, made, options.show)
    print()
    _timed(opened.backend, chunks[: options.chunks], rng)


def _shuffled(backend: Backend, dim: int, rng: random.Random) -> list[Chunk]:
    """All chunks by chance: in rounds, one of every document that has more, so that giants come last."""
    anywhere = np.full(dim, dim**-0.5, dtype=np.float32)
    ids = [hit.chunk_id for hit in backend.search(anywhere, backend.info.chunks)]
    found = [one.chunk for one in backend.chunks(sorted(ids))]
    rng.shuffle(found)
    taken: Counter[str] = Counter()
    rounds = []
    for chunk in found:
        taken[chunk.doc_id] += 1
        rounds.append(taken[chunk.doc_id])
    return [chunk for _, chunk in sorted(zip(rounds, found, strict=True), key=lambda one: one[0])]


def _sentences(chunk: Chunk) -> list[str]:
    return [
        rendered(chunk.markdown[start:end]) for start, end in sentence_slices(chunk.markdown, headings=True)
    ]


def _untouched(
    verifier: Verifier, backend: Backend, chunks: Sequence[Chunk], rng: random.Random, show: int
) -> None:
    verdicts: dict[str, Counter[str]] = {}
    unlawful = 0
    for chunk in chunks:
        for layout, text in _layouts(chunk, rng):
            cited = rng.choice((chunk.chunk_id, chunk.doc_id))
            verification = verifier.verify(text, [cited])
            seen = verdicts.setdefault(layout, Counter())
            seen.update(one.verdict for one in verification.sentences)
            unlawful += sum(map(bool, _unlawful(backend, verification)))
            for one in verification.sentences:
                if one.verdict != "verbatim" and seen["shown"] < show:
                    seen["shown"] += 1
                    print(f"{layout}: {one.verdict} by {cited}: {one.text!r}\n  {one.source_text!r}\n")
    for layout, seen in verdicts.items():
        del seen["shown"]
        print(
            f"untouched, {layout}: {seen['verbatim']:,} of {seen.total():,} sentences verbatim "
            f"({seen['verbatim'] / seen.total():.2%}); {dict(seen)}"
        )
    whole = sum(verdicts.values(), Counter[str]())
    print(f"untouched, all: {whole['verbatim'] / whole.total():.2%} of {whole.total():,}")
    print(f"sources whose offsets do not render to the text shown: {unlawful}\n")


def _layouts(chunk: Chunk, rng: random.Random) -> Iterator[tuple[str, str]]:
    """One chunk's sentences as different chatbots give them."""
    if not (sentences := _sentences(chunk)):
        return
    first = rng.randrange(len(sentences))
    alone = sentences[first]
    yield "whole passage", chunk.text[:20_000]
    yield "single", alone
    yield "run of 2 to 4", "\n".join(sentences[first : first + rng.randint(2, 4)])
    yield "labelled", f"{alone.rstrip('.')} [1]." if rng.random() < 0.5 else f"{alone} [1, 2]"
    yield "bulleted", "\n".join(f"* **{one}**" for one in sentences[first : first + 3])
    yield "quoted", f"“{alone.replace(chr(39), '’').replace('-', '‑')}”"


def _unlawful(backend: Backend, verification: Verification) -> Iterator[bool]:
    for one in verification.sentences:
        if one.doc_id is not None:
            text = backend.document(one.doc_id).text
            yield plain_text(text[one.source_start : one.source_end]) != one.source_text


def _altered(chunks: Sequence[Chunk], alter: Alter, rng: random.Random) -> Iterator[tuple[str, str]]:
    """Altered sentences, each with the chunk or the document that it cites."""
    for chunk in chunks:
        # Nothing to alter in the passage, nothing in its sentences.
        if alter(chunk.text, rng) is None:
            continue
        long = [one for one in _sentences(chunk) if len(one.split()) >= _SHORTEST]
        rng.shuffle(long)
        altered = next((new for one in long if (new := alter(one, rng))), None)
        if altered:
            yield altered, rng.choice((chunk.chunk_id, chunk.doc_id))


def _count_found(verifier: Verifier, kind: str, made: Sequence[tuple[str, str]], show: int) -> None:
    verdicts: Counter[str] = Counter()
    named = 0
    for altered, cited in made:
        checks = verifier.verify(altered, [cited]).sentences
        kinds = {change.kind for one in checks for change in one.changes}
        worst = next((one.verdict for one in checks if one.verdict != "verbatim"), "verbatim")
        verdicts[worst] += 1
        named += kind in kinds
        if show and kind not in kinds:
            show -= 1
            print(f"{kind}: {worst} {kinds} by {cited}: {altered!r}\n  {checks[0].source_text!r}\n")
    found = len(made) - verdicts["verbatim"]
    print(
        f"altered, {kind}: {found:,} of {len(made):,} found ({_share(found, len(made))}), "
        f"named so {_share(named, len(made))}; {dict(verdicts)}"
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "-"


def _timed(backend: Backend, chunks: Sequence[Chunk], rng: random.Random) -> None:
    """The time of ten sentences against five passages: real ones, and such as stand nowhere."""
    short = [chunk for chunk in chunks if len(_sentences(chunk)) >= _SENTENCES // _PASSAGES]
    for name, tail in (("real", ""), ("altered", " if you like")):
        taken = []
        for _ in range(100):
            cited = rng.sample(short, _PASSAGES)
            text = "\n".join(
                f"{one.rstrip('.')}{tail}."
                for chunk in cited
                for one in _sentences(chunk)[: _SENTENCES // _PASSAGES]
            )
            fresh = Verifier(backend)
            started = time.perf_counter()
            fresh.verify(text, [chunk.chunk_id for chunk in cited])
            taken.append((time.perf_counter() - started) * 1e3)
        taken.sort()
        print(
            f"{_SENTENCES} {name} sentences against {_PASSAGES} passages never read before: "
            f"{statistics.median(taken):.1f} ms, 95 of 100 below {taken[94]:.1f} ms"
        )


if __name__ == "__main__":
    main()
