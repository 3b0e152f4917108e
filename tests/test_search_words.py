"""A question is cut into words as the index cuts its texts, and what only frames it is left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.index.local.lexical import stems
from rag.search.words import FUNCTION_WORDS, content_words, words

FRAME = st.sampled_from(sorted(FUNCTION_WORDS))
SUBJECT = st.text("bcdfgxz", min_size=3, max_size=8).filter(lambda word: word not in FUNCTION_WORDS)


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("Fever, PAIN!", ["fever", "pain"]),
        ("5-FU or a low-dose CT?", ["5", "fu", "or", "a", "low", "dose", "ct"]),
        ("don't", ["don", "t"]),
        ("snake_case", ["snake", "case"]),
        # What "non" denies is another word.
        ("Non-small cell, non–Hodgkin, non invasive", ["nonsmall", "cell", "nonhodgkin", "noninvasive"]),
        ("canon ball, non!", ["canon", "ball", "non"]),
        ("Überlebensrate 発熱", ["überlebensrate", "発熱"]),
        ("", []),
        ("🙂 — ?!", []),
    ],
)
def test_words_are_runs_of_letters_and_digits_in_lower_case(text: str, cut: list[str]) -> None:
    assert words(text) == cut


# "İ" becomes two characters in lower case, of which one is no letter; no question hangs on it.
@given(st.text(st.characters(max_codepoint=0x17F, exclude_characters="İ"), max_size=39))
def test_a_question_is_cut_where_the_index_cuts_its_texts(text: str) -> None:
    one_by_one = [stem for word in words(text) for stem in stems(word)]
    assert one_by_one == stems(text)


def test_what_frames_a_question_is_left_out() -> None:
    question = "What should I do about my hair, and can I still go for a swim?"
    assert content_words(question) == ["hair", "swim"]


def test_a_word_that_comes_again_counts_once_where_it_came_first() -> None:
    assert content_words("Pain after pain, sleep, PAIN") == ["pain", "sleep"]


def test_a_question_of_nothing_but_its_frame_keeps_all_its_words() -> None:
    assert content_words("What is it?") == ["what", "is", "it"]


def test_what_an_apostrophe_cuts_off_is_no_word_to_search_by() -> None:
    assert content_words("I've, can't, don't, it's, we'll, they're, I'd, I'm nauseous") == ["nauseous"]


@pytest.mark.parametrize("word", ["long", "often", "safe", "stop", "best", "worse", "pain", "cancer"])
def test_a_word_that_can_decide_which_passage_answers_is_searched_by(word: str) -> None:
    assert content_words(f"is it {word}") == [word]


@given(st.lists(FRAME | SUBJECT, max_size=12))
def test_words_to_search_by_are_the_subject_in_its_order(asked: list[str]) -> None:
    subject = [word for word in dict.fromkeys(asked) if word not in FUNCTION_WORDS]
    assert content_words(" ".join(asked)) == (subject or list(dict.fromkeys(asked)))
