"""What only the whole index tells of a page: whether its date is a collection's, and its patient version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from little_index import little_index, page
from whole_index import chunks_of

from rag.answer.citation import cite
from rag.answer.provenance import PatientVersion, Provenance
from rag.corpus.document import Metadata
from rag.corpus.licensing import load_licenses
from rag.index.local.local_index import LocalIndex

SITE = "https://www.cancer.gov/types"
COLLECTED = date(2025, 12, 30)


class ProvenanceOf:
    """Called with pages, gives their provenance; `index` is the index of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.index: LocalIndex

    def __call__(self, pages: Mapping[str, str]) -> Provenance:
        self.index = little_index(self._folder, pages)
        return Provenance(self.index, load_licenses())

    def metadata(self, doc_id: str) -> Metadata:
        return self.index.document(doc_id).metadata

    def close(self) -> None:
        self.index.close()


@pytest.fixture
def provenance_of(tmp_path: Path) -> Iterator[ProvenanceOf]:
    """Build an index of such pages (documents by doc_id) and open it; it is closed at the end."""
    maker = ProvenanceOf(tmp_path)
    yield maker
    maker.close()


def of_nci(url: str, title: str = "Page", **front_matter: str) -> str:
    return page("Fever and pain.", title=title, url=f"{SITE}{url}", source="NCI", **front_matter)


def test_a_page_for_professionals_is_paired_with_its_patient_version(provenance_of: ProvenanceOf) -> None:
    provenance = provenance_of(
        {
            "lung/hp": of_nci("/lung/hp/lung-treatment-pdq", "Lung (PDQ®)–Health Professional Version - NCI"),
            "lung/patient": of_nci("/lung/patient/lung-treatment-pdq", "Lung (PDQ®)–Patient Version - NCI"),
        }
    )
    assert provenance.patient_version(provenance_of.metadata("lung/hp")) == PatientVersion(
        doc_id="lung/patient",
        title="Lung (PDQ®)–Patient Version",
        url=f"{SITE}/lung/patient/lung-treatment-pdq",
    )
    assert provenance.patient_version(provenance_of.metadata("lung/patient")) is None


@pytest.mark.parametrize(
    ("professional", "patient"),
    [
        ("/lung/hp", "/lung"),
        ("/lung/hp", "/lung/patient"),
        ("/lung/hp/", "/lung/patient"),
        ("/lung/hp?print=1#top", "/lung/patient/"),
        ("/heart/hp-child-pdq", "/heart/patient-child-pdq"),
        ("/fatigue-hp-pdq", "/fatigue-pdq"),
    ],
)
def test_the_patient_version_is_found_where_the_address_leads(
    provenance_of: ProvenanceOf, professional: str, patient: str
) -> None:
    provenance = provenance_of({"a": of_nci(professional), "b": of_nci(patient), "c": of_nci("/pain")})
    found = provenance.patient_version(provenance_of.metadata("a"))
    assert found is not None
    assert (found.doc_id, found.url) == ("b", f"{SITE}{patient}")


def test_the_page_in_the_patients_folder_comes_before_the_one_above_it(provenance_of: ProvenanceOf) -> None:
    provenance = provenance_of({"a": of_nci("/lung/hp"), "b": of_nci("/lung"), "c": of_nci("/lung/patient")})
    found = provenance.patient_version(provenance_of.metadata("a"))
    assert found is not None
    assert found.doc_id == "c"


@pytest.mark.parametrize(
    "other",
    [
        of_nci("/lung/patient", status="withdrawn"),
        of_nci("/lung/patient", status="draft"),
        of_nci("/lung/patient", audienceLevel="clinicians"),
        of_nci("/lung/patient", "Lung—Health Professional Version"),
        of_nci("/lung/patient/treatment"),
        of_nci("/breast/patient"),
        page("Fever.", url="https://elsewhere.example.org/types/lung/patient"),
        page("Fever."),
    ],
)
def test_what_no_patient_may_read_or_is_another_page_is_no_patient_version(
    provenance_of: ProvenanceOf, other: str
) -> None:
    provenance = provenance_of({"a": of_nci("/lung/hp"), "b": other})
    assert provenance.patient_version(provenance_of.metadata("a")) is None


@pytest.mark.parametrize(
    "front_matter",
    [{"audienceLevel": "professional"}, {"title": "Lung—Health Professional Version"}],
)
def test_a_page_for_professionals_without_an_address_has_no_patient_version(
    provenance_of: ProvenanceOf, front_matter: dict[str, str]
) -> None:
    provenance = provenance_of({"a": page("Fever.", **front_matter), "b": of_nci("/lung/patient")})
    assert provenance.patient_version(provenance_of.metadata("a")) is None


def test_a_clinicians_page_that_says_so_itself_is_paired_too(provenance_of: ProvenanceOf) -> None:
    """Its address shows nothing but where its twin is."""
    provenance = provenance_of(
        {"a": of_nci("/fatigue-hp-pdq", audienceLevel="clinicians"), "b": of_nci("/fatigue-pdq")}
    )
    found = provenance.patient_version(provenance_of.metadata("a"))
    assert found is not None
    assert found.doc_id == "b"


def test_a_date_is_weaker_evidence_where_most_pages_of_the_index_share_it(
    provenance_of: ProvenanceOf,
) -> None:
    """Those of its source, whether anyone may find them or not."""
    shared = {"lastReviewed": f"{COLLECTED}"}
    provenance = provenance_of(
        {
            "a": of_nci("/a", **shared),
            "b": of_nci("/b", status="withdrawn", **shared),
            "c": of_nci("/c", audienceLevel="professional", **shared),
            "d": of_nci("/d", lastReviewed="2025-05-15"),
            "e": of_nci("/e"),
            "f": page("Fever.", source="CDC", **shared),
        }
    )
    graded = {doc_id: provenance.review_evidence(provenance_of.metadata(doc_id)) for doc_id in "abcdef"}
    assert graded == {
        **dict.fromkeys("abc", "collection"),
        "d": "review",
        "e": "none",
        "f": "review",
    }


def test_terms_are_those_of_the_licences_that_were_given(provenance_of: ProvenanceOf) -> None:
    provenance = provenance_of(
        {"a": of_nci("/a", license="CC-BY-4.0"), "b": of_nci("/b"), "c": of_nci("/c", license="ours")}
    )
    for doc_id, status in (("a", "known"), ("b", "missing"), ("c", "unknown")):
        metadata = provenance_of.metadata(doc_id)
        assert provenance.terms(metadata) == load_licenses().terms(metadata)
        assert provenance.terms(metadata).status == status


def test_every_passage_of_the_samples_can_be_cited_with_known_terms_and_a_day_of_review(
    samples_index: Path,
) -> None:
    """What we wrote ourselves must be in order."""
    stored = chunks_of(samples_index)
    assert len(stored) > 200
    with closing(LocalIndex.open(samples_index)) as index:
        provenance = Provenance(index, load_licenses())
        citations = [cite(one, rank=1, provenance=provenance, as_of=date(2026, 11, 1)) for one in stored]
    assert {citation.license_status for citation in citations} == {"known"}
    assert {citation.review_evidence for citation in citations} == {"review"}
    assert "unknown" not in {citation.freshness for citation in citations}
    for one in citations:
        title = one.title if one.title.endswith("?") else f"{one.title}."
        assert one.attribution == f"{title} Citewell sample, {one.url}. CC0 1.0: no rights reserved."
