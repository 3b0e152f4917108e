"""The HTTP service: one application over one open index."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import FastAPI

from rag.answer.answer import Answerer
from rag.serve.problems import install_problem_handlers
from rag.serve.wire import PROBLEM_TYPE, AskRequest, AskResponse, Problem, filters_of, history_of, to_response

_DESCRIPTION = "Answers a patient's question with the passages that answer it, each one cited exactly."


def create_app(answerer: Answerer) -> FastAPI:
    """The ASGI application that answers from `answerer`."""
    app = FastAPI(title="Citewell", version=version("citewell"), description=_DESCRIPTION)
    install_problem_handlers(app)

    @app.post("/ask", summary="Ask a question", responses=_problems(400, 422, 500))
    def ask(request: AskRequest) -> AskResponse:
        """Return the passages that answer the question, best first, each with its citation."""
        answer = answerer.ask(
            request.question,
            top_k=request.top_k,
            filters=filters_of(request),
            history=history_of(request),
        )
        return to_response(answer)

    @app.get("/health/live", summary="Is the process alive?")
    def live() -> dict[str, str]:
        """Answers as long as the process does."""
        return {"status": "alive"}

    @app.get("/health/ready", summary="Can questions be answered?")
    def ready() -> dict[str, str]:
        """Names the index that answers."""
        return {"status": "ready", "index": answerer.backend.info.index_id}

    return app


def _problems(*statuses: int) -> dict[int | str, dict[str, object]]:
    schema = Problem.model_json_schema()
    schema["properties"]["errors"]["items"] = schema.pop("$defs")["FieldProblem"]
    described: dict[str, object] = {
        "description": "What is wrong (RFC 9457).",
        "content": {PROBLEM_TYPE: {"schema": schema}},
    }
    return dict.fromkeys(statuses, described)
