"""What `/verify` takes and gives."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from rag.answer.verify import MAX_CITED, MAX_TEXT, Verification
from rag.index.filters import MAX_VALUE_LENGTH
from rag.serve.wire.models import SOMETHING, FromRecord, Given

_Ids = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=MAX_VALUE_LENGTH)]],
    Field(min_length=1, max_length=MAX_CITED),
]


class VerifyRequest(Given):
    """A text that is about to be said, and what it cites."""

    text: str = Field(
        min_length=1,
        max_length=MAX_TEXT,
        pattern=SOMETHING,
        description="What is about to be said.",
    )
    cited: _Ids = Field(description="The `chunk_id` or `doc_id` of everything that the text cites.")


class ChangeModel(FromRecord):
    """One difference; the side on which something is missing is empty."""

    kind: Literal["number", "dose", "unit", "negation", "drug", "word_order", "truncated", "words"]
    said: str
    source: str


class SentenceCheckModel(FromRecord):
    """What became of `text[start:end]` of the given text.

    The source's offsets are those of the nearest sentence in its document; all four are null for an
    unsupported sentence.
    """

    text: str
    start: int
    end: int
    verdict: Literal["verbatim", "altered", "unsupported", "wrong_document"]
    doc_id: str | None
    source_start: int | None
    source_end: int | None
    source_text: str | None
    changes: list[ChangeModel]


class VerifyResponse(BaseModel):
    """Every sentence of the text in order."""

    is_verbatim: bool = Field(description="Whether there are sentences and each one stands in what is cited.")
    counts: dict[str, int] = Field(description="The number of sentences for each verdict.")
    sentences: list[SentenceCheckModel]


def to_verify_response(verification: Verification) -> VerifyResponse:
    """The wire form of a verification."""
    return VerifyResponse(
        is_verbatim=verification.is_verbatim,
        counts=dict(verification.counts),
        sentences=[SentenceCheckModel.model_validate(one) for one in verification.sentences],
    )
