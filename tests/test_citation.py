"""A citation says what the document says of itself, in one line, and leads to the very words."""

from __future__ import annotations

from dataclasses import fields
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.answer.citation import Citation, citation_text, cite, deep_link
from rag.corpus.document import Chunk, Document, Metadata
from rag.corpus.reader import read_documents
from rag.index.backend import StoredChunk

SHARED_SEEDS = Path(__file__).parent.parent.parent / "shared" / "seeds"
PAGE = "https://www.cancer.gov/about-cancer/treatment/drugs/tarlatamab-dlle"
FULL = Metadata(
    title="Tarlatamab-dlle - NCI",
    url=PAGE,
    source="NCI",
    source_type="02_nci_core",
    citation="NCI, 2025",
    license="public_domain",
    language="en",
    version="v1",
    status="active",
    audience="professional",
    audience_claim="patient",
    cancer_types=("lung", "breast"),
    tags=("treatment",),
    last_reviewed=date(2025, 12, 30),
    review_frequency="quarterly",
    extra={"basedOn": [PAGE]},
)

WORDS = st.text(st.characters(codec="utf-8"), max_size=30)


def stored(metadata: Metadata, fragment: str = "Fluids%20come%20first") -> StoredChunk:
    chunk = Chunk("a#b-1", "a", 0, 5, "*one*", "one", (), "")
    return StoredChunk(chunk=chunk, metadata=metadata, sha256="0" * 64, fragment=fragment)


def test_the_text_is_source_title_review_date_and_address() -> None:
    assert citation_text(FULL) == f"NCI. Tarlatamab-dlle. Reviewed 2025-12-30. {PAGE}"


def test_the_seed_document_as_it_came_is_cited_as_in_the_design() -> None:
    if not SHARED_SEEDS.is_dir():
        pytest.skip(f"{SHARED_SEEDS} is not here")
    (document,) = read_documents(SHARED_SEEDS)
    assert isinstance(document, Document)
    text = citation_text(document.metadata)
    assert text == f"NCI. Tarlatamab-dlle. Reviewed 2025-12-30. {PAGE}"


def test_a_missing_review_date_is_said() -> None:
    text = citation_text(Metadata(title="Pain", url="https://example.org/pain", source="NCI"))
    assert text == "NCI. Pain. Review date unknown. https://example.org/pain"


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        (Metadata(title="Pain"), "Pain. Review date unknown."),
        (Metadata(title="Pain", source="NCI"), "NCI. Pain. Review date unknown."),
        (Metadata(title="Pain", url="https://e.org"), "Pain. Review date unknown. https://e.org"),
        (Metadata(title="What is pain?", source="NCI"), "NCI. What is pain? Review date unknown."),
        (Metadata(title="Stop!", source="U.S. FDA, Inc."), "U.S. FDA, Inc. Stop! Review date unknown."),
        (Metadata(title="Cancer\n  pain", source="N\nCI"), "N CI. Cancer pain. Review date unknown."),
    ],
)
def test_what_a_document_does_not_say_is_not_made_up(metadata: Metadata, text: str) -> None:
    assert citation_text(metadata) == text


@pytest.mark.parametrize(
    ("title", "source", "cited"),
    [
        ("Pain - NCI", "NCI", "Pain"),
        ("Pain | NCI", "NCI", "Pain"),
        ("Pain – NCI", "NCI", "Pain"),
        ("Pain - NCI", "CDC", "Pain - NCI"),
        ("Pain - NCI", None, "Pain - NCI"),
        ("Non-small cell - NCI", "NCI", "Non-small cell"),
        ("Pain - NCI - NCI", "NCI", "Pain - NCI"),
        ("NCI", "NCI", "NCI"),
        ("Pain -NCI", "NCI", "Pain -NCI"),
        ("NCI - Pain", "NCI", "NCI - Pain"),
    ],
)
def test_only_the_publishers_own_name_is_dropped_from_a_title(
    title: str, source: str | None, cited: str
) -> None:
    assert cite(stored(Metadata(title=title, source=source)), rank=1).title == cited


@settings(deadline=None)
@given(title=WORDS, source=st.none() | WORDS, reviewed=st.none() | st.dates(), url=st.none() | st.just(PAGE))
def test_a_citation_is_one_line_that_ends_with_the_address(
    title: str, source: str | None, reviewed: date | None, url: str | None
) -> None:
    text = citation_text(Metadata(title=title, source=source, last_reviewed=reviewed, url=url))
    assert len(text.splitlines()) == 1
    assert text == " ".join(text.split())
    assert text.endswith(url or ".")
    assert (reviewed.isoformat() if reviewed else "Review date unknown") in text


def test_every_fact_of_the_document_reaches_the_citation() -> None:
    citation = cite(stored(FULL), rank=1)
    shared = {field.name for field in fields(Citation)} & {field.name for field in fields(Metadata)}
    kept = {name: getattr(citation, name) for name in shared - {"title"}}
    assert kept == {name: getattr(FULL, name) for name in shared - {"title"}}
    assert {field.name for field in fields(Metadata)} - shared == {"extra"}


def test_the_label_is_the_rank_in_the_answer() -> None:
    assert [cite(stored(FULL), rank=rank).label for rank in (1, 2, 50)] == ["[1]", "[2]", "[50]"]


@pytest.mark.parametrize(
    ("url", "fragment", "link"),
    [
        (PAGE, "T%20cells", f"{PAGE}#:~:text=T%20cells"),
        (f"{PAGE}#use", "T%20cells", f"{PAGE}#use:~:text=T%20cells"),
        (f"{PAGE}?a=1", "T", f"{PAGE}?a=1#:~:text=T"),
        (PAGE, "", PAGE),
        (None, "T%20cells", None),
        (None, "", None),
    ],
)
def test_a_deep_link_adds_the_words_to_the_address_and_changes_nothing_else(
    url: str | None, fragment: str, link: str | None
) -> None:
    assert deep_link(url, fragment) == link


def test_the_citation_carries_the_deep_link_and_the_plain_address() -> None:
    citation = cite(stored(FULL, fragment="It%20works"), rank=1)
    assert (citation.url, citation.deep_link) == (PAGE, f"{PAGE}#:~:text=It%20works")
