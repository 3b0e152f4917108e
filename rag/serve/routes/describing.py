"""How the description of the API tells of problems."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from rag.serve.gate.keygate import scopes_needed
from rag.serve.wire.operating import PROBLEM_TYPE, Problem

# What any route may answer, because it is decided before the route is reached.
ANYWHERE = (401, 403, 500)
# Likewise where a body is taken.
WITH_BODY = (400, 408, 413, 415, 422)

_RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds after which it is worth asking again.",
        "schema": {"type": "integer", "minimum": 1},
    }
}
_REQUEST_ID = {
    "description": "The identity of the request, as it stands in the log.",
    "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
}
_KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key, made by `rag keys add`. Needed where others can reach the service.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Problem details under each of these statuses, for FastAPI's `responses`."""
    return {status: _problem(status) for status in sorted(statuses)}


def _problem(status: int) -> dict[str, Any]:
    schema = Problem.model_json_schema()
    schema["properties"]["errors"]["items"] = schema.pop("$defs")["FieldProblem"]
    told: dict[str, Any] = {
        "description": f"{HTTPStatus(status).phrase}: problem details (RFC 9457).",
        "content": {PROBLEM_TYPE: {"schema": schema}},
    }
    return told | ({"headers": dict(_RETRY_AFTER)} if status in {429, 503} else {})


def install_description(app: FastAPI) -> None:
    """Add to the description of `app` what is true of every route: keys, and the identity of a request."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(described())
        return described()

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(document: dict[str, Any]) -> None:
    document["components"]["securitySchemes"] = {"key": _KEY}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            needed = scopes_needed(path)
            if needed is not None:
                # Without a key too, where the operator does not ask for one.
                operation["security"] = [{"key": []}, {}]
                named = " and ".join(f"`{scope}`" for scope in sorted(needed))
                operation["description"] += f"\n\nScope of the key, where keys are required: {named}."
            for response in operation["responses"].values():
                response.setdefault("headers", {})["X-Request-ID"] = _REQUEST_ID
