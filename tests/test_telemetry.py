"""The metrics are few, documented and true, and no question is in them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

import pytest
from keyword_encoder import KeywordEncoder
from little_index import fillers, page
from prometheus_client.parser import text_string_to_metric_families
from serving import bare_environment
from starlette.testclient import TestClient
from whole_index import write_pages

from rag.answer.answerer import Answerer
from rag.answer.confidence import Status
from rag.encoders.base import Encoder
from rag.index.builder import build_index
from rag.index.local.layout import VECTORS, Layout
from rag.index.local.publishing import point_at
from rag.index.opening import open_index
from rag.search.retriever import Retriever
from rag.serve.api import create_app
from rag.serve.live import LiveIndex
from rag.serve.telemetry.metrics import Metrics, exposition, forget_worker

QUESTION = "My sister Xanthippe found a lump; does the qvortex drug mend it?"

# Name, kind and labels of everything that is told.
TOLD = {
    ("citewell_index_info", "info", ("encoder", "index_id")),
    ("citewell_index_built_timestamp_seconds", "gauge", ()),
    ("citewell_index_age_seconds", "gauge", ()),
    ("citewell_index_refused", "gauge", ()),
    ("citewell_index_reloads_total", "counter", ("outcome",)),
    ("citewell_requests_total", "counter", ("method", "route", "status")),
    ("citewell_request_seconds_bucket", "histogram", ("le", "route")),
    ("citewell_request_seconds_sum", "histogram", ("route",)),
    ("citewell_request_seconds_count", "histogram", ("route",)),
    ("citewell_stage_seconds_bucket", "histogram", ("le", "stage")),
    ("citewell_stage_seconds_sum", "histogram", ("stage",)),
    ("citewell_stage_seconds_count", "histogram", ("stage",)),
    ("citewell_answers_total", "counter", ("status",)),
    ("citewell_notices_total", "counter", ("code",)),
    ("citewell_refusals_total", "counter", ("reason",)),
    ("citewell_cache_total", "counter", ("outcome",)),
    ("citewell_waiting", "gauge", ()),
    ("citewell_running", "gauge", ()),
    ("process_cpu_seconds_total", "counter", ()),
    ("process_resident_memory_bytes", "gauge", ()),
    ("process_virtual_memory_bytes", "gauge", ()),
    ("process_start_time_seconds", "gauge", ()),
    ("process_max_fds", "gauge", ()),
    ("process_open_fds", "gauge", ()),
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


@pytest.fixture
def metrics(live: LiveIndex) -> Metrics:
    return Metrics(live)


def told_by(text: str) -> dict[Value, float]:
    """Every sample by its name and the values of its labels, in the order of the labels' names."""
    told = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = sample.name, tuple(value for _, value in sorted(sample.labels.items()))
            assert key not in told
            told[key] = sample.value
    return told


def shown(metrics: Metrics) -> dict[Value, float]:
    return told_by(bytes(exposition(metrics).body).decode())


def values(client: TestClient) -> dict[Value, float]:
    """What is told of the index, but for its age, which is another at each look."""
    told = told_by(client.get("/metrics").text)
    del told["citewell_index_age_seconds", ()]
    return {key: value for key, value in told.items() if key[0].startswith("citewell_index_")}


def stir(metrics: Metrics) -> None:
    """Let everything happen once."""
    metrics.request(route="/ask", method="POST", status=200, seconds=0.008)
    metrics.answered("answered", ["overdue"], {"encode": 4.0})
    metrics.looked_up(found=True)
    metrics.refused("time")


def test_what_is_told_parses_and_is_just_what_is_documented(metrics: Metrics) -> None:
    stir(metrics)
    reply = exposition(metrics)
    assert reply.headers["content-type"].startswith("text/plain; version=")
    assert reply.headers["content-type"].count("charset=utf-8") == 1
    families = list(text_string_to_metric_families(bytes(reply.body).decode()))
    found = set()
    for family in families:
        assert family.documentation
        assert family.documentation.endswith(".")
        for sample in family.samples:
            # The older of the two text formats knows no kind for what only informs.
            kind = "info" if sample.name.endswith("_info") else family.type
            found.add((sample.name, kind, tuple(sorted(sample.labels))))
    assert found == TOLD


def test_a_request_counts_by_route_method_and_status_and_its_time_by_route(metrics: Metrics) -> None:
    for status, seconds in ((200, 0.004), (200, 0.006), (503, 0.0004)):
        metrics.request(route="/ask", method="POST", status=status, seconds=seconds)
    metrics.request(route="/verify", method="POST", status=200, seconds=20.0)
    told = shown(metrics)
    assert told["citewell_requests_total", ("POST", "/ask", "200")] == 2
    assert told["citewell_requests_total", ("POST", "/ask", "503")] == 1
    assert told["citewell_requests_total", ("POST", "/verify", "200")] == 1
    assert told["citewell_request_seconds_sum", ("/ask",)] == pytest.approx(0.0104)
    buckets = [told["citewell_request_seconds_bucket", (le, "/ask")] for le in ("0.001", "0.005", "0.0075")]
    assert buckets == [1, 2, 3]
    assert told["citewell_request_seconds_bucket", ("10.0", "/verify")] == 0
    assert told["citewell_request_seconds_bucket", ("+Inf", "/verify")] == 1


def test_stages_are_told_in_seconds(metrics: Metrics) -> None:
    """They come in milliseconds, as in `timings_ms`."""
    metrics.answered("answered", [], {"encode": 4.0, "search": 2.0})
    metrics.answered("no_answer", [], {"encode": 6.0})
    told = shown(metrics)
    assert told["citewell_stage_seconds_sum", ("encode",)] == pytest.approx(0.01)
    assert told["citewell_stage_seconds_count", ("encode",)] == 2
    assert told["citewell_stage_seconds_bucket", ("0.002", "search")] == 1
    assert told["citewell_stage_seconds_bucket", ("0.001", "search")] == 0


def test_answers_notices_refusals_and_the_cache_are_counted(metrics: Metrics) -> None:
    metrics.answered("answered", ["overdue", "urgent_symptoms"], {})
    metrics.answered("answered", ["overdue"], {})
    metrics.answered("no_answer", [], {})
    metrics.refused("waiting_line")
    metrics.looked_up(found=True)
    metrics.looked_up(found=False)
    metrics.looked_up(found=False)
    told = shown(metrics)
    assert told["citewell_answers_total", ("answered",)] == 2
    assert told["citewell_answers_total", ("no_answer",)] == 1
    assert told["citewell_notices_total", ("overdue",)] == 2
    assert told["citewell_notices_total", ("urgent_symptoms",)] == 1
    assert told["citewell_refusals_total", ("waiting_line",)] == 1
    assert told["citewell_cache_total", ("hit",)] == 1
    assert told["citewell_cache_total", ("miss",)] == 2


def test_what_has_not_happened_yet_is_told_as_nought(metrics: Metrics) -> None:
    """Otherwise the first refusal would be a series that begins with 1, and no rate would show it."""
    told = shown(metrics)
    reasons = ("waiting_line", "time", "rate_limit", "key", "body")
    assert [told["citewell_refusals_total", (reason,)] for reason in reasons] == [0] * 5
    assert {told["citewell_answers_total", (status,)] for status in Status} == {0}
    assert {told["citewell_cache_total", (outcome,)] for outcome in ("hit", "miss")} == {0}


def test_the_line_is_read_at_each_look(metrics: Metrics) -> None:
    line = [3, 1]
    metrics.follow_line(waiting=lambda: line[0], running=lambda: line[1])
    first = shown(metrics)
    line[:] = [0, 2]
    second = shown(metrics)
    assert (first["citewell_waiting", ()], first["citewell_running", ()]) == (3, 1)
    assert (second["citewell_waiting", ()], second["citewell_running", ()]) == (0, 2)


def test_memory_and_processor_time_are_those_of_this_process(metrics: Metrics) -> None:
    told = shown(metrics)
    assert told["process_resident_memory_bytes", ()] == pytest.approx(memory_of("self"), rel=0.1)
    assert told["process_cpu_seconds_total", ()] == pytest.approx(time.process_time(), abs=0.5)


def test_the_version_that_serves_is_named_with_its_encoder_and_its_age(
    client: TestClient, live: LiveIndex
) -> None:
    info = live.status.index
    built = datetime.fromisoformat(info.built_at).timestamp()
    assert values(client) == {
        ("citewell_index_info", ("keywords", info.index_id)): 1,
        ("citewell_index_built_timestamp_seconds", ()): built,
        ("citewell_index_refused", ()): 0,
        ("citewell_index_reloads_total", ("served",)): 0,
        ("citewell_index_reloads_total", ("refused",)): 0,
    }
    age = told_by(client.get("/metrics").text)["citewell_index_age_seconds", ()]
    assert age == pytest.approx(time.time() - built, abs=5)


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
    one, other = TestClient(create_app(live)), Metrics(live)
    other.looked_up(found=True)
    assert told_by(one.get("/metrics").text)["citewell_cache_total", ("hit",)] == 0
    assert shown(other)["citewell_cache_total", ("hit",)] == 1
    separate = LiveIndex(Answerer.open(root, encoder=KeywordEncoder()))
    assert TestClient(create_app(separate)).get("/metrics").status_code == 200
    damaged(root, "two")
    one.post("/admin/reload")
    assert values(one)["citewell_index_refused", ()] == 1
    assert values(TestClient(create_app(separate)))["citewell_index_refused", ()] == 0
    separate.close()


def test_no_question_is_in_the_metrics(client: TestClient) -> None:
    history = [{"role": "user", "content": QUESTION}]
    assert client.post("/ask", json={"question": QUESTION, "history": history}).status_code == 200
    assert client.post("/ask", json={"question": QUESTION * 100}).status_code == 422
    assert client.post("/ask", json={"question": "fever", "filters": {"tags": [QUESTION]}}).status_code == 200
    client.get(f"/{QUESTION}", params={"question": QUESTION}, headers={"user-agent": QUESTION})
    told = client.get("/metrics").text.casefold()
    for mark in ("xanthippe", "qvortex", "sister"):
        assert mark not in told


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that workers share."""
    made = tmp_path / "shared"
    made.mkdir()
    return made


def test_one_look_at_any_worker_shows_what_all_have_counted(folder: Path) -> None:
    with ExitStack() as stack:
        one, other = (stack.enter_context(worker(folder, name)) for name in ("one", "two"))
        one.does("ask")
        one.does("ask")
        other.does("ask")
        told = other.tells()
        assert told["citewell_requests_total", ("POST", "/ask", "200")] == 3
        assert told["citewell_request_seconds_count", ("/ask",)] == 3
        assert told["citewell_answers_total", ("answered",)] == 3
        assert told["citewell_waiting", ()] == 2
        assert one.tells()["citewell_requests_total", ("POST", "/ask", "200")] == 3


def test_each_worker_is_told_with_the_index_that_it_serves_and_its_memory(folder: Path) -> None:
    with ExitStack() as stack:
        one, other = (stack.enter_context(worker(folder, name)) for name in ("one", "two"))
        told = one.tells()
        assert indexes(told) == {("keywords", "one", one.pid), ("keywords", "two", other.pid)}
        for each in (one, other):
            told_memory = told["process_resident_memory_bytes", (each.pid,)]
            assert told_memory == pytest.approx(memory_of(each.pid), rel=0.1)
        other.does("reload three")
        other.does("ask")
        assert indexes(one.tells()) == {("keywords", "one", one.pid), ("keywords", "three", other.pid)}


def test_what_a_dead_worker_counted_stays_and_what_it_held_goes(folder: Path) -> None:
    with ExitStack() as stack:
        one, other = (stack.enter_context(worker(folder, name)) for name in ("one", "two"))
        one.does("ask")
        other.does("ask")
        os.kill(int(one.pid), signal.SIGKILL)
        assert other.tells()["citewell_requests_total", ("POST", "/ask", "200")] == 2
        one.kill()
        assert indexes(other.tells()) == {("keywords", "two", other.pid)}
        forget_worker(folder, int(one.pid))
        told = other.tells()
        assert told["citewell_requests_total", ("POST", "/ask", "200")] == 2
        assert told["citewell_waiting", ()] == 1
        assert indexes(told) == {("keywords", "two", other.pid)}
        assert {path.stem for path in folder.glob("index_*")} == {f"index_{other.pid}"}


def memory_of(pid: str) -> int:
    """Resident bytes, from the kernel itself."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def indexes(told: dict[Value, float]) -> set[tuple[str, ...]]:
    return {labels for name, labels in told if name == "citewell_index_info"}


class Worker:
    """A process that counts what it is told to, see `counting_worker`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = str(process.pid)

    def does(self, command: str) -> str:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()

    def tells(self) -> dict[Value, float]:
        return told_by(json.loads(self.does("tell")))

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def worker(folder: Path, index_id: str) -> Iterator[Worker]:
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("counting_worker.py")), index_id],
        env=bare_environment(PROMETHEUS_MULTIPROC_DIR=str(folder)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        made = Worker(process)
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            yield made
        finally:
            made.kill()
