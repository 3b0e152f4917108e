"""What answers is quoted sentence by sentence, each in the very words of its document."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from little_index import fillers, little_index, page

from rag.answer.answer import LOW_CONFIDENCE_PASSAGES, Answer
from rag.answer.answerer import Answerer
from rag.answer.extract import MOST_HIGHLIGHTS, MOST_SENTENCES, Extract, Extractor
from rag.corpus.document import Chunk, Metadata
from rag.corpus.plaintext import plain_text
from rag.corpus.quotes import sentences_of
from rag.index.backend import StoredChunk, Term
from rag.index.local.local_index import LocalIndex

GOLD = ROOT / "tests" / "gold" / "seeds.jsonl"
# Of 30 pages about other things no sentence holds any of these words.
FEVER = [Term("fever")]
BOTH = [Term("fever"), Term("nausea")]


@pytest.fixture(scope="module")
def samples(samples_index: Path) -> Iterator[Answerer]:
    answerer = Answerer.open(samples_index)
    yield answerer
    answerer.close()


@pytest.fixture(scope="module")
def gold_answers(samples: Answerer) -> list[Answer]:
    lines = GOLD.read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line)["question"] for line in lines]
    return [samples.ask(question, top_k=10, include=(LOW_CONFIDENCE_PASSAGES,)) for question in questions]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> LocalIndex:
    """Every chunk has "water", one has "fever", one "nausea"."""
    pages = {"a": page("A fever with water."), "b": page("Nausea with water.")}
    return little_index(tmp_path_factory.mktemp("extract"), pages | fillers(body="Drink some water."))


def passage(markdown: str, *, start: int = 100) -> StoredChunk:
    chunk = Chunk("d#c-1", "d", start, start + len(markdown), markdown, plain_text(markdown), (), "")
    return StoredChunk(chunk=chunk, metadata=Metadata(title="D"), sha256="", fragment="")


def quoted(extract: Extract | None) -> list[tuple[int, str]]:
    assert extract is not None
    return [(one.passage, one.text) for one in extract.sentences]


def quotes(index: LocalIndex, terms: Sequence[Term], *markdowns: str) -> list[tuple[int, str]]:
    return quoted(Extractor(index).extract(terms, [passage(one) for one in markdowns])[0])


# Over the gold questions


def test_every_sentence_answered_is_a_slice_of_its_document_that_renders_to_it(
    gold_answers: list[Answer], samples: Answerer
) -> None:
    checked = 0
    for answer in gold_answers:
        for sentence in answer.answer.sentences if answer.answer else ():
            location = answer.passages[sentence.passage - 1].location
            document = samples.backend.document(location.doc_id)
            assert plain_text(document.text[sentence.start : sentence.end]) == sentence.text
            assert location.start <= sentence.start < sentence.end <= location.end
            checked += 1
    assert len(gold_answers) == 239
    assert checked > 350


def test_sentences_come_from_the_passages_returned_and_stand_in_their_order(
    gold_answers: list[Answer],
) -> None:
    for answer in gold_answers:
        if answer.answer is None:
            continue
        sentences = answer.answer.sentences
        assert 1 <= len(sentences) <= MOST_SENTENCES
        assert all(one.text in answer.passages[one.passage - 1].text for one in sentences)
        places = [(one.passage, one.start) for one in sentences]
        assert places == sorted(set(places))
        assert answer.answer.text == " ".join(one.text for one in sentences)
        assert len({one.text for one in sentences}) == len(sentences)


def test_highlights_are_whole_sentences_of_the_passages_text(gold_answers: list[Answer]) -> None:
    marked = 0
    for passage in (passage for answer in gold_answers for passage in answer.passages):
        whole = {(one.text_start, one.text_end) for one in sentences_of(passage.markdown, passage.text)}
        assert set(passage.highlights) <= whole
        assert list(passage.highlights) == sorted(set(passage.highlights))
        assert len(passage.highlights) <= MOST_HIGHLIGHTS
        marked += len(passage.highlights)
    assert marked > 2000


def test_one_passage_asked_for_is_the_only_one_quoted(samples: Answerer) -> None:
    for question in ("What helps against nausea?", "Will my hair fall out?", "How do I join a trial?"):
        answer = samples.ask(question, top_k=1)
        assert {passage for passage, _ in quoted(answer.answer)} == {1}


# Which sentences


def test_a_sentence_with_a_rare_word_of_the_question_is_quoted_and_one_with_a_common_word_is_not(
    index: LocalIndex,
) -> None:
    terms = [Term("water"), Term("fever")]
    found = quotes(index, terms, "Drink some more water now. Call about any fever today.")
    assert found == [(1, "Call about any fever today.")]


def test_a_word_counts_as_much_as_the_search_weighed_it(index: LocalIndex) -> None:
    markdown = "Call about any fever today. Call about any nausea today."
    assert quotes(index, [Term("fever"), Term("nausea", 0.5)], markdown) == [
        (1, "Call about any fever today.")
    ]
    assert quotes(index, [Term("fever", 0.5), Term("nausea")], markdown) == [
        (1, "Call about any nausea today.")
    ]


def test_a_word_given_twice_counts_with_its_greater_weight_and_only_once(index: LocalIndex) -> None:
    terms = [Term("fever", 0.5), Term("fevers", 0.5), Term("nausea", 0.55)]
    markdown = "Call about any fever today. Call about any nausea today."
    # Twice .5 would leave the other below six tenths of it.
    assert quotes(index, terms, markdown) == [
        (1, "Call about any fever today."),
        (1, "Call about any nausea today."),
    ]
    assert quotes(index, [*terms, Term("fevers", 2.0)], markdown) == [(1, "Call about any fever today.")]


def test_saying_a_word_twice_makes_a_sentence_no_better(index: LocalIndex) -> None:
    markdown = "Fever after fever after fever came. Call about any fever now. A fever is high. And fever too."
    found = quotes(index, FEVER, markdown)
    assert [text for _, text in found] == [
        "Fever after fever after fever came.",
        "Call about any fever now.",
        "A fever is high.",
    ]


def test_a_long_sentence_does_not_win_by_its_length(index: LocalIndex) -> None:
    long = "Nausea " + "and so on " * 130 + "fever ended here."
    found = quotes(index, BOTH, f"{long} Call about any fever today.")
    assert found == [(1, "Call about any fever today.")]


def test_sentences_that_only_lead_up_or_ask_are_not_quoted(index: LocalIndex) -> None:
    markdown = (
        "Do you have any fever?\n\nWith fever and nausea, do this:\n\n- Call about the fever now.\n- Rest."
    )
    assert quotes(index, BOTH, markdown) == [(1, "Call about the fever now.")]


def test_scraps_of_fewer_than_four_words_are_not_quoted(index: LocalIndex) -> None:
    assert quotes(index, FEVER, "High fever now. A fever is high.") == [(1, "A fever is high.")]


def test_of_four_sentences_as_good_the_first_three_are_quoted(index: LocalIndex) -> None:
    markdowns = [f"The fever is number {number}." for number in (1, 2)] + [
        "The fever is number 3. The fever is number 4."
    ]
    assert [text[-2] for _, text in quotes(index, FEVER, *markdowns)] == ["1", "2", "3"]


def test_a_passage_behind_the_third_is_highlighted_and_not_quoted(index: LocalIndex) -> None:
    passages = [passage("Nothing of it is here.") for _ in range(3)] + [passage("A fever is high here.")]
    extract, highlights = Extractor(index).extract(FEVER, passages)
    assert quoted(extract) == [(1, "Nothing of it is here.")]
    assert highlights == [(), (), (), ((0, 21),)]


def test_a_sentence_further_down_counts_less(index: LocalIndex) -> None:
    # Twenty-two words are worth a little less than twenty, but less so than what stands a rank further down.
    first = " ".join(f"The fever of {word} " + "and so " * 9 + "on." for word in ("one", "two", "three"))
    assert {len(one.text.split()) for one in sentences_of(first, plain_text(first))} == {23}
    assert {rank for rank, _ in quotes(index, FEVER, first, "A fever is so high.")} == {1}


def test_a_sentence_that_stands_in_two_passages_is_quoted_once_from_the_first(index: LocalIndex) -> None:
    assert quotes(index, FEVER, "Call about any fever today.", "Call about any fever today.") == [
        (1, "Call about any fever today.")
    ]


def test_the_best_sentence_is_not_lost_by_standing_in_two_passages(index: LocalIndex) -> None:
    best = "Fever with nausea is urgent."
    others = "The fever is number 1. The fever is number 2. The fever is number 3."
    terms = [Term("fever"), Term("nausea", 0.4)]
    assert (1, best) in quotes(index, terms, f"{best} {others}", best)


def test_without_a_word_in_common_the_first_sentence_is_quoted_and_none_is_highlighted(
    index: LocalIndex,
) -> None:
    extract, highlights = Extractor(index).extract(FEVER, [passage("Sip it slowly now. Rest a lot too.")])
    assert quoted(extract) == [(1, "Sip it slowly now.")]
    assert highlights == [()]


def test_where_no_sentence_can_be_quoted_there_is_no_answer(index: LocalIndex) -> None:
    assert Extractor(index).extract(FEVER, [passage("Fever?"), passage("# Fever")]) == (None, [(), ()])
    assert Extractor(index).extract(FEVER, []) == (None, [])


def test_only_the_two_best_sentences_of_a_passage_are_highlighted_in_their_order(index: LocalIndex) -> None:
    markdown = "A fever is high. Some water is good. Fever and nausea came. A nausea is bad."
    text = plain_text(markdown)
    (marked,) = Extractor(index).extract(BOTH, [passage(markdown)])[1]
    assert [text[start:end] for start, end in marked] == ["Fever and nausea came."]
    (marked,) = Extractor(index).extract(FEVER, [passage(markdown + " The fever is over.")])[1]
    assert [text[start:end] for start, end in marked] == ["A fever is high.", "Fever and nausea came."]


# On any text; the reader of documents leaves no \r

_PIECE = st.sampled_from(
    ["fever", "nausea", "water", "**fever**", '[fever](x "t")', "`a`", "é", "😀", "e.g.", "Dr. Lee", "5.5 mg"]
)
_SENTENCE = st.lists(_PIECE, min_size=1, max_size=8).map(lambda words: " ".join(words) + ".")
_BLOCK = st.tuples(
    st.sampled_from(["", "- ", "1. ", "> ", "# ", "| "]), st.lists(_SENTENCE, min_size=1, max_size=3)
).map(lambda block: block[0] + " ".join(block[1]))
_MARKDOWN = st.lists(_BLOCK, max_size=4).map("\n\n".join) | st.text(
    st.characters(exclude_characters="\r", codec="utf-8"), max_size=80
)


@settings(deadline=None)
@given(st.lists(_MARKDOWN, max_size=5), st.integers(0, 1000))
def test_whatever_the_markdown_what_is_quoted_and_highlighted_is_exact(
    index: LocalIndex, markdowns: list[str], start: int
) -> None:
    passages = [passage(markdown, start=start) for markdown in markdowns]
    extract, highlights = Extractor(index).extract(BOTH, passages)
    assert len(highlights) == len(passages)
    for one in extract.sentences if extract else ():
        chunk = passages[one.passage - 1].chunk
        assert start <= one.start < one.end <= chunk.end
        assert plain_text(chunk.markdown[one.start - start : one.end - start]) == one.text
    for stored, marked in zip(passages, highlights, strict=True):
        whole = sentences_of(stored.chunk.markdown, stored.chunk.text)
        assert set(marked) <= {(one.text_start, one.text_end) for one in whole}
