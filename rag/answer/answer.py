"""The records of an answer: what was asked, what was decided, what is given back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from rag.answer.confidence import Status
from rag.answer.evidence import Evidence
from rag.answer.extract import Extract
from rag.answer.notices import Notice
from rag.answer.passage import Passage
from rag.answer.safety.screen import Alarm
from rag.index.backend import IndexInfo
from rag.index.filters import Filters

LOW_CONFIDENCE_PASSAGES = "low_confidence_passages"
RECEIPT = "receipt"
TIMINGS = "timings"
PARTS = (LOW_CONFIDENCE_PASSAGES, RECEIPT, TIMINGS)

# See `rag.answer.receipt`.
Receipt = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked, as `Answerer.ask` takes it."""

    question: str
    history: tuple[str, ...]
    top_k: int
    filters: Filters
    as_of: date
    strict_license: bool
    low_confidence_passages: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What was decided about a ranking."""

    status: Status
    confidence: float | None
    evidence: Evidence | None
    alarms: tuple[Alarm, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What `/ask` answers.

    `confidence` is the calibrated probability that the top passages answer the question, None where the
    encoder has no calibration. `answer` is made of sentences of the passages; it is None, and there are no
    passages, when the status is `no_answer` (unless they were asked for). `notices` must be shown.
    `corrections` maps words of the question that look misspelled to the words searched beside them,
    `unknown` are its words that neither the documents nor the language have. `timings_ms` has the stages
    `screen`, `read`, `encode`, `search`, `rank`, `judge`, `cite` and their `total` (and `rerank` where a
    reranker is at work).
    """

    request_id: str
    status: Status
    confidence: float | None
    answer: Extract | None
    passages: tuple[Passage, ...]
    notices: tuple[Notice, ...]
    corrections: Mapping[str, str]
    unknown: tuple[str, ...]
    index: IndexInfo
    timings_ms: dict[str, float]
    receipt: Receipt | None = None
