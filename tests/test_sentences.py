"""Where sentences end: rather too seldom than too often."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.corpus.sentences import sentence_spans


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize(
    "sentence",
    [
        "Ask Dr. Smith, Mrs. Jones or Prof. Lee about it.",
        "Sweet foods, e.g. Honey, or fats, i.e. Butter, are fine.",
        "The U.S. Food and Drug Administration approved it.",
        "She has a Ph.D. From Boston.",
        "Take 5.5 mg of it daily.",
        "Drug A vs. Drug B was tested.",
        "J. R. Smith and M. Müller wrote it.",
        "Smith et al. Found it in St. Louis.",
        "See Fig. 3, No. 4 and pp. 5 to 7.",
        "It was approved on Sept. 5 and Jan. 6.",
        "Vitamin C. And more of it.",
        "The approx. 30 patients, ca. 5 of them, and so on etc. Were seen.",
        "Version 2.0 of www.cancer.gov is at https://example.org/a.B.",
        "The dose is .5 mg.",
        "It may be used (see above.) and then stopped.",
        "Wait ... then go on.",
        "Is it so? asked the nurse.",
    ],
)
def test_a_stop_within_a_sentence_does_not_end_it(sentence: str) -> None:
    assert sentences(sentence) == [sentence]


@pytest.mark.parametrize(
    "parts",
    [
        ["One ends here.", "Another begins."],
        ["Is it so?", "Yes!", "Good…", "Then go on."],
        ["Take 5 mg.", "Then 10 mg.", "50 patients did."],
        ["“Call me.”", "He did (at once.)", "[Then](/x) **she** did.**", "*So* did they."],
        ["A claim.[[1](#cit/section_1.1)]", "Another claim.[[2](#cit/s_2)][[3](#cit/s_3)]", "A third."],
        ["**It is bold.**", "_It is not._", "“Quoted.”", "‘Single.’", "Élan.", "Ω is a letter."],
        ["What?!", "No...", "Yes."],
        ["It is for the hospital.", "The clinic closed."],
        ["It ended in 2021.", "It began in 2019."],
        ["It is at the U.S.A.", "Then it moved."],
    ],
)
@pytest.mark.parametrize("gap", [" ", "\n", "  \n\t"])
def test_a_stop_before_a_capital_or_a_number_ends_a_sentence(parts: list[str], gap: str) -> None:
    assert sentences(f" {gap.join(parts)}\n") == parts


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
def test_empty_text_has_no_sentence(text: str) -> None:
    assert sentences(text) == []


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(st.text(st.sampled_from("aB1. \n!?…\"')]*_[(-•é😀"), max_size=80))
def test_sentences_hold_every_sign_in_order_and_only_space_stands_between(text: str) -> None:
    spans = list(sentence_spans(text))
    edges = [0, *(edge for span in spans for edge in span), len(text)]
    assert edges == sorted(edges)
    gaps = [text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]
    assert not "".join(gaps).strip()
    assert all(re.search(r"[.!?…]", text[start:end]) for start, end in spans[:-1])
    assert all(text[start:end] == text[start:end].strip() != "" for start, end in spans)


@pytest.mark.parametrize(
    "text",
    ["." * 300_000, "!?" * 150_000, ".[[1](#cit/" * 30_000, ".*_" * 100_000, ". " * 150_000, ".)" * 150_000],
)
def test_a_long_run_of_stops_is_read_in_linear_time(text: str) -> None:
    started = time.process_time()
    assert "".join(sentences(text)).replace(" ", "") == text.replace(" ", "")
    assert time.process_time() - started < 10
