"""`docs/openapi.json` is what the application says of itself, and what it says is what it does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from conforming import ConformingClient, Contract
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from keyword_encoder import KeywordEncoder
from little_index import little_index, page
from serving import bare_environment, running, serve_command
from starlette.testclient import TestClient

from rag.answer.answerer import Answerer
from rag.encoders.base import Vectors
from rag.index.local.local_index import LocalIndex
from rag.search.retriever import Retriever
from rag.serve.api import Gate, create_app
from rag.serve.contract import contract, written
from rag.serve.gate.issuing import add_key
from rag.serve.gate.keys import KeyRing
from rag.serve.gate.limits import Limiter
from rag.serve.line import Line
from rag.serve.live import LiveIndex
from rag.serve.wire.operating import PROBLEM_TYPE

ROOT = Path(__file__).parent.parent
CONFORMANCE = ROOT / "benchmarks" / "conformance.py"
FILE = ROOT / "docs" / "openapi.json"
RENEW = "python -m rag.serve.contract > docs/openapi.json"

# What stands before every question route can refuse it: body, key, limit, waiting line, an index at fault.
EVERY_QUESTION = {400, 401, 403, 408, 413, 415, 422, 429, 500, 503}
CASES = 100

PAGES = {
    "fever": page("A fever can be the first sign of an infection. Call your doctor.", source="Us"),
    "hair": page(
        "Your hair may thin.\n\n## Later\n\nNew hair grows [soon](https://example.org/a).", tags="[a]"
    ),
    "pain": page("Tell your doctor about pain.", last_reviewed="2025-01-31", review_frequency="quarterly"),
}


class FailingEncoder(KeywordEncoder):
    """Has no vector for a question."""

    def encode_queries(self, texts: Any) -> Vectors:
        raise RuntimeError(f"cannot encode {texts[0]}")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> LocalIndex:
    return little_index(tmp_path_factory.mktemp("contract"), PAGES)


class SlowEncoder(KeywordEncoder):
    """Takes its time over a question."""

    def encode_queries(self, texts: Any) -> Vectors:
        time.sleep(0.2)
        return super().encode_queries(texts)


def conforming(index: LocalIndex, encoder: KeywordEncoder, **parts: Any) -> ConformingClient:
    """A client of the application made of these parts; `parts` are those that `create_app` takes."""
    application = create_app(LiveIndex(Answerer(Retriever(index, encoder))), **parts)
    # No address of loopback: that one is not limited.
    client = TestClient(application, raise_server_exceptions=False, client=("192.0.2.1", 50000))
    return ConformingClient(client, contract())


@pytest.fixture(scope="module")
def client(index: LocalIndex) -> ConformingClient:
    return conforming(index, KeywordEncoder())


# The file


def test_the_file_is_what_the_application_says_of_itself() -> None:
    is_current = FILE.read_text(encoding="utf-8") == written(contract())
    assert is_current, f"docs/openapi.json is not of this code; if the change is meant, renew it: {RENEW}"


def test_the_command_that_renews_the_file_prints_it() -> None:
    command = [sys.executable, "-W", "error", "-m", "rag.serve.contract"]
    printed = subprocess.run(command, capture_output=True, check=True, cwd=ROOT).stdout
    assert printed == FILE.read_bytes()


def test_the_file_does_not_depend_on_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = written(contract())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAG_DOCS", "false")
    monkeypatch.setenv("RAG_REQUIRE_KEYS", "always")
    assert written(contract()) == before


def test_a_running_application_publishes_the_same(client: ConformingClient) -> None:
    assert client.get("/openapi.json").json() == json.loads(FILE.read_text(encoding="utf-8"))


def test_the_order_in_which_routes_were_added_does_not_matter() -> None:
    document = contract()
    turned = document | {"paths": dict(reversed(document["paths"].items()))}
    assert list(turned["paths"]) != list(document["paths"])
    assert written(turned) == written(document)


def test_every_schema_of_the_document_is_a_valid_one() -> None:
    schemas = contract()["components"]["schemas"]
    assert len(schemas) > 10
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


# What a route says that it may answer


@pytest.mark.parametrize(("method", "path"), Contract(contract()).operations())
def test_a_route_describes_every_refusal_as_problem_details(method: str, path: str) -> None:
    answers = Contract(contract()).paths[path][method.lower()]["responses"]
    refusals = {status: answer for status, answer in answers.items() if int(status) >= 400}
    assert all(set(answer["content"]) == {PROBLEM_TYPE} for answer in refusals.values())
    assert all(answer["description"] for answer in answers.values())


@pytest.mark.parametrize("path", ["/ask", "/ask/batch", "/verify"])
def test_a_route_for_questions_describes_every_refusal_that_stands_before_it(path: str) -> None:
    answers = {int(status) for status in contract()["paths"][path]["post"]["responses"]}
    assert EVERY_QUESTION - answers == set()


@pytest.mark.parametrize("path", ["/ask", "/ask/batch", "/verify"])
@pytest.mark.parametrize("status", ["429", "503"])
def test_a_client_is_told_that_it_may_learn_when_to_come_back(path: str, status: str) -> None:
    answer = contract()["paths"][path]["post"]["responses"][status]
    assert "Retry-After" in answer.get("headers", {})


# What it does answer

GOOD: list[dict[str, Any]] = [
    {"question": "fever"},
    {"question": "hair", "top_k": 50, "include": ["receipt", "timings", "low_confidence_passages"]},
    {"question": "What helps against pain?", "as_of": "2026-01-31", "strict_license": True},
    {"question": "and then?", "history": [{"role": "user", "content": "fever"}, {"content": ""}]},
    {"question": "I want to die"},
    {"question": "I have chest pain and cannot breathe"},
    {"question": "hair", "filters": {"tags": ["a"], "doc_id": ["hair"], "last_reviewed_after": None}},
    {"question": "hair", "filters": {"audience": ["nobody"]}},
    {"question": "\u202e\x00 \U0001f600 " * 100},
    {"question": "zzxxqq wwvvkk"},
]
BAD: list[dict[str, Any]] = [
    {},
    {"question": ""},
    {"question": "   "},
    {"question": "a" * 2001},
    {"question": 1},
    {"question": None},
    {"question": "a", "top_k": 0},
    {"question": "a", "top_k": 51},
    {"question": "a", "top_k": "5"},
    {"question": "a", "top_k": True},
    {"question": "a", "as_of": "yesterday"},
    {"question": "a", "as_of": 0},
    {"question": "a", "include": ["everything"]},
    {"question": "a", "filters": {"colour": ["red"]}},
    {"question": "a", "filters": {"tags": "a"}},
    {"question": "a", "filters": []},
    {"question": "a", "history": [{"role": "system", "content": "a"}]},
    {"question": "a", "history": [{"role": "user", "content": "a"}] * 1000},
    {"question": "a", "unheard": "of"},
]


@pytest.mark.parametrize("body", GOOD, ids=repr)
def test_an_answer_is_as_described(client: ConformingClient, body: dict[str, Any]) -> None:
    assert client.post("/ask", json=body).status_code == 200


@pytest.mark.parametrize("body", BAD, ids=lambda body: repr(body)[:60])
def test_a_refusal_is_as_described(client: ConformingClient, body: dict[str, Any]) -> None:
    assert client.post("/ask", json=body).status_code == 422


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b'{"question": "\xed\xa0\x80"}', b"[" * 100_000, b"null"]
)
def test_a_body_that_is_no_question_is_refused_as_described(client: ConformingClient, body: bytes) -> None:
    reply = client.post("/ask", content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code in {400, 422}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"text": "Your hair may thin. It is blue.", "cited": ["hair"]}, 200),
        ({"text": "Take 5 mg.", "cited": ["hair", "fever"]}, 200),
        ({"text": "", "cited": ["hair"]}, 422),
        ({"text": "a", "cited": []}, 422),
        ({"text": "a"}, 422),
    ],
)
def test_a_verification_is_as_described(client: ConformingClient, body: dict[str, Any], status: int) -> None:
    assert client.post("/verify", json=body).status_code == status


def test_what_is_cited_and_is_not_there_is_refused_as_described(client: ConformingClient) -> None:
    assert client.post("/verify", json={"text": "a", "cited": ["nothing"]}).status_code in {404, 422}


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
def test_what_a_monitor_reads_is_as_described(client: ConformingClient, path: str) -> None:
    assert client.get(path).status_code == 200


def test_a_reload_is_as_described(client: ConformingClient) -> None:
    assert client.post("/admin/reload").json()["status"] == "unchanged"


@pytest.mark.parametrize("path", ["/", "/nowhere", "/ask/", "//ask", "/%61sk%2F", "/health", "/ask/batch/1"])
def test_an_address_without_a_route_is_refused_with_problem_details(
    client: ConformingClient, path: str
) -> None:
    if client.contract.route(path) is None:
        assert client.get(path).status_code == 404


@pytest.mark.parametrize(("method", "path"), Contract(contract()).operations())
def test_a_wrong_method_is_refused_with_the_right_ones(
    client: ConformingClient, method: str, path: str
) -> None:
    wrong = "DELETE" if method != "DELETE" else "PUT"
    reply = client.request(wrong, path)
    assert reply.status_code == 405
    assert method in reply.headers["allow"]


def test_a_failure_of_ours_is_as_described(index: LocalIndex) -> None:
    assert conforming(index, FailingEncoder()).post("/ask", json={"question": "fever"}).status_code == 500


_TEXT = st.text(max_size=40)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)
_FIELDS = ["question", "top_k", "filters", "history", "as_of", "strict_license", "include", "text", "cited"]


@given(
    body=st.dictionaries(st.sampled_from(_FIELDS) | _TEXT, _JSON, max_size=4),
    path=st.sampled_from(["/ask", "/verify"]),
)
@settings(max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_json_is_sent_the_reply_is_as_described(
    client: ConformingClient, body: dict[str, Any], path: str
) -> None:
    assert client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})


# Several questions at once


def test_a_batch_is_as_described(client: ConformingClient) -> None:
    reply = client.post("/ask/batch", json={"questions": GOOD})
    assert len(reply.json()["results"]) == len(GOOD)


@pytest.mark.parametrize(
    "body", [{}, {"questions": []}, {"questions": [{"question": "a"}] * 101}, {"questions": [*GOOD, {}]}]
)
def test_a_refused_batch_is_as_described(client: ConformingClient, body: dict[str, Any]) -> None:
    assert client.post("/ask/batch", json=body).status_code == 422


def test_a_batch_whose_questions_fail_is_as_described(index: LocalIndex) -> None:
    reply = conforming(index, FailingEncoder()).post("/ask/batch", json={"questions": GOOD[:2]})
    assert [result["problem"]["status"] for result in reply.json()["results"]] == [500, 500]


# What stands before the routes


@pytest.fixture
def token(tmp_path: Path) -> str:
    return add_key(tmp_path / "keys.json", "bot", ["ask"])


@pytest.fixture
def guarded(index: LocalIndex, token: str, tmp_path: Path) -> ConformingClient:
    ring = KeyRing(tmp_path / "keys.json")
    limiter = Limiter("2/minute", "none", "memory://")
    gate = Gate(keys=ring, requires_keys=True, limiter=limiter, max_body_bytes=1000)
    client = conforming(index, KeywordEncoder(), gate=gate)
    assert token
    return client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("headers", [{}, bearer("cw_000000000000_x"), {"Authorization": "Basic YTpi"}])
@pytest.mark.parametrize(("method", "path"), Contract(contract()).operations())
def test_who_has_no_key_is_refused_as_described(
    guarded: ConformingClient, method: str, path: str, headers: dict[str, str]
) -> None:
    is_open = path.startswith("/health/")
    body: dict[str, Any] = (
        {"json": {}} if "requestBody" in guarded.contract.paths[path][method.lower()] else {}
    )
    reply = guarded.request(method, path, headers=headers, **body)
    assert reply.status_code == (200 if is_open else 401)


def test_a_key_for_something_else_is_refused_as_described(guarded: ConformingClient, token: str) -> None:
    assert guarded.get("/metrics", headers=bearer(token)).status_code == 403
    assert guarded.post("/admin/reload", headers=bearer(token)).status_code == 403


def test_who_asks_too_often_is_refused_as_described(guarded: ConformingClient, token: str) -> None:
    asked = [guarded.post("/ask", json=GOOD[0], headers=bearer(token)).status_code for _ in range(3)]
    assert asked == [200, 200, 429]
    many = guarded.post("/ask/batch", json={"questions": GOOD[:2]}, headers=bearer(token))
    assert many.status_code == 429


@pytest.mark.parametrize("path", ["/ask", "/ask/batch", "/verify"])
def test_a_body_that_is_too_long_is_refused_as_described(
    guarded: ConformingClient, token: str, path: str
) -> None:
    reply = guarded.post(path, json={"question": "a" * 1000}, headers=bearer(token))
    assert reply.status_code == 413


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/xml", "application/json; charset=latin-1", "json"]
)
def test_a_body_of_another_kind_is_refused_as_described(client: ConformingClient, kind: str) -> None:
    reply = client.post("/ask", content=b'{"question": "fever"}', headers={"Content-Type": kind})
    assert reply.status_code == 415


def test_a_request_that_takes_too_long_is_refused_as_described(index: LocalIndex) -> None:
    client = conforming(index, SlowEncoder(), line=Line(running=1, waiting=1, seconds=0.01))
    assert client.post("/ask", json={"question": "fever"}).status_code == 503


# Made-up requests to a running service


def test_a_running_service_keeps_its_contract_whatever_it_is_asked(
    samples_index: Path, tmp_path: Path
) -> None:
    """schemathesis finds no failure; the long run is `benchmarks/conformance.py --cases 2000`."""
    (tmp_path / "rag.yaml").write_text("require_keys: always\nkeys: keys.json\n")
    token = add_key(tmp_path / "keys.json", "conformance", ["ask", "search", "admin"])
    with running(serve_command(samples_index), tmp_path) as server:
        result = subprocess.run(
            [sys.executable, CONFORMANCE, "--address", server.address, "--cases", "150"],
            env=bare_environment(CITEWELL_KEY=token, PYTHONWARNINGS="default"),
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
    assert result.returncode == 0, result.stdout + result.stderr
    made = re.search(r"^(\d+) cases of (\d+) operations: no failure$", result.stdout, re.MULTILINE)
    assert made
    assert int(made[1]) >= 150
    assert int(made[2]) == len(Contract(contract()).operations())
    assert token not in result.stdout + result.stderr


def test_a_service_that_is_not_there_is_not_taken_for_a_faultless_one(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, CONFORMANCE, "--address", "http://127.0.0.1:9"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 2
    assert "cannot be tested" in result.stderr


# The checking client itself


class Scripted:
    """Gives one reply, whatever is asked."""

    def __init__(self, reply: httpx.Response) -> None:
        self._reply = reply

    def request(self, *_asked: str, **_given: Any) -> httpx.Response:
        return self._reply


def answer_of(client: ConformingClient) -> dict[str, Any]:
    answer: dict[str, Any] = client.post("/ask", json={"question": "pain"}).json()
    return answer


def scripted(status: int, body: Any, kind: str = "application/json") -> ConformingClient:
    headers = {"Content-Type": kind, "X-Request-ID": "0" * 32}
    reply = httpx.Response(status, content=json.dumps(body), headers=headers)
    return ConformingClient(Scripted(reply), contract())


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"surplus": 1}, "surplus"),
        ({"status": "perhaps"}, "perhaps"),
        ({"confidence": 1.5}, "1.5"),
        ({"passages": None}, "passages"),
        ({"index": {"id": "a", "built_at": "b"}}, "encoder"),
    ],
)
def test_a_reply_that_is_not_as_described_is_noticed(
    client: ConformingClient, change: dict[str, Any], fault: str
) -> None:
    with pytest.raises(AssertionError, match=fault):
        scripted(200, answer_of(client) | change).post("/ask")


def test_a_date_that_is_none_is_noticed(client: ConformingClient) -> None:
    answer = answer_of(client)
    answer["passages"][0]["citation"]["last_reviewed"] = "last spring"
    with pytest.raises(AssertionError, match="last spring"):
        scripted(200, answer).post("/ask")


def test_the_same_reply_unchanged_is_accepted(client: ConformingClient) -> None:
    assert scripted(200, answer_of(client)).post("/ask").status_code == 200


def test_a_status_that_is_not_described_is_noticed() -> None:
    with pytest.raises(AssertionError, match="418 is not described"):
        scripted(418, {}).post("/ask")


def test_a_content_type_that_is_not_described_is_noticed(client: ConformingClient) -> None:
    with pytest.raises(AssertionError, match="text/html"):
        scripted(200, answer_of(client), "text/html").post("/ask")


def test_a_refusal_as_plain_json_is_noticed() -> None:
    with pytest.raises(AssertionError):
        scripted(422, {"detail": "no"}).post("/ask")


def test_an_answer_where_nothing_is_described_is_noticed() -> None:
    with pytest.raises(AssertionError, match="200 where nothing is"):
        scripted(200, {}).get("/secret")


def test_an_answer_to_a_wrong_method_is_noticed() -> None:
    with pytest.raises(AssertionError, match="200 for a wrong method"):
        scripted(200, {}).request("PUT", "/ask")
