"""How the service refuses, for the tests of its routes: problem details that betray nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Protocol

from rag.serve.wire.operating import Problem

PROBLEM = "application/problem+json"


class Reply(Protocol):
    """What the replies of both client libraries have."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def text(self) -> str: ...
    def json(self) -> Any: ...


def check_problem(response: Reply, status: int) -> dict[str, Any]:
    """The body, after it proved to be problem details (RFC 9457) with this status."""
    assert response.status_code == status
    assert response.headers["content-type"] == PROBLEM
    problem: dict[str, Any] = response.json()
    assert set(problem) == set(Problem.model_fields)
    assert problem["type"] == "about:blank"
    assert problem["title"] == HTTPStatus(status).phrase
    assert problem["status"] == status
    assert problem["detail"]
    assert re.fullmatch(r"[0-9a-f]{32}", problem["request_id"])
    assert all(set(fault) == {"field", "message"} and fault["message"] for fault in problem["errors"])
    assert "Traceback" not in response.text
    assert ".py" not in response.text
    return problem


def refused_fields(response: Reply) -> list[str]:
    """The fields that a request is refused for."""
    return [fault["field"] for fault in check_problem(response, 422)["errors"]]
