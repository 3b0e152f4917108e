"""Real sentences of the samples, altered in seven ways, are told from those that nobody touched."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from altering import ALTERATIONS
from little_index import all_ids

from rag.answer.verify import Verification, Verifier
from rag.corpus.document import Document
from rag.corpus.plaintext import plain_text
from rag.corpus.quotes import rendered, sentence_slices
from rag.corpus.reader import read_documents
from rag.index.local.local_index import LocalIndex

FOUND, NAMED, VERBATIM = 0.99, 0.97, 0.995


@pytest.fixture(scope="module")
def index(samples_index: Path) -> Iterator[LocalIndex]:
    opened = LocalIndex.open(samples_index)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def verifier(index: LocalIndex) -> Verifier:
    return Verifier(index)


@pytest.fixture(scope="module")
def sentences(seeds_folder: Path) -> list[tuple[str, str]]:
    """Every sentence of the samples with the id of its document."""
    documents = [one for one in read_documents(seeds_folder) if isinstance(one, Document)]
    active = [one for one in documents if one.metadata.status == "active"]
    return [
        (rendered(body[start:end]), document.doc_id)
        for document in active
        for body in [document.text[document.body_start :]]
        for start, end in sentence_slices(body, headings=True)
    ]


def altered(sentences: list[tuple[str, str]], kind: str) -> list[tuple[str, str]]:
    rng = random.Random(5)  # noqa: S311 - a sample, no secret
    long = [(one, doc_id) for one, doc_id in sentences if len(one.split()) >= 5]
    known = {one.casefold().rstrip(".") for one, _ in sentences}
    made = [(ALTERATIONS[kind](one, rng), doc_id) for one, doc_id in long]
    return [(one, doc_id) for one, doc_id in made if one and one.casefold().rstrip(".") not in known]


def kinds(verification: Verification) -> set[str]:
    return {change.kind for one in verification.sentences for change in one.changes}


def test_at_least_three_hundred_alterations_are_made(sentences: list[tuple[str, str]]) -> None:
    made = {kind: len(altered(sentences, kind)) for kind in ALTERATIONS}
    assert sum(made.values()) >= 300
    assert min(made.values()) > 0


@pytest.mark.parametrize("kind", ALTERATIONS)
def test_an_altered_sentence_is_found_and_named(
    verifier: Verifier, sentences: list[tuple[str, str]], kind: str
) -> None:
    verified = [(one, verifier.verify(one, [doc_id])) for one, doc_id in altered(sentences, kind)]
    passed = [one for one, verification in verified if verification.is_verbatim]
    unnamed = [
        (one, kinds(verification)) for one, verification in verified if kind not in kinds(verification)
    ]
    assert len(passed) <= (1 - FOUND) * len(verified), passed
    assert len(unnamed) <= (1 - NAMED) * len(verified), unnamed


@pytest.mark.parametrize("layout", ["{}", "{} [1]", "“{}”", "* **{}**", "> {}\n", "1. {}", "  {}  [2, 3]"])
def test_an_untouched_sentence_is_verbatim_in_any_layout(
    verifier: Verifier, sentences: list[tuple[str, str]], layout: str
) -> None:
    # Before a number the sign of a quotation may be 'more than', and nothing is guessed.
    fit = [one for one in sentences if not (layout.startswith(">") and one[0][0].isdigit())]
    touched = [one for one, doc_id in fit if not verifier.verify(layout.format(one), [doc_id]).is_verbatim]
    assert len(touched) <= (1 - VERBATIM) * len(sentences), touched


@pytest.mark.parametrize(("count", "between"), [(2, " "), (3, "\n"), (4, "\n\n")])
def test_sentences_in_a_row_are_verbatim(
    verifier: Verifier, sentences: list[tuple[str, str]], count: int, between: str
) -> None:
    runs = [sentences[at : at + count] for at in range(0, len(sentences), count)]
    same = [run for run in runs if len({doc_id for _, doc_id in run}) == 1]
    touched = [
        run
        for run in same
        if not verifier.verify(between.join(one for one, _ in run), [run[0][1]]).is_verbatim
    ]
    assert len(touched) <= (1 - VERBATIM) * len(same), touched


def test_every_passage_says_what_it_says(verifier: Verifier, index: LocalIndex) -> None:
    for stored in index.chunks(all_ids(index)):
        chunk = stored.chunk
        verification = verifier.verify(chunk.text, [chunk.chunk_id])
        assert verification.is_verbatim, chunk.text
        text = index.document(chunk.doc_id).text
        for one in verification.sentences:
            assert plain_text(text[one.source_start : one.source_end]) == one.source_text
