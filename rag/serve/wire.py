"""The JSON of the API: what `/ask` takes and gives, and its problem details.

Names are a contract: fields may be added, none renamed.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from rag.answer.answer import Answer
from rag.search.retriever import DEFAULT_TOP_K, MAX_QUESTION, MAX_TOP_K

PROBLEM_TYPE = "application/problem+json"


class AskRequest(BaseModel):
    """A patient's question."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUESTION)
    ] = Field(description="The question as it was asked.")
    top_k: int = Field(
        DEFAULT_TOP_K, ge=1, le=MAX_TOP_K, strict=True, description="How many passages to return."
    )


class _FromRecord(BaseModel):
    model_config = ConfigDict(from_attributes=True, frozen=True)


class LinkModel(_FromRecord):
    """A link inside a passage, absolute."""

    text: str
    url: str


class CitationModel(_FromRecord):
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
    last_reviewed: date | None
    review_frequency: str | None
    audience: str
    audience_claim: str | None
    cancer_types: list[str]
    language: str | None
    status: str
    tags: list[str]
    version: str | None


class LocationModel(_FromRecord):
    """`text[start:end]` of the document, in code points; `sha256` is the file's."""

    doc_id: str
    start: int
    end: int
    sha256: str


class PassageModel(_FromRecord):
    """A passage. `score` orders and means nothing else."""

    rank: int
    score: float
    chunk_id: str
    text: str
    markdown: str
    heading_path: list[str]
    links: list[LinkModel]
    citation: CitationModel
    location: LocationModel
    metadata: dict[str, Any] = Field(description="Front-matter keys that Citewell does not know.")


class IndexModel(BaseModel):
    """Which index answered."""

    id: str
    built_at: str
    encoder: str


class AskResponse(BaseModel):
    """The passages that answer, best first."""

    request_id: str
    passages: list[PassageModel]
    index: IndexModel
    timings_ms: dict[str, float]


class FieldProblem(BaseModel):
    """What is wrong with one field of a request."""

    field: str
    message: str


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[FieldProblem] = Field(default_factory=list)


def to_response(answer: Answer) -> AskResponse:
    """The wire form of an answer."""
    index = answer.index
    return AskResponse(
        request_id=answer.request_id,
        passages=[PassageModel.model_validate(passage) for passage in answer.passages],
        index=IndexModel(id=index.index_id, built_at=index.built_at, encoder=index.encoder),
        timings_ms={stage: round(ms, 2) for stage, ms in answer.timings_ms.items()},
    )
