"""`POST /verify` says of each sentence whether it stands in what is cited, over the sample documents."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusing import PROBLEM, check_problem, refused_fields
from starlette.testclient import TestClient

from rag.answer.verify import MAX_CITED, MAX_TEXT, VERDICTS
from rag.answer.verifying.changes import Change
from rag.corpus.plaintext import plain_text
from rag.index.backend import Backend
from rag.index.filters import MAX_VALUE_LENGTH
from rag.serve.api import create_app
from rag.serve.live import LiveIndex
from rag.serve.wire.answering import SentenceModel
from rag.serve.wire.operating import Problem
from rag.serve.wire.verifying import ChangeModel, SentenceCheckModel, VerifyResponse

PAGE = "drugs/tarlatamab"
# A sentence of that page, and what a chatbot might make of it.
TRUE = (
    "A trial called DeLLphi-301 tested two doses, given every 2 weeks, in 220 people whose small cell lung "
    "cancer had been treated before."
)
ELSEWHERE = "The cell can no longer repair its DNA or copy it, so it cannot divide, and it dies."


@pytest.fixture(scope="module")
def live(samples_index: Path) -> Iterator[LiveIndex]:
    opened = LiveIndex.open(samples_index)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def client(live: LiveIndex) -> TestClient:
    return TestClient(create_app(live))


@pytest.fixture(scope="module")
def backend(live: LiveIndex) -> Backend:
    with live.lease() as answerer:
        return answerer.backend


def verify(client: TestClient, text: str, *cited: str) -> dict[str, Any]:
    """The verification of a text, after its fields proved to be those of the contract."""
    response = client.post("/verify", json={"text": text, "cited": list(cited) or [PAGE]})
    assert response.status_code == HTTPStatus.OK
    found: dict[str, Any] = response.json()
    assert set(found) == {"is_verbatim", "counts", "sentences"}
    for one in found["sentences"]:
        assert set(one) == set(SentenceCheckModel.model_fields)
        assert text[one["start"] : one["end"]] == one["text"]
        assert all(set(change) == set(ChangeModel.model_fields) for change in one["changes"])
    told = [one["verdict"] for one in found["sentences"]]
    assert found["counts"] == {verdict: told.count(verdict) for verdict in VERDICTS}
    assert found["is_verbatim"] == (set(told) == {"verbatim"})
    return found


def check_source(one: dict[str, Any], backend: Backend) -> None:
    """The slice that is named renders to what is shown."""
    document = backend.document(one["doc_id"])
    assert plain_text(document.text[one["source_start"] : one["source_end"]]) == one["source_text"]


def test_what_stands_in_the_cited_page_is_verbatim(client: TestClient, backend: Backend) -> None:
    found = verify(client, TRUE)
    (one,) = found["sentences"]
    assert (one["verdict"], one["doc_id"], one["changes"]) == ("verbatim", PAGE, [])
    assert one["source_text"] == TRUE
    check_source(one, backend)
    assert found["is_verbatim"] is True


@pytest.mark.parametrize(
    ("said", "source", "kind"),
    [
        ("220 people", "200 people", "number"),
        ("two doses", "three doses", "dose"),
        ("2 weeks", "2 days", "unit"),
        ("had been treated", "had not been treated", "negation"),
        ("tested", "approved", "words"),
    ],
)
def test_what_was_changed_is_altered_and_the_change_is_named(
    said: str, source: str, kind: str, client: TestClient, backend: Backend
) -> None:
    found = verify(client, TRUE.replace(said, source))
    (one,) = found["sentences"]
    assert (one["verdict"], one["doc_id"], one["source_text"]) == ("altered", PAGE, TRUE)
    assert kind in [change["kind"] for change in one["changes"]]
    check_source(one, backend)
    assert found["is_verbatim"] is False


def test_a_drug_exchanged_is_named_with_both_names(client: TestClient) -> None:
    text = (
        "Tarlatamab attaches to CD3, a protein that healthy T cells carry, and at the same time to DLL3, a "
    )
    text += "protein that small cell lung cancer cells carry."
    assert verify(client, text)["is_verbatim"]
    (one,) = verify(client, text.replace("Tarlatamab", "Cisplatin"))["sentences"]
    assert one["verdict"] == "altered"
    assert one["changes"] == [{"kind": "drug", "said": "Cisplatin", "source": "Tarlatamab"}]


def test_what_stands_on_another_page_is_told_with_that_page(client: TestClient, backend: Backend) -> None:
    found = verify(client, ELSEWHERE)
    (one,) = found["sentences"]
    assert (one["verdict"], one["doc_id"]) == ("wrong_document", "drugs/cisplatin")
    check_source(one, backend)
    assert verify(client, ELSEWHERE, PAGE, "drugs/cisplatin")["is_verbatim"] is True


def test_what_nobody_says_is_unsupported_and_points_nowhere(client: TestClient) -> None:
    (one,) = verify(client, "Drinking tea every morning cures most tumors.")["sentences"]
    assert one["verdict"] == "unsupported"
    nowhere = ("doc_id", "source_start", "source_end", "source_text")
    assert {one[name] for name in nowhere} == {None}
    assert one["changes"] == []


def test_a_text_is_judged_sentence_by_sentence(client: TestClient) -> None:
    text = f"{TRUE} {ELSEWHERE} {TRUE.replace('220', '202')}\n\nTea cures everything, always."
    found = verify(client, text)
    assert [one["verdict"] for one in found["sentences"]] == [
        *("verbatim", "wrong_document", "altered", "unsupported")
    ]
    assert set(found["counts"].values()) == {1}


@pytest.mark.parametrize("text", ["—", "\n\n", "...", "🙂", "\u0000"])
def test_a_text_without_a_word_is_not_called_verbatim(text: str, client: TestClient) -> None:
    response = client.post("/verify", json={"text": text, "cited": [PAGE]})
    if text.strip():
        assert response.json() == {
            "is_verbatim": False,
            "counts": dict.fromkeys(VERDICTS, 0),
            "sentences": [],
        }
    else:
        assert refused_fields(response) == ["text"]


def test_whatever_the_service_answers_it_also_verifies(client: TestClient) -> None:
    """The sentences of an answer and the highlights, against the very passages that they are of."""
    body = {"question": "What are the side effects of tarlatamab?", "top_k": 5}
    answer = client.post("/ask", json=body).json()
    sentences = [SentenceModel.model_validate(one) for one in answer["answer"]["sentences"]]
    assert sentences
    for sentence in sentences:
        chunk_id = answer["passages"][sentence.passage - 1]["chunk_id"]
        (one,) = verify(client, sentence.text, chunk_id)["sentences"]
        assert (one["verdict"], one["source_start"], one["source_end"]) == (
            *("verbatim", sentence.start, sentence.end),
        )
    for passage in answer["passages"]:
        for start, end in passage["highlights"]:
            assert verify(client, passage["text"][start:end], passage["chunk_id"])["is_verbatim"]


def test_citing_a_passage_covers_that_passage_alone(client: TestClient) -> None:
    answer = client.post("/ask", json={"question": TRUE, "top_k": 2}).json()
    right, wrong = (passage["chunk_id"] for passage in answer["passages"])
    assert verify(client, TRUE, right)["is_verbatim"]
    (one,) = verify(client, TRUE, wrong)["sentences"]
    assert (one["verdict"], one["doc_id"]) == ("wrong_document", PAGE)


def test_citing_the_same_thing_twice_changes_nothing(client: TestClient) -> None:
    assert verify(client, TRUE, PAGE, PAGE) == verify(client, TRUE, PAGE)


def test_a_longest_text_with_the_most_citations_is_verified_soon(client: TestClient) -> None:
    everything = client.post("/ask", json={"question": "pain", "top_k": 50}).json()["passages"]
    cited = [passage["chunk_id"] for passage in everything]
    assert len(cited) == MAX_CITED
    text = (f"{TRUE} " * 200)[:MAX_TEXT].ljust(MAX_TEXT, ".")
    began = time.monotonic()
    assert verify(client, text, *cited)["counts"]["wrong_document"] > 100
    assert time.monotonic() - began < 5


# Refusals


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"text": "", "cited": [PAGE]}, ["text"]),
        ({"text": " \n", "cited": [PAGE]}, ["text"]),
        ({"text": "x" * (MAX_TEXT + 1), "cited": [PAGE]}, ["text"]),
        ({"text": "🙂" * (MAX_TEXT + 1), "cited": [PAGE]}, ["text"]),
        ({"text": None, "cited": [PAGE]}, ["text"]),
        ({"text": 5, "cited": [PAGE]}, ["text"]),
        ({"text": ["x"], "cited": [PAGE]}, ["text"]),
        ({"cited": [PAGE]}, ["text"]),
        ({"text": "x", "cited": []}, ["cited"]),
        ({"text": "x", "cited": None}, ["cited"]),
        ({"text": "x", "cited": PAGE}, ["cited"]),
        ({"text": "x", "cited": {"id": PAGE}}, ["cited"]),
        ({"text": "x", "cited": [PAGE] * (MAX_CITED + 1)}, ["cited"]),
        ({"text": "x", "cited": [PAGE, ""]}, ["cited.1"]),
        ({"text": "x", "cited": [PAGE, None]}, ["cited.1"]),
        ({"text": "x", "cited": [5]}, ["cited.0"]),
        ({"text": "x", "cited": ["x" * (MAX_VALUE_LENGTH + 1)]}, ["cited.0"]),
        ({"text": "x"}, ["cited"]),
        ({}, ["text", "cited"]),
        ({"text": "x", "cited": [PAGE], "top_k": 5}, ["top_k"]),
        ({"question": "x", "cited": [PAGE]}, ["text", "question"]),
        ([], ["body"]),
        ("x", ["body"]),
        (None, ["body"]),
    ],
)
def test_a_wrong_request_is_refused_by_the_names_of_its_fields(
    body: Any, fields: list[str], client: TestClient
) -> None:
    assert refused_fields(client.post("/verify", json=body)) == fields


@pytest.mark.parametrize(
    "cited",
    [
        *("drugs/no-such-page", "drugs/tarlatamab.md", "Drugs/Tarlatamab", "drugs/tarlatamab#nowhere-0"),
        *(
            " drugs/tarlatamab",
            "#",
            "../seeds/drugs/tarlatamab",
            "drugs/tarlatamab' OR '1'='1",
            "%",
            "\u0000",
        ),
    ],
)
def test_an_id_that_is_not_in_the_index_is_refused_and_the_index_named(
    cited: str, client: TestClient, backend: Backend
) -> None:
    response = client.post("/verify", json={"text": TRUE, "cited": [PAGE, cited]})
    problem = check_problem(response, 422)
    (fault,) = problem["errors"]
    assert fault["field"] == "cited"
    assert backend.info.index_id in fault["message"]
    assert problem["detail"] == f"cited: {fault['message']}"
    assert TRUE[:20] not in response.text


def test_as_much_as_is_allowed_is_taken(client: TestClient) -> None:
    body = {"text": "x" * MAX_TEXT, "cited": [PAGE] * MAX_CITED}
    assert client.post("/verify", json=body).status_code == HTTPStatus.OK


def test_a_text_that_is_no_unicode_text_is_refused(client: TestClient) -> None:
    for text, cited, field in ((r"x\ud800", PAGE, "text"), ("x", r"x\ud800", "cited.0")):
        content = f'{{"text": "{text}", "cited": ["{cited}"]}}'
        response = client.post("/verify", content=content, headers={"content-type": "application/json"})
        assert refused_fields(response) == [field]


@pytest.mark.parametrize("content", ["{", "text=x", '{"text": "x", "cited": ["x"],}', "[" * 10_000])
def test_a_body_that_is_no_json_is_a_bad_request(content: str, client: TestClient) -> None:
    response = client.post("/verify", content=content, headers={"content-type": "application/json"})
    (fault,) = check_problem(response, 400)["errors"]
    assert fault["field"] == "body"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_another_method_is_not_allowed(method: str, client: TestClient) -> None:
    response = client.request(method, "/verify", params={"text": "secret words"})
    check_problem(response, 405)
    assert response.headers["allow"] == "POST"
    assert "secret" not in response.text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=2),
    max_leaves=5,
)
REQUESTS = JSON | st.fixed_dictionaries(
    {}, optional={"text": JSON | st.text(max_size=200), "cited": JSON | st.lists(st.just(PAGE)), "x": JSON}
)


@settings(deadline=None, max_examples=50)
@given(body=REQUESTS)
def test_whatever_json_comes_the_service_verifies_or_names_a_field(body: Any, client: TestClient) -> None:
    content = json.dumps(body).encode()
    response = client.post("/verify", content=content, headers={"content-type": "application/json"})
    if response.status_code == HTTPStatus.OK:
        verify(client, body["text"], *body["cited"])
    else:
        assert refused_fields(response)


def test_the_description_of_the_api_has_the_route_and_its_problems(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    route = described["paths"]["/verify"]["post"]
    refusals = {"400", "401", "403", "408", "413", "415", "422", "429", "500", "503"}
    assert set(route["responses"]) == refusals | {"200"}
    for status in refusals:
        schema = route["responses"][status]["content"][PROBLEM]["schema"]
        assert set(schema["properties"]) == set(Problem.model_fields)
    asked = described["components"]["schemas"]["VerifyRequest"]["properties"]
    assert (asked["text"]["minLength"], asked["text"]["maxLength"]) == (1, MAX_TEXT)
    assert (asked["cited"]["minItems"], asked["cited"]["maxItems"]) == (1, MAX_CITED)
    verdict = described["components"]["schemas"]["SentenceCheckModel"]["properties"]["verdict"]
    assert verdict["enum"] == list(VERDICTS)
    assert set(described["components"]["schemas"]["VerifyResponse"]["properties"]) == set(
        VerifyResponse.model_fields
    )


def test_every_kind_of_change_can_be_told() -> None:
    """The wire names the kinds by itself; a kind that it lacked would end a request with status 500."""
    documented = re.findall(r'"(\w+)"', Change.__doc__ or "")
    assert list(get_args(ChangeModel.model_fields["kind"].annotation)) == documented
    assert get_args(SentenceCheckModel.model_fields["verdict"].annotation) == VERDICTS
