"""Answers that were given already, kept for whoever asks the same again.

The key covers the whole request, the index and the day, because each of them changes what is right. No answer
is kept that repeats a word of its question.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rag.search.remembering import Remembered

# Larger ones (top_k 50) are rare and would take the room of many.
_LARGEST = 200_000


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer as it is sent, and what is counted of it."""

    body: bytes
    status: str
    notices: tuple[str, ...]


class AnswerCache(Remembered[Kept]):
    """At most `entries` answers. Safe to use from several threads."""

    def key_of_request(self, request: Mapping[str, Any], index_id: str) -> bytes:
        """What stands for a request (JSON values, its day included) to one index."""
        told = json.dumps([index_id, request], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return self.key_of(told)

    def put(self, key: bytes, result: Kept) -> None:
        """Keep an answer unless it is very large."""
        if len(result.body) <= _LARGEST:
            super().put(key, result)
