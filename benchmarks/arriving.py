"""A client for load tests: raw HTTP/1.1 over kept connections, in a closed or an open loop.

In a closed loop so many clients wait for each answer before they ask again; in an open loop requests arrive
at random, whether earlier ones have been answered or not, as they do from people.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from corpus import SHARED

_BAD = 0.1
_MOST_CONNECTIONS = 2_000


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent, and the status that should come back."""

    head: bytes
    body: bytes
    expected: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """When a request was due and answered (seconds since the start of its phase), and how."""

    due: float
    took: float
    status: int
    expected: int


@dataclass(slots=True)
class Client:
    """Sends requests over as many kept connections as are needed at once."""

    host: str
    port: int
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def send(self, request: Request) -> int:
        """The status of the answer, which was read to its end; 0 when the connection broke."""
        try:
            reader, writer = (
                self.idle.pop() if self.idle else await asyncio.open_connection(self.host, self.port)
            )
            writer.write(request.head + request.body)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError, ValueError):
            return 0
        if b"connection: close" in head:
            writer.close()
        else:
            self.idle.append((reader, writer))
        return int(head.split(b" ", 2)[1])


def request(
    body: bytes, expected: int = 200, *, start: str = "POST /ask", kind: str = "application/json"
) -> Request:
    """A request with its head as bytes."""
    head = f"{start} HTTP/1.1\r\nHost: load\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return Request(head.encode(), body, expected)


def asked(question: str, **options: object) -> bytes:
    """The body of a question."""
    return json.dumps({"question": question, **options}).encode()


def bad_requests() -> list[Request]:
    """One of each kind that clients send by mistake or malice."""
    return [
        request(b"{", 400),
        request(asked(""), 422),
        request(asked("x" * 2_001), 422),
        request(asked("fever", top_k=51), 422),
        request(asked("fever", filters={"colour": ["blue"]}), 422),
        request(b"", 404, start="GET /nowhere"),
        request(asked("fever"), 415, kind="text/plain"),
        request(b" " * 1_500_000, 413),
    ]


def mixed(questions: Sequence[str], rng: np.random.Generator) -> Callable[[], Request]:
    """Good requests, and one in ten that is bad."""
    good = [request(asked(question)) for question in questions]
    good += [request(asked(question, top_k=20)) for question in questions[::10]]
    bad = bad_requests()
    return lambda: _any(bad if rng.random() < _BAD else good, rng)


async def closed_loop(client: Client, take: Callable[[], Request], seconds: float, clients: int) -> float:
    """Requests a second of so many clients that wait for each answer."""
    end, answered = time.perf_counter() + seconds, 0

    async def one() -> None:
        nonlocal answered
        while time.perf_counter() < end:
            if await client.send(take()):
                answered += 1

    await asyncio.gather(*(one() for _ in range(clients)))
    return answered / seconds


async def open_loop(
    client: Client, take: Callable[[], Request], rate: float, seconds: float, rng: np.random.Generator
) -> list[Outcome]:
    """Requests that arrive at random, `rate` a second on average, for so many seconds."""
    outcomes: list[Outcome] = []
    sending: set[asyncio.Task[None]] = set()
    start = time.perf_counter()

    async def one(due: float) -> None:
        wanted = take()
        status = await client.send(wanted)
        outcomes.append(Outcome(due, time.perf_counter() - start - due, status, wanted.expected))

    due = 0.0
    while (due := due + rng.exponential(1 / rate)) < seconds:
        await asyncio.sleep(max(0.0, start + due - time.perf_counter()))
        if len(sending) < _MOST_CONNECTIONS:
            task = asyncio.create_task(one(due))
            sending.add(task)
            task.add_done_callback(sending.discard)
    await asyncio.gather(*sending)
    return outcomes


def percentile(outcomes: Sequence[Outcome], share: float) -> float:
    """A percentile of the time that answers took, in milliseconds."""
    return 1000 * float(np.percentile([one.took for one in outcomes], share)) if outcomes else 0.0


def _any(requests: Sequence[Request], rng: np.random.Generator) -> Request:
    return requests[int(rng.integers(len(requests)))]


def development_questions() -> list[str]:
    """The development questions."""
    return [
        json.loads(line)["question"]
        for name in ("lay-dev", "pdq-dev")
        for line in (SHARED / "eval" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
