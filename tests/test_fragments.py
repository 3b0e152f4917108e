"""Text fragments: a browser that looks for the words of a deep link lands in the passage."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keyword_encoder import count_words

from rag.corpus.chunker import Chunker
from rag.corpus.document import Chunk, Document, Metadata
from rag.corpus.fragments import text_fragments
from rag.corpus.markdown import sections
from rag.corpus.plaintext import plain_text
from rag.corpus.reader import FoundFile, read_document, read_documents
from rag.errors import UnreadableDocument

# A browser shows these; they are no words of the page.
MARKER = re.compile(r"^\s*(?:-|\d+\.) ")
INSIDE_WORD = "[.,:;'’·]"


@dataclass(frozen=True)
class Line:
    """A line that a browser shows. `chunk` is the number of the chunk it belongs to, None for none."""

    text: str
    chunk: int | None

    @property
    def words(self) -> str:
        return " ".join(["", *re.findall(r"[^\W_]+", self.text.casefold()), ""])


def visible_lines(document: Document, chunks: Sequence[Chunk]) -> list[Line]:
    """What a browser shows of a page: headings that no chunk holds, and the lines of the chunks."""
    starts = {chunk.start for chunk in chunks}
    loose = [
        (heading.start, plain_text(document.text[heading.start : heading.end]))
        for section in sections(document.text, document.body_start)
        if (heading := section.heading) and heading.start not in starts
    ]
    shown = [(start, Line(text, None)) for start, text in loose if not is_inside(start, chunks)]
    for number, chunk in enumerate(chunks):
        for line in chunk.text.split("\n"):
            cells = MARKER.sub("", line).split(" | ")
            shown += [(chunk.start, Line(cell.strip(), number)) for cell in cells if cell.strip()]
    return [line for _, line in sorted(shown, key=lambda place: place[0])]


def is_inside(place: int, chunks: Sequence[Chunk]) -> bool:
    return any(chunk.start <= place < chunk.end for chunk in chunks)


def landing(fragment: str, lines: Sequence[Line]) -> Line | None:
    """The first line with these words: any case, whole words, within one line."""
    wanted = re.escape(unquote(fragment))
    pattern = re.compile(rf"(?<!\w)(?<!\w{INSIDE_WORD}){wanted}(?!\w)(?!{INSIDE_WORD}\w)", re.IGNORECASE)
    return next((line for line in lines if pattern.search(line.text)), None)


def can_be_told_apart(number: int, lines: Sequence[Line]) -> bool:
    """Tell whether a line of this chunk says something that no line before the chunk says."""
    first = next(place for place, line in enumerate(lines) if line.chunk == number)
    before = "\n".join(line.words for line in lines[:first])
    return any(line.words.strip() and line.words not in before for line in lines if line.chunk == number)


def check_document(document: Document, chunks: Sequence[Chunk]) -> tuple[int, int]:
    """The number of chunks that can be told apart, each of which must be found, and of those that cannot."""
    lines = visible_lines(document, chunks)
    found = copies = 0
    for number, fragment in enumerate(text_fragments(chunks)):
        if not can_be_told_apart(number, lines):
            copies += 1
            continue
        line = landing(fragment, lines)
        assert line is not None, (document.doc_id, fragment)
        assert line.chunk == number, (document.doc_id, fragment)
        found += 1
    return found, copies


def cut(body: str, budget: int = 40) -> tuple[Document, list[Chunk]]:
    document = Document("page", body, 0, Metadata(title="A page"), "")
    return document, Chunker(count_words, max_tokens=budget).chunk(document)


def fragment_of(*texts: str) -> str:
    """The fragment of the last of these texts, in a page that holds them all."""
    chunks = [Chunk(str(at), "page", at, at + 1, text, text, (), "") for at, text in enumerate(texts)]
    return text_fragments(chunks)[-1]


REPEATED = st.lists(
    st.sampled_from(["pain", "Pain", "a", "of", "the", "5.5", "mg", "don’t", "U.S.", "T-cell"]), max_size=30
)
BLOCKS = st.one_of(
    REPEATED.map(" ".join),
    REPEATED.map(lambda words: "## " + " ".join(words)),
    REPEATED.map(lambda words: "\n".join(f"- {word} {word} more" for word in words)),
    REPEATED.map(lambda words: "3. " + " - ".join(words)),
    REPEATED.map(
        lambda words: "| a | b |\n|---|---|\n" + "\n".join(f"| {word} | the {word} |" for word in words)
    ),
)


@settings(max_examples=150, deadline=None, database=None, derandomize=True)
@given(st.lists(BLOCKS, max_size=8), st.sampled_from([9, 16, 40]))
def test_a_browser_lands_in_the_passage_unless_all_its_lines_stand_earlier(
    blocks: list[str], budget: int
) -> None:
    document, chunks = cut("\n\n".join(blocks), budget)
    check_document(document, chunks)


def test_a_browser_lands_in_every_passage_of_the_samples(seeds_folder: Path) -> None:
    found = copies = 0
    for document in read_documents(seeds_folder):
        assert isinstance(document, Document)
        counts = check_document(document, Chunker(count_words, max_tokens=160).chunk(document))
        found, copies = found + counts[0], copies + counts[1]
    assert found > 200
    assert copies == 0


def test_a_browser_lands_in_the_passages_of_real_pages(nci_slice: list[Path]) -> None:
    found = copies = 0
    for page in nci_slice:
        try:
            document = read_document(FoundFile(page, page.stem))
        except UnreadableDocument:
            continue
        counts = check_document(document, Chunker(count_words, max_tokens=200).chunk(document))
        found, copies = found + counts[0], copies + counts[1]
    assert found > 20 * copies


def test_words_that_stand_earlier_in_another_passage_are_made_longer() -> None:
    assert (
        fragment_of("Call the care team now.", "Call the care team today.")
        == "Call%20the%20care%20team%20today"
    )


def test_words_that_stand_earlier_in_a_heading_are_made_longer() -> None:
    _, chunks = cut("## When to call the team\n\nWhen to call the team: at once.")
    assert text_fragments(chunks) == ["When%20to%20call%20the%20team%3A%20at"]


def test_a_long_copied_opening_is_left_out_of_the_fragment() -> None:
    opening = " ".join(f"word{number}" for number in range(40))
    fragment = fragment_of(f"{opening} old.", f"{opening} new and more.")
    assert unquote(fragment).split()[-1] == "new"
    assert len(unquote(fragment).split()) == 14


def test_the_whole_opening_is_given_where_nothing_less_tells_it_apart() -> None:
    half = " ".join(f"word{number}" for number in range(20))
    fragment = unquote(fragment_of(f"before {half} new.", f"first {half} old.", f"first {half} new."))
    assert fragment == f"first {half} new"


def test_the_first_long_line_is_taken_before_short_ones() -> None:
    assert fragment_of("- Fever\n- Chills and shaking at night") == "Chills%20and%20shaking%20at"
    assert fragment_of("- Fever\n- Chills") == "Fever"


def test_a_copy_gets_the_words_it_has() -> None:
    assert fragment_of("The same four words.", "The same four words.") == "The%20same%20four%20words"


def test_a_passage_without_words_has_no_fragment() -> None:
    assert fragment_of("😀 – !") == ""
    assert text_fragments([]) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- one two three four five", "one two three four"),
        ("  12. one two three four five", "one two three four"),
        ("Take 5 mg - then 10 mg", "Take 5 mg - then"),
        ("They gave him 5.5 mg", "They gave him 5.5"),
        ("You and I don’t know", "You and I don’t"),
        ("About 3 of 1,000 people", "About 3 of 1,000"),
        ("It is a U.S. agency", "It is a U.S"),
        ("In the late cafe\u0301 we", "In the late cafe\u0301"),
        ("“Call (at once) or wait”", "Call (at once) or"),
        ("Cell | one two three four five", "one two three four"),
    ],
)
def test_a_fragment_is_whole_words_of_one_line(text: str, words: str) -> None:
    assert unquote(fragment_of(text)) == words


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("T-cell, B-cell", "T%2Dcell%2C%20B%2Dcell"),
        ("Q&A H#2", "Q%26A%20H%232"),
        ("50% or “more” naïve", "50%25%20or%20%E2%80%9Cmore%E2%80%9D%20na%C3%AFve"),
        ("a/b?c+d", "a%2Fb%3Fc%2Bd"),
    ],
)
def test_signs_that_part_a_fragment_are_encoded(text: str, encoded: str) -> None:
    assert fragment_of(text) == encoded
    address = f"https://example.org/page?a=1#:~:text={encoded}"
    assert unquote(urlsplit(address).fragment.removeprefix(":~:text=")) == text
    assert not set("-,&#") & set(encoded)


def test_fragments_of_a_long_page_are_found_in_time() -> None:
    body = "\n\n".join(
        f"The same long paragraph of words, number {at}, again and again." for at in range(3_000)
    )
    _, chunks = cut(body, 24)
    fragments = text_fragments(chunks)
    assert len(set(fragments)) == len(fragments) == 3_000
