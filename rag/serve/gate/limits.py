"""How often one API key and one address may ask: counted in this process, or in a Redis for several.

The window slides over two counters for each limit, the last whole window and the present one (the strategy
"sliding window counter" of the library `limits`). A fixed window would let twice the limit through at its
edge; a list of moments would take memory for each question asked. Who is counted is known by a keyed
hash alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from limits import RateLimitItem, parse_many
from limits.aio.storage import RedisStorage
from limits.errors import ConfigurationError
from starlette._utils import get_route_path
from starlette.types import ASGIApp, Receive, Scope, Send

from rag.errors import InvalidRequest, SettingsError
from rag.serve.gate.proxies import address_of
from rag.serve.gate.windows import Counter, MemoryWindows, Windows
from rag.serve.problems import problem_response

_log = logging.getLogger(__name__)

_COUNTED = frozenset({"/ask", "/verify", "/search", "/feedback"})
_MEMORY = "memory://"
_REDIS = ("redis://", "rediss://")
_LIMIT = re.compile(r"[1-9][0-9]{0,8}/(second|minute|hour|day)", re.IGNORECASE)

_SECONDS_FOR_REDIS = 0.5
_SECONDS_OF_REST = 5.0
_SECONDS_BETWEEN_WARNINGS = 60.0
_CONNECTIONS = 32


class Limiter:
    """Counts questions for each API key and each address.

    `per_key` and `per_address` are limits like "1200/minute", several with ";" between them, or "none".
    `storage` is "memory://" or the address of a Redis; with that all processes count together, and their
    keyed hashes share a key made of `secret`, else of the address of the Redis with its password. In memory
    each process draws a key of its own. Raises `SettingsError`.
    """

    def __init__(
        self,
        per_key: str,
        per_address: str,
        storage: str,
        *,
        secret: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_key = _limits("limit_per_key", per_key)
        self._per_address = _limits("limit_per_address", per_address)
        self._clock, self._fails = clock, False
        self._rests_until = self._warned = -math.inf
        self._pool: Any = None
        if storage == _MEMORY:
            # Two, so that a crowd of addresses cannot make the counts of a key forgotten.
            self._keys: Windows = MemoryWindows(clock=clock)
            self._addresses: Windows = MemoryWindows(clock=clock)
            self._hash_key = secrets.token_bytes(32)
        else:
            self._keys = self._addresses = self._redis(storage)
            self._hash_key = hashlib.blake2b((secret or storage).encode()).digest()

    async def take(self, scope: Scope, questions: int = 1) -> int | None:
        """Whole seconds to wait, at least 1, or None where the questions are admitted and counted.

        What is refused is not counted. Raises `InvalidRequest` where they are more than a limit ever lets in
        at once. Where the storage fails they are admitted, and it is left alone for some seconds.
        """
        counters = list(self._counters(scope))
        for counter in counters:
            if questions > counter.limit.amount:
                raise InvalidRequest("questions", f"at most {counter.limit.amount} at once are allowed here")
        return await self._take(counters, questions) if counters else None

    async def _take(self, counters: Sequence[Counter], questions: int) -> int | None:
        now = self._clock()
        if self._fails:
            if now < self._rests_until:
                return None
            # This request alone finds out whether the storage is back; the others do not wait for it.
            self._rests_until = now + _SECONDS_OF_REST
        try:
            async with asyncio.timeout(_SECONDS_FOR_REDIS):
                wait = await _take(counters, questions)
        except Exception as error:  # noqa: BLE001 - whatever a storage raises must not cost an answer
            self._rest(now, error)
            return None
        if self._fails:
            self._fails = False
            _log.info("Redis answers again: limits are counted")
        return wait

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self._pool is not None:
            await self._pool.aclose()

    def _counters(self, scope: Scope) -> Iterator[Counter]:
        key = scope.get("state", {}).get("key")
        if key is not None:
            identity = self._hashed(f"key {key.id}")
            for limit in self._per_key:
                yield Counter(windows=self._keys, limit=limit, key=limit.key_for(identity))
        network = _network(scope)
        if network is not None:
            identity = self._hashed(f"address {network}")
            for limit in self._per_address:
                yield Counter(windows=self._addresses, limit=limit, key=limit.key_for(identity))

    def _hashed(self, identity: str) -> str:
        return hashlib.blake2b(
            identity.encode(errors="backslashreplace"), key=self._hash_key, digest_size=16
        ).hexdigest()

    def _rest(self, now: float, error: Exception) -> None:
        self._fails, self._rests_until = True, now + _SECONDS_OF_REST
        if now - self._warned >= _SECONDS_BETWEEN_WARNINGS:
            self._warned = now
            # The message of the error may hold the address of the Redis, and its password.
            kind = type(error.__cause__ or error).__name__
            _log.warning("limits are not counted, all requests are admitted: no answer from Redis (%s)", kind)

    def _redis(self, storage: str) -> RedisStorage:
        if not storage.startswith(_REDIS):
            raise _bad_storage("is no storage that is known here")
        try:
            from redis.asyncio import BlockingConnectionPool
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
        except ImportError:
            raise _bad_storage("needs the extra: pip install 'citewell[redis]'") from None
        patience = _SECONDS_FOR_REDIS
        try:
            # The libraries take the first port of this machine for what is missing.
            if not urlsplit(storage).hostname:
                raise ValueError
            self._pool = BlockingConnectionPool.from_url(
                storage,
                max_connections=_CONNECTIONS,
                timeout=patience,
                socket_timeout=patience,
                socket_connect_timeout=patience,
                # A connection that Redis closed in the meantime is no failure.
                retry=Retry(NoBackoff(), 1),
            )
            return RedisStorage(
                storage, implementation="redispy", key_prefix="citewell", connection_pool=self._pool
            )
        except (ValueError, ConfigurationError):
            raise _bad_storage("is no address of a Redis, with host and port") from None


class RateLimits:
    """Refuses questions beyond the limits with 429 and `Retry-After`; a batch is counted in its route."""

    def __init__(self, app: ASGIApp, limiter: Limiter) -> None:
        self._app, self._limiter = app, limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI has it."""
        if scope["type"] == "http" and scope["method"] == "POST" and _route(scope) in _COUNTED:
            seconds = await self._limiter.take(scope)
            if seconds is not None:
                detail = f"Too many questions in a short time; ask again in {seconds} s."
                headers = {"Retry-After": str(seconds)}
                response = problem_response(scope, HTTPStatus.TOO_MANY_REQUESTS, detail, headers=headers)
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _route(scope: Scope) -> str:
    """The path that routes are chosen by, without the line break that their patterns let pass at its end."""
    return str(get_route_path(scope)).removesuffix("\n")


async def _take(counters: Sequence[Counter], questions: int) -> int | None:
    """Take from all counters or from none; another process may come between, and that costs one of them."""
    if len(counters) > 1:
        wait = max([await counter.wait(questions) for counter in counters])
        if wait:
            return wait
    for counter in counters:
        if not await counter.take(questions):
            return max(1, await counter.wait(questions))
    return None


def _network(scope: Scope) -> str | None:
    """Who is counted as one: an IPv4 address, an IPv6 network of 64 bits, or None for this machine."""
    client = scope.get("client")
    if not client:
        return None
    address = address_of(client[0])
    if address is None:
        return str(client[0])
    if address.is_loopback:
        return None
    # A household or a server is given 64 bits of addresses at least, and may use each of them.
    return str(address) if address.version == 4 else f"{int(address) >> 64:x}::/64"


def _limits(setting: str, text: str) -> list[RateLimitItem]:
    if text.strip().lower() == "none":
        return []
    parts = [part.strip() for part in text.split(";")]
    if not all(_LIMIT.fullmatch(part) for part in parts):
        raise SettingsError(
            f"{setting} (RAG_{setting.upper()}): '{text}' is no limit; write 1200/minute, several like "
            "20/second;1200/minute (of second, minute, hour and day), or none"
        )
    return parse_many(";".join(parts))


def _bad_storage(found: str) -> SettingsError:
    # The value may hold a password and is not repeated.
    return SettingsError(
        f"limits_storage (RAG_LIMITS_STORAGE): the value {found}; write memory://, or "
        "redis://127.0.0.1:6379/0 where several processes count together"
    )
