"""Results that are kept for whoever asks the same again, under a keyed hash: no question is kept itself."""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from threading import Lock
from typing import Generic, TypeVar

_V = TypeVar("_V")


class Remembered(Generic[_V]):
    """At most `entries` results; the longest unused goes first. With 0 entries it keeps nothing.

    The key of the hash is drawn here and never leaves the process. Safe to use from several threads.
    """

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._kept: OrderedDict[bytes, _V] = OrderedDict()
        self._key = secrets.token_bytes(32)
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def is_on(self) -> bool:
        """Whether anything is kept at all."""
        return self._entries > 0

    def key_of(self, text: str) -> bytes:
        """What stands for a text."""
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=32).digest()

    def get(self, key: bytes) -> _V | None:
        """The result under this key, if it is there still."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def put(self, key: bytes, result: _V) -> None:
        """Keep a result, in place of the one that was unused the longest."""
        if not self.is_on:
            return
        with self._lock:
            self._kept[key] = result
            self._kept.move_to_end(key)
            while len(self._kept) > self._entries:
                self._kept.popitem(last=False)
