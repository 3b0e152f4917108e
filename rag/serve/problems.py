"""Every failure of a request as problem details (RFC 9457); no stack trace and no question leaves here."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Mapping, Sequence
from http import HTTPMethod, HTTPStatus
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag import errors
from rag.serve.wire.operating import PROBLEM_TYPE, FieldProblem, Problem

# One status for each leaf of the error tree; a test keeps the table complete.
STATUS: dict[type[errors.CitewellError], HTTPStatus] = {
    errors.InvalidRequest: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.SettingsError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.UnreadableDocument: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.EmptyCorpus: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.EncoderNotFound: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.EncoderUnusable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.WeightsMismatch: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ConversionRefused: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.IndexNotFound: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.SchemaMismatch: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ArtefactCorrupt: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.CountMismatch: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.EncoderMismatch: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.SentinelMismatch: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.VersionNotFound: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.IndexLocked: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.IndexNotWritable: HTTPStatus.SERVICE_UNAVAILABLE,
}

# In place of the library's own words, which are about Python.
_PLAIN = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this request",
    "model_attributes_type": "must be a JSON object",
    "string_unicode": "must be valid Unicode text",
    "string_pattern_mismatch": "must hold more than white space",
}
# A hostile request is not answered with its own size.
_MOST_FAULTS = 20
_LONGEST_NAME = 80
_UNFORESEEN = "Something went wrong on our side."

_log = logging.getLogger(__name__)


def request_id_of(scope: Scope) -> str:
    """The identity of a request, made when it is first asked for; never from the question."""
    state: dict[str, Any] = scope.setdefault("state", {})
    return str(state.setdefault("request_id", uuid.uuid4().hex))


def problem(scope: Scope, status: int, detail: str, fields: Sequence[FieldProblem] = ()) -> Problem:
    """Problem details that bear the request's `request_id`."""
    return Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        request_id=request_id_of(scope),
        errors=list(fields),
    )


def problem_response(
    scope: Scope,
    status: int,
    detail: str,
    *,
    fields: Sequence[FieldProblem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A response with problem details."""
    return _response(problem(scope, status, detail, fields), headers)


def problem_of(scope: Scope, error: Exception) -> Problem:
    """What a client is told of an exception that ended its work; what is not for clients is logged."""
    if isinstance(error, HTTPException):
        return problem(scope, error.status_code, str(error.detail))
    if isinstance(error, errors.CitewellError):
        return _of_citewell(scope, error)
    _log_unforeseen(error)
    return problem(scope, HTTPStatus.INTERNAL_SERVER_ERROR, _UNFORESEEN)


def _response(body: Problem, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body.model_dump_json(), status_code=body.status, media_type=PROBLEM_TYPE, headers=headers)


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every error of `app` with problem details."""
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(errors.CitewellError, _on_citewell)


async def _on_validation(request: Request, error: Exception) -> Response:
    faults = cast("RequestValidationError", error).errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        return _not_json(request)
    fields = [
        FieldProblem(field=_field(fault["loc"]), message=_message(fault)) for fault in faults[:_MOST_FAULTS]
    ]
    detail = "; ".join(f"{fault.field}: {fault.message}" for fault in fields)
    return problem_response(request.scope, HTTPStatus.UNPROCESSABLE_ENTITY, detail, fields=fields)


def _message(fault: dict[str, Any]) -> str:
    if fault["type"] == "model_attributes_type" and len(fault["loc"]) == 1:
        return "must be a JSON object, sent as application/json"
    return str(_PLAIN.get(fault["type"], fault["msg"]))


def _not_json(request: Request) -> Response:
    field = FieldProblem(field="body", message="is not valid JSON in UTF-8")
    detail = "The body is not valid JSON in UTF-8."
    return problem_response(request.scope, HTTPStatus.BAD_REQUEST, detail, fields=[field])


def _field(location: Sequence[int | str]) -> str:
    name = ".".join(str(part) for part in location[1:]) or str(location[0])
    return name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "…"


async def _on_http(request: Request, error: Exception) -> Response:
    error = cast("HTTPException", error)
    if error.status_code == HTTPStatus.BAD_REQUEST:
        return _not_json(request)
    detail = str(error.detail)
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = "There is nothing at this address; the routes are listed at /docs."
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{request.url.path} does not take {known_method(request.method)}."
    headers = dict(error.headers) if error.headers else None
    return problem_response(request.scope, error.status_code, detail, headers=headers)


def known_method(method: str) -> str:
    """A method by its name; whatever else a client put in its place is not repeated."""
    return method if method in HTTPMethod.__members__ else "this method"


async def _on_citewell(request: Request, error: Exception) -> Response:
    return _response(_of_citewell(request.scope, cast("errors.CitewellError", error)))


def _of_citewell(scope: Scope, error: errors.CitewellError) -> Problem:
    status = STATUS.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)
    if isinstance(error, errors.InvalidRequest):
        return problem(scope, status, str(error), [FieldProblem(field=error.field, message=error.reason)])
    _log.error("%s", error)
    return problem(scope, status, "The service cannot answer now; its log says why.")


class LastResort:
    """Turns an unforeseen exception into a bare 500; logs its type and place, never its message,
    which may hold a part of the question.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI has it."""
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a panic of the search library is no Exception
            _log_unforeseen(error)
            if scope["type"] != "http" or started:
                raise _Hidden from None
            response = problem_response(scope, HTTPStatus.INTERNAL_SERVER_ERROR, _UNFORESEEN)
            await response(scope, receive, send)


class _Hidden(Exception):
    """Stands for an exception whose message may not be logged."""


def _log_unforeseen(error: BaseException) -> None:
    _log.error("unforeseen %s at %s", type(error).__name__, _place(error))


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "an unknown place"
