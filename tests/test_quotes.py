"""What is quoted is an exact slice of the document that renders to the words shown, and to no others."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keyword_encoder import count_words
from quoting import judged_sentences, lawful_chunk
from whole_index import chunks_of

from rag.corpus.chunker import Chunker
from rag.corpus.document import Chunk
from rag.corpus.plaintext import plain_text
from rag.corpus.quotes import Sentence, rendered, sentence_slices, sentences_of, whole_sentences
from rag.corpus.reader import parse_document
from rag.index.local.local_index import LocalIndex

PIECES = (
    *("# ", "## ", " ##\n", "- ", "  - ", "1. ", "2021. ", "> ", "| ", " |\n", "|---|---|\n", "```\n"),
    *("**", "*", "__", "_", "`", "~~", "\\*", "©", "&amp;", "<b>bold</b>", "<br>", "10<sup>9</sup>"),
    *("[link](https://e.org/a_b(c))", "[Two. Sentences](/x 'A title. Of two.')", "[[1](#cit/section_1.1)]"),
    *("![A picture. Of two](x.png)", "[Enlarge](y)", "[", "](", "Credit: iStock", "Placeholder slot"),
    *("Placeholder  slot", "Take 5 mg. ", "One ends here. ", "Dr. Smith said so. ", "Is it so? ", "e.g. "),
    *("\n", "\n\n", " ", "\t", "A | B\n", "É 🩺 ", "ﬁ ", "\u00a0"),
)
MARKDOWN = st.text(st.sampled_from("aB1 .,:\n!?…\"')]*_[(-•é😀#>|`~&\\<+="), max_size=100) | st.lists(
    st.sampled_from(PIECES)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cn"]), max_size=5),
    max_size=20,
).map("".join)


def quoted(markdown: str) -> list[str]:
    return [sentence.text for sentence in sentences_of(markdown, plain_text(markdown))]


def a_chunk(markdown: str) -> Chunk:
    return Chunk("a#b-1", "a", 0, len(markdown), markdown, plain_text(markdown), (), "")


def judged(markdown: str) -> Iterator[tuple[Sentence, bool]]:
    return judged_sentences(markdown, a_chunk(markdown))


@pytest.fixture(scope="module")
def samples(samples_index: Path) -> list[tuple[str, Chunk]]:
    """Every chunk of the samples with the text of its document."""
    with closing(LocalIndex.open(samples_index)) as index:
        return [(index.document(one.chunk.doc_id).text, one.chunk) for one in chunks_of(samples_index)]


@pytest.fixture(scope="module")
def real_chunks(nci_slice: list[Path]) -> list[tuple[str, Chunk]]:
    """Every chunk of 60 of the real pages; benchmarks/quotes.py counts those of all."""
    documents = [parse_document(page.read_bytes(), doc_id=page.stem) for page in nci_slice]
    return [(one.text, chunk) for one in documents for chunk in Chunker(count_words).chunk(one)]


def broken(chunks: Iterable[tuple[str, Chunk]]) -> tuple[int, list[object]]:
    """How many sentences the chunks have, and everything that breaks the law."""
    count, unlawful = 0, list[object]()
    for text, chunk in chunks:
        if not lawful_chunk(text, chunk):
            unlawful.append(chunk.chunk_id)
        for sentence, lawful in judged_sentences(text, chunk):
            count += 1
            if not lawful:
                unlawful.append((chunk.chunk_id, sentence))
    return count, unlawful


def test_every_sentence_of_every_sample_is_where_it_says_it_is(samples: list[tuple[str, Chunk]]) -> None:
    count, unlawful = broken(samples)
    assert (len(samples), count, unlawful) == (249, 1_881, [])


def test_every_sentence_of_the_real_pages_is_where_it_says_it_is(
    real_chunks: list[tuple[str, Chunk]],
) -> None:
    count, unlawful = broken(real_chunks)
    assert len(real_chunks) > 500
    assert count > 5_000
    assert unlawful == []


def test_no_word_of_a_sample_is_lost_between_sentences_or_stands_in_two(
    samples: list[tuple[str, Chunk]],
) -> None:
    """With its headings, a passage is its sentences and the markers of its items, nothing more or less."""
    for _, chunk in samples:
        slices = sentence_slices(chunk.markdown, headings=True)
        told = Counter(word for span in slices for word in words(rendered(chunk.markdown[slice(*span)])))
        without_markers = re.sub(r"(?m)^\s*(?:- |\d{1,9}\. )", "", chunk.text)
        assert told == Counter(words(without_markers)), chunk.chunk_id


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


@settings(max_examples=400, deadline=None)
@given(MARKDOWN)
def test_whatever_the_markdown_its_sentences_are_where_they_say_they_are(markdown: str) -> None:
    assert [sentence for sentence, lawful in judged(markdown) if not lawful] == []


@settings(max_examples=400, deadline=None)
@given(MARKDOWN | st.text("aAB .-=1):;'\"", max_size=30))
def test_the_short_way_of_rendering_leads_to_the_same_words(markdown: str) -> None:
    assert rendered(markdown) == plain_text(markdown)


@pytest.mark.parametrize(
    "noise", ["Placeholder slot", "Placeholder  slot", " placeholder slot ", "Credit: iStock", "Enlarge"]
)
def test_layout_noise_renders_to_nothing_the_short_way_too(noise: str) -> None:
    assert rendered(noise) == plain_text(noise) == ""
    assert quoted(noise) == []


CASES = {
    "two sentences": ("One ends here. Another begins.", ["One ends here.", "Another begins."]),
    "no stop": ("Words alone", ["Words alone"]),
    "over two lines": ("One sentence\nof two lines. More.", ["One sentence of two lines.", "More."]),
    "a heading": ("# Fever. Now\n\nCall us.", ["Call us."]),
    "items": ("- Call us.\n- Drink. Rest.\n  - Sleep", ["Call us.", "Drink.", "Rest.", "Sleep"]),
    "numbered items": ("1. Call us.\n2) Drink.", ["Call us.", "Drink."]),
    "a year is a number": ("It began in\n2021. A good year.", ["It began in 2021.", "A good year."]),
    "a quote": ("> Call us. Now.", ["Call us.", "Now."]),
    "a quote over two lines": ("> Call us\n> now. Rest.", ["Rest."]),
    "an item in a quote": ("> - Call us.", ["Call us."]),
    "bold": ("**Call us.** Then *wait*.", ["Call us.", "Then wait."]),
    "bold over two sentences": ("**Call us. Now.**", ["Call us.", "Now."]),
    "a link": ("Ask [the nurse](/n). Rest.", ["Ask the nurse.", "Rest."]),
    "sentences that share a link": ("Read [One. Two](/x) now. Rest.", ["Read One. Two now.", "Rest."]),
    "a link's title": ("Ask [us](/n 'We help. Call.'). Rest.", ["Ask us.", "Rest."]),
    "a reference": ("It works.[[1](#cit/s_1.1)] It lasts.", ["It works.", "It lasts."]),
    "an image": ("See ![A lung. In colour.](a.png) here. Rest.", ["See here.", "Rest."]),
    "html": ("It <b>works</b>. 10<sup>9</sup> cells.", ["It works.", "10^9 cells."]),
    "entities": ("Salt &amp; water. More.", ["Salt & water.", "More."]),
    "a dose": ("Take 0.5 mg, e.g. Before lunch.", ["Take 0.5 mg, e.g. Before lunch."]),
    "a table": (
        "| Drug | Dose |\n|---|---|\n| A | 5 mg. Daily |\n| B | |",
        ["Drug | Dose", "A | 5 mg. Daily", "B"],
    ),
    "a table without its header": ("| A | 5 mg |\n| B | 6 mg |", ["A | 5 mg", "B | 6 mg"]),
    "code": ("```\nfirst line\n\nsecond\n```", ["first line", "second"]),
    "an unclosed fence": ("```\nIt goes on.\n\nTo the end.", ["It goes on.", "To the end."]),
    "nothing": ("", []),
    "space": (" \n\n\t", []),
    "a rule": ("One.\n\n---\n\nTwo.", ["One.", "Two."]),
    "credit": ("Credit: iStock\n\nCall us.", ["Call us."]),
    "a reference mark alone": ("Text.\n\n[[16](#cit/section_4.16)]", ["Text."]),
    "a lone bracket": ("A [ bracket. And more.", ["A [ bracket.", "And more."]),
}


@pytest.mark.parametrize("case", CASES)
def test_these_are_the_sentences_that_can_be_quoted(case: str) -> None:
    markdown, expected = CASES[case]
    assert quoted(markdown) == expected
    assert all(lawful for _, lawful in judged(markdown))


def test_headings_are_sentences_where_they_are_asked_for() -> None:
    markdown = "# Fever ##\n\nCall us.\n\nAfter chemo\n===========\n\nRest."
    slices = [markdown[start:end] for start, end in sentence_slices(markdown, headings=True)]
    assert slices == ["Fever", "Call us.", "After chemo", "Rest."]
    assert quoted(markdown) == ["Call us.", "Rest."]


def test_the_rule_under_a_tables_header_is_no_sentence() -> None:
    markdown = "|---|:--|\n| A | 5 mg |"
    assert [markdown[slice(*span)] for span in sentence_slices(markdown, headings=True)] == ["| A | 5 mg |"]


def test_the_same_words_twice_are_two_sentences_at_two_places() -> None:
    markdown = "Call us. Rest.\n\n- Call us."
    plain = plain_text(markdown)
    found = sentences_of(markdown, plain)
    assert [sentence.text for sentence in found] == ["Call us.", "Rest.", "Call us."]
    assert [(one.start, one.text_start, one.text_end) for one in found] == [
        (0, 0, 8),
        (9, 9, 14),
        (18, 18, 26),
    ]
    assert plain[18:26] == "Call us."


def test_what_does_not_stand_in_the_passage_is_not_quoted() -> None:
    """The text that came with the passage decides, should rendering ever differ."""
    assert sentences_of("Call us. Rest.", "Rest.") == (Sentence(9, 14, "Rest.", 0),)
    assert sentences_of("Call us.", "") == ()


def test_offsets_count_code_points_and_not_bytes() -> None:
    markdown = "🩺 É ﬁne. Ça va."
    (first, second) = sentences_of(markdown, plain_text(markdown))
    assert (first.start, first.end, second.start, second.end) == (0, 8, 9, 15)


@settings(max_examples=200, deadline=None)
@given(MARKDOWN)
def test_the_sentences_of_a_block_part_it_only_where_space_or_a_picture_stands(block: str) -> None:
    spans = list(whole_sentences(block))
    edges = [edge for span in spans for edge in span]
    assert edges == sorted(edges)
    for (_, end), (start, _) in pairwise(spans):
        assert plain_text(block[end:start]) == ""


def test_a_document_that_came_with_a_bom_and_mojibake_is_quoted_from_its_mended_text() -> None:
    front = "\ufeff---\r\ntitle: Pain\r\n---\r\n\r\n"
    body = "The patient’s pain.".encode().decode("cp1252") + " Rest.\r\n"
    document = parse_document((front + body).encode(), doc_id="pain")
    assert {*document.repairs} >= {"mojibake"}
    (chunk,) = Chunker(count_words).chunk(document)
    told = list(judged_sentences(document.text, chunk))
    assert [(sentence.text, lawful) for sentence, lawful in told] == [
        ("The patient’s pain.", True),
        ("Rest.", True),
    ]
