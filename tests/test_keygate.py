"""The gate: which key opens which path, and that no spelling of a path or a header opens more."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from hypothesis import example, given
from hypothesis import strategies as st
from refusing import check_problem
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.serve.gate.issuing import add_key, revoke_key
from rag.serve.gate.keygate import KeyGate, is_loopback, keys_required, scopes_needed
from rag.serve.gate.keys import SCOPES, KeyRing

ROOT = Path(__file__).parent.parent
PATHS = {
    "/ask": "ask",
    "/ask/batch": "ask",
    "/verify": "ask",
    "/feedback": "ask",
    "/search": "search",
    "/documents/drugs/a": "search",
    "/admin/reload": "admin",
    "/metrics": "admin",
}
OPEN = (
    "/",
    "/health/live",
    "/health/ready",
    "/docs",
    "/docs/oauth2-redirect",
    "/openapi.json",
    "/static/a.js",
)
SPELLINGS = (
    *(
        "/%61sk",
        "//ask",
        "/ask/",
        "/ask//",
        "/./ask",
        "/x/../ask",
        "/ask/.",
        "/ask?key=1",
        "/ask%2f",
        "/%2fask",
    ),
    *(
        "/docs/../ask",
        "/docs/..%2fask",
        "/static/%2e%2e/ask",
        "/health/live/../../ask",
        "//docs/../ask",
        "/ASK",
    ),
    *(
        "/docs/..//ask",
        "/openapi.json/../ask",
        "/ask%00",
        "/ask%0a",
        "/ask;x",
        "/docs%2f..%2fask",
        "/;/../ask",
    ),
)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A token for each scope, and where their file is."""
    file = tmp_path_factory.mktemp("ring") / "keys.json"
    return {"": str(file)} | {scope: add_key(file, f"for-{scope}", [scope]) for scope in SCOPES}


@pytest.fixture(scope="module")
def ring(tokens: Mapping[str, str]) -> KeyRing:
    return KeyRing(Path(tokens[""]))


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def reached(request: Request) -> Response:
    """Tells which route was reached and by which key."""
    key = getattr(request.state, "key", None)
    return JSONResponse({"reached": request.scope["route"].path, "key": key.name if key else None})


ROUTES = [
    Route(
        "/documents/{doc_id:path}" if path.startswith("/documents") else path,
        reached,
        methods=["GET", "POST"],
    )
    for path in (*PATHS, *OPEN)
]


def service(ring: KeyRing, *, required: bool = True) -> ASGIApp:
    """The routes of the service behind the gate."""
    app = Starlette(routes=ROUTES)
    app.router.redirect_slashes = False
    return KeyGate(app, ring, required=required)


@pytest.fixture(scope="module")
def client(ring: KeyRing) -> TestClient:
    return TestClient(service(ring))


# Which key opens what


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("path", PATHS)
def test_a_key_opens_what_its_scope_names_and_no_scope_includes_another(
    path: str, scope: str, client: TestClient, tokens: Mapping[str, str]
) -> None:
    reply = client.post(path, headers=bearing(tokens[scope]))
    if scope == PATHS[path]:
        assert reply.json()["key"] == f"for-{scope}"
        return
    problem = check_problem(reply, 403)
    assert f"the scope '{PATHS[path]}'; this one has '{scope}'" in problem["detail"]
    challenge = f'Bearer realm="citewell", error="insufficient_scope", scope="{PATHS[path]}"'
    assert reply.headers["www-authenticate"] == challenge


@pytest.mark.parametrize("path", OPEN)
def test_health_pages_and_descriptions_are_open_to_all(
    path: str, client: TestClient, tokens: Mapping[str, str]
) -> None:
    assert client.get(path).json() == {"reached": path, "key": None}
    assert client.get(path, headers=bearing("cw_wrong")).json()["key"] is None
    assert client.get(path, headers=bearing(tokens["ask"])).json()["key"] == "for-ask"


@pytest.mark.parametrize(
    "path", [*PATHS, "/nowhere", "/health", "/health/deep", "/docsx", "/staticx", "/redoc"]
)
def test_everything_else_is_shut_to_whoever_comes_without_a_key(path: str, client: TestClient) -> None:
    reply = client.get(path)
    assert "Authorization: Bearer TOKEN" in check_problem(reply, 401)["detail"]
    assert reply.headers["www-authenticate"] == 'Bearer realm="citewell"'


def test_with_any_key_what_does_not_exist_is_not_found(client: TestClient, tokens: Mapping[str, str]) -> None:
    assert {client.get("/nowhere", headers=bearing(tokens[scope])).status_code for scope in SCOPES} == {404}


def test_an_unknown_key_is_told_so_and_not_repeated(client: TestClient, tokens: Mapping[str, str]) -> None:
    wrong = tokens["ask"][:-4] + "0000"
    reply = client.post("/ask", headers=bearing(wrong))
    assert "not known, or was revoked" in check_problem(reply, 401)["detail"]
    assert reply.headers["www-authenticate"] == 'Bearer realm="citewell", error="invalid_token"'
    assert wrong not in reply.text + str(reply.headers)


def test_every_route_that_is_documented_is_open_on_purpose_or_has_a_scope() -> None:
    """A new route without a rule would open for every key."""
    described = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))["paths"]
    assert described
    assert [path for path in described if scopes_needed(path) == frozenset()] == []


def test_where_no_key_is_required_all_is_open_and_a_key_still_known(
    ring: KeyRing, tokens: Mapping[str, str]
) -> None:
    client = TestClient(service(ring, required=False))
    for path, scope in PATHS.items():
        assert client.get(path).json()["key"] is None
        assert client.get(path, headers=bearing("cw_wrong")).json()["key"] is None
        for other in SCOPES:
            assert client.get(path, headers=bearing(tokens[other])).json()["key"] == f"for-{other}"
        assert scope in SCOPES


# Headers


@pytest.mark.parametrize(
    "form", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer  {}", "Bearer {} "], ids=repr
)
def test_the_scheme_is_known_in_any_case(form: str, client: TestClient, tokens: Mapping[str, str]) -> None:
    assert client.post("/ask", headers={"Authorization": form.format(tokens["ask"])}).status_code == 200


@pytest.mark.parametrize(
    "form", ["", "{}", "Bearer", "Bearer ", "Basic {}", "Token {}", "Bearer{}", "Bearer {},x"]
)
def test_no_other_form_of_the_header_opens(form: str, client: TestClient, tokens: Mapping[str, str]) -> None:
    check_problem(client.post("/ask", headers={"Authorization": form.format(tokens["ask"])}), 401)


def test_two_headers_open_nothing_for_nobody_knows_which_is_meant(
    client: TestClient, tokens: Mapping[str, str]
) -> None:
    both = [("Authorization", f"Bearer {tokens['ask']}"), ("Authorization", f"Bearer {tokens['admin']}")]
    check_problem(client.post("/ask", headers=both), 401)


def test_a_token_elsewhere_than_in_the_header_opens_nothing(
    client: TestClient, tokens: Mapping[str, str]
) -> None:
    token = tokens["ask"]
    check_problem(
        client.post("/ask", params={"access_token": token, "Authorization": f"Bearer {token}"}), 401
    )
    check_problem(client.post("/ask", data={"access_token": token}), 401)
    check_problem(client.post("/ask", headers={"X-API-Key": token, "Cookie": f"Authorization={token}"}), 401)


@given(value=st.binary(max_size=80))
def test_no_bytes_in_the_header_bring_the_gate_down(value: bytes, ring: KeyRing) -> None:
    assert passes(ring, "/ask", b"Bearer " + value) is False
    assert passes(ring, "/", value) is True


# Paths


def passes(ring: KeyRing, path: str, authorization: bytes, root_path: str = "") -> bool:
    """Whether a request comes through the gate."""
    through: list[Scope] = []

    async def beyond(scope: Scope, _receive: Receive, _send: Send) -> None:
        through.append(scope)

    async def sent(_message: Message) -> None:
        return

    async def received() -> Message:
        raise AssertionError("the gate needs no body")

    headers = [(b"authorization", authorization)]
    scope = {"type": "http", "method": "POST", "path": path, "root_path": root_path, "headers": headers}
    asyncio.run(KeyGate(beyond, ring, required=True)(scope, received, sent))
    return bool(through)


SEGMENTS = st.sampled_from(
    [
        "",
        ".",
        "..",
        "ask",
        "batch",
        "search",
        "documents",
        "metrics",
        "admin",
        "reload",
        "docs",
        "static",
        "x",
        "%2e",
    ]
)


def straightened(segments: list[str]) -> str:
    """The path as a proxy may rewrite it."""
    standing: list[str] = []
    for segment in segments:
        if segment == "..":
            standing = standing[:-1]
        elif segment not in ("", "."):
            standing.append(segment)
    return "/" + "/".join(standing)


def scopes_behind(path: str) -> set[str]:
    """The scopes of the routes that a path leads to, as the routes themselves see it."""
    scope = {"type": "http", "method": "POST", "path": path, "root_path": ""}
    guarded = zip(ROUTES, PATHS.values(), strict=False)
    return {needed for route, needed in guarded if route.matches(scope)[0] is Match.FULL}


@given(segments=st.lists(SEGMENTS, max_size=6), scope=st.sampled_from(SCOPES))
@example(segments=["documents", "..", "ask"], scope="search")
@example(segments=["documents", "..", "ask"], scope="ask")
def test_no_spelling_of_a_path_reaches_a_route_of_another_scope(
    segments: list[str], scope: str, ring: KeyRing, tokens: Mapping[str, str]
) -> None:
    """Whatever the routes make of a path, and whatever they would make of it once it is put straight."""
    path = "/" + "/".join(segments)
    if not passes(ring, path, f"Bearer {tokens[scope]}".encode()):
        return
    for meant in (path, straightened(segments)):
        assert scopes_behind(meant) <= {scope}


@given(segments=st.lists(SEGMENTS, max_size=6))
def test_who_bears_no_key_reaches_no_path_but_those_that_are_open(segments: list[str], ring: KeyRing) -> None:
    path = "/" + "/".join(segments)
    if passes(ring, path, b""):
        assert path == "/" or path.startswith(("/docs", "/static"))
        assert scopes_needed(path) is None


def test_the_path_is_read_as_the_routes_read_it_below_a_root_path(
    ring: KeyRing, tokens: Mapping[str, str]
) -> None:
    """A service behind a prefix routes what follows it, so a scope belongs to what follows it too."""
    searcher = f"Bearer {tokens['search']}".encode()
    assert not passes(ring, "/rag/ask", searcher, root_path="/rag")
    assert passes(ring, "/rag/search", searcher, root_path="/rag")
    assert not passes(ring, "/rag", b"", root_path="/rag")
    # A prefix that makes a path look open opens nothing.
    assert not passes(ring, "/docs/ask", b"", root_path="/docs")


@contextmanager
def on_a_socket(app: ASGIApp) -> Iterator[int]:
    """Serve for real, as clients that spell paths as they please will meet it; gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            end = time.monotonic() + 20
            while not server.started and time.monotonic() < end:
                time.sleep(0.01)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(20)


def replied(port: int, path: str, token: str | None = None) -> tuple[int, dict[str, Any]]:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST", path, headers=bearing(token) if token else {})
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    return response.status, json.loads(body) if body.startswith(b"{") else {}


def test_on_a_real_server_no_spelling_dodges_a_scope(ring: KeyRing, tokens: Mapping[str, str]) -> None:
    """The path comes over the socket letter by letter; what is reached is compared, not only the status."""
    with on_a_socket(service(ring)) as port:
        assert replied(port, "/%61sk", tokens["ask"]) == (200, {"reached": "/ask", "key": "for-ask"})
        for spelled in SPELLINGS:
            assert replied(port, spelled)[0] == 401, spelled
            for scope in ("search", "admin"):
                status, body = replied(port, spelled, tokens[scope])
                assert status in (403, 404), spelled
                assert "reached" not in body
            for path in ("metrics", "admin/reload"):
                target = spelled.replace("%61sk", "%6d" + path[1:] if path[0] == "m" else "%61" + path[1:])
                assert "reached" not in replied(port, target.replace("ask", path), tokens["ask"])[1]


# Live


def test_an_issued_and_a_revoked_key_count_at_the_next_request(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    client = TestClient(service(KeyRing(file)))
    assert client.post("/ask").status_code == 401
    for _ in range(5):
        token = add_key(file, "chatbot", ["ask"])
        assert client.post("/ask", headers=bearing(token)).status_code == 200
        revoke_key(file, "chatbot")
        assert client.post("/ask", headers=bearing(token)).status_code == 401


def test_a_file_that_breaks_closes_the_door_and_leaves_health_open(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "keys.json"
    token = add_key(file, "chatbot", ["ask"])
    client = TestClient(service(KeyRing(file)))
    assert client.post("/ask", headers=bearing(token)).status_code == 200
    good = file.read_bytes()
    file.write_bytes(good[:-9])
    check_problem(client.post("/ask", headers=bearing(token)), 401)
    assert client.get("/health/live").status_code == 200
    file.write_bytes(good)
    assert client.post("/ask", headers=bearing(token)).status_code == 200
    assert caplog.text.count("every API key is refused") == 1
    assert token not in caplog.text


def test_what_is_no_request_passes_untouched(ring: KeyRing) -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope)

    async def nothing() -> Message:
        return {}

    async def sent(_message: Message) -> None:
        return

    scope = {"type": "lifespan"}
    asyncio.run(KeyGate(app, ring, required=True)(scope, nothing, sent))
    assert seen == [{"type": "lifespan"}]
    assert seen[0] is scope


# Addresses


@pytest.mark.parametrize(
    "host",
    ["localhost", "127.0.0.1", "127.1", "127.255.255.254", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1"],
)
def test_an_address_of_this_machine_alone_needs_no_key(host: str) -> None:
    assert is_loopback(host)
    assert not keys_required("auto", host)


@pytest.mark.parametrize(
    "host",
    [
        *("0.0.0.0", "::", "", "0", "10.0.0.1", "192.168.1.2", "8.8.8.8", "::ffff:8.8.8.8", "128.0.0.1"),  # noqa: S104
        *("2001:db8::1", "a" * 70, "a\0b", "\ud800", "unix:/run/x", "127.0.0.1:8000", "[::1]", "127.0.0.1/8"),
    ],
    ids=ascii,
)
def test_any_other_address_needs_a_key(host: str) -> None:
    assert not is_loopback(host)
    assert keys_required("auto", host)


@pytest.mark.parametrize(
    ("found", "own"),
    [(["127.0.0.1"], True), (["127.0.0.1", "::1"], True), (["127.0.0.1", "10.0.0.1"], False), ([], False)],
)
def test_a_name_is_as_safe_as_the_worst_address_behind_it(
    found: list[str],
    own: bool,  # noqa: FBT001 - a column of the table
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in found]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: answers)
    assert is_loopback("localhost.example") is own


def test_a_name_that_cannot_be_looked_up_counts_as_reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_args: Any, **_kwargs: Any) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "no server")

    monkeypatch.setattr(socket, "getaddrinfo", nothing)
    assert keys_required("auto", "rag.internal")


@given(host=st.ip_addresses())
def test_only_loopback_networks_are_loopback(host: Any) -> None:
    assert is_loopback(str(host)) is host.is_loopback or "::ffff:" in str(host)


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0", "a.invalid"])  # noqa: S104
def test_the_operator_has_the_last_word(host: str) -> None:
    assert keys_required("always", host)
    assert not keys_required("never", host)
