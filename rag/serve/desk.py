"""Takes a request from the wire to its JSON: past the cache, through the waiting line, to the answerer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

from starlette.types import Scope

from rag.answer.answer import Answer
from rag.answer.verify import Verification
from rag.corpus.freshness import today
from rag.serve.cache import AnswerCache, Kept
from rag.serve.line import Busy, Line
from rag.serve.live import LiveIndex
from rag.serve.problems import problem_of, request_id_of
from rag.serve.telemetry.metrics import Metrics
from rag.serve.wire.answering import body_of, of_request
from rag.serve.wire.asking import AskRequest, filters_of, history_of
from rag.serve.wire.operating import Problem
from rag.serve.wire.verifying import VerifyRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Answers requests. `scope` is that of the HTTP request; what the log may know goes to its state."""

    live: LiveIndex
    line: Line
    cache: AnswerCache
    metrics: Metrics

    async def ask(self, request: AskRequest, scope: Scope) -> bytes:
        """The JSON of the answer. Raises `Busy`, and what `Answerer.ask` raises."""
        asked = _of_a_day(request)
        return self._remembered(asked, scope) or await self._placed(asked, scope)

    async def ask_all(self, requests: Sequence[AskRequest], scope: Scope) -> list[bytes | Problem]:
        """The JSON of each answer or its problem. Raises `Busy` when there is no place for the batch.

        It has one place in the line and no more questions at work than there are threads, so between
        its questions those of others are answered.
        """
        at_once = asyncio.Semaphore(self.line.threads)

        async def ask(request: AskRequest) -> bytes | Problem:
            async with at_once:
                asked = _of_a_day(request)
                try:
                    with self._counting():
                        return self._remembered(asked, scope) or await self._answered(asked, scope)
                except Exception as error:  # noqa: BLE001 - the other questions are to be answered
                    return problem_of(scope, error)

        with self._counting():
            async with self.line.place():
                return await asyncio.gather(*map(ask, requests))

    async def verify(self, request: VerifyRequest, scope: Scope) -> Verification:
        """Compare a text with what it cites. Raises `Busy`, and what `Verifier.verify` raises."""

        def work() -> Verification:
            with self.live.lease() as answerer:
                return answerer.verifier.verify(request.text, request.cited)

        with self._counting():
            async with self.line.place():
                done = await self.line.run(work)
        _state(scope)["waited_ms"] = done.waited_ms
        return done.result

    async def _placed(self, asked: AskRequest, scope: Scope) -> bytes:
        with self._counting():
            async with self.line.place():
                return await self._answered(asked, scope)

    @contextmanager
    def _counting(self) -> Iterator[None]:
        try:
            yield
        except Busy as busy:
            self.metrics.refused(busy.reason)
            raise

    async def _answered(self, asked: AskRequest, scope: Scope) -> bytes:
        done = await self.line.run(partial(self._work, asked))
        answer, kept = done.result
        timings = {"wait": done.waited_ms, **answer.timings_ms}
        timings["total"] += done.waited_ms
        _state(scope)["waited_ms"] = done.waited_ms
        return self._told(kept, timings, scope)

    def _work(self, asked: AskRequest) -> tuple[Answer, Kept]:
        with self.live.lease() as answerer:
            answer = answerer.ask(
                asked.question,
                top_k=asked.top_k,
                filters=filters_of(asked),
                history=history_of(asked),
                as_of=asked.as_of,
                strict_license=asked.strict_license,
                include=asked.include,
            )
        kept = Kept(body_of(answer), answer.status.value, tuple(notice.code for notice in answer.notices))
        # Corrections and unknown words are words of the question.
        if self.cache.is_on and not (answer.corrections or answer.unknown):
            self.cache.put(self._key(asked, answer.index.index_id), kept)
        return answer, kept

    def _remembered(self, asked: AskRequest, scope: Scope) -> bytes | None:
        if not self.cache.is_on:
            return None
        began = perf_counter()
        kept = self.cache.get(self._key(asked, self.live.status.index.index_id))
        self.metrics.looked_up(found=kept is not None)
        if kept is None:
            return None
        return self._told(kept, {"total": (perf_counter() - began) * 1000}, scope)

    def _told(self, kept: Kept, timings_ms: Mapping[str, float], scope: Scope) -> bytes:
        _state(scope)["timings_ms"] = timings_ms
        self.metrics.answered(kept.status, kept.notices, timings_ms)
        return of_request(kept.body, request_id_of(scope), timings_ms)

    def _key(self, asked: AskRequest, index_id: str) -> bytes:
        return self.cache.key_of_request(asked.model_dump(mode="json"), index_id)


def _of_a_day(request: AskRequest) -> AskRequest:
    """The request with its day: what is current today may be due tomorrow."""
    return request if request.as_of else request.model_copy(update={"as_of": today()})


def _state(scope: Scope) -> MutableMapping[str, Any]:
    state: MutableMapping[str, Any] = scope.setdefault("state", {})
    return state
