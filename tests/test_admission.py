"""Patients get no pages for professionals by default; strict licences admit known terms only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from keyword_encoder import KeywordEncoder
from little_index import little_index, page

from rag.answer.admission import Admission
from rag.index.filters import NO_FILTERS, Filters
from rag.search.retriever import Retriever

PAGES = {
    "patient": page("Fever.", license="public_domain"),
    "carer": page("Fever one.", audienceLevel="caregiver", license="CC-BY-4.0"),
    "doctor": page("Fever two.", audienceLevel="professional", license="public_domain"),
    "clinician": page("Fever three.", audienceLevel="clinicians", license="house rules"),
    "hidden": page("Fever four.", url="https://example.org/types/lung/hp/fever-pdq"),
    "unlicensed": page("Fever five."),
}


@pytest.fixture(scope="module")
def retriever(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Retriever]:
    index = little_index(tmp_path_factory.mktemp("admission"), PAGES)
    yield Retriever(index, KeywordEncoder())
    index.close()


def found(retriever: Retriever, filters: Filters = NO_FILTERS, *, strict: bool = False) -> set[str]:
    admitted = Admission(retriever.backend).admit(filters, strict_license=strict)
    ranking = retriever.search("fever", top_k=50, filters=admitted)
    return {hit.chunk_id.partition("#")[0] for hit in ranking.hits}


def test_by_default_no_page_for_professionals_is_found(retriever: Retriever) -> None:
    assert found(retriever) == {"patient", "carer", "unlicensed"}


@pytest.mark.parametrize("wish", ["professional", "Professional"])
def test_who_asks_for_professionals_gets_all_of_theirs_and_no_other(retriever: Retriever, wish: str) -> None:
    assert found(retriever, Filters(audience=(wish,))) == {"doctor", "clinician", "hidden"}


def test_both_audiences_can_be_asked_for(retriever: Retriever) -> None:
    wanted = Filters(audience=("patient", "professional"))
    assert found(retriever, wanted) == PAGES.keys() - {"carer"}


def test_another_filter_does_not_let_professionals_in(retriever: Retriever) -> None:
    assert found(retriever, Filters(license=("public_domain",))) == {"patient"}


def test_a_strict_license_leaves_out_what_is_missing_or_not_known(retriever: Retriever) -> None:
    assert found(retriever, strict=True) == {"patient", "carer"}
    assert found(retriever, Filters(license=("public_domain",)), strict=True) == {"patient"}


def test_a_license_that_is_not_known_cannot_be_wished_for_under_strict_licenses(retriever: Retriever) -> None:
    wanted = Filters(audience=("professional",), license=("house rules",))
    assert found(retriever, wanted) == {"clinician"}
    assert found(retriever, wanted, strict=True) == set()


def test_an_index_of_professional_pages_alone_answers_no_patient(tmp_path: Path) -> None:
    index = little_index(tmp_path, {"doctor": PAGES["doctor"]})
    assert found(Retriever(index, KeywordEncoder())) == set()
    index.close()


def test_without_professional_pages_no_condition_is_added(tmp_path: Path) -> None:
    """A condition that everything meets would still cost time."""
    index = little_index(tmp_path, {"patient": PAGES["patient"]})
    assert Admission(index).admit(NO_FILTERS, strict_license=True) == NO_FILTERS
    index.close()
