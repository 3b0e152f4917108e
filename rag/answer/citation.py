"""A chunk's citation: who says it, where, when it was reviewed, and a link to the very place.

Nothing is added that the document does not say of itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from rag.answer.provenance import PatientVersion, Provenance
from rag.corpus.document import Metadata
from rag.corpus.freshness import DateEvidence, Freshness, freshness
from rag.corpus.licensing import LicenseStatus, Limit
from rag.index.backend import StoredChunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """How to cite a passage. `label` refers to its rank in the answer, `text` is fit to print.

    `freshness` is that of the day for which it was asked; `review_evidence` says whether `last_reviewed`
    is a review or rather the day of a collection. `attribution` and `limits` are what the licence asks.
    """

    label: str
    text: str
    title: str
    url: str | None
    deep_link: str | None
    source: str | None
    source_type: str | None
    citation: str | None
    license: str | None
    license_status: LicenseStatus
    attribution: str | None
    limits: tuple[Limit, ...]
    last_reviewed: date | None
    review_frequency: str | None
    review_due: date | None
    freshness: Freshness
    review_evidence: DateEvidence
    audience: str
    audience_claim: str | None
    cancer_types: tuple[str, ...]
    language: str | None
    status: str
    tags: tuple[str, ...]
    version: str | None
    patient_version: PatientVersion | None


def cite(stored: StoredChunk, *, rank: int, provenance: Provenance, as_of: date) -> Citation:
    """Cite a chunk as the passage of rank `rank`, counted from 1, as it stands on the day `as_of`."""
    metadata = stored.metadata
    standing = provenance.standing(metadata)
    terms = standing.terms
    return Citation(
        label=f"[{rank}]",
        text=citation_text(metadata, standing.review_evidence),
        title=standing.title,
        url=metadata.url,
        deep_link=deep_link(metadata.url, stored.fragment),
        source=metadata.source,
        source_type=metadata.source_type,
        citation=metadata.citation,
        license=metadata.license,
        license_status=terms.status,
        attribution=terms.attribution,
        limits=terms.limits,
        last_reviewed=metadata.last_reviewed,
        review_frequency=metadata.review_frequency,
        review_due=standing.review_due,
        freshness=freshness(standing.review_due, as_of),
        review_evidence=standing.review_evidence,
        audience=metadata.audience,
        audience_claim=metadata.audience_claim,
        cancer_types=metadata.cancer_types,
        language=metadata.language,
        status=metadata.status,
        tags=metadata.tags,
        version=metadata.version,
        patient_version=standing.patient_version,
    )


def citation_text(metadata: Metadata, evidence: DateEvidence) -> str:
    """One line: source, title, review date, address. A missing date is said, not passed over.

    A date that is rather that of the collection is not called one of a review.
    """
    parts = [
        " ".join((metadata.source or "").split()),
        " ".join(metadata.short_title.split()),
        _dated(metadata.last_reviewed, evidence),
    ]
    sentences = [part if part.endswith((".", "?", "!")) else f"{part}." for part in parts if part]
    return " ".join([*sentences, *([metadata.url] if metadata.url else [])])


def _dated(day: date | None, evidence: DateEvidence) -> str:
    if day is None:
        return "Review date unknown"
    verb = "Collected" if evidence is DateEvidence.COLLECTION else "Reviewed"
    return f"{verb} {day.isoformat()}"


def deep_link(url: str | None, fragment: str) -> str | None:
    """The address with a text fragment; an address that has a fragment already keeps it."""
    if url is None or not fragment:
        return url
    joint = ":~:text=" if "#" in url else "#:~:text="
    return f"{url}{joint}{fragment}"
