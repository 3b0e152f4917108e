"""What seldom answers is lowered by known amounts, each reason on its own switch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.index.backend import Traits
from rag.index.filters import NO_FILTERS, Filters
from rag.search import demotion
from rag.search.demotion import demotions
from rag.search.features import Features

# Measured, and so they may move; what they are taken for stands.
REFERENCES, STANDING = demotion._BIBLIOGRAPHY, demotion._BOILERPLATE
OTHERS, LACKING = demotion._OTHER_AUDIENCE, demotion._MISSING_NAMES

NOTHING = Features(boilerplate=False, audience=False, entities=False)
BOILERPLATE = replace(NOTHING, boilerplate=True)
AUDIENCE = replace(NOTHING, audience=True)
ENTITIES = replace(NOTHING, entities=True)

# One chunk a reason, and a first one that no reason speaks against.
TRAITS = Traits(
    doc_ids=["plain", "references", "half", "standing", "doctors", "children", "both"],
    titles=["Pain", "Pain", "Pain", "Pain", "Pain", "Childhood Pain", "Childhood Pain"],
    professional=np.array([0, 0, 0, 0, 1, 0, 1], dtype=np.bool_),
    sections=np.arange(7),
    repeated=np.array([0, 0, 0.5, 1, 0, 0, 0], dtype=np.float32),
    bibliography=np.array([0, 1, 0, 0, 0, 0, 0], dtype=np.bool_),
    contents=np.arange(7),
)
NONE_MISSING = np.zeros((0, 7), dtype=np.bool_)


def rounded(**amounts: float) -> dict[str, float]:
    return {name: round(amount, 6) for name, amount in amounts.items()}


def amounts(
    features: Features,
    *,
    question: str = "pain",
    missing: npt.NDArray[np.bool_] = NONE_MISSING,
    filters: Filters = NO_FILTERS,
) -> dict[str, float]:
    found = demotions(question, TRAITS, missing, filters, features)
    assert found.dtype == np.float32
    assert found.shape == (7,)
    return {
        name: round(amount, 6)
        for name, amount in zip(TRAITS.doc_ids, found.tolist(), strict=True)
        if amount != 0
    }


def test_no_amount_outweighs_a_match() -> None:
    """On a scale where 1 is a perfect match and the best of a ranking has around a half."""
    assert all(0 < amount < 0.15 for amount in (REFERENCES, STANDING, OTHERS, LACKING))


def test_with_every_reason_off_nothing_is_lowered() -> None:
    everything_missing = np.ones((2, 7), dtype=np.bool_)
    assert amounts(NOTHING, missing=everything_missing) == {}


def test_references_and_standing_text_are_lowered_the_latter_by_its_share() -> None:
    assert amounts(BOILERPLATE) == rounded(references=REFERENCES, half=STANDING / 2, standing=STANDING)


def test_pages_for_professionals_and_about_children_are_lowered_and_both_reasons_add_up() -> None:
    assert amounts(AUDIENCE) == rounded(doctors=OTHERS, children=OTHERS, both=2 * OTHERS)


def test_a_question_about_a_child_takes_pages_about_children_as_they_are() -> None:
    assert amounts(AUDIENCE, question="my daughter has pain") == rounded(doctors=OTHERS, both=OTHERS)


@pytest.mark.parametrize("audience", [("professional",), ("Professional", "clinicians")])
def test_who_wants_pages_for_professionals_alone_gets_them_as_they_are(audience: tuple[str, ...]) -> None:
    assert amounts(AUDIENCE, filters=Filters(audience=audience)) == rounded(children=OTHERS, both=OTHERS)


def test_among_pages_for_both_those_for_professionals_are_lowered() -> None:
    wanted = Filters(audience=("patient", "professional"))
    assert amounts(AUDIENCE, filters=wanted) == amounts(AUDIENCE)


def test_another_filter_leaves_the_audience_open() -> None:
    assert amounts(AUDIENCE, filters=Filters(language=("en",))) == amounts(AUDIENCE)


def test_a_chunk_is_lowered_by_the_share_of_the_names_that_it_lacks() -> None:
    missing = np.array([[0, 1, 0, 1, 0, 0, 0], [0, 1, 1, 0, 0, 0, 0]], dtype=np.bool_)
    assert amounts(ENTITIES, missing=missing) == rounded(
        references=LACKING, half=LACKING / 2, standing=LACKING / 2
    )
    assert amounts(ENTITIES, missing=missing[:1]) == rounded(references=LACKING, standing=LACKING)


def test_a_question_without_names_lowers_nothing_for_them() -> None:
    assert amounts(ENTITIES) == {}


def test_all_reasons_add_up() -> None:
    missing = np.ones((1, 7), dtype=np.bool_)
    together = demotions("pain", TRAITS, missing, NO_FILTERS, Features())
    parts = [
        demotions("pain", TRAITS, missing, NO_FILTERS, features)
        for features in (BOILERPLATE, AUDIENCE, ENTITIES)
    ]
    assert together.tolist() == pytest.approx(sum(parts).tolist())  # type: ignore[union-attr]


@given(st.data())
def test_a_reason_never_raises_a_score(data: st.DataObject) -> None:
    bits = st.lists(st.booleans(), min_size=7, max_size=7)
    traits = replace(
        TRAITS,
        professional=np.array(data.draw(bits)),
        bibliography=np.array(data.draw(bits)),
        repeated=np.array(data.draw(bits), dtype=np.float32),
    )
    names = data.draw(st.lists(bits, max_size=3))
    missing = np.array(names, dtype=np.bool_).reshape(len(names), 7)
    found = demotions("pain", traits, missing, NO_FILTERS, Features())
    # The worst that can come together: everything at once.
    assert found.min() >= 0
    assert found.max() <= REFERENCES + STANDING + 2 * OTHERS + LACKING + 1e-6


def test_no_candidates_are_no_trouble() -> None:
    nothing = np.zeros(0)
    traits = Traits(
        doc_ids=[],
        titles=[],
        professional=nothing.astype(np.bool_),
        sections=nothing.astype(np.int64),
        repeated=nothing.astype(np.float32),
        bibliography=nothing.astype(np.bool_),
        contents=nothing.astype(np.int64),
    )
    missing = np.zeros((2, 0), dtype=np.bool_)
    assert demotions("pain", traits, missing, NO_FILTERS, Features()).shape == (0,)
