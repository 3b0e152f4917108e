"""Asks a service over HTTP/1.1 as fast as it answers: a closed loop of so many clients, in one process.

Written on bare streams: an HTTP library would take more of the cores that it shares with the service.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlencode

# The slowest peer takes more than a second a question, and 64 clients wait for each other.
_TIMEOUT = 300.0


class NoAnswer(Exception):
    """The service closed the connection, or what it sent is no HTTP response with a length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What so many clients met in `seconds`.

    Times are milliseconds from the first byte sent to the last one received, of answered requests only.
    `statuses` counts all responses by status; a connection that broke counts as status 0. `rate` counts
    answered requests a second. `client_share` is the part of one core that the clients took.
    """

    clients: int
    seconds: float
    statuses: dict[int, int]
    rate: float
    p50: float
    p95: float
    p99: float
    client_share: float


@dataclass(slots=True)
class _Tally:
    milliseconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)


def post(path: str, body: object) -> bytes:
    """A POST request with a JSON body, ready to be sent."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(content) + content


def get(path: str, query: dict[str, str]) -> bytes:
    """A GET request, ready to be sent."""
    return f"GET {path}?{urlencode(query)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed (nearest rank); NaN of none."""
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1] if ordered else math.nan


def ask(port: int, request: bytes) -> tuple[int, bytes]:
    """Send one request on a connection of its own; its status and body. Raises `NoAnswer`, `OSError`."""
    [answer] = ask_all(port, [request])
    return answer


def ask_all(port: int, requests: Sequence[bytes]) -> list[tuple[int, bytes]]:
    """Send requests one after the other; status and body of each. Raises `NoAnswer`, `OSError`."""
    return asyncio.run(_ask_all(port, requests))


async def _ask_all(port: int, requests: Sequence[bytes]) -> list[tuple[int, bytes]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return [await _exchange(reader, writer, request) for request in requests]
    finally:
        writer.close()


def load(port: int, requests: Sequence[bytes], *, clients: int, seconds: float) -> Load:
    """Let `clients` ask for `seconds`, each its next request as soon as the last is answered.

    All go through the same requests, each from another place on. Requests that are under way at the end
    are waited for and counted.
    """
    tally, busy = _Tally(), time.process_time()
    started = time.perf_counter()
    asyncio.run(_crowd(port, requests, clients, started + seconds, tally))
    took = time.perf_counter() - started
    ordered = sorted(tally.milliseconds)
    return Load(
        clients=clients,
        seconds=took,
        statuses=dict(sorted(tally.statuses.items())),
        rate=len(ordered) / took,
        p50=percentile(ordered, 0.50),
        p95=percentile(ordered, 0.95),
        p99=percentile(ordered, 0.99),
        client_share=(time.process_time() - busy) / took,
    )


async def _crowd(port: int, requests: Sequence[bytes], clients: int, end: float, tally: _Tally) -> None:
    # Spread, so that no two clients ask the same at the same time where that can be helped.
    offsets = [number * len(requests) // clients for number in range(clients)]
    await asyncio.gather(*(_client(port, requests, offset, end, tally) for offset in offsets))


async def _client(port: int, requests: Sequence[bytes], place: int, end: float, tally: _Tally) -> None:
    while time.perf_counter() < end:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            tally.statuses[0] += 1
            await asyncio.sleep(0.01)  # a service that is gone would be asked in a hot loop
            continue
        try:
            while time.perf_counter() < end:
                await _timed(reader, writer, requests[place % len(requests)], tally)
                place += 1
        except (NoAnswer, OSError, TimeoutError):
            tally.statuses[0] += 1
            place += 1
        finally:
            writer.close()


async def _timed(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes, tally: _Tally
) -> None:
    started = time.perf_counter()
    status, _ = await _exchange(reader, writer, request)
    tally.statuses[status] += 1
    if status == HTTPStatus.OK:
        tally.milliseconds.append((time.perf_counter() - started) * 1000)


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[int, bytes]:
    writer.write(request)
    async with asyncio.timeout(_TIMEOUT):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            return _status(head), await reader.readexactly(_length(head))
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise NoAnswer(f"the connection ended within a response: {error}") from None


def _status(head: bytes) -> int:
    try:
        return int(head.split(b" ", 2)[1])
    except (IndexError, ValueError):
        raise NoAnswer(f"no HTTP response: {head[:80]!r}") from None


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    raise NoAnswer(f"a response without Content-Length: {head[:80]!r}")
