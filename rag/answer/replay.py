"""Asks again what a receipt is of, and tells what differs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from rag.answer.answer import LOW_CONFIDENCE_PASSAGES, RECEIPT, Receipt
from rag.answer.answerer import Answerer
from rag.answer.receipt import RECEIPT_VERSION
from rag.errors import InvalidRequest
from rag.index.filters import Filters
from rag.index.local.layout import Layout

_ABSENT = "nothing"


def read_receipt(path: Path) -> Receipt:
    """The receipt in a file: a receipt, or an answer that holds one. Raises `InvalidRequest`."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidRequest("receipt", f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("receipt", f"{path} is not JSON: {error}") from None
    receipt = value.get("receipt", value) if isinstance(value, dict) else None
    if not isinstance(receipt, dict) or "request" not in receipt:
        raise InvalidRequest(
            "receipt", f"{path} holds no receipt; ask with 'include': ['receipt'] and keep the answer"
        )
    if receipt.get("version") != RECEIPT_VERSION:
        found = receipt.get("version")
        raise InvalidRequest("receipt", f"{path} has version {found!r}, expected {RECEIPT_VERSION}")
    return receipt


def version_of(receipt: Receipt, root: Path) -> str | None:
    """The version that answered where the index folder `root` still has it, else None."""
    name = str(_part(receipt, "index").get("id"))
    return name if name in {folder.name for folder in Layout(root).versions.glob("[!.]*")} else None


def replay(receipt: Receipt, answerer: Answerer, question: str, history: Sequence[str] = ()) -> list[str]:
    """Ask `question` as the receipt says and return what differs, a line each; none when it is identical.

    Raises `InvalidRequest` for a receipt whose request cannot be asked.
    """
    answer = answerer.ask(question, history=history, **_asked(receipt["request"]))
    again = json.loads(json.dumps(answer.receipt))
    return list(_differences(_comparable(receipt, again), again, ""))


def _asked(request: Any) -> dict[str, Any]:
    """The request of a receipt as `Answerer.ask` takes it, without the question and its history."""
    try:
        passages = (LOW_CONFIDENCE_PASSAGES,) if request["low_confidence_passages"] else ()
        return {
            "top_k": int(request["top_k"]),
            "filters": Filters.parse(request["filters"]),
            "as_of": date.fromisoformat(request["as_of"]),
            "strict_license": bool(request["strict_license"]),
            "include": (RECEIPT, *passages),
        }
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise InvalidRequest("receipt", f"its request cannot be asked: {error!r}") from None


def _comparable(receipt: Receipt, again: Receipt) -> Receipt:
    """The receipt, with a question that was hashed with another key passed over: it cannot be compared."""
    ours = again["question"]
    return receipt if is_comparable(receipt, ours["key_id"]) else receipt | {"question": ours}


def is_comparable(receipt: Receipt, key_id: str) -> bool:
    """Whether the question itself can be compared: only when it was hashed with the same key."""
    # Where no key is named at all, the question is what differs.
    return bool(_part(receipt, "question").get("key_id", key_id) == key_id)


def _part(receipt: Receipt, name: str) -> dict[str, Any]:
    part = receipt.get(name)
    return part if isinstance(part, dict) else {}


def _differences(was: Any, now: Any, place: str) -> Iterator[str]:
    if isinstance(was, dict) and isinstance(now, dict):
        for name in (*was, *(name for name in now if name not in was)):
            inside = f"{place}.{name}" if place else name
            yield from _differences(was.get(name, _ABSENT), now.get(name, _ABSENT), inside)
    elif isinstance(was, list) and isinstance(now, list):
        for at in range(max(len(was), len(now))):
            before = was[at] if at < len(was) else _ABSENT
            after = now[at] if at < len(now) else _ABSENT
            yield from _differences(before, after, f"{place}[{at}]")
    elif was != now:
        yield f"{place}: was {_told(was)}, is {_told(now)}"


def _told(value: Any) -> str:
    return value if value is _ABSENT else json.dumps(value, ensure_ascii=False)
