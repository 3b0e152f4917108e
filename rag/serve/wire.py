"""The JSON of the API: what `/ask` takes and gives, and its problem details.

Names are a contract: fields may be added, none renamed.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from rag.answer.answer import Answer
from rag.index.filters import DAY, MAX_VALUE_LENGTH, MAX_VALUES, Filters
from rag.search.question import DEFAULT_TOP_K, MAX_HISTORY, MAX_QUESTION, MAX_TOP_K

PROBLEM_TYPE = "application/problem+json"
# Longer than a question: an assistant's turn may be a whole answer, of which nothing is read.
MAX_TURN = 20_000


_Texts = Annotated[
    list[Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_VALUE_LENGTH)]],
    Field(max_length=MAX_VALUES),
]


def _day(value: object) -> object:
    """A date as it is written; by itself pydantic would take a number for seconds since 1970."""
    if value is None or (isinstance(value, str) and DAY.fullmatch(value)):
        return value
    raise PydanticCustomError("no_day", "must be a date such as 2026-01-31")


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FiltersModel(_Given):
    """Conditions on documents: all that are given must be met, each by any one of its values.

    Values are compared without regard to case.
    """

    cancer_types: _Texts = []
    audience: _Texts = Field(default=[], description="`patient` or `professional`.")
    language: _Texts = []
    source: _Texts = []
    source_type: _Texts = []
    license: _Texts = []
    status: _Texts = Field(
        default=[], description="Only `active` documents are searched unless this is given."
    )
    tags: _Texts = []
    doc_id: _Texts = []
    last_reviewed_after: Annotated[date | None, BeforeValidator(_day)] = Field(
        default=None, description="Leaves out documents reviewed on that day, earlier, or at no known date."
    )


class TurnModel(_Given):
    """An earlier turn of the conversation."""

    role: Literal["user", "assistant"] = "user"
    content: Annotated[str, StringConstraints(max_length=MAX_TURN)]


class AskRequest(_Given):
    """A patient's question."""

    question: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUESTION)
    ] = Field(description="The question as it was asked.")
    top_k: int = Field(
        DEFAULT_TOP_K, ge=1, le=MAX_TOP_K, strict=True, description="How many passages to return."
    )
    filters: FiltersModel = Field(FiltersModel(), description="Which documents may answer.")
    history: list[TurnModel] = Field(
        [],
        max_length=MAX_HISTORY,
        description="Earlier turns, oldest first. A question such as 'what about its side effects?' takes "
        "the name that it leaves out from the user's turns.",
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
    also_in: list[str] = Field(description="Other documents that hold the same words.")
    missing: list[str] = Field(
        description="Names in the question (cancers, drugs, topics) that this passage does not mention."
    )
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
    corrections: dict[str, str] = Field(
        description="Words of the question that look misspelled, and what was searched beside them."
    )
    index: IndexModel
    timings_ms: dict[str, float]


class ReadyResponse(BaseModel):
    """Whether questions can be answered, and from which index."""

    status: Literal["ready"]
    index: str
    note: str | None = Field(description="What an operator should look into: a version that was refused.")


class ReloadResponse(BaseModel):
    """What serves after a reload."""

    status: Literal["reloaded", "unchanged"]
    index: str


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


def filters_of(request: AskRequest) -> Filters:
    """The filters of a request. Raises `InvalidRequest`."""
    return Filters.parse(request.filters.model_dump())


def history_of(request: AskRequest) -> list[str]:
    """What the person asked before, oldest first; of a very long turn only its beginning."""
    return [turn.content[:MAX_QUESTION] for turn in request.history if turn.role == "user"]


def to_response(answer: Answer) -> AskResponse:
    """The wire form of an answer."""
    index = answer.index
    return AskResponse(
        request_id=answer.request_id,
        passages=[PassageModel.model_validate(passage) for passage in answer.passages],
        corrections=dict(answer.corrections),
        index=IndexModel(id=index.index_id, built_at=index.built_at, encoder=index.encoder),
        timings_ms={stage: round(ms, 2) for stage, ms in answer.timings_ms.items()},
    )
