"""Every part of a search can be switched off, and every switch does what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
from keyword_encoder import KeywordEncoder
from little_index import all_ids, fillers, little_index, page

from rag.search.features import FEATURE_NAMES, Features
from rag.search.ranking import Ranking
from rag.search.retriever import Retriever

AXES = ("fever", "hair", "pain", "sleep")
EVERY_FEATURE = pytest.mark.parametrize("name", FEATURE_NAMES)


@dataclass(frozen=True)
class Case:
    """A question over a few pages, and the documents that come first with a feature and without it."""

    pages: Mapping[str, str]
    question: str
    first_with: tuple[str, ...]
    first_without: tuple[str, ...]


def sections(*bodies: str) -> str:
    """Chunks of one section: paragraphs so long that no two share a chunk."""
    return "\n\n".join(f"{body} {'and so on ' * 70}" for body in bodies)


LIKE_A_REFERENCE = "Lee et al. Fever, fever, fever. J Care 12(2): 249, 2003."
CASES = {
    # The rarer word weighs more with BM25; vectors do not even know it.
    "dense": Case(
        {"near": page("Fever."), "near-too": page("Fever and pain."), "worded": page("Zebras.")},
        "fever zebras",
        ("near", "near-too", "worded"),
        ("worded", "near", "near-too"),
    ),
    "lexical": Case(
        {"a": page("Nothing."), "b": page("Zebras.")},
        "zebras",
        ("b", "a"),
        ("a", "b"),
    ),
    # The winner by inner products is far ahead; by ranks it is only one place ahead.
    "convex": Case(
        {
            "near": page(f"Fever. {'So it goes. ' * 20}"),
            "worded": page("Fever hair pain sleep. Xylo xylo."),
            **{f"x{n}": page(f"Xylo xylo {n}.") for n in range(3)},
        },
        "fever xylo",
        ("near", "worded"),
        ("worded", "near"),
    ),
    "synonyms": Case(
        {"a": page("Walking."), "b": page("Vomiting.")},
        "throwing up",
        ("b", "a"),
        ("a", "b"),
    ),
    "spelling": Case(
        {"a": page("Walking."), "b": page("Xerostomia."), "c": page("Xerostomia and more than that.")},
        "xerostomai",
        ("b", "c", "a"),
        ("a", "b", "c"),
    ),
    "entities": Case(
        {
            "a": page("Fever fever.", title="Fever"),
            "b": page("Fever fever hair, tarlatamab.", title="Tarlatamab"),
            **fillers(20),
        },
        "fever and fever of tarlatamab",
        ("b", "a"),
        ("a", "b"),
    ),
    "audience": Case(
        {
            "a": page("Fever.", audienceLevel="professional"),
            "b": page("Fever again.", title="Childhood Page"),
            "c": page("Fever now.", title="Page"),
        },
        "fever",
        ("c", "a", "b"),
        ("a", "c", "b"),
    ),
    "boilerplate": Case(
        {"a": page(" ".join([LIKE_A_REFERENCE] * 4)), "b": page("Fever fever fever, hair.")},
        "fever",
        ("b", "a"),
        ("a", "b"),
    ),
    "copies": Case(
        {"a": page("Fever."), "b": page("Fever."), "c": page("Fever and pain.")},
        "fever",
        ("a", "c"),
        ("a", "b"),
    ),
    "diversity": Case(
        {"a": page(sections("Fever 1.", "Fever 2.", "Fever 3.", "Fever 4.")), "b": page("Fever and pain.")},
        "fever",
        ("a", "a", "a", "b"),
        ("a", "a", "a", "a"),
    ),
}


def documents(ranking: Ranking) -> tuple[str, ...]:
    return tuple(hit.chunk_id.partition("#")[0] for hit in ranking.hits)


def test_every_feature_has_a_case() -> None:
    assert set(CASES) == set(FEATURE_NAMES) == {field.name for field in fields(Features)}


@EVERY_FEATURE
def test_a_feature_changes_what_comes_first(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    index = little_index(tmp_path, case.pages, AXES)
    rankings = [
        Retriever(index, KeywordEncoder(AXES), features=features).search(case.question, top_k=50)
        for features in (Features(), Features().without(name))
    ]
    found = [documents(ranking) for ranking in rankings]
    assert found[0][: len(case.first_with)] == case.first_with
    assert found[1][: len(case.first_without)] == case.first_without
    assert [hit.chunk_id for hit in rankings[0].hits] != [hit.chunk_id for hit in rankings[1].hits]


@EVERY_FEATURE
def test_a_feature_is_on_until_it_is_left_out_and_the_others_stay(name: str) -> None:
    left_out = Features().without(name)
    assert {feature for feature in FEATURE_NAMES if not getattr(left_out, feature)} == {name}
    assert all(getattr(Features(), feature) for feature in FEATURE_NAMES)


def test_a_ranking_without_any_search_is_refused() -> None:
    with pytest.raises(ValueError, match="dense or the lexical search"):
        Features(dense=False, lexical=False)
    with pytest.raises(ValueError, match="dense or the lexical search"):
        Features(dense=False).without("lexical")


def test_a_feature_that_does_not_exist_cannot_be_left_out() -> None:
    with pytest.raises(TypeError, match="colour"):
        Features().without("colour")


@pytest.mark.parametrize("name", [name for name in FEATURE_NAMES if name not in ("dense", "copies")])
def test_leaving_a_feature_out_hides_no_chunk(name: str, tmp_path: Path) -> None:
    """Dense search reaches every chunk; only copies may fold."""
    pages = {f"{case}/{key}": text for case in CASES for key, text in CASES[case].pages.items()}
    index = little_index(tmp_path, pages, AXES)
    features = Features(copies=False).without(name)
    hits = Retriever(index, KeywordEncoder(AXES), features=features).search("fever hair", top_k=50).hits
    assert sorted(hit.chunk_id for hit in hits) == all_ids(index)
