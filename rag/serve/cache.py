"""Answers that were given already, kept for whoever asks the same again.

The key is a keyed hash, so no question is kept; nor is an answer that repeats a word of one. It covers the
whole request, the index and the day, because each of them changes what is right.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

# Larger ones (top_k 50) are rare and would take the room of many.
_LARGEST = 200_000


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer as it is sent, and what is counted of it."""

    body: bytes
    status: str
    notices: tuple[str, ...]


class AnswerCache:
    """At most `entries` answers, the longest unused goes first.

    Safe to use from several threads. With 0 entries it keeps nothing.
    """

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()
        self._key = secrets.token_bytes(32)
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def is_on(self) -> bool:
        """Whether anything is kept at all."""
        return self._entries > 0

    def key_of(self, request: Mapping[str, Any], index_id: str) -> bytes:
        """What stands for a request (JSON values, its day included) to one index."""
        told = json.dumps([index_id, request], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.blake2b(told.encode("utf-8", "surrogatepass"), key=self._key, digest_size=32).digest()

    def get(self, key: bytes) -> Kept | None:
        """The answer under this key, if it is there still."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def put(self, key: bytes, answer: Kept) -> None:
        """Keep an answer, in place of the one that was unused the longest."""
        if not self.is_on or len(answer.body) > _LARGEST:
            return
        with self._lock:
            self._kept[key] = answer
            self._kept.move_to_end(key)
            while len(self._kept) > self._entries:
                self._kept.popitem(last=False)
