"""A passage and its citation in the API. Names are a contract: fields may be added, none renamed."""

from __future__ import annotations

from datetime import date
from typing import Any

from pydantic import Field

from rag.corpus.freshness import DateEvidence, Freshness
from rag.corpus.licensing import LicenseStatus
from rag.serve.wire.models import FromRecord


class LinkModel(FromRecord):
    """A link inside a passage, absolute."""

    text: str
    url: str


class LimitModel(FromRecord):
    """Something that may not be done with a passage."""

    code: str
    text: str


class PatientVersionModel(FromRecord):
    """The page for patients that goes with a page for professionals."""

    doc_id: str
    title: str
    url: str


class CitationModel(FromRecord):
    """How to cite a passage."""

    label: str
    text: str
    title: str
    url: str | None
    deep_link: str | None = Field(description="The address with a text fragment of the passage.")
    source: str | None
    source_type: str | None
    citation: str | None
    license: str | None
    license_status: LicenseStatus
    attribution: str | None = Field(
        description="To be printed beside the passage, where the terms are known."
    )
    limits: list[LimitModel] = Field(description="What the license does not allow.")
    last_reviewed: date | None
    review_frequency: str | None
    review_due: date | None
    freshness: Freshness
    review_evidence: DateEvidence = Field(
        description="`collection`: most pages of the source bear this date, so it is rather the day they "
        "were collected, and weaker evidence."
    )
    audience: str
    audience_claim: str | None
    cancer_types: list[str]
    language: str | None
    status: str
    tags: list[str]
    version: str | None
    patient_version: PatientVersionModel | None = Field(
        description="The patient's version of a page for professionals, where the index has one."
    )


class LocationModel(FromRecord):
    """`text[start:end]` of the document, in code points; `sha256` is the file's."""

    doc_id: str
    start: int
    end: int
    sha256: str


class PassageModel(FromRecord):
    """A passage. `score` orders and means nothing else."""

    rank: int
    score: float
    chunk_id: str
    text: str
    markdown: str
    heading_path: list[str]
    highlights: list[tuple[int, int]] = Field(
        description="Start and end, in `text`, of the sentences that answer best."
    )
    links: list[LinkModel]
    citation: CitationModel
    location: LocationModel
    also_in: list[str] = Field(description="Other documents that hold the same words.")
    missing: list[str] = Field(
        description="Names in the question (cancers, drugs, topics) that this passage does not mention."
    )
    metadata: dict[str, Any] = Field(description="Front-matter keys that Citewell does not know.")
