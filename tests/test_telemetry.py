"""The metrics are few, documented and true, and no question is in them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from keyword_encoder import KeywordEncoder
from little_index import fillers, page
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient
from whole_index import write_pages

from rag.answer.answerer import Answerer
from rag.encoders.base import Encoder
from rag.index.builder import build_index
from rag.index.local.layout import VECTORS, Layout
from rag.index.local.publishing import point_at
from rag.index.opening import open_index
from rag.search.retriever import Retriever
from rag.serve.api import create_app
from rag.serve.live import LiveIndex
from rag.serve.telemetry import exposition, metrics_of

QUESTION = "My sister Xanthippe found a lump; does the qvortex drug mend it?"

# Name, kind and labels of everything that is told.
TOLD = {
    ("citewell_index_info", "info", ("encoder", "index_id")),
    ("citewell_index_built_timestamp_seconds", "gauge", ()),
    ("citewell_index_refused", "gauge", ()),
    ("citewell_index_reloads_total", "counter", ("outcome",)),
}

Value = tuple[str, tuple[str, ...]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An index folder with one version."""
    publish(tmp_path / "index", "one")
    return tmp_path / "index"


@pytest.fixture
def live(root: Path) -> Iterator[LiveIndex]:
    def opener(_at_hand: Encoder | None) -> Answerer:
        opened = open_index(root, encoder=KeywordEncoder())
        return Answerer(Retriever(opened.backend, opened.encoder))

    made = LiveIndex(opener(None), layout=Layout(root), opener=opener)
    yield made
    made.close()


@pytest.fixture
def client(live: LiveIndex) -> TestClient:
    return TestClient(create_app(live))


def publish(root: Path, mark: str) -> str:
    seeds = root.parent / "seeds"
    write_pages(seeds, {"fever": page(f"A fever, {mark}."), **fillers(3)})
    return build_index(seeds, root, KeywordEncoder()).manifest.index_id


def damaged(root: Path, mark: str) -> str:
    """Publish a version that cannot be served."""
    index_id = publish(root, mark)
    (root / "versions" / index_id / VECTORS).write_bytes(b"")
    return index_id


def values(client: TestClient) -> dict[Value, float]:
    """Every sample by its name and the values of its labels."""
    told = {}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            key = sample.name, tuple(value for _, value in sorted(sample.labels.items()))
            assert key not in told
            told[key] = sample.value
    return told


def test_what_is_told_parses_and_is_just_what_is_documented(client: TestClient) -> None:
    reply = client.get("/metrics")
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/plain; version=")
    assert reply.headers["content-type"].count("charset=utf-8") == 1
    families = list(text_string_to_metric_families(reply.text))
    found = set()
    for family in families:
        assert family.documentation
        assert family.documentation.endswith(".")
        for sample in family.samples:
            # The older of the two text formats knows no kind for what only informs.
            kind = "info" if sample.name.endswith("_info") else family.type
            found.add((sample.name, kind, tuple(sorted(sample.labels))))
    assert found == TOLD


def test_the_version_that_serves_is_named_with_its_encoder_and_its_age(
    client: TestClient, live: LiveIndex
) -> None:
    info = live.status.index
    assert values(client) == {
        ("citewell_index_info", ("keywords", info.index_id)): 1,
        ("citewell_index_built_timestamp_seconds", ()): datetime.fromisoformat(info.built_at).timestamp(),
        ("citewell_index_refused", ()): 0,
        ("citewell_index_reloads_total", ("served",)): 0,
        ("citewell_index_reloads_total", ("refused",)): 0,
    }


def test_the_age_is_that_of_the_build_and_not_of_the_reload(client: TestClient, root: Path) -> None:
    """A version that is gone back to is as old as it is."""
    before = values(client)["citewell_index_built_timestamp_seconds", ()]
    first = (root / "current").read_text()
    publish(root, "two")
    client.post("/admin/reload")
    point_at(Layout(root), first.strip())
    client.post("/admin/reload")
    assert values(client)["citewell_index_built_timestamp_seconds", ()] == before
    assert abs(before - (root / "versions" / first.strip()).stat().st_mtime) < 60


def test_reloads_and_refusals_are_counted_and_a_refusal_stands_until_it_is_mended(
    client: TestClient, root: Path
) -> None:
    def told() -> list[float]:
        found = values(client)
        return [
            found["citewell_index_reloads_total", ("served",)],
            found["citewell_index_reloads_total", ("refused",)],
            found["citewell_index_refused", ()],
        ]

    statuses: list[int] = []
    counts: list[list[float]] = []
    for step in ("unchanged", "good", "bad", "bad", "bad again", "good again"):
        if step.startswith("good"):
            publish(root, step)
        elif step == "bad":
            damaged(root, f"{step}-{len(counts)}")
        statuses.append(client.post("/admin/reload").status_code)
        counts.append(told())
    assert statuses == [200, 200, 409, 409, 409, 200]
    assert counts == [[0, 0, 0], [1, 0, 0], [1, 1, 1], [1, 2, 1], [1, 3, 1], [2, 3, 0]]


def test_only_the_version_that_serves_is_told_of(client: TestClient, root: Path) -> None:
    for mark in ("two", "three"):
        last = publish(root, mark)
        client.post("/admin/reload")
    damaged(root, "four")
    client.post("/admin/reload")
    assert [labels for name, labels in values(client) if name == "citewell_index_info"] == [
        ("keywords", last)
    ]


def test_a_look_at_the_metrics_changes_nothing(client: TestClient) -> None:
    assert values(client) == values(client)


def test_two_applications_in_one_process_count_apart(live: LiveIndex, root: Path) -> None:
    one, other = TestClient(create_app(live)), exposition(metrics_of(live)).body
    assert bytes(other).decode() == one.get("/metrics").text
    separate = LiveIndex(Answerer.open(root, encoder=KeywordEncoder()))
    assert TestClient(create_app(separate)).get("/metrics").status_code == 200
    damaged(root, "two")
    one.post("/admin/reload")
    assert values(one)["citewell_index_refused", ()] == 1
    assert values(TestClient(create_app(separate)))["citewell_index_refused", ()] == 0
    separate.close()


def test_no_question_is_in_the_metrics(client: TestClient) -> None:
    before = client.get("/metrics").text
    history = [{"role": "user", "content": QUESTION}]
    assert client.post("/ask", json={"question": QUESTION, "history": history}).status_code == 200
    assert client.post("/ask", json={"question": QUESTION * 100}).status_code == 422
    assert client.post("/ask", json={"question": "fever", "filters": {"tags": [QUESTION]}}).status_code == 200
    client.get(f"/{QUESTION}", params={"question": QUESTION}, headers={"user-agent": QUESTION})
    assert client.get("/metrics").text == before
    assert not set(QUESTION.lower().split()) & {"citewell", "keywords"}
    assert "Xanthippe" not in before
