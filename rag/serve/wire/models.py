"""What the models of the API share: what is given is checked, what is taken from a record is copied."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

# What is read must hold more than white space, and the schema must say so. The white space is spelled out:
# \s is not the same in every language, and Python strips more than pydantic.
SOMETHING = r"[^\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"


class Given(BaseModel):
    """A part of a request; a field that it does not know is refused by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FromRecord(BaseModel):
    """A part of a response, made from a record with the same field names."""

    model_config = ConfigDict(from_attributes=True, frozen=True)
