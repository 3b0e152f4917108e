"""Every answer tells a browser what it may do with it, and no site reads one that was not named."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse, Response
from gate_calls import Echo, Reply, answer, call, http_scope
from hypothesis import example, given
from hypothesis import strategies as st
from refusing import check_problem
from starlette.testclient import TestClient

from rag.errors import SettingsError
from rag.serve.gate.headers import SecurityHeaders, cors_of, docs_policy
from rag.serve.problems import LastResort, install_problem_handlers

ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-permitted-cross-domain-policies": "none",
}
ORIGIN = "https://chat.example.org"


def site() -> FastAPI:
    """An application with an answer, pages, a file to keep, and a failure."""
    app = FastAPI(redirect_slashes=False)
    install_problem_handlers(app)
    app.add_middleware(LastResort)
    app.add_middleware(SecurityHeaders)

    @app.post("/ask")
    def ask(question: dict[str, int]) -> dict[str, int]:
        return question

    @app.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse("<script>alert(1)</script>")

    @app.get("/style.css")
    def style() -> Response:
        return Response("", media_type="text/css", headers={"Cache-Control": "max-age=60"})

    @app.get("/broken")
    def broken() -> JSONResponse:
        raise RuntimeError

    return app


def directives(policy: str) -> dict[str, list[str]]:
    """A policy as a browser reads it."""
    return {name: sources for name, *sources in (part.split() for part in policy.split(";"))}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        *(("POST", "/ask", 200), ("GET", "/", 200), ("GET", "/docs", 200), ("GET", "/openapi.json", 200)),
        *(("GET", "/nowhere", 404), ("PUT", "/ask", 405), ("POST", "/ask?broken", 422)),
        *(("GET", "/docs/oauth2-redirect", 200), ("HEAD", "/docs", 200), ("GET", "/broken", 500)),
    ],
)
def test_every_answer_and_every_refusal_has_the_headers(method: str, path: str, status: int) -> None:
    body = "[]" if "broken" in path else '{"a": 1}'
    headers = {"content-type": "application/json"}
    with TestClient(site()) as client:
        response = client.request(method, path, content=body, headers=headers)
    assert response.status_code == status
    assert {name: response.headers.get(name) for name in ALWAYS} == ALWAYS
    assert response.headers["cache-control"] == "no-store"
    policy = directives(response.headers["content-security-policy"])
    assert (policy["default-src"], policy["frame-ancestors"]) == (["'none'"], ["'none'"])


def test_an_answer_that_is_no_page_may_load_nothing() -> None:
    with TestClient(site()) as client:
        policy = client.post("/ask", json={"a": 1}).headers["content-security-policy"]
    assert directives(policy) == {"default-src": ["'none'"], "frame-ancestors": ["'none'"]}


def test_a_page_runs_our_own_files_and_nothing_inline() -> None:
    with TestClient(site()) as client:
        policy = directives(client.get("/").headers["content-security-policy"])
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == ["'self'"]
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*", "https:"} & {
        one for all_ in policy.values() for one in all_
    }


def test_what_the_application_says_about_keeping_a_file_stays() -> None:
    with TestClient(site()) as client:
        response = client.get("/style.css")
    assert response.headers.get_list("cache-control") == ["max-age=60"]
    assert response.headers["x-content-type-options"] == "nosniff"


class _Page(HTMLParser):
    """What a browser would load and run: read with a parser, not with the expressions under test."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.icons: list[str] = []
        self.inline: list[str] = []
        self._in_script = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        self._in_script = tag == "script" and "src" not in told
        if tag == "script" and "src" in told:
            self.scripts.append(told["src"])
        if tag == "link":
            (self.styles if "stylesheet" in told["rel"] else self.icons).append(told["href"])

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.inline.append(data)
            self._in_script = False


def _sha256(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def test_the_documentation_may_load_what_its_page_names_and_nothing_else() -> None:
    with TestClient(site()) as client:
        response = client.get("/docs")
    page = _Page(response.text)
    assert len(page.scripts) == len(page.styles) == len(page.icons) == len(page.inline) == 1
    assert directives(response.headers["content-security-policy"]) == {
        "default-src": ["'none'"],
        "script-src": [*page.scripts, _sha256(page.inline[0])],
        "style-src": page.styles,
        "img-src": ["'self'", "data:", *page.icons],
        "connect-src": ["'self'"],
        "form-action": ["'none'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
    # Whole files, no host: a CDN holds scripts of everybody.
    assert all(re.fullmatch(r"https://[\w.@/-]+\.(js|css)", url) for url in page.scripts + page.styles)


def test_another_page_does_not_get_the_policy_of_the_documentation() -> None:
    with TestClient(site()) as client:
        policies = [
            client.get(path).headers["content-security-policy"] for path in ("/", "/docs/oauth2-redirect")
        ]
    assert not any("sha256" in policy or "jsdelivr" in policy for policy in policies)


def test_a_script_with_other_line_breaks_is_hashed_as_a_browser_reads_it() -> None:
    assert _sha256("\nrun()\n") in docs_policy("<script>\r\nrun()\r\n</script>")


def test_a_changed_script_is_another_hash() -> None:
    assert docs_policy("<script>run()</script>") != docs_policy("<script>run(1)</script>")


@given(st.text() | st.text(alphabet="<>script linkhref=\"'https://;, \n"))
@example('<script src="https://a.example/b; script-src *"></script>')
@example('<link rel="stylesheet" href="https://a.example/b,c d">')
def test_law_no_page_widens_its_policy_beyond_whole_addresses(page: str) -> None:
    policy = directives(docs_policy(page))
    assert policy["default-src"] == ["'none'"]
    assert set(policy) == {
        *("default-src", "script-src", "style-src", "img-src", "connect-src"),
        *("form-action", "base-uri", "frame-ancestors"),
    }
    allowed = re.compile(r"'none'|'self'|data:|https://\S+|'sha256-[A-Za-z0-9+/]{43}='")
    assert all(allowed.fullmatch(source) for sources in policy.values() for source in sources)


def test_other_scopes_than_http_pass() -> None:
    echo = Echo()
    asyncio.run(call(SecurityHeaders(echo), {"type": "lifespan"}))
    assert echo.scopes == [{"type": "lifespan"}]


def preflight(origin: str, method: bytes = b"POST", *, origins: tuple[str, ...] = (ORIGIN,)) -> Reply:
    """What a browser gets when it asks whether a page of `origin` may call `/ask`."""
    headers = [
        (b"origin", origin.encode("latin-1")),
        (b"access-control-request-method", method),
        (b"access-control-request-headers", b"authorization, content-type"),
    ]
    return answer(cors_of(origins)(Echo()), http_scope("OPTIONS", headers=headers))


def exchange(origin: str, *, origins: tuple[str, ...] = (ORIGIN,)) -> dict[str, str]:
    """The headers of an answer to a page of `origin`."""
    scope = http_scope(headers=[(b"origin", origin.encode("latin-1")), (b"cookie", b"a=b")])
    return dict(answer(cors_of(origins)(Echo()), scope).headers)


def test_a_page_of_a_named_origin_may_ask_with_a_key() -> None:
    reply = preflight(ORIGIN)
    assert reply.status_code == 200
    assert reply.headers["access-control-allow-origin"] == ORIGIN
    assert "POST" in reply.headers["access-control-allow-methods"]
    assert "Authorization" in reply.headers["access-control-allow-headers"]


def test_a_page_of_a_named_origin_may_read_when_to_come_again_and_never_sends_cookies() -> None:
    headers = exchange(ORIGIN)
    assert headers["access-control-allow-origin"] == ORIGIN
    assert headers["access-control-expose-headers"] == "Retry-After, X-Request-ID"
    assert headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in headers


@pytest.mark.parametrize(
    ("origin", "method", "origins"),
    [
        ("https://evil.example", b"POST", (ORIGIN,)),
        ("http://chat.example.org", b"POST", (ORIGIN,)),
        ("https://chat.example.org.evil.example", b"POST", (ORIGIN,)),
        ("null", b"POST", (ORIGIN,)),
        (ORIGIN, b"DELETE", (ORIGIN,)),
        (ORIGIN, b"POST", ()),
    ],
)
def test_a_refused_preflight_is_problem_details_and_repeats_nothing(
    origin: str, method: bytes, origins: tuple[str, ...]
) -> None:
    reply = preflight(origin, method, origins=origins)
    problem = check_problem(reply, 400)
    assert "evil" not in problem["detail"]
    assert reply.headers.get("access-control-allow-origin") in {None, ORIGIN}
    assert (reply.headers.get("access-control-allow-origin") == ORIGIN) == (method == b"DELETE")


@given(st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40))
def test_law_no_other_origin_reads_an_answer(origin: str) -> None:
    assert origin == ORIGIN or "access-control-allow-origin" not in exchange(origin)
    assert "access-control-allow-origin" not in exchange(origin, origins=())


def test_an_origin_for_everybody_is_refused_with_the_reason() -> None:
    with pytest.raises(SettingsError, match=r"cors_origins .*'\*' would let every web page ask") as error:
        cors_of([ORIGIN, "*"])
    assert ORIGIN in str(error.value)


@pytest.mark.parametrize(
    "origin",
    [
        *("", "chat.example.org", "https://chat.example.org/", "https://chat.example.org/page", "null"),
        *("https://Chat.example.org", "https://chat.example.org:443", "http://chat.example.org:80"),
        *("https://*.example.org", "ftp://chat.example.org", "https://", "https://a b", "https://a:99999"),
        *(
            "https://user@chat.example.org",
            "https://chät.example.org",
            "https://[::1",
            "https://a?b",
            "https://a#b",
        ),
    ],
)
def test_an_origin_that_no_browser_sends_is_refused_rather_than_never_matched(origin: str) -> None:
    with pytest.raises(SettingsError, match=r"cors_origins .*RAG_CORS_ORIGINS.*https://chat\.example\.org"):
        cors_of([origin])


@pytest.mark.parametrize(
    "origin",
    [
        ORIGIN,
        "http://localhost:3000",
        "http://127.0.0.1:8080",
        "http://[::1]:5173",
        "https://xn--cht-qla.org",
    ],
)
def test_an_origin_as_browsers_send_it_is_taken(origin: str) -> None:
    assert exchange(origin, origins=(origin,))["access-control-allow-origin"] == origin
