"""A slip of the pen is set right by the words of the index; every word that could be meant is left alone."""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from little_index import fillers, little_index, page

from rag.index.local.lexical import stems
from rag.search.english import english_words
from rag.search.spelling import Speller

WORDS = {"tarlatamab": 9, "fatigue": 7, "nausea": 5, "hair": 4, "biopsy": 3}
LETTERS = string.ascii_lowercase


def as_it_is(text: str) -> list[str]:
    """A stemmer that a person can compute."""
    return text.split()


def speller(vocabulary: Mapping[str, int], *ordinary: str) -> Speller:
    return Speller(vocabulary, as_it_is, frozenset(ordinary))


@st.composite
def slips(draw: st.DrawFn, word: str) -> str:
    """`word` with one letter too many, too few, wrong, or swapped with the next one."""
    at = draw(st.integers(0, len(word) - 2))
    letter = draw(st.sampled_from(LETTERS))
    kinds = (
        word[:at] + letter + word[at:],
        word[:at] + word[at + 1 :],
        word[:at] + letter + word[at + 1 :],
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
    )
    return draw(st.sampled_from(kinds))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("fatiguue", "fatigue"),
        ("fatige", "fatigue"),
        ("fatugue", "fatigue"),
        ("fatiuge", "fatigue"),
        ("afatigue", "fatigue"),
        ("fatiguex", "fatigue"),
        ("atigue", "fatigue"),
        ("naussea", "nausea"),
        ("tarlatmaab", "tarlatamab"),
        ("tarlatamabs", "tarlatamab"),
    ],
)
def test_a_slip_is_set_right(written: str, meant: str) -> None:
    assert speller(WORDS).correct(written) == meant


@given(st.data())
def test_every_single_slip_in_a_long_enough_word_is_set_right(data: st.DataObject) -> None:
    word = data.draw(st.sampled_from([word for word in WORDS if len(word) > 5]))
    written = data.draw(slips(word))
    assert speller(WORDS).correct(written) == (None if written == word else word)


@given(st.text(LETTERS, max_size=12))
def test_what_is_set_right_becomes_a_word_of_the_index_and_was_none_before(word: str) -> None:
    meant = speller(WORDS).correct(word)
    assert meant is None or (meant in WORDS and word not in WORDS)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("fatigue", "known"),
        ("hiar", "four letters"),
        ("fatug", "two slips"),
        ("tarlatimib", "two slips in a long word: another drug may be spelled so"),
        ("tarltmb", "three slips"),
        ("xylophone", "nothing near"),
        ("", "nothing"),
        ("naus3a", "a digit"),
        ("nau-sea", "two words"),
    ],
)
def test_what_may_be_right_or_is_too_far_off_is_left_alone(written: str, why: str) -> None:
    assert speller(WORDS).correct(written) is None, why


def test_the_shortest_word_that_is_set_right_has_five_letters() -> None:
    assert speller({"lungs": 2}).correct("lusgs") == "lungs"
    assert speller({"lung": 2}).correct("lunk") is None


def test_a_word_of_one_single_chunk_is_known_but_is_never_what_was_meant() -> None:
    rare = {"cisplatin": 9, "cisplatik": 1}
    assert speller(rare).correct("cisplatik") is None
    assert speller({"cisplatik": 1}).correct("cisplatim") is None
    assert speller({"cisplatik": 2}).correct("cisplatim") == "cisplatik"


def test_an_ordinary_word_that_the_index_lacks_is_no_slip() -> None:
    assert speller({"biopsy": 2}).correct("biopsi") == "biopsy"
    assert speller({"biopsy": 2}, "biopsi").correct("biopsi") is None


def test_no_slip_becomes_a_function_word() -> None:
    assert speller({"would": 99, "wound": 2}).correct("wouud") == "wound"
    assert speller({"would": 99}).correct("woulds") is None


def test_a_word_with_a_digit_is_never_what_was_meant() -> None:
    assert speller({"her2a": 9}).correct("herba") is None


def test_fewer_slips_win_then_the_same_first_letter_then_the_more_frequent_then_the_alphabet() -> None:
    assert speller({"abcdefghxx": 9, "abcdefghix": 2}).correct("abcdefghij") == "abcdefghix"
    assert speller({"mound": 99, "wounb": 2}).correct("wounm") == "wounb"
    assert speller({"mounds": 99, "wounda": 2}).correct("wounds") == "wounda"
    assert speller({"wounda": 2, "woundb": 3}).correct("wounds") == "woundb"
    assert speller({"woundb": 2, "wounda": 2}).correct("wounds") == "wounda"


@given(st.permutations(sorted(WORDS.items())), st.text(LETTERS, min_size=5, max_size=11))
def test_the_order_of_the_vocabulary_changes_nothing(entries: list[tuple[str, int]], word: str) -> None:
    assert speller(dict(entries)).correct(word) == speller(WORDS).correct(word)


# The stemmer and the words of a real index


@pytest.mark.parametrize(
    ("written", "stem"),
    [
        ("diseaze", "diseas"),
        ("earlly", "earli"),
        ("respnse", "respons"),
        ("profesional", "profession"),
        ("chemotheraphy", "chemotherapi"),
        ("vomiiting", "vomit"),
    ],
)
def test_what_was_meant_has_the_stem_of_the_index_once_a_search_has_stemmed_it(
    written: str, stem: str
) -> None:
    meant = Speller({stem: 2}, stems).correct(written)
    assert meant is not None
    assert stems(meant) == [stem]


def test_a_stem_that_no_word_leads_back_to_is_not_offered() -> None:
    def without_s(word: str) -> list[str]:
        return [word.replace("s", "")]

    assert Speller({"abcds": 9}, without_s).correct("abcdx") is None
    assert Speller({"abcds": 9, "abcdy": 2}, without_s).correct("abcdx") == "abcdy"


def test_a_misspelled_question_finds_the_page(tmp_path: Path) -> None:
    pages = {
        "a": page("Your disease may come back.", title="After it"),
        "b": page("A disease that is gone.", title="Long after it"),
        **fillers(3),
    }
    index = little_index(tmp_path, pages)
    meant = Speller(index.vocabulary(), index.stems).correct("diseaze")
    assert meant is not None
    assert index.stems(meant) == ["diseas"]


@pytest.mark.parametrize("word", ["uncle", "apple", "giggle", "quiet", "threw", "daughter", "bruising"])
def test_general_english_is_known(word: str) -> None:
    assert word in english_words()


def test_everyday_words_are_counted_as_more_frequent_than_rare_ones() -> None:
    usage = english_words()
    assert usage["now"] > usage["chemotherapy"] > 0
    assert sum(usage.values()) == pytest.approx(1e6)


@pytest.mark.parametrize("word", ["tarlatamab", "pembrolizumab", "diseaze", "nauseea"])
def test_neither_drugs_nor_slips_are_general_english(word: str) -> None:
    assert word not in english_words()


@pytest.mark.parametrize(
    ("word", "unknown"),
    [
        ("zortramab", True),  # made up
        ("tarlatamab", False),  # of the index
        ("grandchildren", False),  # of the language
        ("granchildern", False),  # two slips of it
        ("tarlatimab", True),  # a drug is not taken for one that is spelled alike
        ("zzz", False),  # too short to tell
    ],
)
def test_a_word_is_unknown_when_nobody_could_have_meant_another(word: str, *, unknown: bool) -> None:
    assert speller(WORDS, "grandchildren").is_unknown(word) == unknown
