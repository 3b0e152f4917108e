"""What `POST /ask` says beside the passages: how sure and how fresh, on whose terms, for whom, how urgent."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from calling import call
from constant_calibration import calibration
from keyword_encoder import KeywordEncoder
from little_index import little_index, page
from starlette.testclient import TestClient

from rag.answer.answerer import Answerer
from rag.answer.policy import AnswerPolicy
from rag.encoders.base import Encoder
from rag.index.builder import build_index
from rag.index.local.local_index import LocalIndex
from rag.search.retriever import Retriever
from rag.serve.api import create_app
from rag.serve.live import LiveIndex

TRUSTED = {
    "terms": page(
        "A fever of 38 degrees is a reason to call. Drink enough water. Hair grows back.",
        title="Fever",
        license="CC BY 4.0",
        source="Us",
        url="https://example.org/fever",
        lastReviewed="2026-01-31",
        reviewFrequency="quarterly",
    ),
    "bare": page("A fever can be the first sign of an infection.", title="Signs", source="Them"),
    "odd": page("A fever at night is told to the nurse.", title="Night", license="handshake"),
    "hp": page(
        "Fever is managed with care.",
        title="Care (Health Professional Version)",
        url="https://example.org/types/lung/hp/care",
        license="CC0",
    ),
    "patient": page(
        "What care is.",
        title="Care",
        url="https://example.org/types/lung/patient/care",
        license="CC0",
    ),
}


@pytest.fixture(scope="module")
def trusted_index(tmp_path_factory: pytest.TempPathFactory) -> LocalIndex:
    return little_index(tmp_path_factory.mktemp("trusted"), TRUSTED)


@pytest.fixture(scope="module")
def trusted(trusted_index: LocalIndex, tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    answerer = Answerer(Retriever(trusted_index, KeywordEncoder()), root=tmp_path_factory.mktemp("key"))
    return TestClient(create_app(LiveIndex(answerer)))


def passages_of(client: TestClient, question: str, **options: Any) -> dict[str, dict[str, Any]]:
    """The passages of an answer by the document that they are of."""
    response = client.post("/ask", json={"question": question, "top_k": 50} | options)
    assert response.status_code == HTTPStatus.OK
    return {passage["location"]["doc_id"]: passage for passage in response.json()["passages"]}


@pytest.mark.parametrize(
    ("as_of", "freshness"),
    [
        ("2026-02-01", "current"),
        ("2026-03-30", "current"),
        ("2026-03-31", "due"),
        ("2026-04-30", "due"),
        ("2026-05-01", "overdue"),
        ("0001-01-01", "current"),
        ("9999-12-31", "overdue"),
    ],
)
def test_freshness_is_told_for_the_day_that_was_named(
    as_of: str, freshness: str, trusted: TestClient
) -> None:
    """Three months after the last day of January is the last day of April; a page is due 30 days before."""
    found = passages_of(trusted, "fever", as_of=as_of)
    citation = found["terms"]["citation"]
    assert (citation["last_reviewed"], citation["review_due"]) == ("2026-01-31", "2026-04-30")
    assert (citation["review_frequency"], citation["review_evidence"]) == ("quarterly", "review")
    assert citation["freshness"] == freshness
    assert found["bare"]["citation"]["freshness"] == "unknown"


def test_without_a_day_freshness_is_that_of_today(trusted: TestClient) -> None:
    for options in ({}, {"as_of": None}):
        today = datetime.now(UTC).date()
        citation = passages_of(trusted, "fever", **options)["terms"]["citation"]
        named = passages_of(trusted, "fever", as_of=today.isoformat())["terms"]["citation"]
        assert citation["freshness"] == named["freshness"]


def test_a_page_is_marked_for_its_age_and_never_hidden(trusted: TestClient) -> None:
    young, old = (passages_of(trusted, "fever", as_of=f"{year}-02-01") for year in (2026, 2900))
    assert list(young) == list(old)
    assert [passage["score"] for passage in young.values()] == [one["score"] for one in old.values()]


def test_the_terms_of_a_licence_stand_beside_its_passage(trusted: TestClient) -> None:
    found = passages_of(trusted, "fever")
    citation = found["terms"]["citation"]
    assert (citation["license"], citation["license_status"]) == ("CC BY 4.0", "known")
    assert "Us" in citation["attribution"]
    assert "https://example.org/fever" in citation["attribution"]
    assert [set(limit) for limit in citation["limits"]] == [{"code", "text"}]
    assert citation["limits"][0]["code"] == "attribution_required"
    assert found["bare"]["citation"]["license_status"] == "missing"
    assert found["odd"]["citation"]["license_status"] == "unknown"
    assert found["odd"]["citation"]["license"] == "handshake"


@pytest.mark.parametrize(
    ("options", "doc_ids"),
    [
        ({}, {"terms", "bare", "odd", "patient"}),
        ({"strict_license": False}, {"terms", "bare", "odd", "patient"}),
        ({"strict_license": True}, {"terms", "patient"}),
        ({"strict_license": True, "filters": {"license": ["handshake"]}}, set()),
        ({"strict_license": True, "filters": {"license": ["cc0"]}}, {"patient"}),
        ({"strict_license": True, "filters": {"audience": ["professional"]}}, {"hp"}),
    ],
)
def test_strict_license_leaves_out_what_has_no_known_terms(
    options: dict[str, Any], doc_ids: set[str], trusted: TestClient
) -> None:
    assert set(passages_of(trusted, "fever", **options)) == doc_ids


def test_a_page_for_professionals_comes_with_its_version_for_patients(trusted: TestClient) -> None:
    found = passages_of(trusted, "fever care", filters={"audience": ["professional"]})
    assert found["hp"]["citation"]["patient_version"] == {
        "doc_id": "patient",
        "title": "Care",
        "url": "https://example.org/types/lung/patient/care",
    }
    assert found["hp"]["citation"]["audience"] == "professional"
    everyone = passages_of(trusted, "fever care", filters={"audience": ["professional", "patient"]})
    assert everyone["patient"]["citation"]["patient_version"] is None


def test_sentences_and_highlights_are_whole_words_of_the_passages(trusted: TestClient) -> None:
    answer = trusted.post("/ask", json={"question": "fever infection", "top_k": 50}).json()
    for passage in answer["passages"]:
        marked = [passage["text"][start:end] for start, end in passage["highlights"]]
        assert all(text in TRUSTED[passage["location"]["doc_id"]] and text.endswith(".") for text in marked)
    sentences = answer["answer"]["sentences"]
    assert answer["answer"]["text"] == " ".join(sentence["text"] for sentence in sentences)
    for sentence in sentences:
        assert set(sentence) == {"text", "passage", "start", "end"}
        doc_id = answer["passages"][sentence["passage"] - 1]["location"]["doc_id"]
        assert TRUSTED[doc_id][sentence["start"] : sentence["end"]] == sentence["text"]


TURNS = [{"content": "Hello"}, {"content": "Hello!", "role": "assistant"}]


def asked(client: TestClient, **options: Any) -> dict[str, Any]:
    answer: dict[str, Any] = client.post(
        "/ask", json={"question": "fever", "as_of": "2026-01-01"} | options
    ).json()
    return answer


def test_a_receipt_is_given_to_whoever_asks_for_it(trusted: TestClient) -> None:
    assert asked(trusted)["receipt"] is None
    assert asked(trusted, include=["timings", "low_confidence_passages"])["receipt"] is None
    answer = asked(trusted, include=["receipt"], top_k=2, history=TURNS)
    receipt = answer["receipt"]
    assert receipt["index"]["id"] == answer["index"]["id"]
    assert receipt["request"]["as_of"] == "2026-01-01"
    assert receipt["request"]["top_k"] == 2
    assert len(receipt["question"]["history"]) == 1
    assert receipt["decisions"]["status"] == answer["status"]
    for told, passage in zip(receipt["passages"], answer["passages"], strict=True):
        assert (told["rank"], told["chunk_id"]) == (passage["rank"], passage["chunk_id"])
        place = {name: told[name] for name in ("doc_id", "start", "end", "sha256")}
        assert place == passage["location"]


def test_the_same_request_gets_the_same_receipt(trusted: TestClient) -> None:
    first, second = (asked(trusted, include=["receipt"]) for _ in range(2))
    assert first["receipt"] == second["receipt"]
    assert first["request_id"] != second["request_id"]
    other = trusted.post("/ask", json={"question": "pain", "include": ["receipt"]}).json()
    assert other["receipt"]["question"]["hash"] != first["receipt"]["question"]["hash"]


@pytest.mark.parametrize(
    ("confidence", "status", "passages"),
    [
        (0.95, "answered", 4),
        (0.6, "answered", 4),
        (0.59, "uncertain", 4),
        (0.15, "uncertain", 4),
        (0.14, "no_answer", 0),
    ],
)
def test_the_status_follows_the_confidence_and_without_an_answer_nothing_is_shown(
    confidence: float, status: str, passages: int, trusted_index: LocalIndex
) -> None:
    encoder = KeywordEncoder()
    retriever = Retriever(trusted_index, encoder)
    answerer = Answerer(retriever, calibration=calibration(encoder, confidence))
    client = TestClient(create_app(LiveIndex(answerer)))
    answer = asked(client)
    assert (answer["status"], answer["confidence"]) == (status, pytest.approx(confidence, abs=1e-4))
    assert (len(answer["passages"]), answer["answer"] is not None) == (passages, bool(passages))
    wanted = asked(client, include=["low_confidence_passages"])
    assert (wanted["status"], wanted["confidence"]) == (answer["status"], answer["confidence"])
    assert len(wanted["passages"]) == 4
    # Even where they are asked for, passages that do not answer are not quoted as an answer.
    assert (wanted["answer"] is not None) == bool(passages)


def test_where_nothing_is_found_there_is_no_answer(trusted: TestClient) -> None:
    answer = asked(trusted, filters={"tags": ["nowhere"]}, include=["low_confidence_passages"])
    assert (answer["status"], answer["passages"], answer["answer"]) == ("no_answer", [], None)


@pytest.mark.parametrize(
    ("question", "codes"),
    [
        ("I want to kill myself", ["crisis"]),
        ("I have a fever of 39.5 and I am on chemotherapy", ["urgent_symptoms"]),
        ("What is a fever?", []),
    ],
)
def test_a_notice_stands_beside_the_passages_and_not_instead_of_them(
    question: str, codes: list[str], trusted: TestClient
) -> None:
    answer = trusted.post("/ask", json={"question": question}).json()
    assert [notice["code"] for notice in answer["notices"]] == codes
    assert all(set(notice) == {"code", "severity", "message"} for notice in answer["notices"])
    assert all(notice["severity"] == "urgent" and notice["message"] for notice in answer["notices"])
    assert answer["passages"]


def test_a_notice_is_given_even_when_nothing_answers(trusted: TestClient) -> None:
    body = {"question": "I want to kill myself", "filters": {"tags": ["nowhere"]}}
    answer = trusted.post("/ask", json=body).json()
    assert answer["status"] == "no_answer"
    assert [notice["code"] for notice in answer["notices"]] == ["crisis"]


def test_the_policy_of_a_service_outlives_a_change_of_index(
    samples_index: Path, bundled: Encoder, tmp_path: Path
) -> None:
    root = tmp_path / "index"
    shutil.copytree(samples_index, root, symlinks=True)
    ours = tmp_path / "ours.yaml"
    ours.write_text("en-GB:\n  crisis: Ring the ward on 12345.\n")
    policy = AnswerPolicy(
        answered_from=1, uncertain_from=1, strict_license=True, locale="en-GB", notices=ours
    )
    live = LiveIndex.open(root, policy=policy)
    client = TestClient(create_app(live))
    little_seeds = tmp_path / "seeds"
    little_seeds.mkdir()
    (little_seeds / "free.md").write_text(page("A fever is told to the doctor.", license="CC0"))
    (little_seeds / "bare.md").write_text(page("A fever is told to the nurse."))
    crisis = {"question": "I want to kill myself", "include": ["receipt", "low_confidence_passages"]}
    before = client.post("/ask", json=crisis).json()
    build_index(little_seeds, root, bundled)
    assert client.post("/admin/reload").json()["status"] == "reloaded"
    after = client.post("/ask", json=crisis).json()
    live.close()
    assert before["index"]["id"] != after["index"]["id"]
    for answer in (before, after):
        assert answer["status"] == "no_answer"
        assert [notice["message"] for notice in answer["notices"]] == ["Ring the ward on 12345."]
    assert before["receipt"]["settings"] == after["receipt"]["settings"]
    assert [passage["location"]["doc_id"] for passage in after["passages"]] == ["free"]


BAD_POLICIES: list[tuple[dict[str, str], str]] = [
    (
        {"RAG_ANSWERED_FROM": "0.1", "RAG_UNCERTAIN_FROM": "0.5"},
        "uncertain_from is 0.5 and answered_from 0.1",
    ),
    ({"RAG_ANSWERED_FROM": "1.5"}, "answered_from (RAG_ANSWERED_FROM)"),
    ({"RAG_UNCERTAIN_FROM": "-0.1"}, "uncertain_from (RAG_UNCERTAIN_FROM)"),
    ({"RAG_ANSWERED_FROM": "nan"}, "answered_from"),
    ({"RAG_ANSWERED_FROM": "often"}, "answered_from (RAG_ANSWERED_FROM)"),
    ({"RAG_LOCALE": "xx-XX"}, "no notices for the locale 'xx-XX'"),
    ({"RAG_LOCALE": ""}, "locale (RAG_LOCALE)"),
    ({"RAG_NOTICES": "absent.yaml"}, "absent.yaml: the notices cannot be read"),
    ({"RAG_NOTICES": "broken.yaml"}, "broken.yaml, line 1: not valid YAML"),
    ({"RAG_NOTICES": "empty.yaml"}, "empty.yaml: write a locale"),
    ({"RAG_NOTICES": "strange.yaml"}, "'xx' is none of en, en-US"),
    ({"RAG_NOTICES": "."}, "the notices cannot be read"),
    ({"RAG_LICENSES": "absent.yaml"}, "absent.yaml"),
    ({"RAG_LICENSES": "broken.yaml"}, "broken.yaml"),
    ({"RAG_LICENSES": "strange.yaml"}, "strange.yaml"),
    ({"RAG_CALIBRATION": "absent.json"}, "the calibration absent.json cannot be read"),
    ({"RAG_CALIBRATION": "broken.yaml"}, "the calibration broken.yaml cannot be used"),
    ({"RAG_STRICT_LICENSE": "perhaps"}, "strict_license (RAG_STRICT_LICENSE)"),
    ({"RAG_HASH_KEY": "sesame"}, "hash_key (RAG_HASH_KEY)"),
]


@pytest.mark.parametrize(("variables", "reason"), BAD_POLICIES)
def test_a_service_does_not_begin_with_a_policy_that_it_cannot_keep(
    variables: dict[str, str],
    reason: str,
    samples_index: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "broken.yaml").write_text("{")
    (tmp_path / "empty.yaml").write_text("")
    (tmp_path / "strange.yaml").write_text("xx:\n  crisis: Ring.\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rag.serve.server.run", lambda *_: pytest.fail("it serves"))
    line = call("serve", "--index", str(samples_index), "--port", "0", **variables).line
    assert line.startswith("rag: ")
    assert reason in line
    assert "sesame" not in line
