"""Headers that tell a browser what it may do with an answer, and which other sites may read it.

The policy of pages allows our own files and nothing inline. The one page made by others, Swagger UI at
/docs, gets a policy read from the page itself: the very files that it names and the hash of its one script.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from urllib.parse import urlsplit

from fastapi.responses import Response
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.errors import SettingsError
from rag.serve.problems import problem_response

DOCS = "/docs"

_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    # An address may hold a question by mistake.
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-permitted-cross-domain-policies", b"none"),
    (b"cache-control", b"no-store"),
)
_POLICY = b"content-security-policy"
_NO_PAGE = b"default-src 'none'; frame-ancestors 'none'"
_PAGE = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_SCRIPT = re.compile(r"<script(?P<attributes>[^>]*)>(?P<body>.*?)</script>", re.DOTALL | re.IGNORECASE)
_SOURCE = re.compile(r"""\ssrc=["'](https://[^"'\s;,]+)["']""", re.IGNORECASE)
_LINK = re.compile(r"<link\s[^>]*>", re.IGNORECASE)
_TARGET = re.compile(r"""\shref=["'](https://[^"'\s;,]+)["']""", re.IGNORECASE)

_Cors = Callable[[ASGIApp], CORSMiddleware]
_EXAMPLE = "write origins like https://chat.example.org, with commas between them"


class SecurityHeaders:
    """Adds the headers to every answer, refusals included; one that the application set itself stays."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        held: list[Message] = []

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                page = _is_page(message)
                if page and scope["path"] == DOCS:
                    held.append(message)
                    return
                _secure(message, _PAGE if page else _NO_PAGE)
            elif held and message["type"] == "http.response.body":
                start = held.pop()
                _secure(start, docs_policy(message.get("body", b"").decode("utf-8", "replace")).encode())
                await send(start)
            await send(message)

        await self._app(scope, receive, secured)


def docs_policy(page: str) -> str:
    """The Content-Security-Policy under which Swagger UI works, and nothing that its page does not name.

    FastAPI writes the page from constants of the application, so that no request can put a script into it.
    Swagger UI draws its icons as `data:` images and calls the routes of this service.
    """
    scripts = list(_SCRIPT.finditer(page))
    sources = [url for script in scripts for url in _SOURCE.findall(script["attributes"])]
    hashes = [_hash(script["body"]) for script in scripts if " src=" not in script["attributes"].lower()]
    links = _LINK.findall(page)
    styles = [url for link in links if "stylesheet" in link for url in _TARGET.findall(link)]
    images = ["'self'", "data:"]
    images += [url for link in links if "icon" in link for url in _TARGET.findall(link)]
    return (
        f"default-src 'none'; script-src {_listed(sources + hashes)}; style-src {_listed(styles)}; "
        f"img-src {_listed(images)}; connect-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )


def cors_of(origins: Sequence[str]) -> _Cors:
    """Wraps an application so that pages of these origins may call it; without origins no page may.

    Credentials of a browser are never let in; a key goes in Authorization. Raises `SettingsError`.
    """
    allowed = tuple(_origin(text) for text in origins)

    def wrap(app: ASGIApp) -> CORSMiddleware:
        return _ProblemCors(
            app,
            allow_origins=allowed,
            allow_methods=("GET", "POST"),
            allow_headers=("Authorization", "Content-Type"),
            expose_headers=("Retry-After", "X-Request-ID"),
            allow_credentials=False,
        )

    return wrap


class _ProblemCors(CORSMiddleware):
    """Refuses a preflight with problem details instead of plain text."""

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code < HTTPStatus.BAD_REQUEST:
            return response
        return _RefusedPreflight(dict(response.headers))


class _RefusedPreflight(Response):
    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__(status_code=HTTPStatus.BAD_REQUEST)
        kept = ("access-control-", "vary")
        self._told = {name: value for name, value in headers.items() if name.startswith(kept)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI has it."""
        detail = "This origin, method or header is not open to pages of other sites."
        response = problem_response(scope, HTTPStatus.BAD_REQUEST, detail, headers=self._told)
        await response(scope, receive, send)


def _secure(start: Message, policy: bytes) -> None:
    headers = list(start.get("headers", ()))
    given = {name.lower() for name, _ in headers}
    wanted = (*_ALWAYS, (_POLICY, policy))
    start["headers"] = headers + [header for header in wanted if header[0] not in given]


def _is_page(start: Message) -> bool:
    return any(
        name.lower() == b"content-type" and value.lower().startswith(b"text/html")
        for name, value in start.get("headers", ())
    )


def _hash(script: str) -> str:
    # A browser hashes a script as it parsed it, with every line break as one \n.
    text = script.replace("\r\n", "\n").replace("\r", "\n")
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _listed(sources: Sequence[str]) -> str:
    return " ".join(sources) or "'none'"


def _origin(text: str) -> str:
    if text == "*":
        raise SettingsError(
            "cors_origins (RAG_CORS_ORIGINS): '*' would let every web page ask this service through the "
            f"browsers of its readers; name the sites whose pages may: {_EXAMPLE}"
        )
    if text != _as_browsers_send(text):
        raise SettingsError(
            f"cors_origins (RAG_CORS_ORIGINS): '{text}' is no origin as browsers send it (http or https, "
            f"host in small letters, a port only where it is not the usual one, no path); {_EXAMPLE}"
        )
    return text


def _as_browsers_send(text: str) -> str | None:
    """The origin of an address (RFC 6454, section 6.2), None where there is none."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    usual = {"http": 80, "https": 443}
    host = parts.hostname or ""
    if parts.scheme not in usual or not re.fullmatch(r"[a-z0-9.:-]+", host):
        return None
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port and port != usual[parts.scheme] else "")
