"""A chunk's citation: who says it, where, when it was reviewed, and a link to the very place.

Nothing is added that the document does not say of itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from rag.corpus.document import Metadata
from rag.index.backend import StoredChunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """How to cite a passage. `label` refers to its rank in the answer, `text` is fit to print."""

    label: str
    text: str
    title: str
    url: str | None
    deep_link: str | None
    source: str | None
    source_type: str | None
    citation: str | None
    license: str | None
    last_reviewed: date | None
    review_frequency: str | None
    audience: str
    audience_claim: str | None
    cancer_types: tuple[str, ...]
    language: str | None
    status: str
    tags: tuple[str, ...]
    version: str | None


def cite(stored: StoredChunk, *, rank: int) -> Citation:
    """Cite a chunk as the passage of rank `rank`, counted from 1."""
    metadata = stored.metadata
    return Citation(
        label=f"[{rank}]",
        text=citation_text(metadata),
        title=metadata.short_title,
        url=metadata.url,
        deep_link=deep_link(metadata.url, stored.fragment),
        source=metadata.source,
        source_type=metadata.source_type,
        citation=metadata.citation,
        license=metadata.license,
        last_reviewed=metadata.last_reviewed,
        review_frequency=metadata.review_frequency,
        audience=metadata.audience,
        audience_claim=metadata.audience_claim,
        cancer_types=metadata.cancer_types,
        language=metadata.language,
        status=metadata.status,
        tags=metadata.tags,
        version=metadata.version,
    )


def citation_text(metadata: Metadata) -> str:
    """One line: source, title, review date, address. A missing date is said, not passed over."""
    reviewed = metadata.last_reviewed
    parts = [
        " ".join((metadata.source or "").split()),
        " ".join(metadata.short_title.split()),
        f"Reviewed {reviewed.isoformat()}" if reviewed else "Review date unknown",
    ]
    sentences = [part if part.endswith((".", "?", "!")) else f"{part}." for part in parts if part]
    return " ".join([*sentences, *([metadata.url] if metadata.url else [])])


def deep_link(url: str | None, fragment: str) -> str | None:
    """The address with a text fragment; an address that has a fragment already keeps it."""
    if url is None or not fragment:
        return url
    joint = ":~:text=" if "#" in url else "#:~:text="
    return f"{url}{joint}{fragment}"
