"""What a person reads of an answer in a terminal: first what must be said, then how sure it is, then why."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from calling import call, stand_in
from constant_calibration import calibration
from hypothesis import given
from hypothesis import strategies as st
from keyword_encoder import KeywordEncoder
from little_index import fillers, little_index, page
from rich.console import Console

from rag.answer.answer import LOW_CONFIDENCE_PASSAGES, Answer
from rag.answer.answerer import Answerer
from rag.answer.notices import load_notices
from rag.index.filters import Filters
from rag.index.local.local_index import LocalIndex
from rag.reporting import tell_answer
from rag.search.retriever import Retriever

KEYWORDS = KeywordEncoder()
DAY = date(2026, 6, 1)
PATIENT_URL = "https://www.cancer.gov/types/lung/patient/lung-treatment-pdq"
PROFESSIONAL_URL = "https://www.cancer.gov/types/lung/hp/lung-treatment-pdq"
Ask = Callable[..., Answer]


def reviewed(body: str, day: str, **more: str) -> str:
    head = {"license": "CC-BY-4.0", "source": "NCI", "lastReviewed": day, "reviewFrequency": "annual"}
    return page(body, **head, **more)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> LocalIndex:
    pages = {
        "current": reviewed("A fever is high. Call about any fever.", "2026-05-01", title="Current"),
        "due": reviewed("A fever is high.", "2025-06-20", title="Due"),
        "overdue": reviewed("A fever is high.", "2024-06-01", title="Overdue"),
        "undated": page("A fever is high.", title="Undated", license="house rules"),
        "collected": page(
            "A fever is high.", title="Collected", source="Leaflets", lastReviewed="2026-05-02"
        ),
        "often": page("Sleep a lot.", title="Often", source="Leaflets", lastReviewed="2026-05-02"),
        "more": page("Sleep well.", title="More", source="Leaflets", lastReviewed="2026-05-02"),
        "lung/patient": page("The lung is big.", title="Lung for patients", url=PATIENT_URL),
        "lung/hp": page(
            "The lung is a big organ.", title="Lung (Health Professional Version)", url=PROFESSIONAL_URL
        ),
    }
    return little_index(tmp_path_factory.mktemp("reporting"), pages | fillers())


@pytest.fixture(scope="module")
def ask(index: LocalIndex) -> Ask:
    def ask(question: str, *, sure: float | None = 0.9, doc_id: str | None = None, **options: Any) -> Answer:
        made = None if sure is None else calibration(KEYWORDS, sure)
        audience = options.pop("audience", ())
        filters = Filters(doc_id=(doc_id,) if doc_id else (), audience=audience)
        answerer = Answerer(Retriever(index, KEYWORDS), calibration=made)
        return answerer.ask(question, filters=filters, as_of=DAY, **options)

    return ask


def shown(answer: Answer) -> str:
    written = io.StringIO()
    tell_answer(answer, Console(file=written, width=80, highlight=False))
    return written.getvalue()


def facts(answer: Answer) -> str:
    (line,) = (line for line in shown(answer).splitlines() if line.startswith("    source: "))
    return line.strip()


@pytest.mark.parametrize(
    ("sure", "told"),
    [
        (0.95, "Answered: the passages probably answer this (confidence 95 %)."),
        (0.4, "Uncertain: the passages may not answer this (confidence 40 %)."),
        (
            None,
            (
                "Uncertain: the passages may not answer this "
                "(confidence unknown: there is no calibration for this encoder)."
            ),
        ),
        (
            0.1,
            (
                "No answer: the passages found probably do not answer this (confidence 10 %); "
                "see them with --include low_confidence_passages."
            ),
        ),
        (
            0.001,
            (
                "No answer: the passages found probably do not answer this (confidence below 1 %); "
                "see them with --include low_confidence_passages."
            ),
        ),
    ],
)
def test_status_and_confidence_stand_first_in_words(sure: float | None, told: str, ask: Ask) -> None:
    answer = replace(ask("fever", sure=sure), confidence=sure)
    assert shown(answer).splitlines()[0] == told


@given(st.floats(0, 1))
def test_no_rounding_makes_it_surer(ask: Ask, confidence: float) -> None:
    answer = replace(ask("fever", doc_id="due"), confidence=confidence)
    told = re.search(r"\(confidence (?:(\d+) %|below 1 %)\)", shown(answer))
    assert told
    assert int(told[1] or 0) <= confidence * 100 + 1e-9 < int(told[1] or 0) + 1.001


def test_no_answer_shows_nothing_more_unless_passages_were_asked_for(ask: Ask) -> None:
    assert len(shown(ask("fever", sure=0.1)).strip().splitlines()) == 1
    asked = shown(ask("fever", sure=0.1, include=[LOW_CONFIDENCE_PASSAGES]))
    assert asked.startswith("No answer: ")
    assert "the nearest passages follow." in asked.splitlines()[0]
    assert asked.count("\n[") == 5
    assert "  1. " not in asked


def test_where_the_filters_let_nothing_through_the_filters_are_named(ask: Ask) -> None:
    for sure in (0.9, None):
        text = shown(ask("fever", sure=sure, doc_id="none"))
        assert text.startswith("No answer: no document passes the filters (without status=... ")
        assert "audience=professional" in text


def test_a_notice_stands_before_everything_else(ask: Ask) -> None:
    question = "I want to kill myself and I have a fevr"
    for sure in (0.9, 0.1):
        answer = ask(question, sure=sure)
        message = load_notices().of("crisis").message
        text = " ".join(shown(answer).split())
        assert text.startswith(f"URGENT: {message} ")
        assert text.index(message) < text.index("Answered: " if sure > 0.5 else "No answer: ")


def test_the_sentences_are_numbered_and_name_their_passage(ask: Ask) -> None:
    answer = ask("fever")
    assert answer.answer
    listed = re.findall(r"^  (\d)\. (.+) \[(\d)\]$", shown(answer), re.MULTILINE)
    assert listed == [
        (str(number), one.text, str(one.passage))
        for number, one in enumerate(answer.answer.sentences, start=1)
    ]
    assert len(listed) > 1
    assert shown(answer).index("  1. ") < shown(answer).index("[1] ")


def test_a_long_sentence_is_wrapped_and_keeps_its_words(ask: Ask) -> None:
    answer = ask("fever", doc_id="due")
    assert answer.answer
    long = "A fever " + "and so on " * 30 + "is high."
    sentence = replace(answer.answer.sentences[0], text=long)
    text = shown(replace(answer, answer=replace(answer.answer, sentences=(sentence,))))
    assert f"1. {long} [1]" in " ".join(text.split())
    assert max(len(line) for line in text.splitlines() if "so on" in line) <= 100


def test_words_that_nobody_knows_and_corrections_are_told(ask: Ask) -> None:
    answer = replace(ask("fever"), unknown=("zorvax", "qmib"), corrections={"fevr": "fever"})
    lines = shown(answer).splitlines()
    assert lines[:2] == ["searched also for: fever (fevr)", "in no document and no dictionary: zorvax, qmib"]


@pytest.mark.parametrize(
    ("doc_id", "told"),
    [
        (
            "current",
            "source: NCI | reviewed: 2026-05-01, current until 2027-05-01 | license: CC-BY-4.0",
        ),
        ("due", "source: NCI | reviewed: 2025-06-20, review due on 2026-06-20 | license: CC-BY-4.0"),
        (
            "overdue",
            "source: NCI | reviewed: 2024-06-01, review overdue since 2025-06-01 | license: CC-BY-4.0",
        ),
        ("undated", "source: unknown | reviewed: unknown | license: house rules (terms not known)"),
        ("collected", "source: Leaflets | collected: 2026-05-02, next review unknown | license: MISSING"),
    ],
)
def test_freshness_and_licence_are_told_in_words(doc_id: str, told: str, ask: Ask) -> None:
    assert facts(ask("fever", doc_id=doc_id)) == f"{told} | audience: patient"


def test_attribution_is_printed_where_the_licence_asks_for_it(ask: Ask) -> None:
    answer = ask("fever", doc_id="due")
    attribution = answer.passages[0].citation.attribution
    assert attribution
    assert f"    attribution: {attribution}\n" in shown(answer)
    assert "attribution:" not in shown(ask("fever", doc_id="undated"))


def test_a_page_for_professionals_names_the_one_for_patients(ask: Ask) -> None:
    text = shown(ask("lung", doc_id="lung/hp", audience=("professional",)))
    assert f"    for patients: Lung for patients (lung/patient) {PATIENT_URL}\n" in text
    assert "for patients: " not in shown(ask("lung", doc_id="lung/patient"))


def test_an_operators_notice_cannot_steer_the_terminal(ask: Ask) -> None:
    answer = ask("I want to kill myself")
    forged = replace(answer.notices[0], message="Call \x1b[2J us.")
    assert "URGENT: Call ␛[2J us." in shown(replace(answer, notices=(forged,)))


def test_what_a_document_says_cannot_steer_the_terminal(ask: Ask) -> None:
    answer = ask("fever", doc_id="due")
    assert answer.answer
    sentence = replace(answer.answer.sentences[0], text="Fever \x1b[2J is high.")
    passage = answer.passages[0]
    citation = replace(passage.citation, attribution="\x1b[1m", source="\x9b1m", license="\x07")
    answer = replace(
        answer,
        answer=replace(answer.answer, sentences=(sentence,)),
        passages=(replace(passage, citation=citation),),
        unknown=("\x1b[3m",),
    )
    assert re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown(answer)) == []


def test_the_command_shows_notice_status_sentences_and_passages_in_this_order(
    samples_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, samples_index, monkeypatch)
    result = call("ask", "I have a fever of 39 after my chemo", "--index", str(samples_index))
    places = [
        result.out.index(text) for text in ("URGENT: ", "Answered: ", "\n  1. ", "\n[1] ", "\n    source: ")
    ]
    assert (result.status, places) == (0, sorted(places))
    assert places[0] == 0
