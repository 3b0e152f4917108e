"""The routes for whoever runs the service: health, metrics, reload."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException
from fastapi.responses import Response

from rag.errors import CitewellError, IndexLocked
from rag.serve.live import LiveIndex, Status
from rag.serve.routes.describing import ANYWHERE, problems
from rag.serve.telemetry.metrics import Metrics, exposition
from rag.serve.wire.operating import ReadyResponse, ReloadResponse

_EXPOSITION: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The text format of Prometheus.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}


def install_operation(app: FastAPI, live: LiveIndex, metrics: Metrics) -> None:
    """Add the routes to `app`."""

    @app.get("/health/live", summary="Is the process alive?", responses=problems(500))
    async def alive() -> dict[str, str]:
        """Answers as long as the process does."""
        return {"status": "alive"}

    @app.get("/health/ready", summary="Can questions be answered?", responses=problems(500))
    async def ready() -> ReadyResponse:
        """Names the index that answers, and says when a newer one was refused."""
        status = live.status
        return ReadyResponse(status="ready", index=status.index.index_id, note=_note(status))

    @app.get(
        "/metrics",
        summary="Metrics for Prometheus",
        response_class=Response,
        responses=problems(*ANYWHERE) | _EXPOSITION,
    )
    def told() -> Response:
        """Which index serves, how many requests there were, and how long they took."""
        return exposition(metrics)

    @app.post("/admin/reload", summary="Serve the newest version now", responses=problems(*ANYWHERE, 409))
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
