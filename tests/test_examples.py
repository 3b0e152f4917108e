"""The example backends show what must be shown, come back when they are told to, and betray nothing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from scripted_server import Line, scripted
from serving import Server, bare_environment, running, serve_command

from rag.answer.confidence import Status
from rag.corpus.freshness import Freshness
from rag.serve.wire.answering import AskResponse
from rag.serve.wire.citing import CitationModel
from rag.serve.wire.operating import PROBLEM_TYPE, FieldProblem, Problem

EXAMPLES = Path(__file__).parent.parent / "examples"
NODE = shutil.which("node")
NO_NODE = pytest.mark.skipif(NODE is None, reason="there is no node on this machine")
PROGRAMS = {"python": [sys.executable, "chatbot.py"], "javascript": [NODE or "node", "chatbot.mjs"]}
BOTH = [pytest.param("python"), pytest.param("javascript", marks=NO_NODE)]

MESSAGE = "Does Xanthippe need the qvortex drug?"
KEY = "cw_1234_s3cr3t"
UNAVAILABLE = "cannot look this up"
IMPATIENT = {"CITEWELL_BUDGET": "0.8", "CITEWELL_TRY": "0.3"}
SECONDS = 30


@dataclass(frozen=True)
class Outcome:
    """What a program printed, what it told its operator, and how long it took."""

    shown: str
    told: str
    seconds: float


Chat = Callable[..., Outcome]


@pytest.fixture(params=BOTH)
def chat(request: pytest.FixtureRequest, tmp_path: Path) -> Chat:
    """Run an example with these messages against this address."""
    program, name = PROGRAMS[request.param]

    def run(address: str, *messages: str, **variables: str) -> Outcome:
        environment = {"CITEWELL_URL": address, **variables}
        began = time.monotonic()
        result = subprocess.run(
            [program, str(EXAMPLES / name)],
            input="\n".join(messages or (MESSAGE,)) + "\n",
            env=bare_environment(**environment),
            cwd=tmp_path,
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=SECONDS,
        )
        assert result.returncode == 0, result.stderr
        assert list(tmp_path.iterdir()) == [], "an example writes a file"
        return Outcome(result.stdout, result.stderr, time.monotonic() - began)

    return run


def citation(**changes: Any) -> dict[str, Any]:
    return {
        **dict.fromkeys(CitationModel.model_fields, None),
        "label": "[1]",
        "text": "Us. About fever. Reviewed 2026-01-31. https://example.org/fever",
        "title": "About fever",
        "url": "https://example.org/fever",
        "deep_link": "https://example.org/fever#:~:text=A%20fever",
        "attribution": "About fever. National Test Institute.",
        "license_status": "known",
        "limits": [],
        "last_reviewed": "2026-01-31",
        "review_due": "2026-04-30",
        "freshness": "current",
        "review_evidence": "review",
        "audience": "patient",
        "cancer_types": [],
        "status": "active",
        "tags": [],
    } | changes


def answer(status: str = "answered", *, notices: Sequence[str] = (), **changes: Any) -> dict[str, Any]:
    passage = {
        **{part: [] for part in ("heading_path", "highlights", "links", "also_in", "missing")},
        "rank": 1,
        "score": 0.5,
        "chunk_id": "fever#a-1",
        "text": "A fever is a sign.",
        "markdown": "A fever is a sign.",
        "metadata": {},
        "citation": citation(**changes),
        "location": {"doc_id": "fever", "start": 10, "end": 28, "sha256": "0" * 64},
    }
    sentence = {"text": "A fever is a sign.", "passage": 1, "start": 10, "end": 28}
    found = status != "no_answer"
    return {
        "request_id": "0" * 32,
        "status": status,
        "confidence": 0.9,
        "answer": {"text": sentence["text"], "sentences": [sentence]} if found else None,
        "passages": [passage] if found else [],
        "notices": [{"code": "crisis", "severity": "urgent", "message": notice} for notice in notices],
        "corrections": {},
        "unknown": [],
        "timings_ms": {},
        "index": {"id": "a", "built_at": "b", "encoder": "c"},
    }


def problem(status: int, *faults: str, detail: str = "No.", **headers: str) -> Line:
    body = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        request_id="f" * 32,
        errors=[FieldProblem(field="question", message=fault) for fault in faults],
    )
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Line(status=status, body=body.model_dump(), headers={"Content-Type": PROBLEM_TYPE, **names})


FOUND = Line(body=answer())


# What is shown


def test_the_scripted_answers_are_answers_of_the_service() -> None:
    for status in Status:
        assert AskResponse.model_validate(answer(status, notices=["Call 988."]))


def test_an_answer_comes_with_its_citation_link_and_attribution(chat: Chat) -> None:
    with scripted([FOUND]) as script:
        shown = chat(script.address).shown.splitlines()
    assert shown == [
        "A fever is a sign. [1]",
        "[1] About fever (reviewed 2026-01-31)",
        "    https://example.org/fever#:~:text=A%20fever",
        "    About fever. National Test Institute.",
    ]


@pytest.mark.parametrize("status", ["answered", "uncertain", "no_answer", "a status of tomorrow"])
def test_notices_come_first_whatever_was_found(chat: Chat, status: str) -> None:
    with scripted([Line(body=answer(status, notices=["Call 988.", "Call 911."]))]) as script:
        shown = chat(script.address).shown.splitlines()
    assert shown[:2] == ["!! Call 988.", "!! Call 911."]


def test_doubt_is_told_before_the_words_that_are_in_doubt(chat: Chat) -> None:
    with scripted([Line(body=answer("uncertain"))]) as script:
        doubt, words = chat(script.address).shown.splitlines()[:2]
    assert "not sure" in doubt
    assert words == "A fever is a sign. [1]"


def test_a_status_that_is_new_to_the_program_is_doubted(chat: Chat) -> None:
    with scripted([Line(body=answer("a status of tomorrow"))]) as script:
        assert "not sure" in chat(script.address).shown


def test_that_nothing_answers_is_said(chat: Chat) -> None:
    with scripted([Line(body=answer("no_answer"))]) as script:
        shown = chat(script.address).shown
    assert "found nothing" in shown
    assert "[1]" not in shown


@pytest.mark.parametrize(
    ("freshness", "told"),
    [
        ("current", "(reviewed 2026-01-31)"),
        ("due", "(reviewed 2026-01-31, a new review is due)"),
        ("overdue", "(OUT OF DATE? reviewed 2026-01-31, a new review was due on 2026-04-30)"),
        ("unknown", "(date of review unknown)"),
    ],
)
def test_how_old_a_page_is_is_told(chat: Chat, freshness: str, told: str) -> None:
    assert freshness in {*Freshness}
    with scripted([Line(body=answer(freshness=freshness))]) as script:
        assert told in chat(script.address).shown


def test_a_date_of_the_whole_collection_is_not_told_as_a_review(chat: Chat) -> None:
    with scripted([Line(body=answer(review_evidence="collection"))]) as script:
        assert "(dated 2026-01-31 with its whole collection)" in chat(script.address).shown


def test_a_page_without_an_address_is_cited_all_the_same(chat: Chat) -> None:
    bare = answer(url=None, deep_link=None, attribution=None)
    with scripted([Line(body=bare)]) as script:
        shown = chat(script.address).shown
    assert "[1] About fever" in shown
    assert "None" not in shown
    assert "null" not in shown


# What is sent


def test_a_message_is_sent_in_the_body_with_the_key_from_the_environment(chat: Chat) -> None:
    with scripted([FOUND]) as script:
        chat(script.address, CITEWELL_KEY=KEY)
    (asked,) = script.asked
    assert (asked.method, asked.path) == ("POST", "/ask")
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["content-type"] == "application/json"
    assert json.loads(asked.body) == {"question": MESSAGE, "history": []}


def test_without_a_key_none_is_sent(chat: Chat) -> None:
    with scripted([FOUND]) as script:
        chat(script.address)
    assert "authorization" not in script.asked[0].headers


def test_earlier_messages_are_sent_as_history_oldest_first(chat: Chat) -> None:
    with scripted([FOUND]) as script:
        chat(script.address, "first", "second", "third")
    assert [[turn["content"] for turn in body["history"]] for body in script.bodies()] == [
        [],
        ["first"],
        ["first", "second"],
    ]
    assert script.bodies()[1]["history"] == [{"role": "user", "content": "first"}]


def test_a_refused_message_does_not_spoil_the_next_one(chat: Chat) -> None:
    with scripted([problem(422, "is too long"), FOUND]) as script:
        chat(script.address, "first", "second")
    assert script.bodies()[1] == {"question": "second", "history": []}


def test_a_long_conversation_stays_within_the_bounds_of_the_service(chat: Chat) -> None:
    with scripted([FOUND]) as script:
        chat(script.address, *(f"message {number}" for number in range(15)))
    assert max(len(body["history"]) for body in script.bodies()) == 10


# What may pass is tried again


@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_that_passes_is_waited_for_as_long_as_it_says(chat: Chat, status: int) -> None:
    with scripted([problem(status, Retry_After="1"), FOUND]) as script:
        outcome = chat(script.address)
    first, second = script.asked
    assert second.when - first.when >= 1
    assert second.body == first.body
    assert outcome.shown.startswith("A fever is a sign.")
    assert outcome.told == ""


@pytest.mark.parametrize("line", [problem(503), Line(status=502, body="<h1>Bad gateway</h1>")])
def test_a_refusal_that_names_no_time_is_tried_again_ever_more_slowly(chat: Chat, line: Line) -> None:
    with scripted([line, line, FOUND]) as script:
        outcome = chat(script.address)
    times = [asked.when for asked in script.asked]
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert len(waits) == 2
    # Half to whole of 0.25 and 0.5 s, and what a busy machine adds.
    assert all(wait >= 0.125 * 2**number for number, wait in enumerate(waits))
    assert outcome.shown.startswith("A fever is a sign.")


def test_a_refusal_that_never_ends_is_given_up_within_the_budget(chat: Chat) -> None:
    with scripted([problem(503)]) as script:
        outcome = chat(script.address, **IMPATIENT)
    assert UNAVAILABLE in outcome.shown
    assert 2 <= len(script.asked) <= 5
    assert script.asked[-1].when - script.asked[0].when < 0.8


def test_who_is_to_come_back_after_the_budget_is_told_at_once(chat: Chat) -> None:
    with scripted([problem(429, Retry_After="3600")]) as script:
        outcome = chat(script.address)
    assert len(script.asked) == 1
    assert UNAVAILABLE in outcome.shown
    assert outcome.seconds < 8


def test_a_service_that_does_not_answer_is_given_up_within_the_budget(chat: Chat) -> None:
    with scripted([Line(body=answer(), seconds=SECONDS)]) as script:
        outcome = chat(script.address, **IMPATIENT)
    assert UNAVAILABLE in outcome.shown
    assert outcome.seconds < 8
    assert len(script.asked) >= 2


def test_a_service_that_answers_the_second_time_is_waited_for(chat: Chat) -> None:
    with scripted([Line(body=answer(), seconds=SECONDS), FOUND]) as script:
        outcome = chat(script.address, CITEWELL_TRY="0.3")
    assert outcome.shown.startswith("A fever is a sign.")


def test_a_service_that_is_not_there_is_told_as_such(chat: Chat) -> None:
    with scripted([FOUND]) as script:
        address = script.address
    assert UNAVAILABLE in chat(address, **IMPATIENT).shown


@pytest.mark.parametrize("body", ["<h1>Welcome</h1>", '{"status": "answ'])
def test_a_page_of_somebody_else_is_no_answer(chat: Chat, body: str) -> None:
    with scripted([Line(body=body)]) as script:
        assert UNAVAILABLE in chat(script.address, **IMPATIENT).shown


# What does not pass is not tried again


def test_a_message_that_can_be_mended_is_told_with_the_reason(chat: Chat) -> None:
    with scripted([problem(422, "has 2,400 characters; the limit is 2,000")]) as script:
        outcome = chat(script.address)
    assert "change your message" in outcome.shown
    assert "the limit is 2,000" in outcome.shown
    assert len(script.asked) == 1


@pytest.mark.parametrize("status", [401, 500])
def test_a_fault_of_the_operator_is_told_to_the_operator_only(chat: Chat, status: int) -> None:
    with scripted([problem(status, detail="The key is not known.")]) as script:
        outcome = chat(script.address, CITEWELL_KEY=KEY)
    assert outcome.shown.startswith("I cannot look this up")
    assert len(script.asked) == 1
    assert str(status) in outcome.told
    assert "f" * 32 in outcome.told


def test_a_redirect_takes_no_message_elsewhere(chat: Chat) -> None:
    with scripted([FOUND]) as elsewhere:
        away = Line(status=307, body={}, headers={"Location": f"{elsewhere.address}/ask"})
        with scripted([away]) as script:
            outcome = chat(script.address, **IMPATIENT)
    assert elsewhere.asked == []
    assert UNAVAILABLE in outcome.shown


@pytest.mark.parametrize(
    "line",
    [FOUND, problem(401), problem(422, "no"), problem(500), problem(503), Line(status=307, body={})],
    ids=lambda line: str(line.status),
)
def test_neither_message_nor_key_is_logged(chat: Chat, line: Line) -> None:
    with scripted([line]) as script:
        outcome = chat(script.address, CITEWELL_KEY=KEY, **IMPATIENT)
    for secret in ("Xanthippe", "qvortex", "s3cr3t"):
        assert secret not in outcome.told
        assert secret not in outcome.shown


# The real service


@pytest.fixture(scope="module")
def server(samples_index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(serve_command(samples_index), tmp_path_factory.mktemp("examples")) as started:
        yield started


def test_a_question_is_answered_by_the_real_service(chat: Chat, server: Server) -> None:
    shown = chat(server.address, "What helps against nausea?").shown
    assert re.search(r"\[1\] \S", shown)
    assert "(reviewed 20" in shown
    assert "https://www.cancer.gov/" in shown
    assert "CC0" in shown


def test_a_message_in_distress_is_met_with_a_notice_by_the_real_service(chat: Chat, server: Server) -> None:
    assert chat(server.address, "I want to die").shown.startswith("!! ")


def test_nonsense_finds_nothing_at_the_real_service(chat: Chat, server: Server) -> None:
    assert "found nothing" in chat(server.address, "zzxxqq wwvvkk").shown


def test_an_overlong_message_is_told_how_to_be_mended_by_the_real_service(chat: Chat, server: Server) -> None:
    shown = chat(server.address, "a" * 2001, "What helps against nausea?").shown
    assert shown.startswith("Please change your message")
    assert "2000" in shown
    assert "nausea" in shown.lower()


def test_the_examples_depend_on_nothing() -> None:
    python = (EXAMPLES / "chatbot.py").read_text(encoding="utf-8")
    modules = set(re.findall(r"^(?:import|from) (\w+)", python, re.MULTILINE)) - {"__future__"}
    assert modules <= sys.stdlib_module_names
    javascript = (EXAMPLES / "chatbot.mjs").read_text(encoding="utf-8")
    assert all(name.startswith("node:") for name in re.findall(r'from "([^"]+)"', javascript))
