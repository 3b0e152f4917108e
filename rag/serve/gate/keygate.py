"""The gate that lets a request pass by its API key, and whether a service needs one at all.

It refuses what it does not know: a path without a rule of its own needs some key, then gets its 404.
"""

from __future__ import annotations

import socket
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address
from posixpath import normpath
from typing import Literal

from starlette._utils import get_route_path
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from rag.serve.gate.keys import Key, KeyRing
from rag.serve.problems import problem_response

# Each with all that lies below it.
_SCOPE_OF = {
    "/ask": "ask",
    "/verify": "ask",
    "/feedback": "ask",
    "/search": "search",
    "/documents": "search",
    "/admin": "admin",
    "/metrics": "admin",
}
_OPEN = frozenset({"/", "/health/live", "/health/ready", "/openapi.json"})
_OPEN_BELOW = ("/docs", "/static")
_CHALLENGE = 'Bearer realm="citewell"'


class KeyGate:
    """Recognises the key of `Authorization: Bearer TOKEN` and keeps it as `scope["state"]["key"]`.

    Where keys are `required`, what comes without a known one gets 401, and with one of other scopes 403.
    """

    def __init__(self, app: ASGIApp, ring: KeyRing, *, required: bool) -> None:
        self._app, self._ring, self._required = app, ring, required

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        token = _token(scope)
        key = self._ring.check(token) if token else None
        if key:
            scope.setdefault("state", {})["key"] = key
        refusal = _refusal(scope, token, key) if self._required else None
        await (refusal or self._app)(scope, receive, send)


def scopes_needed(path: str) -> frozenset[str] | None:
    """The scopes that a key needs for a path; none of them: any key will do; None: no key is needed.

    The path counts as it stands and as it reads without `//`, `.` and `..`, so that no spelling needs less.
    White space at its end is left out of the second: '/ask%0a' is '/ask' to the routes, whose `$` allows it.
    """
    readings = (path, normpath("/" + path.strip().lstrip("/")))
    if all(_is_open(reading) for reading in readings):
        return None
    return frozenset(
        needed for reading in readings for root, needed in _SCOPE_OF.items() if _lies_in(reading, root)
    )


def keys_required(require: Literal["auto", "always", "never"], host: str) -> bool:
    """Whether a service on `host` needs keys; 'auto': unless nobody but this machine can reach it."""
    return require == "always" or (require == "auto" and not is_loopback(host))


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine alone: an address of 127.0.0.0/8, ::1, or a name of nothing else.

    A name is looked up just as for listening; one that cannot be found counts as reachable for others.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, ValueError):
        return False
    return bool(found) and all(_is_own(str(address[0])) for *_, address in found)


def _is_own(address: str) -> bool:
    read = ip_address(address)
    if isinstance(read, IPv6Address) and read.ipv4_mapped:
        return read.ipv4_mapped.is_loopback
    return read.is_loopback


def _is_open(path: str) -> bool:
    return path in _OPEN or any(_lies_in(path, root) for root in _OPEN_BELOW)


def _lies_in(path: str, root: str) -> bool:
    return path == root or path.startswith(f"{root}/")


def _token(scope: Scope) -> str | None:
    """The token that a request bears, None without one; of several nobody knows which is meant."""
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(found) != 1:
        return None
    scheme, _, token = found[0].decode("latin-1").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _refusal(scope: Scope, token: str | None, key: Key | None) -> Response | None:
    """What is answered in place of the service (RFC 6750), None for a request that may pass."""
    # The path that routes are chosen by; it is private, and a gate that read another one would be worse.
    needed = scopes_needed(get_route_path(scope))
    if needed is None:
        return None
    if key is None:
        return _unknown(scope, token)
    return None if needed <= key.scopes else _wrong(scope, needed, key)


def _wrong(scope: Scope, needed: frozenset[str], key: Key) -> Response:
    named = " ".join(sorted(needed))
    return problem_response(
        scope,
        HTTPStatus.FORBIDDEN,
        f"This takes an API key with the scope '{named}'; this one has '{' '.join(sorted(key.scopes))}'. "
        "Whoever runs the service can issue another one.",
        headers={"WWW-Authenticate": f'{_CHALLENGE}, error="insufficient_scope", scope="{named}"'},
    )


def _unknown(scope: Scope, token: str | None) -> Response:
    """A known way in is told to whoever came without a token; a refused token is not repeated."""
    if not token:
        detail = (
            "This takes an API key, sent once as 'Authorization: Bearer TOKEN'. Whoever runs the service can "
            "issue one."
        )
        challenge = _CHALLENGE
    else:
        detail = "This API key is not known, or was revoked. Whoever runs the service can issue another one."
        challenge = f'{_CHALLENGE}, error="invalid_token"'
    return problem_response(scope, HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": challenge})
