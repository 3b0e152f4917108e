"""A follow-up question takes the name that it leaves out from an earlier turn, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyword_encoder import KeywordEncoder
from little_index import fillers, little_index, page

from rag.search.features import Features
from rag.search.followup import leans_on_history, names_before
from rag.search.names import Name
from rag.search.ranking import Ranking
from rag.search.retriever import Retriever

DRUGS = ("tarlatamab", "cisplatin", "tamoxifen")
AXES = (*DRUGS, "effects", "hair")
BODY = "{} is given by a nurse.\n\n## Side effects\n\nYou may have {}."
PAGES = {
    "tarlatamab": page(BODY.format("Tarlatamab", "a fever"), title="Tarlatamab"),
    "cisplatin": page(BODY.format("Cisplatin", "nausea"), title="Cisplatin"),
    "tamoxifen": page(BODY.format("Tamoxifen", "hot flashes"), title="Tamoxifen"),
    "hair": page("Your hair may thin.", title="Hair Loss"),
    **fillers(30, body="A nurse may help you."),
}
NAME = Name("tarlatamab", (("tarlatamab",),))
FOLLOW_UP = "What about its side effects?"


@pytest.fixture(scope="module")
def retriever(tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    return Retriever(little_index(tmp_path_factory.mktemp("turns"), PAGES, AXES), KeywordEncoder(AXES))


def best(ranking: Ranking) -> str:
    return ranking.hits[0].chunk_id.partition("#")[0]


@pytest.mark.parametrize(
    "question",
    [
        "What about its side effects?",
        "Is it safe?",
        "IS IT SAFE?",
        "How long does that last?",
        "What is that for?",
        "When should I worry about that?",
        "Can they be removed?",
        "How is this treated?",
        "What helps with these?",
        "Does the drug make you tired?",
        "How soon does my treatment work?",
        "When will her surgery be?",
        "Is the tumour big?",
    ],
)
def test_a_word_that_points_back_leans_on_history_even_beside_a_name(question: str) -> None:
    assert leans_on_history(question, [])
    assert leans_on_history(question, [NAME])


@pytest.mark.parametrize(
    "question",
    [
        "And hair loss?",
        " but why now?",
        "So what happens next?",
        "What about side effects?",
        "how about food",
        "What if I miss a dose?",
        "Then what?",
    ],
)
def test_a_question_that_goes_on_leans_on_history_unless_it_has_a_name_of_its_own(question: str) -> None:
    assert leans_on_history(question, [])
    assert not leans_on_history(question, [NAME])


@pytest.mark.parametrize(
    "question",
    [
        "How do I treat nausea?",
        "Which items should I pack?",
        "Is sitting bad for me?",
        "Does Andrea have to fast?",
        "Sodium in food",
        "Orthopedic pain",
        "What are the drugs that treat pain?",
        "I heard that tea helps",
        "What is a theme?",
        "Is a drug test needed?",
        "",
    ],
)
def test_a_question_that_stands_on_its_own_does_not_lean_on_history(question: str) -> None:
    assert not leans_on_history(question, [])
    assert not leans_on_history(question, [NAME])


def test_the_latest_turn_with_a_name_counts() -> None:
    read: list[str] = []

    def find(turn: str) -> Sequence[Name]:
        read.append(turn)
        return [Name(turn, ((turn,),))] if turn in DRUGS else []

    assert [name.text for name in names_before(["tamoxifen", "cisplatin", "thanks"], find)] == ["cisplatin"]
    assert read == ["thanks", "cisplatin"]
    assert names_before(["hello", "thanks"], find) == ()
    assert names_before([], find) == ()


@pytest.mark.parametrize("drug", DRUGS)
def test_a_follow_up_finds_the_side_effects_of_the_drug_before_it(drug: str, retriever: Retriever) -> None:
    ranking = retriever.search(FOLLOW_UP, history=[f"How is {drug} given?"])
    assert ranking.names == (drug,)
    first = ranking.hits[0].chunk_id
    assert first.startswith(f"{drug}#side-effects")
    # What is about another drug is marked, and still there.
    others = {hit.chunk_id.partition("#")[0]: hit.missing for hit in ranking.hits}
    assert all(missing == (() if doc_id == drug else (drug,)) for doc_id, missing in others.items())


@pytest.mark.parametrize("search", ["dense", "lexical"])
@pytest.mark.parametrize("drug", DRUGS)
def test_either_search_alone_looks_for_the_name_brought_along(
    drug: str, search: str, retriever: Retriever
) -> None:
    other = {"dense": "lexical", "lexical": "dense"}[search]
    features = Features(entities=False).without(other)
    alone = Retriever(retriever.backend, KeywordEncoder(AXES), features=features)
    assert best(alone.search(FOLLOW_UP, history=[f"What is {drug}?"])) == drug


@pytest.mark.parametrize("history", [(), ("",), ("Hello there!", "Thank you."), ("What is a nurse?",)])
def test_without_a_name_before_it_nothing_is_guessed(history: Sequence[str], retriever: Retriever) -> None:
    bare = retriever.search(FOLLOW_UP)
    ranking = retriever.search(FOLLOW_UP, history=history)
    assert ranking.hits == bare.hits
    assert ranking.names == bare.names == ()


def test_the_latest_of_two_drugs_is_meant(retriever: Retriever) -> None:
    history = ["What is cisplatin?", "And tarlatamab?", "Who gives me the infusion?"]
    assert best(retriever.search(FOLLOW_UP, history=history)) == "tarlatamab"
    assert best(retriever.search(FOLLOW_UP, history=history[:1])) == "cisplatin"


def test_every_name_of_the_turn_is_meant(retriever: Retriever) -> None:
    ranking = retriever.search(FOLLOW_UP, history=["cisplatin or tamoxifen?"])
    assert ranking.names == ("cisplatin", "tamoxifen")


@pytest.mark.parametrize(
    "question",
    [
        "What are the side effects of tamoxifen?",
        "And tamoxifen?",
        "What about tamoxifen?",
        "Who are the people that take tamoxifen?",
    ],
)
def test_a_question_with_a_name_of_its_own_ignores_history(question: str, retriever: Retriever) -> None:
    ranking = retriever.search(question, history=["Tell me about cisplatin"])
    assert ranking.hits == retriever.search(question).hits
    assert ranking.names == ("tamoxifen",)


def test_a_topic_that_points_back_keeps_its_own_name_and_takes_the_one_before(retriever: Retriever) -> None:
    ranking = retriever.search("Does it cause hair loss?", history=["What is cisplatin?"])
    assert ranking.names == ("hair loss", "cisplatin")


def test_a_name_that_the_question_has_is_not_taken_twice(retriever: Retriever) -> None:
    question = "Is tamoxifen safe, and how does it work?"
    ranking = retriever.search(question, history=["What is tamoxifen?"])
    assert ranking.names == ("tamoxifen",)
    assert ranking.hits == retriever.search(question).hits


def test_a_misspelled_name_in_an_earlier_turn_is_understood(retriever: Retriever) -> None:
    assert best(retriever.search(FOLLOW_UP, history=["What is tarlatamib?"])) == "tarlatamab"


def test_history_changes_which_chunks_are_first_and_hides_none(retriever: Retriever) -> None:
    bare = retriever.search(FOLLOW_UP, top_k=50)
    asked = retriever.search(FOLLOW_UP, top_k=50, history=["What is tamoxifen?"])
    assert {hit.chunk_id for hit in asked.hits} == {hit.chunk_id for hit in bare.hits}
    assert asked.hits != bare.hits


@given(
    question=st.sampled_from(["How do I treat nausea?", "hair", "Who gives cisplatin?", "What is a nurse?"]),
    history=st.lists(st.sampled_from([*DRUGS, "And it?", "hair loss", "🙂"]), max_size=5),
)
def test_history_never_moves_a_question_that_does_not_lean_on_it(
    question: str, history: list[str], retriever: Retriever
) -> None:
    assert retriever.search(question, history=history).hits == retriever.search(question).hits
