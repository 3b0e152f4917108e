"""What the models of the API share: what is given is checked, what is taken from a record is copied."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Given(BaseModel):
    """A part of a request; a field that it does not know is refused by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FromRecord(BaseModel):
    """A part of a response, made from a record with the same field names."""

    model_config = ConfigDict(from_attributes=True, frozen=True)
