"""The records of the corpus station: a document, its metadata and the chunks cut from it.

Nothing here reads a file or parses markdown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What a document's front matter says, typed; None where it says nothing.

    `audience` is the reading that Citewell acts on, `audience_claim` what the document says of itself
    (see `rag.corpus.policy`). `extra` holds every unknown key as JSON values, untouched.
    """

    title: str
    url: str | None = None
    source: str | None = None
    source_type: str | None = None
    citation: str | None = None
    license: str | None = None
    language: str | None = None
    version: str | None = None
    status: str = "active"
    audience: str = "patient"
    audience_claim: str | None = None
    cancer_types: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    last_reviewed: date | None = None
    review_frequency: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def short_title(self) -> str:
        """The title without the publisher's name behind it: 'Tarlatamab-dlle - NCI' is 'Tarlatamab-dlle'."""
        for separator in (" - ", " | ", " – "):
            if self.source and self.title.endswith(separator + self.source):
                return self.title.removesuffix(separator + self.source)
        return self.title


@dataclass(frozen=True, slots=True)
class Document:
    """One file. `text` is the whole of it, front matter included, after the repairs named in `repairs`.

    Offsets anywhere in Citewell count code points of `text`. `body_start` is the offset of the first
    character after the front matter. `sha256` is the hex digest of the file's bytes as they lie on disk.
    """

    doc_id: str
    text: str
    body_start: int
    metadata: Metadata
    sha256: str
    repairs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """A link as a reader can follow it: relative targets are made absolute against the page."""

    text: str
    url: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """What is stored and searched: an exact slice of one document.

    `document.text[start:end] == markdown`; `text` is `plain_text(markdown)`. `context` is what stands
    before the text when it is embedded (title and headings); it is never shown or quoted.
    """

    chunk_id: str
    doc_id: str
    start: int
    end: int
    markdown: str
    text: str
    heading_path: tuple[str, ...]
    context: str
    links: tuple[Link, ...] = ()

    @property
    def embedded_text(self) -> str:
        """What an encoder gets to see of the chunk."""
        return embedded_text(self.context, self.text)


def embedded_text(context: str, text: str) -> str:
    """The one place that says how a chunk's context and text are put before an encoder."""
    return f"{context}\n{text}" if context else text
