"""A citation says what the document says of itself, in one line, and leads to the very words."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.answer.citation import Citation, citation_text, cite, deep_link
from rag.answer.provenance import Provenance
from rag.corpus.document import Chunk, Document, Metadata
from rag.corpus.freshness import DateEvidence
from rag.corpus.licensing import load_licenses
from rag.corpus.reader import read_documents
from rag.index.backend import Backend, StoredChunk

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

AS_OF = date(2026, 1, 31)
REVIEW, COLLECTION, NONE = DateEvidence.REVIEW, DateEvidence.COLLECTION, DateEvidence.NONE

WORDS = st.text(st.characters(codec="utf-8"), max_size=30)


def stored(metadata: Metadata, fragment: str = "Fluids%20come%20first") -> StoredChunk:
    chunk = Chunk("a#b-1", "a", 0, 5, "*one*", "one", (), "")
    return StoredChunk(chunk=chunk, metadata=metadata, sha256="0" * 64, fragment=fragment)


class Catalog:
    """The documents of an index, which is all of it that a citation asks about."""

    def __init__(self, *documents: Metadata) -> None:
        self._documents = [(f"d{at}", metadata) for at, metadata in enumerate(documents)]

    def catalog(self) -> list[tuple[str, Metadata]]:
        return self._documents


def cited(
    metadata: Metadata, *others: Metadata, rank: int = 1, as_of: date = AS_OF, **stored_as: Any
) -> Citation:
    """The citation of a chunk of this document, which stands in an index with these others."""
    provenance = Provenance(cast("Backend", Catalog(metadata, *others)), load_licenses())
    return cite(stored(metadata, **stored_as), rank=rank, provenance=provenance, as_of=as_of)


def test_the_text_is_source_title_review_date_and_address() -> None:
    assert citation_text(FULL, REVIEW) == f"NCI. Tarlatamab-dlle. Reviewed 2025-12-30. {PAGE}"


def test_the_seed_document_as_it_came_is_cited_as_in_the_design() -> None:
    if not SHARED_SEEDS.is_dir():
        pytest.skip(f"{SHARED_SEEDS} is not here")
    (document,) = read_documents(SHARED_SEEDS)
    assert isinstance(document, Document)
    text = cited(document.metadata).text
    assert text == f"NCI. Tarlatamab-dlle. Reviewed 2025-12-30. {PAGE}"


OTHER: dict[str, Any] = {
    "title": "Pain - NCI",
    "url": "https://www.cancer.gov/types/lung/hp/lung-pdq",
    "source": "ACS",
    "license": "cc_by_4.0",
    "status": "withdrawn",
    "audience": "patient",
    "last_reviewed": date(2020, 2, 29),
    "review_frequency": "every 2 weeks",
}


@pytest.mark.parametrize("name", OTHER)
def test_documents_that_differ_in_one_key_are_each_cited_by_their_own(name: str) -> None:
    """What is worked out once for a document is never taken for another's."""
    other = replace(FULL, **{name: OTHER[name]})
    provenance = Provenance(cast("Backend", Catalog(FULL)), load_licenses())
    both = [cite(stored(one), rank=1, provenance=provenance, as_of=AS_OF) for one in (FULL, other, FULL)]
    assert both == [cited(FULL), cited(other, FULL), cited(FULL)]
    assert both[0] != both[1]


def test_the_days_freshness_is_told_anew_each_time() -> None:
    provenance = Provenance(cast("Backend", Catalog(FULL)), load_licenses())
    metadata = replace(FULL, last_reviewed=date(2025, 1, 1), review_frequency="yearly")
    days = [date(2025, 6, 1), date(2025, 12, 20), date(2026, 6, 1)]
    found = [cite(stored(metadata), rank=1, provenance=provenance, as_of=day).freshness for day in days]
    assert found == ["current", "due", "overdue"]


def test_a_missing_review_date_is_said() -> None:
    text = citation_text(Metadata(title="Pain", url="https://example.org/pain", source="NCI"), NONE)
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
    assert citation_text(metadata, NONE) == text


@pytest.mark.parametrize(
    ("title", "source", "short"),
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
    title: str, source: str | None, short: str
) -> None:
    assert cited(Metadata(title=title, source=source)).title == short


@settings(deadline=None)
@given(
    title=WORDS,
    source=st.none() | WORDS,
    reviewed=st.none() | st.dates(),
    url=st.none() | st.just(PAGE),
    evidence=st.sampled_from(DateEvidence),
)
def test_a_citation_is_one_line_that_ends_with_the_address(
    title: str, source: str | None, reviewed: date | None, url: str | None, evidence: DateEvidence
) -> None:
    text = citation_text(Metadata(title=title, source=source, last_reviewed=reviewed, url=url), evidence)
    assert len(text.splitlines()) == 1
    assert text == " ".join(text.split())
    assert text.endswith(url or ".")
    assert (reviewed.isoformat() if reviewed else "Review date unknown") in text


def test_every_fact_of_the_document_reaches_the_citation() -> None:
    citation = cited(FULL)
    shared = {field.name for field in fields(Citation)} & {field.name for field in fields(Metadata)}
    kept = {name: getattr(citation, name) for name in shared - {"title"}}
    assert kept == {name: getattr(FULL, name) for name in shared - {"title"}}
    assert {field.name for field in fields(Metadata)} - shared == {"extra"}


def test_the_label_is_the_rank_in_the_answer() -> None:
    assert [cited(FULL, rank=rank).label for rank in (1, 2, 50)] == ["[1]", "[2]", "[50]"]


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
    citation = cited(FULL, fragment="It%20works")
    assert (citation.url, citation.deep_link) == (PAGE, f"{PAGE}#:~:text=It%20works")


def test_the_seed_of_the_design_is_due_and_attributed_as_its_front_matter_says() -> None:
    citation = cited(FULL)
    assert (citation.review_due, citation.freshness) == (date(2026, 3, 30), "current")
    assert (citation.license_status, citation.review_evidence) == ("known", "review")
    assert citation.attribution == f"Tarlatamab-dlle. NCI, {PAGE}. Public domain."
    assert [limit.code for limit in citation.limits] == ["no_endorsement"]


@pytest.mark.parametrize(
    ("as_of", "state"),
    [
        (date(1900, 1, 1), "current"),
        (date(2026, 2, 27), "current"),
        (date(2026, 2, 28), "due"),
        (date(2026, 3, 30), "due"),
        (date(2026, 3, 31), "overdue"),
        (date(9999, 12, 31), "overdue"),
    ],
)
def test_freshness_is_that_of_the_day_that_was_asked_for(as_of: date, state: str) -> None:
    citation = cited(FULL, as_of=as_of)
    assert (citation.freshness, citation.review_due) == (state, date(2026, 3, 30))


@pytest.mark.parametrize(
    "metadata",
    [
        Metadata(title="Pain", last_reviewed=date(2025, 12, 30)),
        Metadata(title="Pain", last_reviewed=date(2025, 12, 30), review_frequency="as needed"),
        Metadata(title="Pain", review_frequency="quarterly"),
    ],
)
def test_what_cannot_be_known_of_a_review_is_unknown_and_never_current(metadata: Metadata) -> None:
    citation = cited(metadata, as_of=date(2025, 12, 31))
    assert (citation.review_due, citation.freshness) == (None, "unknown")
    assert citation.review_evidence == ("none" if metadata.last_reviewed is None else "review")


def sharing(count: int) -> list[Metadata]:
    """Other documents of the same source and date."""
    return [
        Metadata(title=f"Page {at}", source="NCI", last_reviewed=FULL.last_reviewed) for at in range(count)
    ]


def test_a_date_that_most_documents_share_is_cited_as_one_of_collection() -> None:
    """It is marked as weaker evidence; the date itself, and when the page is due, stay what they are."""
    citation = cited(FULL, *sharing(2))
    assert citation.text == f"NCI. Tarlatamab-dlle. Collected 2025-12-30. {PAGE}"
    assert citation.review_evidence == "collection"
    assert (citation.last_reviewed, citation.review_due) == (FULL.last_reviewed, date(2026, 3, 30))
    assert cited(FULL, *sharing(1)).text == f"NCI. Tarlatamab-dlle. Reviewed 2025-12-30. {PAGE}"


def test_a_page_with_a_date_of_its_own_is_cited_as_reviewed_among_collected_ones() -> None:
    own = Metadata(title="Pain", source="NCI", last_reviewed=date(2025, 12, 30) - timedelta(days=1))
    citation = cited(own, *sharing(9))
    assert (citation.text, citation.review_evidence) == ("NCI. Pain. Reviewed 2025-12-29.", "review")


@pytest.mark.parametrize(("license_name", "status"), [(None, "missing"), ("house rules", "unknown")])
def test_a_citation_without_known_terms_is_marked_and_attributes_nothing(
    license_name: str | None, status: str
) -> None:
    citation = cited(Metadata(title="Pain", source="NCI", url=PAGE, license=license_name))
    assert (citation.license, citation.license_status) == (license_name, status)
    assert (citation.attribution, citation.limits) == (None, ())


def test_a_passage_for_professionals_is_cited_with_its_patient_version() -> None:
    professional = Metadata(title="Fatigue", audience="professional", url="https://e.org/fatigue-hp-pdq")
    patient = Metadata(title="Fatigue - NCI", source="NCI", url="https://e.org/fatigue-pdq")
    twin = cited(professional, patient).patient_version
    assert twin is not None
    assert (twin.doc_id, twin.title, twin.url) == ("d1", "Fatigue", patient.url)
    assert cited(patient, professional).patient_version is None
    assert cited(professional).patient_version is None
