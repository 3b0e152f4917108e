"""How current a page is: exact days, nothing guessed, and dates that are rather those of a collection."""

from __future__ import annotations

import calendar
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.corpus.document import Metadata
from rag.corpus.freshness import (
    DUE_DAYS,
    FREQUENCIES,
    DateEvidence,
    Freshness,
    collection_dates,
    date_evidence,
    freshness,
    is_known_frequency,
    review_due,
)

REVIEWED = date(2025, 12, 30)
SOME_DAY = st.dates(date(1990, 1, 1), date(2090, 12, 31))
MONTHS = {
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
    "every month": 1,
    "every 3 months": 3,
    "every 18 months": 18,
    "every year": 12,
    "every 2 years": 24,
    "p3m": 3,
    "p2y": 24,
}
DAYS = {
    "daily": 1,
    "weekly": 7,
    "biweekly": 14,
    "fortnightly": 14,
    "every day": 1,
    "every 90 days": 90,
    "every week": 7,
    "every 6 weeks": 42,
    "p90d": 90,
    "p6w": 42,
}
UNKNOWN = [
    "",
    " ",
    "as needed",
    "never",
    "ongoing",
    "regularly",
    "quarter",
    "every",
    "every few months",
    "every 0 months",
    "every -3 months",
    "every 3 months or so",
    "every 1000 years",
    "months",
    "3",
    "p0m",
    "p3",
    "pm",
    "p1y6m",
    "pt1h",
    "2026-01-31",
]


def page(
    reviewed: date | None = REVIEWED, source: str | None = "NCI", frequency: str | None = "quarterly"
) -> Metadata:
    return Metadata(title="Page", source=source, last_reviewed=reviewed, review_frequency=frequency)


def pages(counts: dict[date | None, int], source: str | None = "NCI") -> list[Metadata]:
    """So many pages of one source for every date."""
    return [page(day, source) for day, count in counts.items() for _ in range(count)]


def test_the_seed_document_of_the_design_is_due_three_months_after_its_review() -> None:
    assert review_due(REVIEWED, "quarterly") == date(2026, 3, 30)


@pytest.mark.parametrize(("frequency", "months"), MONTHS.items())
@given(day=SOME_DAY)
@settings(max_examples=20, deadline=None)
def test_a_frequency_in_months_keeps_the_day_or_takes_the_last_of_the_month(
    frequency: str, months: int, day: date
) -> None:
    due = review_due(day, frequency)
    assert due is not None
    assert (due.year * 12 + due.month) - (day.year * 12 + day.month) == months
    assert due.day == min(day.day, calendar.monthrange(due.year, due.month)[1])


@pytest.mark.parametrize(("frequency", "days"), DAYS.items())
@given(day=SOME_DAY)
@settings(max_examples=20, deadline=None)
def test_a_frequency_in_days_and_weeks_counts_days(frequency: str, days: int, day: date) -> None:
    assert review_due(day, frequency) == day + timedelta(days=days)


@pytest.mark.parametrize(
    ("reviewed", "frequency", "due"),
    [
        (date(2026, 1, 31), "monthly", date(2026, 2, 28)),
        (date(2024, 1, 31), "monthly", date(2024, 2, 29)),
        (date(2024, 2, 29), "annual", date(2025, 2, 28)),
        (date(2024, 2, 29), "every 4 years", date(2028, 2, 29)),
        (date(2025, 11, 30), "quarterly", date(2026, 2, 28)),
        (date(2025, 12, 31), "monthly", date(2026, 1, 31)),
        (date(2025, 12, 31), "daily", date(2026, 1, 1)),
        (date(2025, 10, 31), "bimonthly", date(2025, 12, 31)),
    ],
)
def test_ends_of_months_and_years_and_leap_days_are_kept(reviewed: date, frequency: str, due: date) -> None:
    assert review_due(reviewed, frequency) == due


@pytest.mark.parametrize("written", ["Quarterly", " QUARTERLY ", "every 3  Months", "EVERY\t3 MONTHS", "P3M"])
def test_case_and_space_make_no_other_frequency(written: str) -> None:
    assert review_due(REVIEWED, written) == date(2026, 3, 30)


@pytest.mark.parametrize("frequency", [*MONTHS, *DAYS, *FREQUENCIES])
def test_every_frequency_that_is_told_to_the_owner_can_be_read(frequency: str) -> None:
    assert is_known_frequency(frequency)
    assert {*FREQUENCIES} <= {*MONTHS, *DAYS}


@pytest.mark.parametrize("frequency", UNKNOWN)
def test_a_frequency_that_cannot_be_read_gives_no_day_and_is_told_so(frequency: str) -> None:
    assert not is_known_frequency(frequency)
    assert review_due(REVIEWED, frequency) is None


@settings(max_examples=300, deadline=None)
@given(frequency=st.text(max_size=20), day=st.dates())
def test_whatever_stands_as_a_frequency_the_review_is_later_or_not_known(frequency: str, day: date) -> None:
    due = review_due(day, frequency)
    assert due is None or (due > day and is_known_frequency(frequency))


@pytest.mark.parametrize("frequency", ["annual", "daily", "every 999 years", "every 999 weeks", "P999D"])
def test_a_review_beyond_all_dates_is_not_known(frequency: str) -> None:
    assert review_due(date.max, frequency) is None


@pytest.mark.parametrize(
    ("reviewed", "frequency"), [(None, "quarterly"), (REVIEWED, None), (None, None), (REVIEWED, "")]
)
def test_without_date_or_frequency_nothing_is_guessed(reviewed: date | None, frequency: str | None) -> None:
    due = review_due(reviewed, frequency)
    assert due is None
    assert freshness(due, REVIEWED) is Freshness.UNKNOWN


@pytest.mark.parametrize(
    ("days_before", "state"),
    [
        (10_000, "current"),
        (31, "current"),
        (30, "due"),
        (29, "due"),
        (1, "due"),
        (0, "due"),
        (-1, "overdue"),
        (-10_000, "overdue"),
    ],
)
def test_a_page_is_due_from_thirty_days_before_and_overdue_from_the_day_after(
    days_before: int, state: str
) -> None:
    due = date(2026, 3, 30)
    assert freshness(due, due - timedelta(days=days_before)) == state
    assert DUE_DAYS == 30


@settings(max_examples=200, deadline=None)
@given(due=SOME_DAY, day=SOME_DAY, later=st.integers(0, 5000))
def test_a_page_never_grows_fresher_with_time(due: date, day: date, later: int) -> None:
    order = [Freshness.CURRENT, Freshness.DUE, Freshness.OVERDUE]
    first, second = freshness(due, day), freshness(due, day + timedelta(days=later))
    assert order.index(first) <= order.index(second)


def test_no_day_leaves_the_freshness_unknown_for_ever() -> None:
    assert {freshness(None, day) for day in (date.min, REVIEWED, date.max)} == {Freshness.UNKNOWN}


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ({REVIEWED: 3}, True),
        ({REVIEWED: 3, date(2025, 1, 1): 2}, True),
        ({REVIEWED: 5, date(2025, 1, 1): 2, date(2025, 1, 2): 2}, True),
        ({REVIEWED: 3, None: 2}, True),
        ({REVIEWED: 3, date(2025, 1, 1): 3}, False),
        ({REVIEWED: 3, date(2025, 1, 1): 1, date(2025, 1, 2): 1, None: 1}, False),
        ({REVIEWED: 3, None: 3}, False),
        ({REVIEWED: 3, None: 4}, False),
        ({None: 9}, False),
        ({REVIEWED: 1}, False),
        ({REVIEWED: 2}, False),
        ({}, False),
    ],
)
def test_more_than_half_and_at_least_three_must_share_a_collection_date(
    counts: dict[date | None, int], *, found: bool
) -> None:
    documents = pages(counts)
    for order in (documents, documents[::-1]):
        assert collection_dates(order) == ({"NCI": REVIEWED} if found else {})


def test_every_source_has_a_collection_date_of_its_own() -> None:
    other = date(2026, 2, 2)
    documents = [*pages({REVIEWED: 4}), *pages({other: 3, REVIEWED: 2}, "CDC"), *pages({REVIEWED: 2}, "WHO")]
    assert collection_dates(documents) == {"NCI": REVIEWED, "CDC": other}
    evidence = [
        date_evidence(page(REVIEWED, source), collection_dates(documents)) for source in ("NCI", "CDC")
    ]
    assert evidence == [DateEvidence.COLLECTION, DateEvidence.REVIEW]


@pytest.mark.parametrize("source", [None, ""])
def test_pages_without_a_source_have_no_collection(source: str | None) -> None:
    documents = pages({REVIEWED: 9}, source)
    assert collection_dates(documents) == {}
    assert date_evidence(documents[0], {}) is DateEvidence.REVIEW


def test_only_pages_of_the_collection_day_are_graded_as_weaker() -> None:
    documents = pages({REVIEWED: 5, date(2025, 5, 15): 1, None: 1})
    collected = collection_dates(documents)
    graded = [date_evidence(metadata, collected) for metadata in documents]
    assert graded == [DateEvidence.COLLECTION] * 5 + [DateEvidence.REVIEW, DateEvidence.NONE]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["A", "B", None]), st.none() | st.sampled_from([REVIEWED, date.min])),
        max_size=12,
    )
)
def test_a_collection_date_is_that_of_the_most_pages_of_a_source(
    drawn: list[tuple[str | None, date | None]],
) -> None:
    expected = {}
    for source in ("A", "B"):
        of_source = [day for one, day in drawn if one == source]
        for day in (REVIEWED, date.min):
            if of_source.count(day) >= 3 and of_source.count(day) > len(of_source) / 2:
                expected[source] = day
    assert collection_dates(page(day, source) for source, day in drawn) == expected
