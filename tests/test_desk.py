"""Batches, remembered answers, and a waiting line that is full: what a client sees of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from keyword_encoder import KeywordEncoder
from refusing import check_problem, refused_fields
from starlette.testclient import TestClient

from rag.answer.answerer import Answerer
from rag.encoders.base import Vectors
from rag.index.builder import build_index
from rag.index.local.local_index import LocalIndex
from rag.search.retriever import Retriever
from rag.serve import desk
from rag.serve.api import create_app
from rag.serve.cache import AnswerCache
from rag.serve.line import Line
from rag.serve.live import LiveIndex
from rag.serve.wire.asking import MAX_BATCH

PAGES = {
    "fever": "A fever can be the first sign of an infection.",
    "hair": "Your hair may thin.",
    "pain": "Tell your doctor about pain.",
}
OF_A_REQUEST = {"request_id", "timings_ms"}


class SlowEncoder(KeywordEncoder):
    """Waits with its answers until it is let go, and counts the questions."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.asked: list[str] = []

    def wait_until_asked(self) -> None:
        """Wait until a thread is at work on a question."""
        end = time.monotonic() + 20
        while not self.asked:
            assert time.monotonic() < end
            time.sleep(0.001)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        assert self.go.wait(20)
        return super().encode_queries(texts)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    seeds = folder / "seeds"
    seeds.mkdir()
    for name, body in PAGES.items():
        head = "title: Page\nurl: https://example.org/page\nlastReviewed: 2026-01-01"
        (seeds / f"{name}.md").write_text(f"---\n{head}\n---\n\n{body}\n")
    build_index(seeds, folder / "index", KeywordEncoder())
    return folder / "index"


@pytest.fixture
def encoder() -> Iterator[SlowEncoder]:
    slow = SlowEncoder()
    slow.go.set()
    yield slow
    slow.go.set()


Serve = Callable[..., TestClient]


@pytest.fixture
def serve(index: Path, encoder: SlowEncoder) -> Serve:
    def client(*, entries: int = 10, **line: Any) -> TestClient:
        answerer = Answerer(Retriever(LocalIndex.open(index), encoder))
        encoder.asked.clear()
        return TestClient(create_app(LiveIndex(answerer), cache=AnswerCache(entries), line=Line(**line)))

    return client


def ask(client: TestClient, question: str = "fever", **options: Any) -> dict[str, Any]:
    response = client.post("/ask", json={"question": question, **options})
    assert response.status_code == 200
    body: dict[str, Any] = response.json()
    return body


def substance(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what belongs to one request."""
    return {name: value for name, value in answer.items() if name not in OF_A_REQUEST}


# Remembered answers


def test_the_same_question_is_answered_once_and_told_twice(serve: Serve, encoder: SlowEncoder) -> None:
    client = serve()
    first, second = ask(client), ask(client)
    assert substance(first) == substance(second)
    assert first["request_id"] != second["request_id"]
    assert (set(second["timings_ms"]), "search" in first["timings_ms"]) == ({"total"}, True)
    assert encoder.asked == ["fever"]


@pytest.mark.parametrize(
    "other",
    [
        {"question": "pain"},
        {"top_k": 2},
        {"as_of": "2027-01-01"},
        {"filters": {"tags": ["scan"]}},
        {"history": [{"content": "hair"}]},
        {"strict_license": True},
        {"include": ["low_confidence_passages"]},
    ],
)
def test_another_request_is_answered_anew(other: dict[str, Any], serve: Serve) -> None:
    remembered, plain = serve(entries=10), serve(entries=0)
    ask(remembered)
    response = remembered.post("/ask", json={"question": "fever", **other})
    assert substance(response.json()) == substance(
        plain.post("/ask", json={"question": "fever", **other}).json()
    )
    assert "search" in response.json()["timings_ms"]


def test_on_another_day_the_age_of_a_page_is_told_anew(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    client = serve()
    monkeypatch.setattr(desk, "today", lambda: date(2026, 1, 2))
    ask(client)
    monkeypatch.setattr(desk, "today", lambda: date(2030, 1, 1))
    assert "search" in ask(client)["timings_ms"]


def test_an_answer_that_repeats_a_word_of_the_question_is_not_kept(
    serve: Serve, encoder: SlowEncoder
) -> None:
    client = serve()
    answers = [ask(client, "does the qvortexian fever hurt") for _ in range(2)]
    assert answers[0]["unknown"] or answers[0]["corrections"]
    assert len(encoder.asked) == 2


def test_without_entries_nothing_is_remembered(serve: Serve, encoder: SlowEncoder) -> None:
    client = serve(entries=0)
    ask(client)
    ask(client)
    assert len(encoder.asked) == 2


def test_hits_and_misses_are_counted(serve: Serve) -> None:
    client = serve()
    for _ in range(3):
        ask(client)
    told = client.get("/metrics").text
    assert 'citewell_cache_total{outcome="hit"} 2.0' in told
    assert 'citewell_cache_total{outcome="miss"} 1.0' in told


# Batches


def batch(client: TestClient, *questions: dict[str, Any]) -> list[dict[str, Any]]:
    response = client.post("/ask/batch", json={"questions": questions})
    assert response.status_code == 200
    assert set(response.json()) == {"request_id", "results"}
    assert all(set(result) == {"response", "problem"} for result in response.json()["results"])
    results: list[dict[str, Any]] = response.json()["results"]
    return results


def test_a_batch_is_answered_in_order_as_its_questions_are_one_by_one(serve: Serve) -> None:
    client = serve(entries=0, running=2)
    asked = [{"question": word, "top_k": k} for word in ("fever", "hair", "pain") for k in (1, 2, 3)]
    answered = [result["response"] for result in batch(client, *asked)]
    assert [substance(answer) for answer in answered] == [
        substance(client.post("/ask", json=one).json()) for one in asked
    ]


def test_a_question_that_fails_leaves_the_others_alone(index: Path) -> None:
    class Faulty(KeywordEncoder):
        def encode_queries(self, texts: Sequence[str]) -> Vectors:
            if "pain" in texts[0]:
                raise RuntimeError("zvqkwump")
            return super().encode_queries(texts)

    client = TestClient(create_app(LiveIndex(Answerer(Retriever(LocalIndex.open(index), Faulty())))))
    fine, failed, fine_too = batch(client, *({"question": word} for word in ("fever", "pain", "hair")))
    assert [result["problem"] for result in (fine, fine_too)] == [None, None]
    assert failed["response"] is None
    assert (failed["problem"]["status"], failed["problem"]["title"]) == (500, "Internal Server Error")
    assert "zvqkwump" not in str(failed)


def test_a_batch_takes_its_greatest_length_and_no_more(serve: Serve) -> None:
    client, one = serve(), {"question": "fever"}
    assert len(batch(client, *[one] * MAX_BATCH)) == MAX_BATCH
    for wrong in ([], [one] * (MAX_BATCH + 1)):
        assert refused_fields(client.post("/ask/batch", json={"questions": wrong})) == ["questions"]


def test_a_wrong_question_is_named_by_its_place(serve: Serve) -> None:
    asked = [{"question": "fever"}, {"question": "fever", "top_k": 0}, {"question": ""}]
    fields = refused_fields(serve().post("/ask/batch", json={"questions": asked}))
    assert fields == ["questions.1.top_k", "questions.2.question"]


# A line that is full


def test_whoever_comes_when_the_line_is_full_is_told_to_come_again(
    serve: Serve, encoder: SlowEncoder
) -> None:
    client = serve(entries=0, running=1, waiting=1)
    encoder.go.clear()
    with client, ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(client.post, "/ask", json={"question": "fever"}) for _ in range(8)]
        refused = [check_problem(done.result(), 503) for done in islice(as_completed(sent), 6)]
        encoder.go.set()
        statuses = sorted(done.result().status_code for done in sent)
        told = client.get("/metrics").text
    assert statuses == [200] * 2 + [503] * 6
    assert len({problem["request_id"] for problem in refused}) == 6
    assert 'citewell_refusals_total{reason="waiting_line"} 6.0' in told


def test_a_refusal_says_when_to_come_again(serve: Serve, encoder: SlowEncoder) -> None:
    client = serve(entries=0, running=1, waiting=0)
    encoder.go.clear()
    with client, ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, "/ask", json={"question": "fever"})
        encoder.wait_until_asked()
        second = client.post("/ask", json={"question": "fever"})
        other = client.post("/verify", json={"text": "Fever.", "cited": ["fever"]})
        whole = client.post("/ask/batch", json={"questions": [{"question": "fever"}]})
        told = client.get("/metrics").text
        encoder.go.set()
        assert first.result().status_code == 200
    assert 'citewell_refusals_total{reason="waiting_line"} 3.0' in told
    for response in (second, other, whole):
        check_problem(response, 503)
        assert int(response.headers["Retry-After"]) >= 1


def test_a_full_line_keeps_nobody_from_looking_after_the_service(serve: Serve, encoder: SlowEncoder) -> None:
    client = serve(entries=0, running=1, waiting=0)
    encoder.go.clear()
    with client, ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, "/ask", json={"question": "fever"})
        encoder.wait_until_asked()
        statuses = [
            client.get(path).status_code
            for path in ("/health/live", "/health/ready", "/metrics", "/openapi.json")
        ]
        told = client.get("/metrics").text
        encoder.go.set()
        first.result()
    assert statuses == [200] * 4
    assert "citewell_running 1.0" in told


def test_an_answer_that_takes_too_long_is_given_up(serve: Serve, encoder: SlowEncoder) -> None:
    client = serve(entries=0, running=1, waiting=1, seconds=0.1)
    encoder.go.clear()
    with client:
        problem = check_problem(client.post("/ask", json={"question": "fever"}), 503)
        told = client.get("/metrics").text
        encoder.go.set()
    assert "0.1 s" in problem["detail"]
    assert 'citewell_refusals_total{reason="time"} 1.0' in told
