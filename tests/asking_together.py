"""Many clients who ask without a pause, and a strict account of what became of every request."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_SECONDS = 20


@dataclass
class Account:
    """What became of the requests: `answered`, `lost` after they were sent, or `refused` before that."""

    counts: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    losses: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    ended: threading.Event = field(default_factory=threading.Event)

    def wait_for(self, answered: int) -> None:
        """Wait until so many more requests were answered."""
        goal, end = self.counts["answered"] + answered, time.monotonic() + _SECONDS
        while self.counts["answered"] < goal:
            assert time.monotonic() < end, (self.counts, self.losses)
            time.sleep(0.01)


@contextmanager
def asking(port: int, data: bytes, *, clients: int, keep_alive: bool) -> Iterator[Account]:
    """Clients who send `data` again and again until the block ends, each on one connection or many."""
    account = Account()
    threads = [
        threading.Thread(target=_ask, args=(account, port, data), kwargs={"keep_alive": keep_alive})
        for _ in range(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        yield account
    finally:
        account.ended.set()
        for thread in threads:
            thread.join(_SECONDS)


def _ask(account: Account, port: int, data: bytes, *, keep_alive: bool) -> None:
    connection = None
    while not account.ended.is_set():
        if connection is None:
            try:
                connection = socket.create_connection(("127.0.0.1", port), timeout=_SECONDS)
            except OSError:
                _note(account, "refused")
                time.sleep(0.02)
                continue
        closes = _answered(account, connection, data)
        if closes or not keep_alive:
            connection.close()
            connection = None
    if connection is not None:
        connection.close()


def _answered(account: Account, connection: socket.socket, data: bytes) -> bool:
    """Send a request and read its answer; whether the connection is over."""
    received = b""
    try:
        connection.sendall(data)
        while not _whole(received):
            part = connection.recv(65536)
            if not part:
                raise ConnectionError("closed")
            received += part
    except OSError as error:
        _note(account, "lost", f"{error!r} after {len(received)} bytes")
        return True
    with account.lock:
        account.statuses[int(received[9:12])] += 1
    _note(account, "answered")
    return b"connection: close" in received.partition(b"\r\n\r\n")[0].lower()


def _whole(received: bytes) -> bool:
    head, found, body = received.partition(b"\r\n\r\n")
    if not found:
        return False
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return len(body) >= int(lengths[0].partition(b":")[2])


def _note(account: Account, what: str, why: str = "") -> None:
    with account.lock:
        account.counts[what] += 1
        if why:
            account.losses.append(why)
