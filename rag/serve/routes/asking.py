"""The routes that answer questions and verify quotes."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from rag.serve.desk import Desk
from rag.serve.gate.limits import Limiter
from rag.serve.problems import request_id_of
from rag.serve.routes.describing import ANYWHERE, WITH_BODY, problems
from rag.serve.wire.answering import AskResponse, BatchResponse, batch_of
from rag.serve.wire.asking import AskRequest, BatchRequest
from rag.serve.wire.verifying import VerifyRequest, VerifyResponse, to_verify_response

_JSON = "application/json"
_REFUSALS: Any = problems(*ANYWHERE, *WITH_BODY, 429, 503)


def install_asking(app: FastAPI, desk: Desk, limiter: Limiter | None) -> None:
    """Add the routes to `app`. A batch counts as many questions against the limits as it holds."""

    @app.post("/ask", summary="Ask a question", response_model=AskResponse, responses=_REFUSALS)
    async def ask(asked: AskRequest, http: Request) -> Response:
        """Return the passages that answer the question, best first, each with its citation."""
        return Response(await desk.ask(asked, http.scope), media_type=_JSON)

    @app.post(
        "/ask/batch", summary="Ask several questions", response_model=BatchResponse, responses=_REFUSALS
    )
    async def ask_batch(asked: BatchRequest, http: Request) -> Response:
        """Answer up to 100 questions; one that is refused leaves the others alone."""
        await _charge(limiter, http, len(asked.questions))
        results = await desk.ask_all(asked.questions, http.scope)
        return Response(batch_of(results, request_id_of(http.scope)), media_type=_JSON)

    @app.post("/verify", summary="Verify quotes", response_model=VerifyResponse, responses=_REFUSALS)
    async def verify(asked: VerifyRequest, http: Request) -> Response:
        """Compare a text with what it cites, sentence by sentence, and name what differs."""
        verification = await desk.verify(asked, http.scope)
        return Response(to_verify_response(verification).model_dump_json(), media_type=_JSON)


async def _charge(limiter: Limiter | None, http: Request, questions: int) -> None:
    seconds = await limiter.take(http.scope, questions) if limiter else None
    if seconds is not None:
        raise HTTPException(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"A batch counts as {questions} questions, which are too many now.",
            headers={"Retry-After": str(seconds)},
        )
