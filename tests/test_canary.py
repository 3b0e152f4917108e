"""A marked question goes everywhere a question can go, and stays nowhere."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from calling import call
from conftest import WriteSeed
from keyword_encoder import KeywordEncoder
from serving import Server, running, serve_command
from starlette.testclient import TestClient

from rag.answer.answer import PARTS
from rag.answer.answerer import Answerer
from rag.answer.extract import Extractor
from rag.answer.safety.screen import Screen
from rag.answer.verify import Verifier
from rag.cli import main
from rag.encoders.base import Encoder
from rag.index.builder import build_index
from rag.index.local.local_index import LocalIndex
from rag.search.question import QuestionReader
from rag.search.retriever import Retriever
from rag.serve.api import create_app
from rag.serve.live import LiveIndex

TESTS = Path(__file__).parent
# Letters that occur nowhere else; letters alone, so that no quoting and no lower-casing hides them.
MARK = "zvqkwumpfexjorbthwilxqandvyk"
QUESTION = f"My sister {MARK} found a lump; what is it?"
# What the answer tells the person about their own words, and the text that was to be verified.
ABOUT_WORDS = ("corrections", "unknown")
ROUTES = ("/ask", "/verify", "/health/live", "/health/ready", "/metrics", "/admin/reload", "/openapi.json")


def betrayed(place: str | bytes) -> list[str]:
    """The pieces of the mark, eight characters each, that stand in a place."""
    lower = (place.encode() if isinstance(place, str) else place).lower()
    pieces = (MARK[at : at + 8] for at in range(len(MARK) - 7))
    return [piece for piece in pieces if piece.encode() in lower]


def files_that_betray(folder: Path) -> list[str]:
    """The files below a folder whose name or content holds a piece of the mark."""
    found = [path for path in sorted(folder.rglob("*")) if betrayed(str(path))]
    read = [path for path in sorted(folder.rglob("*")) if path.is_file() and betrayed(path.read_bytes())]
    return [str(path.relative_to(folder)) for path in (*found, *read)]


def told(response: httpx.Response) -> str:
    """All that a response tells, headers included, but for what it tells of the person's own words."""
    if response.status_code != 200 or not response.text.startswith("{"):
        return response.text + str(response.headers)
    body = response.json()
    rest = {name: value for name, value in body.items() if name not in ABOUT_WORDS}
    return json.dumps(rest, ensure_ascii=False) + str(response.headers)


def test_a_betrayed_question_would_be_noticed(tmp_path: Path) -> None:
    assert betrayed(f"cannot encode '{MARK[3:12].upper()}'") == [MARK[3:11], MARK[4:12]]
    assert betrayed(f"{MARK[:7]} {MARK[-7:]}") == []
    (tmp_path / "kept.bin").write_bytes(b"\xff\x00" + MARK[5:13].encode())
    (tmp_path / MARK).mkdir()
    assert files_that_betray(tmp_path) == [MARK, "kept.bin"]


# A real server


@dataclass(frozen=True)
class Place:
    """A folder that holds all that a server can write to."""

    folder: Path
    root: Path
    server: Server
    client: httpx.Client

    def log(self) -> str:
        return self.server.written()

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.client.post(path, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(path, **options)

    def raw(self, data: bytes) -> bytes:
        """Send bytes as they are and return what comes back before the server or a second ends it."""
        host, _, port = self.server.address.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=1) as connection:
            connection.sendall(data)
            try:
                return connection.recv(10_000)
            except TimeoutError:
                return b""


@contextmanager
def placed(folder: Path, samples_index: Path) -> Iterator[Place]:
    """A server whose index, working directory, home and temporary files all lie in `folder`."""
    root = folder / "index"
    shutil.copytree(samples_index, root, symlinks=True)
    for name in ("tmp", "home"):
        (folder / name).mkdir()
    variables = [f"TMPDIR={folder / 'tmp'}", f"HOME={folder / 'home'}", "PYTHONDONTWRITEBYTECODE=1"]
    command = ["env", *variables, *serve_command(root, "--reload-seconds", "0")]
    with (
        running(command, folder) as server,
        httpx.Client(base_url=server.address, timeout=30) as client,
    ):
        yield Place(folder, root, server, client)


@pytest.fixture(scope="module")
def kept_place(samples_index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with placed(tmp_path_factory.mktemp("canary"), samples_index) as started:
        yield started
        assert betrayed(started.log()) == []
        assert files_that_betray(started.folder) == []


@pytest.fixture
def place(kept_place: Place) -> Iterator[Place]:
    """The server, which after every test has written nothing that betrays the question."""
    yield kept_place
    assert betrayed(kept_place.log()) == []


ASKED: list[dict[str, Any]] = [
    {},
    {"top_k": 50},
    {"include": list(PARTS)},
    {"include": ["receipt"], "history": [{"content": QUESTION}, {"content": QUESTION, "role": "assistant"}]},
    {"include": list(PARTS), "as_of": "2026-01-31", "strict_license": True},
    {"filters": {"audience": ["professional"], "last_reviewed_after": "2020-01-01"}, "include": ["receipt"]},
    {"filters": {"tags": ["nowhere"]}, "include": list(PARTS)},
]


@pytest.mark.parametrize("options", ASKED)
def test_an_answer_holds_the_question_only_where_it_tells_of_its_words(
    options: dict[str, Any], place: Place
) -> None:
    response = place.post("/ask", json={"question": QUESTION} | options)
    assert response.status_code == 200
    assert MARK in response.json()["unknown"]
    assert betrayed(told(response)) == []


def test_what_an_urgent_question_is_answered_with_holds_none_of_it(place: Place) -> None:
    question = f"I want to kill myself, {MARK}, and I have a fever of 39.5 during chemotherapy"
    response = place.post("/ask", json={"question": question, "include": ["receipt"]})
    assert {notice["code"] for notice in response.json()["notices"]} >= {"crisis"}
    assert betrayed(told(response)) == []


def test_a_text_that_is_verified_is_told_to_whoever_sent_it_and_to_nobody_else(place: Place) -> None:
    response = place.post("/verify", json={"text": QUESTION, "cited": ["drugs/tarlatamab"]})
    assert [one["verdict"] for one in response.json()["sentences"]] == ["unsupported"]
    assert betrayed(response.text)
    assert betrayed(str(response.headers)) == []


REFUSED: list[tuple[str, Any]] = [
    ("/ask", {"question": QUESTION * 60}),
    ("/ask", {"question": [QUESTION]}),
    ("/ask", {"question": {"text": QUESTION}}),
    ("/ask", {"question": QUESTION, "top_k": QUESTION}),
    ("/ask", {"question": QUESTION, "as_of": QUESTION}),
    ("/ask", {"question": QUESTION, "strict_license": QUESTION}),
    ("/ask", {"question": QUESTION, "include": [QUESTION]}),
    ("/ask", {"question": QUESTION, "include": QUESTION}),
    ("/ask", {"question": QUESTION, "history": [QUESTION]}),
    ("/ask", {"question": QUESTION, "history": [{"content": QUESTION, "role": QUESTION}]}),
    ("/ask", {"question": QUESTION, "filters": QUESTION}),
    ("/ask", {"question": QUESTION, "filters": {"tags": QUESTION}}),
    ("/ask", {"question": QUESTION, "filters": {"last_reviewed_after": QUESTION}}),
    ("/ask", {"question": QUESTION, "colour": QUESTION}),
    ("/ask", {"question": QUESTION, "filters": {"colour": [QUESTION]}}),
    ("/ask", [QUESTION]),
    ("/ask", QUESTION),
    ("/verify", {"text": QUESTION * 600, "cited": ["x"]}),
    ("/verify", {"text": QUESTION, "cited": ["no/such-page"]}),
    ("/verify", {"text": QUESTION, "cited": []}),
    ("/verify", {"text": QUESTION}),
    ("/verify", {"text": [QUESTION], "cited": ["x"]}),
    ("/verify", {"text": QUESTION, "cited": QUESTION}),
    ("/verify", {"text": QUESTION, "cited": [[QUESTION]]}),
    ("/verify", {"text": QUESTION, "cited": [QUESTION * 20]}),
    ("/verify", {"text": QUESTION, "cited": ["drugs/tarlatamab"], "question": QUESTION}),
    ("/verify", [QUESTION]),
]


@pytest.mark.parametrize(("path", "body"), REFUSED)
def test_no_refusal_repeats_the_question(path: str, body: Any, place: Place) -> None:
    response = place.post(path, json=body)
    assert response.status_code == 422
    assert betrayed(told(response)) == []


@pytest.mark.parametrize("path", ["/ask", "/verify"])
@pytest.mark.parametrize(
    ("content", "status"),
    [
        (f'{{"question": "{QUESTION}"', 400),
        (f'{{"question": {QUESTION}}}', 400),
        (QUESTION, 400),
        (f'{{"question": "{QUESTION}\\ud800", "text": "{QUESTION}\\ud800", "cited": ["x"]}}', 422),
    ],
)
def test_what_is_no_json_or_no_text_is_not_repeated(
    path: str, content: str, status: int, place: Place
) -> None:
    response = place.post(path, content=content, headers={"content-type": "application/json"})
    assert response.status_code == status
    assert betrayed(told(response)) == []


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_question_sent_as_something_else_is_not_repeated(kind: str, place: Place) -> None:
    response = place.post("/ask", content=f"question={QUESTION}", headers={"content-type": kind})
    assert response.status_code == 415
    assert betrayed(told(response)) == []


@pytest.mark.parametrize("path", [*ROUTES, "/docs", "/ask/", f"/documents/{MARK}", f"/ask/{MARK}"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_a_question_in_an_address_is_not_repeated(method: str, path: str, place: Place) -> None:
    response = place.client.request(method, path, params={"question": QUESTION, MARK: "1"})
    assert betrayed(told(response)) == []


HEADERS = (
    *("user-agent", "referer", "cookie", "accept", "accept-language", "authorization", "x-request-id"),
    *("traceparent", "x-forwarded-for", "x-forwarded-proto", "x-real-ip", "forwarded", "origin", "host"),
    *("content-language", MARK),
)


@pytest.mark.parametrize("header", HEADERS)
def test_a_question_in_a_header_is_not_repeated(header: str, place: Place) -> None:
    asked = place.post("/ask", json={"question": "fever"}, headers={header: MARK})
    assert asked.status_code == 200
    assert betrayed(told(asked)) == []
    for path in ("/", "/ask/"):
        assert betrayed(told(place.get(path, headers={header: MARK}))) == []


@pytest.mark.parametrize(
    "data",
    [
        f"GET /{MARK}\r\n\r\n",
        f"{MARK} /ask HTTP/1.1\r\nHost: x\r\n\r\n",
        f"{MARK.upper()} /ask HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET /ask#{MARK} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET http://x/ask?{MARK} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET http://{MARK}/ask HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET {MARK} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET /ask HTTP/{MARK}\r\nHost: x\r\n\r\n",
        f"GET /ask HTTP/1.1\r\nHost: x\r\n{MARK}\r\n\r\n",
        f"POST /ask HTTP/1.1\r\nHost: x\r\nContent-Length: {MARK}\r\n\r\n",
        f"POST /ask HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{MARK}\r\n",
        f"GET /ask?{MARK} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: {MARK}\r\nConnection: Upgrade\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\nX: {MARK * 3000}\r\n\r\n",
        f"POST /ask HTTP/1.1\r\nHost: x\r\nExpect: {MARK}\r\nContent-Length: 2\r\n\r\n{{}}",
    ],
)
def test_a_question_in_broken_http_is_not_repeated(data: str, place: Place) -> None:
    assert betrayed(place.raw(data.encode())) == []


def test_someone_who_hangs_up_in_the_middle_of_a_question_leaves_nothing(place: Place) -> None:
    body = json.dumps({"question": QUESTION})
    head = f"POST /ask HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    assert place.raw(f"{head}\r\n\r\n{body[:-3]}".encode()) == b""
    assert place.get("/health/live").status_code == 200


def test_the_metrics_hold_no_question_however_often_it_was_asked(place: Place) -> None:
    for _ in range(3):
        place.post("/ask", json={"question": QUESTION})
    assert betrayed(place.get("/metrics").text) == []


def test_everything_that_was_asked_was_answered_on_the_record(place: Place) -> None:
    """Were nothing logged, nothing could be betrayed."""
    place.post("/ask", json={"question": QUESTION})
    place.get(f"/{MARK}")
    end = time.monotonic() + 5
    while not {("POST", "/ask", 200), ("GET", "/…", 404)} <= logged_requests(place):
        assert time.monotonic() < end, place.log()
        time.sleep(0.05)


def logged_requests(place: Place) -> set[tuple[str, str, int]]:
    """Method, route and status of every request in the log."""
    events = [json.loads(line) for line in place.log().splitlines() if line.startswith("{")]
    return {(one["method"], one["route"], one["status"]) for one in events if "route" in one}


def test_a_change_over_and_an_end_in_the_middle_of_a_question_leave_nothing(
    samples_index: Path, write_seed: WriteSeed, bundled: Encoder, tmp_path: Path
) -> None:
    write_seed("extra", "A page about fever.")
    (tmp_path / "server").mkdir()
    with placed(tmp_path / "server", samples_index) as place:
        before = place.post("/ask", json={"question": QUESTION, "include": ["receipt"]}).json()
        build_index(tmp_path / "seeds", place.root, bundled)
        assert place.post("/admin/reload", params={"question": QUESTION}, json=QUESTION).status_code == 200
        after = place.post("/ask", json={"question": QUESTION, "include": ["receipt"]}).json()
        assert before["receipt"]["question"] == after["receipt"]["question"]
        assert before["index"]["id"] != after["index"]["id"]
        (place.root / "current").write_text("broken\n")
        refused = place.post("/admin/reload", json=QUESTION)
        assert (refused.status_code, betrayed(refused.text)) == (409, [])
        end_in_the_middle(place)
        assert place.server.process.wait(30) == 0
        assert "now serving" in place.log()
        assert "is refused" in place.log()
        assert betrayed(place.log()) == []
        assert files_that_betray(place.folder) == []


def end_in_the_middle(place: Place) -> None:
    """Tell the server to stop while one question is half sent; another client hangs up before the end."""
    host, _, port = place.server.address.removeprefix("http://").partition(":")
    body = json.dumps({"question": QUESTION})
    head = f"POST /ask HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    with socket.create_connection((host, int(port)), timeout=30) as stays:
        gone = socket.create_connection((host, int(port)), timeout=30)
        for connection in (stays, gone):
            connection.sendall(f"{head}\r\n\r\n{body[:-3]}".encode())
        time.sleep(0.2)
        place.server.process.send_signal(signal.SIGTERM)
        gone.close()
        end = time.monotonic() + 10
        while "Shutting down" not in place.log() and time.monotonic() < end:
            time.sleep(0.05)
        stays.sendall(body[-3:].encode())
        assert stays.recv(1000).startswith(b"HTTP/1.1 200 OK")


# Crashes


class Panic(BaseException):
    """As the search library's own: no Exception, and its message may hold what it worked on."""


def crashing(part: str, failure: type[BaseException]) -> tuple[object, str, Callable[..., Any]]:
    """A part of the service, its method, and one in its place that fails with all that it was given."""
    owner, method = {
        "encoder": (KeywordEncoder, "encode_queries"),
        "dense search": (LocalIndex, "search"),
        "lexical search": (LocalIndex, "match"),
        "store": (LocalIndex, "chunks"),
        "retriever": (Retriever, "search"),
        "screen": (Screen, "alarms"),
        "extractor": (Extractor, "extract"),
        "verifier": (Verifier, "verify"),
        "documents": (LocalIndex, "document"),
    }[part]

    def fail(*given: object, **_options: object) -> None:
        try:
            raise ValueError(f"no room for {QUESTION}")
        except ValueError as error:
            raise failure(f"cannot read {QUESTION} of {given}") from error

    return owner, method, fail


PARTS_THAT_CRASH = (
    *("encoder", "dense search", "lexical search", "store", "retriever", "screen", "extractor"),
    *("verifier", "documents"),
)
FAILURES = (RuntimeError, ValueError, KeyError, OSError, MemoryError, StopIteration, Panic, TimeoutError)


@pytest.fixture
def little(tmp_path: Path, write_seed: WriteSeed) -> Path:
    for name in ("fever", "pain"):
        write_seed(name, f"Call your doctor about {name}.")
    build_index(tmp_path / "seeds", tmp_path / "index", KeywordEncoder())
    return tmp_path / "index"


@pytest.mark.parametrize("part", PARTS_THAT_CRASH)
def test_whatever_crashes_with_whatever_message_the_question_stays_where_it_was(
    part: str,
    little: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    answerer = Answerer(Retriever(LocalIndex.open(little), KeywordEncoder()), root=little)
    client = TestClient(create_app(LiveIndex(answerer)))
    for failure in FAILURES:
        with monkeypatch.context() as patch, caplog.at_level(logging.DEBUG):
            patch.setattr(*crashing(part, failure))
            if part in ("verifier", "documents"):
                response = client.post("/verify", json={"text": QUESTION, "cited": ["pain"]})
            else:
                response = client.post("/ask", json={"question": QUESTION, "include": ["receipt"]})
        if (part, failure) == ("documents", KeyError):
            assert response.status_code == 422  # as for a document that is not there
        else:
            assert response.status_code == 500
            assert "unforeseen " in caplog.text
        assert betrayed(response.text + str(response.headers)) == []
    assert client.post("/ask", json={"question": QUESTION}).status_code == 200
    told_to_operators = caplog.text + "".join(str(record.__dict__) for record in records(caplog))
    assert betrayed(told_to_operators) == []
    assert betrayed("".join(capfd.readouterr())) == []
    assert files_that_betray(little) == []


def records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What the service logged; the test's own client logs addresses of its own."""
    return [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]


CRASHING = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from keyword_encoder import KeywordEncoder
from rag.answer.answerer import Answerer
from rag.index.local.local_index import LocalIndex
from rag.search.retriever import Retriever
from rag.serve.api import create_app
from rag.serve.live import LiveIndex
from rag.serve.server import address_of, listen, run

class Panic(BaseException):
    pass

class Crashing(KeywordEncoder):
    def encode_queries(self, texts):
        raise (Panic if "panic" in texts[0] else RuntimeError)(f"cannot encode {{texts}}")

listener = listen("127.0.0.1", 0)
print(address_of(listener), flush=True)
answerer = Answerer(Retriever(LocalIndex.open(Path({index!r})), Crashing()))
run(create_app(LiveIndex(answerer)), listener)
"""


def test_a_real_server_that_crashes_time_after_time_serves_on_and_is_silent(
    little: Path, tmp_path: Path
) -> None:
    script = CRASHING.format(tests=str(TESTS), index=str(little))
    with running([sys.executable, "-c", script], tmp_path) as server:
        for word in ("panic", "error", "panic"):
            body = {"question": f"{word} {QUESTION}"}
            response = httpx.post(f"{server.address}/ask", json=body, timeout=30)
            assert (response.status_code, betrayed(response.text)) == (500, [])
        assert server.stop(signal.SIGTERM) == 0
        assert server.written().count("unforeseen Panic at ") == 2
        assert "Traceback" not in server.written()
        assert betrayed(server.written()) == []


# Files


@pytest.fixture(scope="module")
def opened_for_writing() -> Iterator[Callable[[], list[str]]]:
    """What this process opened for writing since it was asked last; a hook cannot be taken off again."""
    found: list[str] = []
    on = True

    def watch(event: str, given: tuple[Any, ...]) -> None:
        if on and event == "open" and isinstance(given[0], str | os.PathLike):
            mode, flags = given[1], given[2]
            if set(mode or "") & set("wax+") or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                found.append(os.fspath(given[0]))

    def since() -> list[str]:
        seen, found[:] = list(found), []
        return seen

    sys.addaudithook(watch)
    yield since
    on = False


def test_answering_writes_no_file_but_once_the_key_of_the_receipts(
    little: Path, opened_for_writing: Callable[[], list[str]]
) -> None:
    """What is written and removed again would be seen here, too."""
    answerer = Answerer(Retriever(LocalIndex.open(little), KeywordEncoder()), root=little)
    opened_for_writing()
    for _ in range(2):
        answerer.ask(QUESTION, top_k=50, history=[QUESTION])
        answerer.verifier.verify(QUESTION, ["pain"])
    assert opened_for_writing() == []
    answerer.ask(QUESTION, include=["receipt"])
    (key,) = opened_for_writing()
    assert Path(key).parent == little
    answerer.ask(QUESTION, include=["receipt"])
    assert opened_for_writing() == []
    assert files_that_betray(little) == []


# The command line


def test_the_command_line_says_nothing_of_a_question_but_what_was_found(
    samples_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(samples_index, tmp_path / "index", symlinks=True)
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.DEBUG):
        found = call("ask", QUESTION, "--json", "--include", "receipt", "--history", QUESTION)
        told_plainly = call("ask", QUESTION, "--top-k", "3")
    answer = json.loads(found.out)
    assert answer.pop("unknown") == [MARK]
    assert betrayed(json.dumps(answer) + found.err + caplog.text + told_plainly.err) == []
    (tmp_path / "answer.json").write_text(json.dumps(answer))
    replayed = call("replay", "answer.json", "--question", QUESTION, "--history", QUESTION)
    assert (replayed.out, replayed.err) == ("identical\n", "")
    other = call("replay", "answer.json", "--question", f"{QUESTION} More?")
    assert other.status == 1
    assert betrayed(other.out + other.err) == []
    assert files_that_betray(tmp_path) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["ask", QUESTION, "--top-k", "0"],
        ["ask", QUESTION * 60],
        ["ask", QUESTION, "--history", QUESTION * 60],
        ["ask", QUESTION, "--include", "all"],
        ["ask", QUESTION, "--include", QUESTION],
        ["ask", QUESTION, "--filter", "colour=red"],
        ["ask", QUESTION, "--filter", f"last_reviewed_after={QUESTION}"],
        ["ask", QUESTION, "--index", "nowhere"],
        ["verify", QUESTION, "--cite", "no/such-page"],
        ["verify", QUESTION * 600, "--cite", "x"],
        ["verify", QUESTION, "--cite", "x", "--index", "nowhere"],
        ["replay", "no-such-receipt.json", "--question", QUESTION],
        ["replay", "broken.json", "--question", QUESTION],
        ["replay", "empty.json", "--question", QUESTION],
        ["replay", "odd.json", "--question", QUESTION],
    ],
)
def test_no_refusal_on_the_command_line_repeats_the_question(
    arguments: list[str],
    samples_index: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "index").symlink_to(samples_index)
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "empty.json").write_text("{}")
    (tmp_path / "odd.json").write_text('{"version": 1, "request": {"top_k": "many"}}')
    line = call(*arguments).line
    assert line.startswith("rag: ")
    assert betrayed(line) == []


@pytest.mark.parametrize(
    ("arguments", "failure"),
    [
        (["ask", QUESTION], RuntimeError),
        (["ask", QUESTION, "--json"], Panic),
        (["replay", "receipt.json", "--question", QUESTION], KeyError),
    ],
)
def test_a_command_that_crashes_says_where_and_not_what_was_asked(
    arguments: list[str],
    failure: type[BaseException],
    samples_index: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def fail(_reader: object, question: str, *_more: object) -> None:
        raise failure(f"cannot read {question}") from ValueError(question)

    request = {"top_k": 5, "filters": {}, "as_of": "2026-01-31", "strict_license": False}
    receipt = {"version": 1, "request": request | {"low_confidence_passages": False}}
    (tmp_path / "receipt.json").write_text(json.dumps(receipt))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAG_INDEX", str(samples_index))
    monkeypatch.setattr(sys, "argv", ["rag", *arguments])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # the command sets its own
    monkeypatch.setattr(QuestionReader, "read", fail)
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capfd.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert "in fail\n" in err
    assert err.endswith(f"rag: unforeseen {failure.__name__}, see above; please report it\n")
    assert betrayed(err) == []
