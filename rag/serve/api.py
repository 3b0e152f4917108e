"""The HTTP service: one application over the index in service."""

from __future__ import annotations

from http import HTTPStatus
from importlib.metadata import version

from fastapi import FastAPI, HTTPException
from fastapi.responses import Response

from rag.errors import CitewellError, IndexLocked
from rag.serve.live import LiveIndex, Status
from rag.serve.problems import install_problem_handlers
from rag.serve.telemetry import exposition, metrics_of
from rag.serve.wire.answering import AskResponse, to_response
from rag.serve.wire.asking import AskRequest, filters_of, history_of
from rag.serve.wire.operating import PROBLEM_TYPE, Problem, ReadyResponse, ReloadResponse
from rag.serve.wire.verifying import VerifyRequest, VerifyResponse, to_verify_response

_DESCRIPTION = "Answers a patient's question with the passages that answer it, each one cited exactly."


def create_app(live: LiveIndex) -> FastAPI:
    """The ASGI application that answers from the index in service."""
    # A redirect to the right address would repeat a question that stands in the wrong one.
    app = FastAPI(
        title="Citewell", version=version("citewell"), description=_DESCRIPTION, redirect_slashes=False
    )
    install_problem_handlers(app)
    _install_questions(app, live)
    _install_operation(app, live)
    return app


def _install_questions(app: FastAPI, live: LiveIndex) -> None:
    @app.post("/ask", summary="Ask a question", responses=_problems(400, 422, 500))
    def ask(request: AskRequest) -> AskResponse:
        """Return the passages that answer the question, best first, each with its citation."""
        with live.lease() as answerer:
            answer = answerer.ask(
                request.question,
                top_k=request.top_k,
                filters=filters_of(request),
                history=history_of(request),
                as_of=request.as_of,
                strict_license=request.strict_license,
                include=request.include,
            )
        return to_response(answer)

    @app.post("/verify", summary="Verify quotes", responses=_problems(400, 422, 500))
    def verify(request: VerifyRequest) -> VerifyResponse:
        """Compare a text with what it cites, sentence by sentence, and name what differs."""
        with live.lease() as answerer:
            verification = answerer.verifier.verify(request.text, request.cited)
        return to_verify_response(verification)


def _install_operation(app: FastAPI, live: LiveIndex) -> None:
    registry = metrics_of(live)

    @app.get("/health/live", summary="Is the process alive?")
    def alive() -> dict[str, str]:
        """Answers as long as the process does."""
        return {"status": "alive"}

    @app.get("/health/ready", summary="Can questions be answered?")
    def ready() -> ReadyResponse:
        """Names the index that answers, and says when a newer one was refused."""
        status = live.status
        return ReadyResponse(status="ready", index=status.index.index_id, note=_note(status))

    @app.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
    def metrics() -> Response:
        """Which index serves, when it was built, and how often another one was taken or refused."""
        return exposition(registry)

    @app.post("/admin/reload", summary="Serve the newest version now", responses=_problems(409, 500))
    def reload() -> ReloadResponse:
        """Change over to the version that was published last, without waiting for the next look."""
        try:
            # Whoever waits here would take a thread from the questions.
            reloaded = live.reload(wait=False)
        except IndexLocked as error:
            raise HTTPException(HTTPStatus.CONFLICT, str(error)) from None
        except CitewellError as error:
            detail = _note(live.status) or f"The version was refused ({type(error).__name__})."
            raise HTTPException(HTTPStatus.CONFLICT, detail) from None
        return ReloadResponse(
            status="reloaded" if reloaded else "unchanged", index=live.status.index.index_id
        )


def _note(status: Status) -> str | None:
    """What an operator should know; the reason in full, with its paths, stands in the log only."""
    if status.refusal is None:
        return None
    return (
        f"The version {status.refusal.index_id} is refused ({status.refusal.kind}) and "
        f"{status.index.index_id} goes on serving; the log says why."
    )


def _problems(*statuses: int) -> dict[int | str, dict[str, object]]:
    schema = Problem.model_json_schema()
    schema["properties"]["errors"]["items"] = schema.pop("$defs")["FieldProblem"]
    described: dict[str, object] = {
        "description": "What is wrong (RFC 9457).",
        "content": {PROBLEM_TYPE: {"schema": schema}},
    }
    return dict.fromkeys(statuses, described)
