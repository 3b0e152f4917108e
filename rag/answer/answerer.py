"""Answers questions: ranks, judges, cites, and says what must be said beside the passages."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from rag.answer.admission import Admission
from rag.answer.answer import (
    LOW_CONFIDENCE_PASSAGES,
    PARTS,
    RECEIPT,
    Answer,
    Judgement,
    Receipt,
    Request,
)
from rag.answer.confidence import Calibration, Status, find_calibration, status_of
from rag.answer.evidence import EvidenceReader
from rag.answer.extract import Extract, Extractor
from rag.answer.hashing import QuestionHash, load_question_hash
from rag.answer.notices import load_notices
from rag.answer.passage import Passage, make_passage
from rag.answer.policy import DEFAULT_POLICY, AnswerPolicy
from rag.answer.provenance import Provenance
from rag.answer.receipt import make_receipt
from rag.answer.safety.screen import Alarm, load_screen
from rag.answer.verify import Verifier
from rag.corpus.freshness import today
from rag.corpus.licensing import load_licenses
from rag.encoders.base import Encoder
from rag.errors import InvalidRequest
from rag.index.backend import Backend, StoredChunk
from rag.index.filters import NO_FILTERS, Filters
from rag.index.opening import open_index
from rag.search.clock import Clock
from rag.search.question import DEFAULT_TOP_K
from rag.search.ranking import Ranking
from rag.search.reranker import CrossEncoderReranker, Reranker
from rag.search.retriever import Retriever


class Answerer:
    """Answers questions from one index, and verifies quotes of it. Safe to use from several threads."""

    def __init__(
        self,
        retriever: Retriever,
        *,
        policy: AnswerPolicy = DEFAULT_POLICY,
        calibration: Calibration | None = None,
        root: Path | None = None,
    ) -> None:
        """Without a `calibration` no answer has a confidence; `root` is the index folder, if there is one.

        Raises `SettingsError` for a policy or a calibration that cannot be used.
        """
        backend, licenses = retriever.backend, load_licenses(policy.licenses)
        self._retriever, self._policy, self._calibration = retriever, policy, calibration
        self._evidence = EvidenceReader(backend)
        self._extractor = Extractor(backend)
        self._admission = Admission(backend, licenses)
        self._provenance = Provenance(backend, licenses)
        self._screen = load_screen()
        self._notices = load_notices(policy.locale, policy.notices)
        self._root = root
        if calibration is not None:
            calibration.check_fits(retriever.encoder)
        self.verifier = Verifier(backend)

    @classmethod
    def open(
        cls,
        root: Path | str,
        *,
        reranker: Reranker | str | None = None,
        policy: AnswerPolicy = DEFAULT_POLICY,
        remember: int = 0,
        **options: Any,
    ) -> Answerer:
        """Open the current version of the index folder `root` (options as for `open_index`).

        `reranker` is or names a cross-encoder that orders the best hits anew; `remember` is the number of
        questions whose vectors are kept in memory, under a keyed hash. The calibration is that of
        the index's encoder, if there is one. Raises `EncoderNotFound` or `EncoderUnusable` for a reranker
        that cannot be loaded, and `SettingsError` for a policy or a calibration that cannot be used.
        """
        judge = CrossEncoderReranker(reranker) if isinstance(reranker, str) else reranker
        opened = open_index(root, **options)
        try:
            fingerprint = opened.encoder.fingerprint
            calibration = find_calibration(fingerprint, Path(root), path=policy.calibration)
            retriever = Retriever(opened.backend, opened.encoder, reranker=judge, remember=remember)
            return cls(retriever, policy=policy, calibration=calibration, root=Path(root))
        except BaseException:
            opened.backend.close()
            raise

    @property
    def backend(self) -> Backend:
        """The index that answers."""
        return self._retriever.backend

    @property
    def encoder(self) -> Encoder:
        """What encodes the questions."""
        return self._retriever.encoder

    @cached_property
    def question_hash(self) -> QuestionHash:
        """The keyed hash of questions; its key is made when the first receipt is asked for."""
        return load_question_hash(self._root, self._policy.hash_key)

    def close(self) -> None:
        """Close the index; nothing may be asked any more."""
        self.backend.close()

    def ask(
        self,
        question: str,
        *,
        top_k: int = DEFAULT_TOP_K,
        filters: Filters = NO_FILTERS,
        history: Sequence[str] = (),
        as_of: date | None = None,
        strict_license: bool = False,
        include: Collection[str] = (),
    ) -> Answer:
        """Answer `question` with at most `top_k` passages of the documents that `filters` let through.

        `history` are the person's earlier questions, oldest first. `as_of` is the day for which freshness
        is told, today by default. `include` asks for optional parts, of `PARTS`. Raises `InvalidRequest`.
        """
        _check_parts(include)
        request = Request(
            question=question,
            history=tuple(history),
            top_k=top_k,
            filters=filters,
            as_of=_day(as_of),
            strict_license=strict_license or self._policy.strict_license,
            low_confidence_passages=LOW_CONFIDENCE_PASSAGES in include,
        )
        clock = Clock()
        ranking = self._ranking(request)
        clock.took(ranking.timings_ms)
        # With names of an earlier turn in it the vector is not that of the message alone.
        vector = None if ranking.leaned else ranking.vector
        alarms = self._screen.alarms(question, vector, self.encoder.fingerprint)
        clock.lap("screen")
        stored = self._stored(ranking)
        judgement = self._judged(question, ranking, stored, alarms)
        clock.lap("judge")
        extract, passages = self._cited(request, judgement, ranking, stored)
        clock.lap("cite")
        receipt = (
            self._receipt(request, judgement, ranking, passages, extract) if RECEIPT in include else None
        )
        return Answer(
            request_id=uuid.uuid4().hex,
            status=judgement.status,
            confidence=judgement.confidence,
            answer=extract,
            passages=passages,
            notices=tuple(self._notices.of(alarm.code) for alarm in alarms),
            corrections=ranking.corrections,
            unknown=ranking.unknown,
            index=self.backend.info,
            timings_ms=clock.told(),
            receipt=receipt,
        )

    def _ranking(self, request: Request) -> Ranking:
        return self._retriever.search(
            request.question,
            top_k=request.top_k,
            filters=self._admission.admit(request.filters, strict_license=request.strict_license),
            history=request.history,
        )

    def _stored(self, ranking: Ranking) -> list[StoredChunk]:
        """The hits as they are stored, the foremost ones even where fewer were asked for."""
        hits = max(ranking.hits, ranking.foremost, key=len)
        return self.backend.chunks([hit.chunk_id for hit in hits])

    def _judged(
        self, question: str, ranking: Ranking, stored: Sequence[StoredChunk], alarms: tuple[Alarm, ...]
    ) -> Judgement:
        evidence = confidence = None
        if self._calibration is not None and ranking.vector is not None and ranking.foremost:
            evidence = self._evidence.read(question, ranking, stored[: len(ranking.foremost)])
            confidence = self._calibration.probability(evidence, ranking.vector)
        status = status_of(
            confidence,
            found=bool(ranking.hits),
            answered_from=self._policy.answered_from,
            uncertain_from=self._policy.uncertain_from,
        )
        return Judgement(status=status, confidence=confidence, evidence=evidence, alarms=alarms)

    def _cited(
        self, request: Request, judgement: Judgement, ranking: Ranking, stored: Sequence[StoredChunk]
    ) -> tuple[Extract | None, tuple[Passage, ...]]:
        """The sentences that answer and the passages; neither when nothing answers, unless asked for."""
        answers = judgement.status is not Status.NO_ANSWER
        if not (answers or request.low_confidence_passages):
            return None, ()
        stored = stored[: len(ranking.hits)]
        extract, highlights = self._extractor.extract(ranking.terms, stored)
        found = zip(ranking.hits, stored, highlights, strict=True)
        passages = tuple(
            make_passage(rank, hit, chunk, marked, provenance=self._provenance, as_of=request.as_of)
            for rank, (hit, chunk, marked) in enumerate(found, start=1)
        )
        return extract if answers else None, passages

    def _receipt(
        self,
        request: Request,
        judgement: Judgement,
        ranking: Ranking,
        passages: Sequence[Passage],
        extract: Extract | None,
    ) -> Receipt:
        return make_receipt(
            request,
            judgement,
            ranking,
            passages,
            extract,
            index=self.backend.info,
            policy=self._policy,
            calibration=self._calibration,
            screen_version=self._screen.version,
            question_hash=self.question_hash,
        )


def _day(given: date | None) -> date:
    # A datetime is a date with a time of day, which means nothing here.
    if given is not None and not isinstance(given, date):
        raise InvalidRequest("as_of", "must be a date")
    return date(given.year, given.month, given.day) if given else today()


def _check_parts(include: Collection[str]) -> None:
    unknown = [part for part in include if part not in PARTS]
    if isinstance(include, str) or unknown:
        raise InvalidRequest("include", f"must be of {', '.join(PARTS)}")
