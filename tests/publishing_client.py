"""Someone who publishes version after version, and clients that ask all the while and check what they get."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from little_index import page

from rag.encoders.base import Encoder
from rag.index.builder import build_index
from rag.index.local.layout import Layout
from rag.index.local.publishing import point_at

SUBJECTS = {
    "fever": "A fever after chemotherapy can be the first sign of an infection",
    "nausea": "Nausea passes sooner with small meals of plain rice",
    "hair": "Hair that fell out grows back after some weeks",
    "sleep": "Sleep comes easier in a cool and dark room",
    "pain": "Pain that wakes you at night is a reason to call your doctor",
    "lung": "A scan of the lung takes ten minutes and does not hurt",
}
QUESTIONS = (
    "What should I do about a fever?",
    "What helps against nausea?",
    "Will my hair grow back?",
    "Does a lung scan hurt?",
)


@dataclass(frozen=True, kw_only=True)
class Edition:
    """A version as it was published: the text and the file digest of every page in it."""

    number: int
    texts: dict[str, str]
    sha256: dict[str, str]


def _edition(number: int) -> tuple[Edition, dict[str, str]]:
    texts = {name: f"{words}, says edition {number:03}." for name, words in SUBJECTS.items()}
    pages = {name: page(text, title=name.capitalize()) for name, text in texts.items()}
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in pages.items()}
    return Edition(number=number, texts=texts, sha256=digests), pages


class Publisher:
    """Publishes editions of the same pages, which differ in the text of every page. `editions` has them by
    the id of their version, those that were never fit to serve left out.
    """

    def __init__(self, folder: Path, encoder: Encoder) -> None:
        self.root, self._seeds, self._encoder = folder / "index", folder / "seeds", encoder
        self._seeds.mkdir(parents=True)
        self._made = 0
        self.editions: dict[str, Edition] = {}

    def publish(self) -> str:
        """Publish the next edition; returns the id of its version."""
        edition, index_id = self._build(self.root)
        self.editions[index_id] = edition
        return index_id

    def publish_damaged(self, damage: Callable[[Path], object]) -> str:
        """Publish the next edition after something has happened to its folder; returns its version's id."""
        aside = self.root.parent / f"aside-{self._made}"
        _, index_id = self._build(aside)
        damage(aside / "versions" / index_id)
        layout = Layout(self.root)
        shutil.move(aside / "versions" / index_id, layout.version(index_id))
        point_at(layout, index_id)
        return index_id

    def _build(self, root: Path) -> tuple[Edition, str]:
        edition, pages = _edition(self._made)
        self._made += 1
        for name, text in pages.items():
            (self._seeds / f"{name}.md").write_text(text, encoding="utf-8")
        return edition, build_index(self._seeds, root, self._encoder).manifest.index_id


@dataclass
class Asking(threading.Thread):
    """Asks without pause over one connection until it is told to stop. `replies` are in order, as status and
    body; `broken` is what a connection failed with.
    """

    address: str
    over: threading.Event
    replies: list[tuple[int, Any]] = field(default_factory=list)
    broken: Exception | None = None

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        try:
            with httpx.Client(base_url=self.address, timeout=30) as client:
                while not self.over.is_set():
                    question = QUESTIONS[len(self.replies) % len(QUESTIONS)]
                    reply = client.post("/ask", json={"question": question, "top_k": len(SUBJECTS)})
                    self.replies.append((reply.status_code, reply.json()))
        except Exception as error:  # noqa: BLE001 - the test tells of it
            self.broken = error


def check_answer(answer: dict[str, Any], editions: dict[str, Edition]) -> int:
    """The number of the edition that an answer is from; every part of it is from that one."""
    edition = editions[answer["index"]["id"]]
    passages = answer["passages"]
    assert {one["location"]["doc_id"]: one["text"] for one in passages} == edition.texts
    assert {one["location"]["doc_id"]: one["location"]["sha256"] for one in passages} == edition.sha256
    assert [one["markdown"] for one in passages] == [one["text"] for one in passages]
    return edition.number
