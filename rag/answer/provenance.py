"""Where passages come from, as far as only the whole index tells: collection dates, terms of use, twins."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from rag.corpus.document import Metadata
from rag.corpus.freshness import DateEvidence, collection_dates, date_evidence
from rag.corpus.licensing import Licenses, LicenseTerms
from rag.corpus.policy import is_professional, twin_addresses
from rag.index.backend import Backend


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientVersion:
    """The page for patients that goes with a page for professionals."""

    doc_id: str
    title: str
    url: str


class Provenance:
    """Knows the documents of one index together. Immutable, so one serves all threads."""

    def __init__(self, backend: Backend, licenses: Licenses) -> None:
        self._licenses = licenses
        catalog = backend.catalog()
        self._collected = collection_dates(metadata for _, metadata in catalog)
        self._patient_pages = {
            _place(metadata.url): PatientVersion(doc_id=doc_id, title=metadata.short_title, url=metadata.url)
            for doc_id, metadata in catalog
            if metadata.url and not is_professional(metadata.audience) and metadata.status == "active"
        }

    def terms(self, metadata: Metadata) -> LicenseTerms:
        """What may be done with passages of a document."""
        return self._licenses.terms(metadata)

    def review_evidence(self, metadata: Metadata) -> DateEvidence:
        """What a document's review date rests on."""
        return date_evidence(metadata, self._collected)

    def patient_version(self, metadata: Metadata) -> PatientVersion | None:
        """The patient's version of a page for professionals, where the index has one."""
        if not metadata.url or not is_professional(metadata.audience):
            return None
        found = (self._patient_pages.get(_place(address)) for address in twin_addresses(metadata.url))
        return next(filter(None, found), None)


def _place(url: str) -> str:
    """What of an address tells one page from another."""
    parts = urlsplit(url)
    return parts.netloc.lower() + parts.path.rstrip("/")
