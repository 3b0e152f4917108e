"""A receipt: all that reproduces an answer, without the question and without a word of it.

Numbers are rounded to what a reader can compare; what differs from run to run (times, the request's id) is
left out, so that two receipts of the same answer are equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import date
from importlib.metadata import version
from typing import Any

from rag.answer.answer import Judgement, Receipt, Request
from rag.answer.confidence import Calibration
from rag.answer.extract import Extract, QuotedSentence
from rag.answer.hashing import QuestionHash
from rag.answer.passage import Passage
from rag.answer.policy import AnswerPolicy
from rag.index.backend import IndexInfo
from rag.index.filters import Filters
from rag.search.ranking import RankedHit, Ranking

RECEIPT_VERSION = 1
_DIGITS = 6


def make_receipt(
    request: Request,
    judgement: Judgement,
    ranking: Ranking,
    passages: Sequence[Passage],
    extract: Extract | None,
    *,
    index: IndexInfo,
    policy: AnswerPolicy,
    calibration: Calibration | None,
    screen_version: str,
    question_hash: QuestionHash,
) -> Receipt:
    """The receipt of one answer, as plain JSON values."""
    return {
        "version": RECEIPT_VERSION,
        "code_version": version("citewell"),
        "index": {
            "id": index.index_id,
            "encoder": index.encoder,
            "encoder_fingerprint": index.encoder_fingerprint,
        },
        "question": {
            "hash": question_hash.of(request.question),
            "history": [question_hash.of(turn) for turn in request.history],
            "key_id": question_hash.key_id,
        },
        "request": _request(request),
        "settings": _settings(policy, calibration, screen_version),
        "decisions": _decisions(judgement, ranking),
        "passages": [_passage(passage, hit) for passage, hit in zip(passages, ranking.hits, strict=False)],
        "sentences": [_sentence(one) for one in extract.sentences] if extract else [],
    }


def _request(request: Request) -> dict[str, Any]:
    return {
        "top_k": request.top_k,
        "filters": plain_filters(request.filters),
        "as_of": request.as_of.isoformat(),
        "strict_license": request.strict_license,
        "low_confidence_passages": request.low_confidence_passages,
    }


def plain_filters(filters: Filters) -> dict[str, Any]:
    """Filters as `Filters.parse` takes them; what is not set is left out."""
    found: dict[str, Any] = {}
    for field in fields(filters):
        value = getattr(filters, field.name)
        if value:
            found[field.name] = value.isoformat() if isinstance(value, date) else list(value)
    return found


def _settings(policy: AnswerPolicy, calibration: Calibration | None, screen_version: str) -> dict[str, Any]:
    return {
        "answered_from": policy.answered_from,
        "uncertain_from": policy.uncertain_from,
        "strict_license": policy.strict_license,
        "locale": policy.locale,
        "screen": screen_version,
        "calibration": calibration.made_at if calibration else None,
    }


def _decisions(judgement: Judgement, ranking: Ranking) -> dict[str, Any]:
    evidence: Mapping[str, float] = asdict(judgement.evidence) if judgement.evidence else {}
    return {
        "status": judgement.status.value,
        "confidence": _rounded(judgement.confidence),
        "evidence": {name: _rounded(value) for name, value in evidence.items()},
        "admitted": plain_filters(ranking.filters),
        "notices": [asdict(alarm) for alarm in judgement.alarms],
    }


def _passage(passage: Passage, hit: RankedHit) -> dict[str, Any]:
    place, citation = passage.location, passage.citation
    return {
        "rank": passage.rank,
        "chunk_id": passage.chunk_id,
        "doc_id": place.doc_id,
        "start": place.start,
        "end": place.end,
        "sha256": place.sha256,
        "score": _rounded(hit.score),
        "dense": _rounded(hit.dense),
        "lexical": _rounded(hit.lexical),
        "freshness": citation.freshness.value,
        "license_status": citation.license_status.value,
        "audience": citation.audience,
    }


def _sentence(one: QuotedSentence) -> dict[str, Any]:
    return {"passage": one.passage, "start": one.start, "end": one.end}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)
