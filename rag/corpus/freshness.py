"""How current a document is: when its next review is due, and how far its review date can be trusted.

Nothing is hidden because it is old. What cannot be known is `unknown`, never `current`.
"""

from __future__ import annotations

import calendar
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from rag.corpus.document import Metadata

# So many days before a review is due, a page counts as due.
DUE_DAYS = 30
# A date that fewer documents share may be one day of an editor's work.
_FEWEST_SHARING = 3

_MONTHS = {
    "monthly": 1,
    "bimonthly": 2,
    "quarterly": 3,
    "biannual": 6,
    "biannually": 6,
    "semiannual": 6,
    "semiannually": 6,
    "half-yearly": 6,
    "annual": 12,
    "annually": 12,
    "yearly": 12,
    "biennial": 24,
    "biennially": 24,
    "triennial": 36,
}
_DAYS = {"daily": 1, "weekly": 7, "biweekly": 14, "fortnightly": 14}
_EVERY = re.compile(r"every (?:(\d{1,3}) )?(day|week|month|year)s?")
# A duration of ISO 8601 in one unit.
_ISO = re.compile(r"p(\d{1,3})([dwmy])")
_UNITS = {"day": "d", "week": "w", "month": "m", "year": "y"}

FREQUENCIES = (*_DAYS, *_MONTHS)


class Freshness(StrEnum):
    """How current a page is on one day."""

    CURRENT = "current"
    DUE = "due"
    OVERDUE = "overdue"
    UNKNOWN = "unknown"


class DateEvidence(StrEnum):
    """What a document's review date rests on.

    `review`: the document says it, and nothing speaks against it. `collection`: most documents of its
    source bear the same date, so it is rather the day they were collected; weaker evidence, since the
    text is at least as old. `none`: there is no date.
    """

    REVIEW = "review"
    COLLECTION = "collection"
    NONE = "none"


def today() -> date:
    """The day it is in UTC, as dates in documents are."""
    return datetime.now(UTC).date()


def is_known_frequency(frequency: str) -> bool:
    """Whether a review frequency can be read: 'quarterly', 'every 6 months', 'P3M'."""
    return _interval(frequency) is not None


def review_due(last_reviewed: date | None, frequency: str | None) -> date | None:
    """The day by which a page should be reviewed again; None when date or frequency is not known."""
    interval = _interval(frequency or "")
    if last_reviewed is None or interval is None:
        return None
    count, unit = interval
    try:
        if unit in "dw":
            return last_reviewed + timedelta(days=count * (7 if unit == "w" else 1))
        return _months_later(last_reviewed, count * (12 if unit == "y" else 1))
    except (OverflowError, ValueError):  # beyond the year 9999
        return None


def freshness(due: date | None, as_of: date) -> Freshness:
    """How current a page is on the day `as_of` whose review is due on the day `due`.

    It is `due` from 30 days before that day up to it, and `overdue` after it. A review date that is yet
    to come is for the linter to tell.
    """
    if due is None:
        return Freshness.UNKNOWN
    if as_of > due:
        return Freshness.OVERDUE
    return Freshness.DUE if (due - as_of).days <= DUE_DAYS else Freshness.CURRENT


def collection_dates(documents: Iterable[Metadata]) -> dict[str, date]:
    """For each source most of whose documents share one review date, that date.

    More than half of the source's documents, and at least three, must share it.
    """
    dates: dict[str, Counter[date | None]] = defaultdict(Counter)
    for metadata in documents:
        if metadata.source:
            dates[metadata.source][metadata.last_reviewed] += 1
    found: dict[str, date] = {}
    for source, counted in dates.items():
        day, sharing = counted.most_common(1)[0]
        if day and sharing >= _FEWEST_SHARING and sharing * 2 > counted.total():
            found[source] = day
    return found


def date_evidence(metadata: Metadata, collected: Mapping[str, date]) -> DateEvidence:
    """What the review date of a document rests on, given the `collection_dates` of its corpus."""
    if metadata.last_reviewed is None:
        return DateEvidence.NONE
    if metadata.source and collected.get(metadata.source) == metadata.last_reviewed:
        return DateEvidence.COLLECTION
    return DateEvidence.REVIEW


def _interval(frequency: str) -> tuple[int, str] | None:
    """A frequency as a positive count of days, weeks, months or years ('d', 'w', 'm', 'y')."""
    word = " ".join(frequency.lower().split())
    if word in _DAYS:
        return _DAYS[word], "d"
    if word in _MONTHS:
        return _MONTHS[word], "m"
    if every := _EVERY.fullmatch(word):
        count, unit = int(every[1] or 1), _UNITS[every[2]]
    elif iso := _ISO.fullmatch(word):
        count, unit = int(iso[1]), iso[2]
    else:
        return None
    return (count, unit) if count else None


def _months_later(day: date, months: int) -> date:
    """The same day of a later month, or that month's last day: a month after 31 January is 28 February."""
    years, month = divmod(day.month - 1 + months, 12)
    year = day.year + years
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
