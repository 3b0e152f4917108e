"""A question becomes weighted terms: its own words in full, what they are called on the pages for less."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.index.backend import Term
from rag.search import expansion
from rag.search.expansion import Expander
from rag.search.lay_terms import LayTerms, load_lay_terms, words_of
from rag.search.spelling import Speller
from rag.search.words import FUNCTION_WORDS, content_words


def lay(entries: Mapping[str, Sequence[str]]) -> LayTerms:
    expansions = {words_of(key): tuple(phrases) for key, phrases in entries.items()}
    return LayTerms(version=1, expansions=MappingProxyType(expansions))


def speller(*known: str) -> Speller:
    return Speller(dict.fromkeys(known, 2), str.split)


BARE = Expander(None, None)
BUNDLED = Expander(speller("fever", "fatigue", "nausea"), load_lay_terms())
# Measured, and so it may move; the laws stand.
WEIGHT = expansion._SYNONYM_WEIGHT


def weights(terms: Sequence[Term]) -> dict[str, float]:
    assert len({term.text for term in terms}) == len(terms)
    return {term.text: round(term.weight, 9) for term in terms}


def test_without_speller_and_lay_terms_the_words_stand_alone() -> None:
    expanded = BARE.expand("How do I stop throwing up, throwing up?")
    assert expanded.terms == (Term("stop", 1.0), Term("throwing", 1.0))
    assert expanded.words == ("how", "do", "i", "stop", "throwing", "up", "throwing", "up")
    assert expanded.corrections == {}


def test_the_words_of_a_phrase_share_its_weight() -> None:
    entries = {"throwing up": ["vomiting"], "chemo brain": ["trouble thinking clearly", "memory problems"]}
    expanded = Expander(None, lay(entries)).expand("chemo brain and throwing up")
    assert weights(expanded.terms) == {
        **dict.fromkeys(("chemo", "brain", "throwing"), 1.0),
        "vomiting": WEIGHT,
        **dict.fromkeys(("trouble", "thinking", "clearly"), round(WEIGHT / math.sqrt(3), 9)),
        **dict.fromkeys(("memory", "problems"), round(WEIGHT / math.sqrt(2), 9)),
    }


def test_a_function_word_in_a_phrase_takes_no_share_of_its_weight() -> None:
    expanded = Expander(None, lay({"hard of breath": ["shortness of breath"]})).expand("hard of breath")
    own = ("hard", "breath")
    extra = [term for term in expanded.terms if term.weight < 1]
    assert expanded.terms[:2] == tuple(Term(word) for word in own)
    assert extra == [Term(word, WEIGHT / math.sqrt(2)) for word in ("shortness", "breath")]


@given(st.lists(st.sampled_from(["hair", "falling", "out", "my", "sick", "chemo", "is"]), max_size=8))
def test_widening_takes_nothing_from_the_words_of_the_question(asked: list[str]) -> None:
    question = " ".join(asked)
    terms = BUNDLED.expand(question).terms
    own = tuple(Term(word) for word in content_words(question))
    assert terms[: len(own)] == own
    assert all(0 < term.weight <= WEIGHT < 1 for term in terms[len(own) :])
    assert not {term.text for term in terms[len(own) :]} & FUNCTION_WORDS


@pytest.mark.parametrize(
    ("question", "spelled"),
    [
        ("What is ALL?", {"acute", "lymphoblastic", "leukemia"}),
        ("what is all this", set()),
        ("WHAT IS ALL?", set()),
        ("Is it BALL?", set()),
    ],
)
def test_a_leukemia_in_capitals_is_no_function_word(question: str, spelled: set[str]) -> None:
    terms = {term.text for term in BARE.expand(question).terms}
    assert terms & {"acute", "lymphoblastic", "leukemia"} == spelled


def test_a_word_set_right_counts_in_full_beside_the_one_that_was_written() -> None:
    expanded = Expander(speller("fatigue"), None).expand("Is fatigeu normal?")
    assert expanded.terms == (Term("fatigeu"), Term("normal"), Term("fatigue"))
    assert expanded.words == ("is", "fatigeu", "normal")
    assert expanded.corrections == {"fatigeu": "fatigue"}


def test_lay_terms_are_looked_up_with_the_words_set_right() -> None:
    expander = Expander(speller("throwing"), lay({"throwing up": ["vomiting"]}))
    assert Term("vomiting", WEIGHT) in expander.expand("throwwing up").terms
    assert Term("vomiting", WEIGHT) not in Expander(None, expander.lay_terms).expand("throwwing up").terms


@pytest.mark.parametrize("question", ["barfing", "barfing green stuff", "green stufff barfing"])
def test_a_word_that_lay_terms_know_is_never_taken_for_a_slip(question: str) -> None:
    entries = lay({"barfing": ["vomiting"], "barfing green": ["vomiting bile"], "stufff": ["matter"]})
    expanded = Expander(speller("barring", "greet", "stuff", "bilge"), entries).expand(question)
    assert expanded.corrections == {}


def test_a_page_word_that_lay_terms_lead_to_is_never_taken_for_a_slip() -> None:
    entries = lay({"barfing": ["retching and heaving"]})
    expander = Expander(speller("reaching", "leaving", "teaching"), entries)
    assert expander.expand("heaving and retching").corrections == {}


def test_no_lay_phrase_is_lost_because_a_word_of_it_looks_like_a_slip() -> None:
    """Against an index that holds only neighbours of the lay words, a letter off each."""
    terms = load_lay_terms()
    near = {word[:-1] + ("x" if word[-1] != "x" else "y") for key in terms.expansions for word in key}
    plain, spelled = Expander(None, terms), Expander(speller(*near), terms)
    for key in terms.expansions:
        question = " ".join(key)
        assert spelled.expand(question).terms == plain.expand(question).terms


def test_words_are_cut_as_the_index_cuts_them_and_lay_phrases_are_found_all_the_same() -> None:
    expanded = Expander(None, lay({"can't sleep": ["insomnia"]})).expand("I can't sleep: non-small cell")
    assert expanded.words == ("i", "can", "t", "sleep", "nonsmall", "cell")
    assert [term.text for term in expanded.terms] == ["sleep", "nonsmall", "cell", "insomnia"]


def test_in_a_text_of_garbage_only_the_first_forty_words_are_looked_at_for_slips() -> None:
    garbage = [f"zz{'abcdefghij'[n // 10]}{'abcdefghij'[n % 10]}zz" for n in range(expansion._MOST_CHECKED)]
    assert len(garbage) == 40
    expander = Expander(speller("fatigue"), None)
    assert expander.expand(" ".join([*garbage[1:], "fatigeu"])).corrections == {"fatigeu": "fatigue"}
    assert expander.expand(" ".join([*garbage, "fatigeu"])).corrections == {}


def test_an_apostrophe_does_not_part_a_lay_phrase() -> None:
    expander = Expander(None, lay({"can't sleep": ["insomnia"]}))
    for question in ("I can't sleep", "I can’t sleep", "I cant sleep", "I cannot sleep"):
        assert Term("insomnia", WEIGHT) in expander.expand(question).terms


def test_a_question_without_words_has_no_terms() -> None:
    assert BUNDLED.expand("🙂 ?!").terms == ()


@given(st.text(max_size=60))
def test_the_same_question_is_widened_the_same_way(question: str) -> None:
    assert BUNDLED.expand(question) == BUNDLED.expand(question)
