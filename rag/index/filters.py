"""Which documents a search may return: conditions on their metadata, checked when they are made.

A document must meet every condition that is set, and a condition is met by any one of its values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date
from difflib import get_close_matches
from typing import Any

from rag.errors import InvalidRequest

MAX_VALUES = 200
MAX_VALUE_LENGTH = 500
# A date as it is written here; the standard library reads 20260131 and week dates as well.
DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Conditions on documents; an empty one is not set.

    Values are compared without regard to case. Only active documents are found unless `status` says
    otherwise. `last_reviewed_after` leaves out that day itself and every document without a date.
    """

    cancer_types: tuple[str, ...] = ()
    audience: tuple[str, ...] = ()
    language: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    source_type: tuple[str, ...] = ()
    license: tuple[str, ...] = ()
    status: tuple[str, ...] = ("active",)
    tags: tuple[str, ...] = ()
    doc_id: tuple[str, ...] = ()
    last_reviewed_after: date | None = None

    def __post_init__(self) -> None:
        for name in LIST_FILTERS:
            values = getattr(self, name)
            if not isinstance(values, tuple) or not all(isinstance(one, str) for one in values):
                raise InvalidRequest(f"filters.{name}", "must be a tuple of texts; Filters.parse takes lists")
        if not self.status:
            raise InvalidRequest("filters.status", "must name the statuses to search, such as 'active'")

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Filters:
        """Filters from names and plain values: lists of texts (or one text), a date or an ISO date.

        None or an empty list is as good as leaving it out. Raises `InvalidRequest`, naming the field as
        'filters.NAME'.
        """
        values: dict[str, Any] = {}
        for name, value in given.items():
            if name not in FILTER_NAMES:
                raise InvalidRequest(f"filters.{name!s:.80}", _unknown(str(name)))
            read = _read_date if name == DATE_FILTER else _read_texts
            if value is not None and (wanted := read(f"filters.{name}", value)):
                values[name] = wanted
        return cls(**values)


FILTER_NAMES = tuple(field.name for field in fields(Filters))
DATE_FILTER = "last_reviewed_after"
LIST_FILTERS = tuple(name for name in FILTER_NAMES if name != DATE_FILTER)
NO_FILTERS = Filters()


def read_assignments(given: Iterable[str]) -> Filters:
    """Filters from texts such as 'cancer_types=lung', of which one name may have several.

    Raises `InvalidRequest`.
    """
    values: dict[str, Any] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign:
            raise InvalidRequest("filter", f"'{text:.80}' must look like cancer_types=lung")
        if name == DATE_FILTER:
            if name in values:
                raise InvalidRequest(f"filters.{name}", "is given twice; one date is enough")
            values[name] = value
        else:
            values.setdefault(name, []).append(value)
    return Filters.parse(values)


def _unknown(name: str) -> str:
    near = get_close_matches(name, FILTER_NAMES, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    return f"is no filter{hint} The filters are {', '.join(FILTER_NAMES)}"


def _read_texts(field: str, value: Any) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not all(isinstance(one, str) for one in values):
        raise InvalidRequest(field, "must be a list of texts")
    if len(values) > MAX_VALUES:
        raise InvalidRequest(field, f"has {len(values):,} values; the limit is {MAX_VALUES}")
    if any(not one.strip() or len(one) > MAX_VALUE_LENGTH for one in values):
        raise InvalidRequest(field, f"has a value that is empty or longer than {MAX_VALUE_LENGTH} characters")
    return tuple(sorted({one.strip() for one in values}))


def _read_date(field: str, value: Any) -> date:
    try:
        # A datetime is a date with a time of day, which means nothing here.
        if isinstance(value, date):
            return date(value.year, value.month, value.day)
        if not isinstance(value, str) or not DAY.fullmatch(value):
            raise TypeError
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise InvalidRequest(field, "must be a date such as 2026-01-31") from None
