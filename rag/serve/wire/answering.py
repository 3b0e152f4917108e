"""What `/ask` gives. Names are a contract: fields may be added, none renamed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from rag.answer.answer import Answer
from rag.answer.confidence import Status
from rag.serve.wire.citing import PassageModel
from rag.serve.wire.models import FromRecord
from rag.serve.wire.operating import Problem

_OF_REQUEST = {"request_id", "timings_ms"}


class IndexModel(BaseModel):
    """Which index answered."""

    id: str
    built_at: str
    encoder: str


class SentenceModel(FromRecord):
    """A sentence of a passage: `text[start:end]` of its document renders to `text`."""

    text: str
    passage: int = Field(description="The rank of its passage, from 1.")
    start: int
    end: int


class ExtractModel(FromRecord):
    """Whole sentences of the passages, in their words."""

    text: str
    sentences: list[SentenceModel]


class NoticeModel(FromRecord):
    """What must be shown beside the passages, and never instead of them."""

    code: Literal["urgent_symptoms", "crisis"]
    severity: Literal["urgent", "warning", "info"]
    message: str


class AskResponse(BaseModel):
    """The passages that answer, best first."""

    request_id: str
    status: Status = Field(
        description="`no_answer`: the documents do not answer, and there are no passages unless they were "
        "asked for."
    )
    confidence: float | None = Field(
        ge=0,
        le=1,
        description="The calibrated probability that the top passages answer; null where the encoder has "
        "no calibration.",
    )
    answer: ExtractModel | None
    passages: list[PassageModel]
    notices: list[NoticeModel]
    corrections: dict[str, str] = Field(
        description="Words of the question that look misspelled, and what was searched beside them."
    )
    unknown: list[str] = Field(description="Words of the question that no document and no dictionary has.")
    index: IndexModel
    receipt: dict[str, Any] | None = Field(
        default=None, description="What reproduces the answer, without a word of the question."
    )
    timings_ms: dict[str, float]


class BatchResult(BaseModel):
    """What came of one question of a batch: a response or a problem."""

    response: AskResponse | None
    problem: Problem | None


class BatchResponse(BaseModel):
    """A result for each question, in their order."""

    request_id: str
    results: list[BatchResult]


def to_response(answer: Answer) -> AskResponse:
    """The wire form of an answer."""
    index = answer.index
    return AskResponse(
        request_id=answer.request_id,
        status=answer.status,
        confidence=answer.confidence and round(answer.confidence, 6),
        answer=ExtractModel.model_validate(answer.answer) if answer.answer else None,
        passages=[PassageModel.model_validate(passage) for passage in answer.passages],
        notices=[NoticeModel.model_validate(notice) for notice in answer.notices],
        corrections=dict(answer.corrections),
        unknown=list(answer.unknown),
        index=IndexModel(id=index.index_id, built_at=index.built_at, encoder=index.encoder),
        timings_ms=_rounded(answer.timings_ms),
        receipt=answer.receipt,
    )


def body_of(answer: Answer) -> bytes:
    """The JSON of an answer without what belongs to one request only: `of_request` adds that."""
    return to_response(answer).model_dump_json(exclude=_OF_REQUEST).encode()


def of_request(body: bytes, request_id: str, timings_ms: Mapping[str, float]) -> bytes:
    """The whole JSON of an answer, from its `body_of`."""
    return b'{"request_id":"%b",%b,"timings_ms":%b}' % (
        request_id.encode("ascii"),
        body[1:-1],
        json.dumps(_rounded(timings_ms), separators=(",", ":")).encode(),
    )


def _rounded(timings_ms: Mapping[str, float]) -> dict[str, float]:
    return {stage: round(ms, 2) for stage, ms in timings_ms.items()}


def batch_of(results: Sequence[bytes | Problem], request_id: str) -> bytes:
    """The JSON of a batch, from the JSON of each answer or the problem in its place."""
    told = b",".join(
        b'{"response":%b,"problem":null}' % result
        if isinstance(result, bytes)
        else b'{"response":null,"problem":%b}' % result.model_dump_json().encode()
        for result in results
    )
    return b'{"request_id":"%b","results":[%b]}' % (request_id.encode("ascii"), told)
