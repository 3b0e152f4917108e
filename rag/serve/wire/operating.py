"""What the routes for operation give, and problem details."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

PROBLEM_TYPE = "application/problem+json"


class ReadyResponse(BaseModel):
    """Whether questions can be answered, and from which index."""

    status: Literal["ready"]
    index: str
    note: str | None = Field(description="What an operator should look into: a version that was refused.")


class ReloadResponse(BaseModel):
    """What serves after a reload."""

    status: Literal["reloaded", "unchanged"]
    index: str


class FieldProblem(BaseModel):
    """What is wrong with one field of a request."""

    field: str
    message: str


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[FieldProblem] = Field(default_factory=list)
