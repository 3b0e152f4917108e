"""What `/ask` takes. Names are a contract: fields may be added, none renamed."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from rag.answer.answer import PARTS
from rag.index.filters import DAY, MAX_VALUE_LENGTH, MAX_VALUES, Filters
from rag.search.question import DEFAULT_TOP_K, MAX_HISTORY, MAX_QUESTION, MAX_TOP_K
from rag.serve.wire.models import SOMETHING, Given

# Longer than a question: an assistant's turn may be a whole answer, of which nothing is read.
MAX_TURN = 20_000
MAX_BATCH = 100

_Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_VALUE_LENGTH, pattern=SOMETHING),
]
_Texts = Annotated[list[_Text], Field(max_length=MAX_VALUES)]


def _day(value: object) -> object:
    """A date as it is written; by itself pydantic would take a number for seconds since 1970."""
    if value is None or (isinstance(value, str) and DAY.fullmatch(value)):
        return value
    raise PydanticCustomError("no_day", "must be a date such as 2026-01-31")


def _whole(value: object) -> object:
    """A whole number however JSON writes it: 5.0 is 5, but "5" and true are none."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class FiltersModel(Given):
    """Conditions on documents: all that are given must be met, each by any one of its values.

    Values are compared without regard to case.
    """

    cancer_types: _Texts = Field(default=[])
    audience: _Texts = Field(
        default=[],
        description="`patient` or `professional`. Without it no page for professionals is searched.",
    )
    language: _Texts = Field(default=[])
    source: _Texts = Field(default=[])
    source_type: _Texts = Field(default=[])
    license: _Texts = Field(default=[])
    status: _Texts = Field(
        default=[], description="Only `active` documents are searched unless this is given."
    )
    tags: _Texts = Field(default=[])
    doc_id: _Texts = Field(default=[])
    last_reviewed_after: Annotated[date | None, BeforeValidator(_day)] = Field(
        default=None, description="Leaves out documents reviewed on that day, earlier, or at no known date."
    )


class TurnModel(Given):
    """An earlier turn of the conversation."""

    role: Literal["user", "assistant"] = "user"
    content: Annotated[str, StringConstraints(max_length=MAX_TURN)]


class AskRequest(Given):
    """A patient's question."""

    question: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUESTION, pattern=SOMETHING),
    ] = Field(description="The question as it was asked.")
    top_k: Annotated[int, BeforeValidator(_whole)] = Field(
        DEFAULT_TOP_K, ge=1, le=MAX_TOP_K, strict=True, description="How many passages to return."
    )
    filters: FiltersModel = Field(FiltersModel(), description="Which documents may answer.")
    history: list[TurnModel] = Field(
        [],
        max_length=MAX_HISTORY,
        description="Earlier turns, oldest first. A question such as 'what about its side effects?' takes "
        "the name that it leaves out from the user's turns.",
    )
    as_of: Annotated[date | None, BeforeValidator(_day)] = Field(
        default=None, description="The day for which freshness is told; today by default."
    )
    strict_license: bool = Field(
        default=False, strict=True, description="Leave out pages whose license is missing or not known."
    )
    include: list[Literal["low_confidence_passages", "receipt", "timings"]] = Field(
        default=[],
        max_length=len(PARTS),
        description="Optional parts: `low_confidence_passages` are the passages where the status is "
        "`no_answer`, `receipt` is what reproduces the answer; `timings` are there always.",
    )


class BatchRequest(Given):
    """Several questions at once, for work that is not urgent."""

    questions: list[AskRequest] = Field(min_length=1, max_length=MAX_BATCH)


def filters_of(request: AskRequest) -> Filters:
    """The filters of a request. Raises `InvalidRequest`."""
    return Filters.parse(request.filters.model_dump())


def history_of(request: AskRequest) -> list[str]:
    """What the person asked before, oldest first; of a very long turn only its beginning."""
    return [turn.content[:MAX_QUESTION] for turn in request.history if turn.role == "user"]
