"""Where passages come from, as far as only the whole index tells: collection dates, terms of use, twins."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date
from operator import attrgetter
from urllib.parse import urlsplit

from rag.corpus.document import Metadata
from rag.corpus.freshness import DateEvidence, collection_dates, date_evidence, review_due
from rag.corpus.licensing import Licenses, LicenseTerms
from rag.corpus.policy import is_professional, twin_addresses
from rag.index.backend import Backend

# All that decides a standing: keys that Citewell does not know decide nothing.
_STATED = attrgetter(*(field.name for field in fields(Metadata) if field.name != "extra"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientVersion:
    """The page for patients that goes with a page for professionals."""

    doc_id: str
    title: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What holds for every passage of a document on any day, as `Provenance` and `review_due` tell it."""

    title: str
    terms: LicenseTerms
    review_evidence: DateEvidence
    review_due: date | None
    patient_version: PatientVersion | None


class Provenance:
    """Knows the documents of one index together. Safe to use from several threads."""

    def __init__(self, backend: Backend, licenses: Licenses) -> None:
        self._licenses = licenses
        self._standings: dict[object, Standing] = {}
        catalog = backend.catalog()
        self._collected = collection_dates(metadata for _, metadata in catalog)
        self._patient_pages = {
            _place(metadata.url): PatientVersion(doc_id=doc_id, title=metadata.short_title, url=metadata.url)
            for doc_id, metadata in catalog
            if metadata.url and not is_professional(metadata.audience) and metadata.status == "active"
        }

    def standing(self, metadata: Metadata) -> Standing:
        """The standing of a document; worked out once, for it takes longer than all else in a citation."""
        key = _STATED(metadata)
        found = self._standings.get(key)
        if found is None:
            found = self._standings[key] = Standing(
                title=metadata.short_title,
                terms=self.terms(metadata),
                review_evidence=self.review_evidence(metadata),
                review_due=review_due(metadata.last_reviewed, metadata.review_frequency),
                patient_version=self.patient_version(metadata),
            )
        return found

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
