"""Filters are checked when they are made, and a refusal names the field and what it should hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import InvalidRequest
from rag.index.filters import (
    FILTER_NAMES,
    LIST_FILTERS,
    MAX_VALUE_LENGTH,
    MAX_VALUES,
    NO_FILTERS,
    Filters,
    read_assignments,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def _refusal(given_filters: dict[str, Any]) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        Filters.parse(given_filters)
    assert str(caught.value).startswith(f"{caught.value.field}: ")
    return caught.value


def test_the_filters_are_those_of_the_design() -> None:
    assert FILTER_NAMES == (
        "cancer_types",
        "audience",
        "language",
        "source",
        "source_type",
        "license",
        "status",
        "tags",
        "doc_id",
        "last_reviewed_after",
    )
    assert FILTER_NAMES[:-1] == LIST_FILTERS


def test_nothing_given_leaves_the_active_documents() -> None:
    assert Filters.parse({}) == Filters() == NO_FILTERS
    assert NO_FILTERS.status == ("active",)
    assert {getattr(NO_FILTERS, name) for name in FILTER_NAMES if name != "status"} == {(), None}


@pytest.mark.parametrize("name", FILTER_NAMES)
def test_none_is_as_good_as_leaving_it_out(name: str) -> None:
    assert Filters.parse({name: None}) == NO_FILTERS


@pytest.mark.parametrize("name", LIST_FILTERS)
def test_an_empty_list_sets_no_condition(name: str) -> None:
    """Of the status too: an empty list is no wish to see withdrawn documents."""
    assert Filters.parse({name: []}) == Filters.parse({name: ()}) == NO_FILTERS


@pytest.mark.parametrize("name", LIST_FILTERS)
def test_values_are_texts_without_doubles_or_outer_spaces(name: str) -> None:
    assert getattr(Filters.parse({name: ["z", " a b\n", "z", "a b"]}), name) == ("a b", "z")
    assert getattr(Filters.parse({name: ("a b", "z")}), name) == ("a b", "z")
    assert getattr(Filters.parse({name: " z "}), name) == ("z",)


@pytest.mark.parametrize("value", [["lung", "breast"], ["breast", "lung", "lung"], ("breast", " lung")])
def test_filters_that_ask_the_same_are_equal_and_share_a_hash(value: object) -> None:
    one, other = Filters.parse({"cancer_types": value}), Filters.parse({"cancer_types": ["lung", "breast"]})
    assert one == other
    assert hash(one) == hash(other)


def test_filters_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        NO_FILTERS.status = ()  # type: ignore[misc]


@pytest.mark.parametrize("name", LIST_FILTERS)
@pytest.mark.parametrize(
    "value", [7, 0, 1.5, True, False, b"x", {"a": 1}, {}, {"x"}, [7], ["x", None], [["x"]], [b"x"], date.min]
)
def test_what_is_no_list_of_texts_is_refused_by_name(name: str, value: object) -> None:
    refused = _refusal({"source": "NCI", name: value})
    assert refused.field == f"filters.{name}"
    assert refused.reason == "must be a list of texts"


@pytest.mark.parametrize("name", LIST_FILTERS)
@pytest.mark.parametrize("value", ["", " \n", ["x", ""], ["\t"], ["x" * (MAX_VALUE_LENGTH + 1)]])
def test_an_empty_or_endless_value_is_refused_by_name(name: str, value: object) -> None:
    refused = _refusal({name: value})
    assert refused.field == f"filters.{name}"
    assert refused.reason == f"has a value that is empty or longer than {MAX_VALUE_LENGTH} characters"


def test_the_limits_themselves_are_allowed() -> None:
    longest, most = "x" * MAX_VALUE_LENGTH, [f"tag {at}" for at in range(MAX_VALUES)]
    assert Filters.parse({"tags": longest}).tags == (longest,)
    assert Filters.parse({"tags": most}).tags == tuple(sorted(most))
    refused = _refusal({"tags": [*most, "one more"]})
    assert (refused.field, refused.reason) == ("filters.tags", "has 201 values; the limit is 200")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-01-31", date(2026, 1, 31)),
        (date(2026, 1, 31), date(2026, 1, 31)),
        (datetime(2026, 1, 31, 23, 59, tzinfo=UTC), date(2026, 1, 31)),
        ("0001-01-01", date.min),
    ],
)
def test_a_date_is_read_and_has_no_time_of_day(value: object, expected: date) -> None:
    found = Filters.parse({"last_reviewed_after": value}).last_reviewed_after
    assert found == expected
    assert type(found) is date


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            "yesterday",
            "2026",
            "31.01.2026",
            "2026-02-30",
            "2026-13-01",
            "2026-01-31T10:00",
            "٢٠٢٦-01-31",
        ),
        *(0, 20260131, 1.5, True, False, [], ["2026-01-31"], {}, b"2026-01-31"),
    ],
)
def test_what_is_no_date_is_refused_by_name(value: object) -> None:
    refused = _refusal({"last_reviewed_after": value})
    assert refused.field == "filters.last_reviewed_after"
    assert refused.reason == "must be a date such as 2026-01-31"


@pytest.mark.parametrize("value", [None, [], "x", 7])
@pytest.mark.parametrize("name", ["colour", "", "Source", "sources", "last_reviewed", "__class__", "parse"])
def test_an_unknown_filter_is_refused_whatever_its_value_and_the_known_are_listed(
    name: str, value: object
) -> None:
    refused = _refusal({name: value, "status": "active"})
    assert refused.field == f"filters.{name}"
    assert refused.reason.startswith("is no filter")
    assert refused.reason.endswith(f" The filters are {', '.join(FILTER_NAMES)}")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("cancer_type", "; did you mean 'cancer_types'? "),
        ("last_reviewed", "; did you mean 'last_reviewed_after'? "),
        ("tag", "; did you mean 'tags'? "),
        ("colour", ". "),
    ],
)
def test_a_near_name_is_suggested(name: str, hint: str) -> None:
    assert _refusal({name: "x"}).reason.startswith(f"is no filter{hint}The filters are ")


def test_an_endless_name_is_shortened() -> None:
    assert _refusal({"x" * 5000: "y"}).field == f"filters.{'x' * 80}"


@given(st.dictionaries(st.sampled_from([*FILTER_NAMES, "colour", ""]), JSON, max_size=4))
def test_anything_is_read_or_refused_by_the_name_of_a_field(values: dict[str, Any]) -> None:
    outcome = _outcome(values)
    if isinstance(outcome, InvalidRequest):
        assert outcome.field.removeprefix("filters.") in values
        return
    assert set(values) <= set(FILTER_NAMES)
    for name in LIST_FILTERS:
        value = values.get(name) or getattr(NO_FILTERS, name)
        said = [value] if isinstance(value, str) else value
        assert getattr(outcome, name) == tuple(sorted({one.strip() for one in said}))


def _outcome(values: dict[str, Any]) -> Filters | InvalidRequest:
    try:
        return Filters.parse(values)
    except InvalidRequest as refused:
        return refused


@given(
    st.fixed_dictionaries(
        dict.fromkeys(LIST_FILTERS, st.lists(st.text(min_size=1, max_size=9).filter(str.strip), max_size=3)),
        optional={"last_reviewed_after": st.dates()},
    ).map(Filters.parse)
)
def test_filters_read_again_are_the_same(filters: Filters) -> None:
    assert Filters.parse({field.name: getattr(filters, field.name) for field in fields(filters)}) == filters


def test_assignments_are_read_like_lists_of_which_one_name_may_have_several() -> None:
    given_texts = ["cancer_types=lung", "source=NCI", "cancer_types=small cell = lung", "cancer_types=lung"]
    assert read_assignments(given_texts) == Filters(
        cancer_types=("lung", "small cell = lung"), source=("NCI",)
    )
    assert read_assignments(["last_reviewed_after=2026-01-31"]).last_reviewed_after == date(2026, 1, 31)
    assert read_assignments(["status=withdrawn"]).status == ("withdrawn",)
    assert read_assignments([]) == NO_FILTERS


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        ("lung", "filter", "'lung' must look like cancer_types=lung"),
        ("", "filter", "'' must look like cancer_types=lung"),
        ("x" * 999, "filter", f"'{'x' * 80}' must look like cancer_types=lung"),
        ("colour=red", "filters.colour", "is no filter"),
        ("=red", "filters.", "is no filter"),
        ("tags=", "filters.tags", "empty"),
        ("last_reviewed_after=", "filters.last_reviewed_after", "must be a date"),
        ("last_reviewed_after=soon", "filters.last_reviewed_after", "must be a date"),
    ],
)
def test_an_assignment_that_cannot_be_read_is_refused_by_name(text: str, field: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as caught:
        read_assignments(["source=NCI", text])
    assert caught.value.field == field


READERS: dict[str, Callable[[str], Filters]] = {
    "parse": lambda value: Filters.parse({"tags": [value]}),
    "assignments": lambda value: read_assignments([f"tags={value}"]),
}


@given(value=st.text(min_size=1, max_size=20).filter(str.strip), reader=st.sampled_from(sorted(READERS)))
def test_a_value_survives_character_for_character(value: str, reader: str) -> None:
    assert READERS[reader](value).tags == (value.strip(),)
