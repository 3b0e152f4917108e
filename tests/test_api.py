"""`POST /ask` gives cited passages, and for everything else problem details that betray nothing."""

from __future__ import annotations

import json
import logging
import re
import signal
import socket
import string
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keyword_encoder import KeywordEncoder
from little_index import fillers, little_index, page
from refusing import PROBLEM, check_problem
from serving import Server, running, serve_command
from starlette.testclient import TestClient

from rag import errors
from rag.answer.answer import PARTS
from rag.answer.answerer import Answerer
from rag.encoders.base import Vectors
from rag.index.builder import build_index
from rag.index.filters import FILTER_NAMES, MAX_VALUE_LENGTH, MAX_VALUES
from rag.index.local.local_index import LocalIndex
from rag.search.fusion import DENSE_WEIGHT
from rag.search.question import MAX_HISTORY, MAX_QUESTION
from rag.search.retriever import Retriever
from rag.serve.api import create_app
from rag.serve.cache import AnswerCache
from rag.serve.live import LiveIndex
from rag.serve.wire.asking import MAX_TURN, AskRequest, FiltersModel, history_of
from rag.serve.wire.operating import Problem

TESTS = Path(__file__).parent

# The names are a contract: none may go, and one that comes is written down here.
RESPONSE = {
    *("request_id", "status", "confidence", "answer", "passages", "notices", "index", "timings_ms"),
    *("corrections", "unknown", "receipt"),
}
PASSAGE = {
    *("rank", "score", "chunk_id", "text", "markdown", "heading_path", "highlights", "citation", "location"),
    *("also_in", "metadata", "links", "missing"),
}
CITATION = {
    *("label", "text", "title", "url", "deep_link", "source", "source_type", "citation", "license"),
    *("attribution", "last_reviewed", "review_due", "freshness", "audience", "cancer_types"),
    *("license_status", "limits", "review_frequency", "review_evidence", "audience_claim", "language"),
    *("status", "tags", "version", "patient_version"),
}
LOCATION = {"doc_id", "start", "end", "sha256"}
INDEX = {"id", "built_at", "encoder"}
TIMINGS = {"wait", "screen", "read", "encode", "search", "rank", "judge", "cite", "total"}

QUESTION = "My sister Xanthippe found a lump; does the qvortex drug mend it?"
PAGES = {
    "fever": "A fever can be the first sign of an infection. Call your doctor.",
    "hair": "Your hair may thin.\n\n## Later\n\nNew hair grows after some weeks.",
    "pain": "Tell your doctor about pain.",
}


class FailingEncoder(KeywordEncoder):
    """Fails on questions with a message that holds the question."""

    def __init__(self, failure: type[Exception] = RuntimeError) -> None:
        super().__init__()
        self._failure = failure

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        try:
            raise ValueError(f"no room for {texts[0]!r}")
        except ValueError as error:
            raise self._failure(f"cannot encode {texts[0]}") from error


@pytest.fixture(scope="module")
def keyword_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("api")
    seeds = folder / "seeds"
    seeds.mkdir()
    head = "title: Page\nurl: https://example.org/page\nsource: Us\ncolour: {deep: [blue, 1, null]}"
    for name, body in PAGES.items():
        (seeds / f"{name}.md").write_text(f"---\n{head}\n---\n\n{body}\n")
    gone = "---\ntitle: Page\nstatus: withdrawn\n---\n\nfever fever fever\n"
    (seeds / "gone.md").write_text(gone)
    build_index(seeds, folder / "index", KeywordEncoder())
    return folder / "index"


def client_for(index: Path, encoder: KeywordEncoder) -> TestClient:
    answerer = Answerer(Retriever(LocalIndex.open(index), encoder))
    return TestClient(create_app(LiveIndex(answerer), cache=AnswerCache(0)))


@pytest.fixture(scope="module")
def client(keyword_index: Path) -> TestClient:
    return client_for(keyword_index, KeywordEncoder())


@pytest.fixture(scope="module")
def samples(samples_index: Path) -> Answerer:
    return Answerer.open(samples_index)


@pytest.fixture(scope="module")
def server(samples_index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(serve_command(samples_index), tmp_path_factory.mktemp("server")) as started:
        yield started


def pieces(text: str, length: int = 8) -> set[str]:
    return {text[at : at + length] for at in range(len(text) - length + 1)}


def betrayed(secret: str, place: str) -> list[str]:
    """The pieces of a secret, eight characters each, that stand in a place."""
    return sorted(piece for piece in pieces(secret) if piece in place)


# Answers


def test_an_answer_has_the_fields_of_the_contract_and_no_others(client: TestClient) -> None:
    answer = client.post("/ask", json={"question": "fever"}).json()
    assert set(answer) == RESPONSE
    assert set(answer["index"]) == INDEX
    assert set(answer["timings_ms"]) == TIMINGS
    assert answer["passages"]
    for passage in answer["passages"]:
        assert set(passage) == PASSAGE
        assert set(passage["citation"]) == CITATION
        assert set(passage["location"]) == LOCATION


def test_without_a_calibration_nothing_is_said_for_certain(client: TestClient) -> None:
    answer = client.post("/ask", json={"question": "fever"}).json()
    assert (answer["status"], answer["confidence"]) == ("uncertain", None)
    assert answer["receipt"] is None


def test_the_best_passage_comes_first_with_exactly_its_words(client: TestClient) -> None:
    passage = client.post("/ask", json={"question": "fever"}).json()["passages"][0]
    assert passage["text"] == PAGES["fever"]
    assert (passage["rank"], passage["location"]["doc_id"]) == (1, "fever")
    # One word of the question, two of the text on axes of their own: the cosine is 1/√2. No passage
    # has more of its words, so the lexical share is whole.
    assert passage["score"] == pytest.approx(DENSE_WEIGHT * 0.5**0.5 + 1 - DENSE_WEIGHT, abs=1e-3)


def test_an_answer_as_a_whole_is_what_a_person_would_write_down(client: TestClient) -> None:
    passage = client.post("/ask", json={"question": "hair", "top_k": 2}).json()["passages"][1]
    assert passage["citation"] == {
        "label": "[2]",
        "text": "Us. Page. Review date unknown. https://example.org/page",
        "title": "Page",
        "url": "https://example.org/page",
        "deep_link": passage["citation"]["deep_link"],
        "source": "Us",
        "source_type": None,
        "citation": None,
        "license": None,
        "license_status": "missing",
        "attribution": None,
        "limits": [],
        "last_reviewed": None,
        "review_frequency": None,
        "review_due": None,
        "freshness": "unknown",
        "review_evidence": "none",
        "audience": "patient",
        "audience_claim": None,
        "cancer_types": [],
        "language": None,
        "status": "active",
        "tags": [],
        "version": None,
        "patient_version": None,
    }
    assert passage["metadata"] == {"colour": {"deep": ["blue", 1, None]}}
    assert passage["citation"]["deep_link"].startswith("https://example.org/page#:~:text=")


def test_scores_descend_and_ranks_count_from_one(client: TestClient) -> None:
    passages = client.post("/ask", json={"question": "doctor pain", "top_k": 50}).json()["passages"]
    scores = [passage["score"] for passage in passages]
    assert len(scores) == 4
    assert scores == sorted(scores, reverse=True)
    assert [passage["rank"] for passage in passages] == [1, 2, 3, 4]


def test_a_location_leads_to_exactly_the_quoted_slice(client: TestClient, keyword_index: Path) -> None:
    index = LocalIndex.open(keyword_index)
    for passage in client.post("/ask", json={"question": "hair", "top_k": 50}).json()["passages"]:
        place = passage["location"]
        document = index.document(place["doc_id"])
        assert document.text[place["start"] : place["end"]] == passage["markdown"]
        assert document.sha256 == place["sha256"]
        assert index.chunks([passage["chunk_id"]])[0].chunk.text == passage["text"]


def test_a_withdrawn_page_is_not_returned_for_a_question_about_it(client: TestClient) -> None:
    passages = client.post("/ask", json={"question": "fever fever fever", "top_k": 50}).json()["passages"]
    assert {passage["location"]["doc_id"] for passage in passages} == set(PAGES)


def test_a_withdrawn_sample_is_not_returned_for_its_title(samples: Answerer) -> None:
    response = TestClient(create_app(LiveIndex(samples))).post(
        "/ask", json={"question": "Herbal supplements during treatment (withdrawn)", "top_k": 50}
    )
    found = {passage["location"]["doc_id"] for passage in response.json()["passages"]}
    assert "living/herbal-supplements-withdrawn" not in found


@pytest.mark.parametrize(("top_k", "count"), [(1, 1), (3, 3), (3.0, 3), (50, 4)])
def test_top_k_is_obeyed(top_k: float, count: int, client: TestClient) -> None:
    response = client.post("/ask", json={"question": "pain", "top_k": top_k})
    assert len(response.json()["passages"]) == count


def test_without_top_k_five_passages_come_back(samples: Answerer) -> None:
    response = TestClient(create_app(LiveIndex(samples))).post("/ask", json={"question": "pain"})
    assert len(response.json()["passages"]) == 5


@pytest.mark.parametrize(
    "question",
    ["x", "🙂" * 2000, "e\u0301" * 1000, " " * 3000 + "fever" + "\n" * 3000, "\u0000", "\x1b[31mfever"],
)
def test_a_question_within_bounds_is_answered(question: str, client: TestClient) -> None:
    response = client.post("/ask", json={"question": question})
    assert response.status_code == HTTPStatus.OK
    assert response.headers["content-type"] == "application/json"
    assert len(response.json()["passages"]) == 4


def test_two_requests_have_two_ids(client: TestClient) -> None:
    ids = {client.post("/ask", json={"question": "fever"}).json()["request_id"] for _ in range(5)}
    assert len(ids) == 5


def test_the_service_says_that_it_lives_and_which_index_is_ready(
    client: TestClient, keyword_index: Path
) -> None:
    assert client.get("/health/live").json() == {"status": "alive"}
    index_id = (keyword_index / "current").read_text().strip()
    assert client.get("/health/ready").json() == {"status": "ready", "index": index_id, "note": None}
    assert client.post("/ask", json={"question": "fever"}).json()["index"]["id"] == index_id


def test_the_description_of_the_api_tells_the_truth_about_problems(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    answers = described["paths"]["/ask"]["post"]["responses"]
    refusals = {"400", "401", "403", "408", "413", "415", "422", "429", "500", "503"}
    assert refusals | {"200"} == set(answers)
    for status in refusals:
        assert list(answers[status]["content"]) == [PROBLEM]
        schema = answers[status]["content"][PROBLEM]["schema"]
        assert set(schema["properties"]) == set(Problem.model_fields)
        assert "$ref" not in json.dumps(schema)
    assert "/ask" in client.get("/docs").text or "openapi.json" in client.get("/docs").text


# Filters


FILTERED = {
    "lung": page(
        "Lung pain.",
        cancerTypes="[Lung, Breast]",
        language="en",
        lastReviewed="2026-01-02",
        tags="[scan]",
        source="Us",
        license="CC0",
        sourceType="01_core",
    ),
    "breast": page(
        "Breast pain.",
        cancerTypes="[breast]",
        audienceLevel="professional",
        language="es",
        lastReviewed="2026-01-01",
        source="Them",
    ),
    "gone": page("Pain and pain.", status="withdrawn", language="en"),
    "copy": page("Lung pain.", language="fr"),
}


@pytest.fixture(scope="module")
def filtered(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    index = little_index(tmp_path_factory.mktemp("filtered"), FILTERED)
    return TestClient(create_app(LiveIndex(Answerer(Retriever(index, KeywordEncoder())))))


@pytest.mark.parametrize(
    ("filters", "doc_ids"),
    [
        ({}, ["copy"]),
        ({"cancer_types": ["breast"]}, ["lung"]),
        ({"cancer_types": ["breast"], "audience": ["patient", "professional"]}, ["lung", "breast"]),
        ({"cancer_types": ["LUNG", "bladder"]}, ["lung"]),
        ({"audience": ["professional"]}, ["breast"]),
        ({"audience": ["professional", "patient"], "language": ["es"]}, ["breast"]),
        ({"language": ["en"]}, ["lung"]),
        ({"language": [" en "], "tags": ["scan"]}, ["lung"]),
        ({"source": ["us"]}, ["lung"]),
        ({"source_type": ["01_core"]}, ["lung"]),
        ({"license": ["cc0"]}, ["lung"]),
        ({"status": ["withdrawn"]}, ["gone"]),
        ({"doc_id": ["breast", "lung", "nowhere"]}, ["lung"]),
        ({"last_reviewed_after": "2026-01-01"}, ["lung"]),
        ({"last_reviewed_after": None}, ["copy"]),
        ({"tags": []}, ["copy"]),
        ({"tags": ["nowhere"]}, []),
    ],
)
def test_filters_let_exactly_their_documents_through(
    filters: dict[str, Any], doc_ids: list[str], filtered: TestClient
) -> None:
    response = filtered.post("/ask", json={"question": "pain lung", "filters": filters})
    assert response.status_code == HTTPStatus.OK
    assert [passage["location"]["doc_id"] for passage in response.json()["passages"]] == doc_ids


def test_a_copy_is_named_where_the_filters_let_it_through(filtered: TestClient) -> None:
    def also_in(filters: dict[str, list[str]]) -> list[str]:
        response = filtered.post("/ask", json={"question": "lung", "filters": filters})
        passages: list[dict[str, Any]] = response.json()["passages"]
        return list(passages[0]["also_in"])

    assert also_in({}) == ["lung"]
    assert also_in({"language": ["en", "fr"]}) == ["lung"]
    assert also_in({"language": ["en"]}) == []


def test_a_request_takes_every_filter_and_no_other() -> None:
    assert set(FiltersModel.model_fields) == set(FILTER_NAMES)


@pytest.mark.parametrize(
    ("filters", "field"),
    [
        ({"colour": ["red"]}, "filters.colour"),
        ({"Tags": ["x"]}, "filters.Tags"),
        ({"cancer_types": "lung"}, "filters.cancer_types"),
        ({"cancer_types": {"is": "lung"}}, "filters.cancer_types"),
        ({"cancer_types": 5}, "filters.cancer_types"),
        ({"cancer_types": None}, "filters.cancer_types"),
        ({"cancer_types": [5]}, "filters.cancer_types.0"),
        ({"audience": ["patient", None]}, "filters.audience.1"),
        ({"status": [""]}, "filters.status.0"),
        ({"status": [" "]}, "filters.status.0"),
        ({"tags": ["x" * (MAX_VALUE_LENGTH + 1)]}, "filters.tags.0"),
        ({"tags": ["x"] * (MAX_VALUES + 1)}, "filters.tags"),
        ({"last_reviewed_after": "yesterday"}, "filters.last_reviewed_after"),
        ({"last_reviewed_after": "2026-02-30"}, "filters.last_reviewed_after"),
        ({"last_reviewed_after": ["2026-01-01"]}, "filters.last_reviewed_after"),
        ({"last_reviewed_after": True}, "filters.last_reviewed_after"),
        ({"last_reviewed_after": 0}, "filters.last_reviewed_after"),
        ({"last_reviewed_after": "0"}, "filters.last_reviewed_after"),
        ({"last_reviewed_after": "2026-01-01T00:00:00"}, "filters.last_reviewed_after"),
        ([], "filters"),
        ("tags=x", "filters"),
        (None, "filters"),
    ],
)
def test_a_wrong_filter_is_refused_by_its_name(filters: Any, field: str, client: TestClient) -> None:
    problem = check_problem(client.post("/ask", json={"question": "fever", "filters": filters}), 422)
    assert [fault["field"] for fault in problem["errors"]] == [field]


def test_as_many_values_as_are_allowed_are_taken(client: TestClient) -> None:
    values = [f"{number:0{MAX_VALUE_LENGTH}}" for number in range(MAX_VALUES)]
    response = client.post("/ask", json={"question": "fever", "filters": {"doc_id": values}})
    assert (response.status_code, response.json()["passages"]) == (200, [])


# History


TURNS = {
    "tarlatamab": page("It is given by a nurse.", title="Tarlatamab"),
    "cisplatin": page("It is given by a nurse, too.", title="Cisplatin"),
    **fillers(30, body="A nurse may come."),
}


@pytest.fixture(scope="module")
def conversing(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    axes = ("tarlatamab", "cisplatin")
    index = little_index(tmp_path_factory.mktemp("turns"), TURNS, axes)
    return TestClient(create_app(LiveIndex(Answerer(Retriever(index, KeywordEncoder(axes))))))


def turn(content: str, role: str | None = None) -> dict[str, str]:
    return {"content": content} | ({"role": role} if role else {})


@pytest.mark.parametrize(
    ("history", "doc_id"),
    [
        ([turn("What is tarlatamab?")], "tarlatamab"),
        ([turn("What is cisplatin?", "user")], "cisplatin"),
        ([turn("Cisplatin?"), turn("And tarlatamab?"), turn("Thank you!")], "tarlatamab"),
        # What an assistant said is not what the person asked about.
        ([turn("Tarlatamab?"), turn("No. Take cisplatin, cisplatin!", "assistant")], "tarlatamab"),
    ],
)
def test_a_follow_up_is_about_what_the_person_named_last(
    history: list[dict[str, str]], doc_id: str, conversing: TestClient
) -> None:
    body = {"question": "Is it given by a nurse?", "history": history}
    passages = conversing.post("/ask", json=body).json()["passages"]
    assert passages[0]["location"]["doc_id"] == doc_id
    assert passages[0]["missing"] == []
    assert all(passage["missing"] == [doc_id] for passage in passages[1:])


@pytest.mark.parametrize("history", [[], [turn("Hello")], [turn("Take cisplatin.", "assistant")]])
def test_without_a_name_from_the_person_nothing_is_guessed(
    history: list[dict[str, str]], conversing: TestClient
) -> None:
    question = "Is it given by a nurse?"
    bare = conversing.post("/ask", json={"question": question}).json()["passages"]
    asked = conversing.post("/ask", json={"question": question, "history": history}).json()["passages"]
    assert asked == bare
    assert all(passage["missing"] == [] for passage in asked)


@pytest.mark.parametrize(
    ("history", "field"),
    [
        ("What is cisplatin?", "history"),
        ({"content": "x"}, "history"),
        (None, "history"),
        ([turn("x")] * (MAX_HISTORY + 1), "history"),
        (["What is cisplatin?"], "history.0"),
        ([turn("x"), {"role": "user"}], "history.1.content"),
        ([turn("x", "system")], "history.0.role"),
        ([{"content": 5}], "history.0.content"),
        ([{"content": "x", "name": "y"}], "history.0.name"),
        ([turn("x" * (MAX_TURN + 1))], "history.0.content"),
    ],
)
def test_a_wrong_history_is_refused_by_the_name_of_its_part(
    history: Any, field: str, client: TestClient
) -> None:
    problem = check_problem(client.post("/ask", json={"question": "fever", "history": history}), 422)
    assert [fault["field"] for fault in problem["errors"]] == [field]


def test_a_long_conversation_is_taken_and_of_long_turns_the_beginning_is_read() -> None:
    turns = [turn("x" * MAX_TURN), turn("y" * MAX_TURN, "assistant"), turn("")]
    request = AskRequest.model_validate({"question": "fever", "history": turns})
    assert history_of(request) == ["x" * MAX_QUESTION, ""]


def test_a_conversation_of_the_greatest_length_is_answered(client: TestClient) -> None:
    history = [turn("what is fever? " * 1000, role) for role in ("user", "assistant")] * (MAX_HISTORY // 2)
    response = client.post("/ask", json={"question": "and it?", "history": history})
    assert response.status_code == HTTPStatus.OK


# Refusals


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"question": "fever", "top_k": 0}, "top_k"),
        ({"question": "fever", "top_k": -1}, "top_k"),
        ({"question": "fever", "top_k": 51}, "top_k"),
        ({"question": "fever", "top_k": 10**30}, "top_k"),
        ({"question": "fever", "top_k": True}, "top_k"),
        ({"question": "fever", "top_k": "5"}, "top_k"),
        ({"question": "fever", "top_k": 1.5}, "top_k"),
        ({"question": "fever", "top_k": None}, "top_k"),
        ({"question": "fever", "top_k": [5]}, "top_k"),
        ({"question": ""}, "question"),
        ({"question": " \t\n\u00a0\u2003"}, "question"),
        ({"question": "x" * 2001}, "question"),
        ({"question": "🙂" * 2001}, "question"),
        ({"question": None}, "question"),
        ({"question": 5}, "question"),
        ({"question": True}, "question"),
        ({"question": ["fever"]}, "question"),
        ({"question": {"text": "fever"}}, "question"),
        ({}, "question"),
        ({"top_k": 3}, "question"),
        ({"question": "fever", "as_of": "yesterday"}, "as_of"),
        ({"question": "fever", "as_of": "2026-02-30"}, "as_of"),
        ({"question": "fever", "as_of": "2026-1-31"}, "as_of"),
        ({"question": "fever", "as_of": "20260131"}, "as_of"),
        ({"question": "fever", "as_of": "0000-01-01"}, "as_of"),
        ({"question": "fever", "as_of": "2026-01-31T00:00:00"}, "as_of"),
        ({"question": "fever", "as_of": ""}, "as_of"),
        ({"question": "fever", "as_of": 0}, "as_of"),
        ({"question": "fever", "as_of": True}, "as_of"),
        ({"question": "fever", "as_of": ["2026-01-31"]}, "as_of"),
        ({"question": "fever", "strict_license": 1}, "strict_license"),
        ({"question": "fever", "strict_license": "true"}, "strict_license"),
        ({"question": "fever", "strict_license": None}, "strict_license"),
        ({"question": "fever", "include": "receipt"}, "include"),
        ({"question": "fever", "include": None}, "include"),
        ({"question": "fever", "include": {"receipt": True}}, "include"),
        ({"question": "fever", "include": ["Receipt"]}, "include.0"),
        ({"question": "fever", "include": ["receipt", "passages"]}, "include.1"),
        ({"question": "fever", "include": [None]}, "include.0"),
        ({"question": "fever", "include": ["receipt"] * 4}, "include"),
        ({"question": "fever", "topk": 3}, "topk"),
        ({"question": "fever", "Top_K": 3}, "Top_K"),
        ({"question": "fever", "filter": {"audience": ["patient"]}}, "filter"),
        ({"question": "fever", "": 1}, "body"),
        ([], "body"),
        ([{"question": "fever"}], "body"),
        ("fever", "body"),
        (5, "body"),
        (True, "body"),
        (None, "body"),
    ],
)
def test_a_wrong_request_is_refused_by_the_name_of_its_field(
    body: Any, field: str, client: TestClient
) -> None:
    problem = check_problem(client.post("/ask", json=body), 422)
    assert [fault["field"] for fault in problem["errors"]] == [field]
    assert problem["detail"].startswith(f"{field}: ")


def test_every_wrong_field_is_named_at_once(client: TestClient) -> None:
    problem = check_problem(client.post("/ask", json={"question": " ", "top_k": 0, "colour": 1}), 422)
    assert {fault["field"] for fault in problem["errors"]} == {"question", "top_k", "colour"}


def test_a_question_that_is_no_unicode_text_is_refused(client: TestClient) -> None:
    response = client.post(
        "/ask", content=rb'{"question": "fever \ud800"}', headers={"content-type": "application/json"}
    )
    assert [fault["field"] for fault in check_problem(response, 422)["errors"]] == ["question"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"question": "fever"',
        b"{'question': 'fever'}",
        b'{"question": "fever",}',
        b"fever",
        b'{"question": "\xff"}',
        b"\x00\x01",
        b"[" * 100_000,
        b'{"question": "fever", "top_k": ' + b"1" * 5000 + b"}",
    ],
)
def test_a_body_that_is_no_json_is_a_bad_request(body: bytes, client: TestClient) -> None:
    response = client.post("/ask", content=body, headers={"content-type": "application/json"})
    problem = check_problem(response, 400)
    assert problem["errors"] == [{"field": "body", "message": "is not valid JSON in UTF-8"}]


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/xml", "multipart/form-data"],
)
def test_another_content_type_is_refused_with_the_one_that_is_right(
    content_type: str, client: TestClient
) -> None:
    response = client.post("/ask", content=b'{"question":"fever"}', headers={"content-type": content_type})
    assert "application/json" in check_problem(response, 415)["detail"]


def test_an_empty_body_is_refused(client: TestClient) -> None:
    for headers in ({}, {"content-type": "application/json"}):
        (fault,) = check_problem(client.post("/ask", headers=headers), 422)["errors"]
        assert fault == {"field": "body", "message": "is required"}


@pytest.mark.parametrize(
    "path", ["/", "/nowhere", "/ask/again", "/health", "/%00", "/ask%2f..%2fsecret-thing"]
)
def test_an_unknown_address_is_not_found_and_not_repeated(path: str, client: TestClient) -> None:
    problem = check_problem(client.get(path), 404)
    assert problem["errors"] == []
    assert "secret-thing" not in problem["detail"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_another_method_is_not_allowed_and_the_right_one_is_named(method: str, client: TestClient) -> None:
    response = client.request(method, "/ask")
    check_problem(response, 405)
    assert response.headers["allow"] == "POST"


def test_a_method_that_does_not_exist_is_not_repeated(client: TestClient) -> None:
    problem = check_problem(client.request("XANTHIPPE", "/ask"), 405)
    assert problem["detail"] == "/ask does not take this method."
    assert check_problem(client.get("/ask"), 405)["detail"] == "/ask does not take GET."


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_address_with_a_slash_too_many_is_not_found_rather_than_sent_on(
    method: str, client: TestClient
) -> None:
    """Sent on, a question in the address would stand in one more address."""
    response = client.request(method, "/ask/", params={"question": QUESTION}, follow_redirects=False)
    check_problem(response, 404)
    assert betrayed(QUESTION, str(response.headers)) == []


def test_a_hostile_request_is_not_answered_with_its_own_size(client: TestClient) -> None:
    body = {"question": "fever"} | {f"{'k' * 1000}{number}": 1 for number in range(900)}
    response = client.post("/ask", json=body)
    problem = check_problem(response, 422)
    assert len(problem["errors"]) == 20
    assert len(response.content) < 10_000


@pytest.mark.parametrize(
    "body",
    [
        {"question": QUESTION * 40},
        {"question": [QUESTION]},
        {"question": {"text": QUESTION}},
        {"question": QUESTION, "top_k": QUESTION},
        {"question": QUESTION, "top_k": 0},
        {"question": QUESTION, "history": [QUESTION]},
        {"question": QUESTION, "history": [{"content": [QUESTION]}]},
        {"question": QUESTION, "history": [{"content": QUESTION, "role": QUESTION}]},
        {"question": QUESTION, "filters": QUESTION},
        {"question": QUESTION, "filters": {"tags": QUESTION}},
        {"question": QUESTION, "filters": {"tags": [QUESTION * 40]}},
        {"question": QUESTION, "filters": {"last_reviewed_after": QUESTION}},
        [QUESTION],
        QUESTION,
    ],
)
def test_no_refusal_repeats_what_was_asked(
    body: Any, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        response = client.post("/ask", json=body)
    check_problem(response, 422)
    assert betrayed(QUESTION, response.text) == []
    assert betrayed(QUESTION, caplog.text) == []


def test_broken_json_is_not_repeated(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        response = client.post(
            "/ask", content=f'{{"question": {QUESTION}', headers={"content-type": "application/json"}
        )
    check_problem(response, 400)
    assert betrayed(QUESTION, response.text + caplog.text) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
REQUESTS = JSON | st.fixed_dictionaries(
    {},
    optional={
        "question": JSON | st.text(min_size=1, max_size=20),
        "top_k": JSON,
        "as_of": JSON | st.dates().map(str),
        "strict_license": JSON,
        "include": JSON | st.lists(st.sampled_from(PARTS)),
        "x": JSON,
    },
)


@settings(deadline=None)
@given(body=REQUESTS)
def test_whatever_json_comes_the_service_answers_or_names_a_field(body: Any, client: TestClient) -> None:
    content = json.dumps(body).encode()
    response = client.post("/ask", content=content, headers={"content-type": "application/json"})
    if response.status_code == HTTPStatus.OK:
        assert isinstance(body["question"], str)
        expected = 0 if body.get("strict_license") else min(body.get("top_k", 5), 4)
        assert len(response.json()["passages"]) == expected
    else:
        assert check_problem(response, 422)["errors"]


@settings(deadline=None)
@given(body=st.binary(max_size=60))
def test_whatever_bytes_come_the_service_does_not_break(body: bytes, client: TestClient) -> None:
    response = client.post("/ask", content=body, headers={"content-type": "application/json"})
    assert response.status_code in (400, 422)
    check_problem(response, response.status_code)


# Failures


@pytest.mark.parametrize(
    "failure", [RuntimeError, ValueError, KeyError, MemoryError, OSError, RecursionError]
)
def test_an_unforeseen_failure_is_a_bare_500_and_betrays_nothing(
    failure: type[Exception], keyword_index: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        response = client_for(keyword_index, FailingEncoder(failure)).post(
            "/ask", json={"question": QUESTION}
        )
    problem = check_problem(response, 500)
    assert problem["errors"] == []
    assert failure.__name__ in caplog.text
    assert "test_api.py:" in caplog.text
    assert betrayed(QUESTION, response.text) == []
    assert betrayed(QUESTION, caplog.text) == []


def test_a_betrayed_question_would_be_noticed() -> None:
    assert betrayed(QUESTION, f"cannot encode '{QUESTION[20:29]}'") == [QUESTION[20:28], QUESTION[21:29]]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.EncoderNotFound("the model in /srv/models is gone"), 503),
        (errors.ArtefactCorrupt("/srv/index/vectors.faiss changed"), 503),
        (errors.SentinelMismatch("the index in /srv does not fit its encoder"), 503),
        (errors.EncoderError("the model in /srv/models cannot be loaded"), 500),
        (errors.CitewellError("/srv is on fire"), 500),
    ],
)
def test_a_fault_of_ours_is_told_to_the_log_and_not_to_the_client(
    error: errors.CitewellError, status: int, keyword_index: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Faulty(KeywordEncoder):
        def encode_queries(self, texts: Sequence[str]) -> Vectors:  # noqa: ARG002 - not even looked at
            raise error

    response = client_for(keyword_index, Faulty()).post("/ask", json={"question": "fever"})
    check_problem(response, status)
    assert "/srv" not in response.text
    assert str(error) in caplog.text


def test_a_failure_leaves_the_service_able_to_answer(keyword_index: Path) -> None:
    class OnceFailing(FailingEncoder):
        def encode_queries(self, texts: Sequence[str]) -> Vectors:
            return super().encode_queries(texts) if "qvortex" in texts[0] else self.encode_documents(texts)

    client = client_for(keyword_index, OnceFailing())
    statuses = [client.post("/ask", json={"question": q}).status_code for q in (QUESTION, "fever", QUESTION)]
    assert statuses == [500, 200, 500]


# A real server


def ask(server: Server, question: str, **options: Any) -> httpx.Response:
    return httpx.post(f"{server.address}/ask", json={"question": question} | options, timeout=30)


def test_a_real_server_answers_as_the_library_does(server: Server, samples: Answerer) -> None:
    question = "What should I eat when I feel sick?"
    answer = ask(server, question, top_k=7).json()
    expected = samples.ask(question, top_k=7)
    assert [passage["chunk_id"] for passage in answer["passages"]] == [p.chunk_id for p in expected.passages]
    assert [passage["markdown"] for passage in answer["passages"]] == [p.markdown for p in expected.passages]
    assert [passage["score"] for passage in answer["passages"]] == [p.score for p in expected.passages]
    first, wanted = answer["passages"][0]["citation"], expected.passages[0].citation
    assert (first["text"], first["deep_link"]) == (wanted.text, wanted.deep_link)
    assert date.fromisoformat(first["last_reviewed"]) == wanted.last_reviewed
    assert answer["index"]["encoder"] == "bundled"


def test_a_real_server_gives_many_at_once_what_it_gives_one(server: Server) -> None:
    questions = [
        f"What helps against {trouble}?" for trouble in ("nausea", "pain", "fatigue", "hair loss")
    ] * 5
    alone = {question: ask(server, question).json()["passages"] for question in set(questions)}
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda question: ask(server, question).json()["passages"], questions))
    assert together == [alone[question] for question in questions]


def test_a_real_server_refuses_in_the_same_words_as_the_application(server: Server) -> None:
    assert check_problem(ask(server, "fever", top_k=0), 422)["errors"][0]["field"] == "top_k"
    assert check_problem(httpx.get(f"{server.address}/nowhere"), 404)
    bad = httpx.post(
        f"{server.address}/ask", content=b"{", headers={"content-type": "application/json"}, timeout=30
    )
    assert check_problem(bad, 400)


def test_a_real_server_takes_filters_and_history(server: Server, samples: Answerer) -> None:
    follow_up, history = "What about its side effects?", [turn("What is tarlatamab?")]
    passages = ask(server, follow_up, history=history).json()["passages"]
    expected = samples.ask(follow_up, history=["What is tarlatamab?"]).passages
    assert [passage["chunk_id"] for passage in passages] == [one.chunk_id for one in expected]
    assert [passage["missing"] for passage in passages] == [list(one.missing) for one in expected]
    assert passages[0]["location"]["doc_id"] == "drugs/tarlatamab"

    chosen = {"doc_id": ["side-effects/fatigue", "drugs/cisplatin"]}
    passages = ask(server, "pain", top_k=50, filters=chosen).json()["passages"]
    assert {passage["location"]["doc_id"] for passage in passages} == set(chosen["doc_id"])

    problem = check_problem(ask(server, "pain", filters={"tag": ["x"]}), 422)
    assert problem["errors"][0]["field"] == "filters.tag"


def test_a_real_server_judges_cites_and_warns_as_the_library_does(server: Server, samples: Answerer) -> None:
    question = "I have a fever of 39.5 on chemotherapy. What should I do?"
    options = {"as_of": "2030-01-01", "strict_license": True, "top_k": 3}
    answer = ask(server, question, include=["receipt"], **options).json()
    expected = samples.ask(
        question, as_of=date(2030, 1, 1), strict_license=True, top_k=3, include=["receipt"]
    )
    assert (answer["status"], answer["confidence"]) == (expected.status, round(expected.confidence or 0, 6))
    assert expected.answer
    assert answer["answer"]["text"] == expected.answer.text
    assert [notice["message"] for notice in answer["notices"]] == [one.message for one in expected.notices]
    assert answer["notices"]
    assert answer["receipt"] == json.loads(json.dumps(expected.receipt))
    for told, wanted in zip(answer["passages"], expected.passages, strict=True):
        assert told["highlights"] == [list(span) for span in wanted.highlights]
        assert told["citation"]["freshness"] == wanted.citation.freshness == "overdue"
        assert told["citation"]["attribution"] == wanted.citation.attribution


def test_a_real_server_verifies_as_the_library_does(server: Server, samples: Answerer) -> None:
    text = "CRS is a sudden rise of immune substances called cytokines. A trial tested three doses."
    body = {"text": text, "cited": ["drugs/tarlatamab"]}
    found = httpx.post(f"{server.address}/verify", json=body, timeout=30).json()
    expected = samples.verifier.verify(text, ["drugs/tarlatamab"])
    assert found["counts"] == dict(expected.counts)
    assert [one["verdict"] for one in found["sentences"]] == [one.verdict for one in expected.sentences]
    assert found["sentences"][0]["verdict"] == "verbatim"


def test_nothing_a_real_server_writes_holds_a_question_wherever_it_was_put(server: Server) -> None:
    ask(server, QUESTION)
    ask(server, QUESTION * 40)
    ask(server, "And it?", history=[turn(QUESTION), turn(QUESTION, "assistant")])
    ask(server, "fever", filters={"tags": [QUESTION]})
    ask(server, "fever", filters={QUESTION: ["x"]}, history=[QUESTION])
    slug = re.sub(r"\W+", "-", QUESTION)
    httpx.get(f"{server.address}/ask", params={"question": QUESTION})
    httpx.post(f"{server.address}/ask", params={"q": slug}, json={"question": "fever"}, timeout=30)
    httpx.get(f"{server.address}/search/{slug}")
    httpx.get(f"{server.address}/{slug}?{slug}", headers={"referer": QUESTION, "user-agent": QUESTION})
    written = wait_for_lines(server, json.dumps("/…"), 2)
    requests = [json.loads(line) for line in written.splitlines() if '"event": "request"' in line]
    told = {(line["method"], line["route"], line["status"]) for line in requests}
    assert {("POST", "/ask", 200), ("GET", "/ask", 405), ("GET", "/…", 404)} <= told
    for form in (QUESTION, slug, str(httpx.QueryParams({"q": QUESTION}))):
        assert betrayed(form, written) == []


def wait_for_lines(server: Server, part: str, count: int) -> str:
    end = time.monotonic() + 10
    while server.written().count(part) < count and time.monotonic() < end:
        time.sleep(0.05)
    return server.written()


FAILING_SERVER = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from rag.answer.answerer import Answerer
from rag.index.local.local_index import LocalIndex
from rag.search.retriever import Retriever
from rag.serve.api import create_app
from rag.serve.cache import AnswerCache
from rag.serve.live import LiveIndex
from rag.serve.server import address_of, listen, run
from test_api import FailingEncoder
listener = listen("127.0.0.1", 0)
print(address_of(listener), flush=True)
answerer = Answerer(Retriever(LocalIndex.open(Path({index!r})), FailingEncoder()))
run(create_app(LiveIndex(answerer)), listener)
"""


def test_a_real_server_survives_an_unforeseen_failure_and_keeps_it_to_itself(
    keyword_index: Path, tmp_path: Path
) -> None:
    script = FAILING_SERVER.format(tests=str(TESTS), index=str(keyword_index))
    with running([sys.executable, "-c", script], tmp_path) as server:
        problems = [check_problem(ask(server, QUESTION), 500) for _ in range(2)]
        assert server.stop(signal.SIGINT) == 0
        written = server.written()
    assert problems[0]["request_id"] != problems[1]["request_id"]
    assert written.count("unforeseen RuntimeError at ") == 2
    assert "Traceback" not in written
    assert betrayed(QUESTION, written) == []


def test_a_server_that_is_told_to_stop_answers_what_is_open_and_ends_well(
    samples_index: Path, tmp_path: Path
) -> None:
    with running(serve_command(samples_index), tmp_path) as server:
        host, _, port = server.address.removeprefix("http://").partition(":")
        body = json.dumps({"question": "What helps against nausea?"})
        head = f"POST /ask HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        with socket.create_connection((host, int(port)), timeout=30) as open_request:
            open_request.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body[:10]}".encode())
            ask(server, "fever")
            server.process.send_signal(signal.SIGTERM)
            wait_for_lines(server, "Shutting down", 1)
            open_request.sendall(body[10:].encode())
            assert open_request.recv(1000).startswith(b"HTTP/1.1 200 OK")
        assert server.process.wait(30) == 0
        assert "Traceback" not in server.written()
    with pytest.raises(httpx.ConnectError):
        ask(server, "fever")


def test_a_taken_port_is_said_in_one_line_with_what_mends_it(
    server: Server, samples_index: Path, tmp_path: Path
) -> None:
    port = server.address.rpartition(":")[2]
    command = [*serve_command(samples_index), "--port", port]
    with pytest.raises(AssertionError, match="did not start") as failed, running(command, tmp_path):
        pass
    (line,) = str(failed.value).splitlines()
    assert f"rag: port {port} on 127.0.0.1 is taken; choose another one with --port or RAG_PORT" in line


def test_a_server_says_what_it_serves_and_where(server: Server, samples_index: Path) -> None:
    index_id = (samples_index / "current").read_text().strip()
    assert f"Serving the index {index_id} at {server.address}: " in server.written()


def test_request_ids_are_fit_for_a_log_line(server: Server) -> None:
    ids = [ask(server, "pain").json()["request_id"] for _ in range(3)]
    assert all(set(request_id) <= set(string.hexdigits.lower()) for request_id in ids)
