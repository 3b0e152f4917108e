"""Writes the lexical index in parts (buckets) by document, so that a changed page costs one part only.

A part is named after what is in it; one that an earlier version holds already is copied. BM25 counts
over all parts together, so they change no score.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import tantivy

from rag.index.local.keys import bucket_of, word_key
from rag.index.local.lexical import META, SCHEMA
from rag.index.words import joined

# Each part costs every search a little (0.1 ms at 78,000 chunks), so a small index has one only.
_BUCKETS = 4
_WORTH_BUCKETS = 8192
_HEAP_BYTES = 128_000_000
_PROBE_BYTES = 1 << 20


class LexicalRow(NamedTuple):
    """What is indexed of a chunk: its `word_key`, its document and its words."""

    key: int
    doc_id: str
    title: str
    headings: str
    body: str


@dataclass(frozen=True, slots=True)
class Bucket:
    """The documents of one part, in order; buckets of equal `key` hold the same."""

    key: str
    doc_ids: list[str]


def buckets_of(documents: Iterable[tuple[str, str]], chunks: int, recipe: object) -> list[Bucket]:
    """Part documents, given as (doc_id, chunks_key), into buckets; empty ones are left out.

    `chunks` is their number of chunks, `recipe` whatever else decides them (any JSON value).
    """
    number = _BUCKETS if chunks >= _WORTH_BUCKETS else 1
    parts: list[list[tuple[str, str]]] = [[] for _ in range(number)]
    for doc_id, key in sorted(documents):
        parts[bucket_of(doc_id, number)].append((doc_id, key))
    return [
        Bucket(
            hashlib.sha256(json.dumps([recipe, part], sort_keys=True).encode()).hexdigest(),
            [doc_id for doc_id, _ in part],
        )
        for part in parts
        if part
    ]


def write_lexical(
    folder: Path,
    buckets: Sequence[Bucket],
    rows: Callable[[Sequence[str]], Iterable[LexicalRow]],
    past: Path | None = None,
) -> None:
    """Make the lexical index `folder` of these buckets. Raises `OSError`.

    `rows` gives what is indexed of documents, by their ids; `past` is the folder of an earlier version.
    """
    folder.mkdir()
    with _writing(folder):
        tantivy.Index(SCHEMA, path=str(folder))
    meta = json.loads((folder / META).read_text(encoding="utf-8"))
    # Without an earlier version there is nothing to copy: a new folder has no segments.
    source = past or folder
    at_hand = _segments(source)
    for bucket in buckets:
        found = list(_named(bucket, at_hand))
        for segment in found:
            _copy(source, folder, segment)
        meta["segments"] += found or _written(folder, bucket, rows(bucket.doc_ids))
    (folder / META).unlink()
    (folder / META).write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")
    # The library keeps its files to their owner; they are as open as the others.
    mode = (folder / META).stat().st_mode
    for file in folder.iterdir():
        file.chmod(mode)


Segment = dict[str, Any]


def _segments(folder: Path) -> dict[str, Segment]:
    """The segments of a finished index by their ids."""
    meta = json.loads((folder / META).read_text(encoding="utf-8"))
    return {segment["segment_id"]: segment for segment in meta["segments"]}


def _named(bucket: Bucket, at_hand: dict[str, Segment]) -> Iterator[Segment]:
    """The segments of a bucket, which is too large for one only where memory is short."""
    for place in count():
        segment = at_hand.get(str(_segment_id(bucket, place)))
        if segment is None:
            return
        yield segment


def _segment_id(bucket: Bucket, place: int) -> uuid.UUID:
    return uuid.UUID(hashlib.sha256(f"{bucket.key} {place}".encode()).hexdigest()[:32])


def _copy(source: Path, folder: Path, segment: Segment) -> None:
    """Copies, no links: a damaged file must not damage two versions."""
    for file in source.glob(f"{_stem(segment)}.*"):
        shutil.copyfile(file, folder / file.name)


def _stem(segment: Segment) -> str:
    return uuid.UUID(segment["segment_id"]).hex


def _written(folder: Path, bucket: Bucket, rows: Iterable[LexicalRow]) -> list[Segment]:
    """Write a bucket's segments into `folder`, under names that follow from what is in them."""
    workshop = folder / ".bucket"
    write_rows(workshop, rows)
    segments = list(_segments(workshop).values())
    for place, segment in enumerate(segments):
        name = _segment_id(bucket, place)
        for file in workshop.glob(f"{_stem(segment)}.*"):
            file.rename(folder / f"{name.hex}{file.suffix}")
        segment["segment_id"] = str(name)
    shutil.rmtree(workshop)
    return segments


def write_rows(folder: Path, rows: Iterable[LexicalRow]) -> None:
    """Write these rows, in their order, into a new folder. Raises `OSError`."""
    folder.mkdir()
    with _writing(folder):
        # One thread: the same rows make the same files.
        writer = tantivy.Index(SCHEMA, path=str(folder)).writer(_HEAP_BYTES, 1)
    for key, doc_id, title, headings, body in rows:
        entry = tantivy.Document()
        entry.add_unsigned("key", key)
        entry.add_unsigned("doc", word_key(doc_id))
        entry.add_text("title", joined(title))
        entry.add_text("headings", joined(headings))
        entry.add_text("body", joined(body))
        with _writing(folder):
            writer.add_document(entry)
    with _writing(folder):
        writer.commit()
        writer.wait_merging_threads()


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """What the library says of a disk that is full, as the error that it is."""
    try:
        yield
    except ValueError as error:
        # Its threads die without naming the reason; the same disk names it to whoever writes again.
        probe = folder / "probe"
        probe.write_bytes(bytes(_PROBE_BYTES))
        probe.unlink()
        raise OSError(str(error)) from error
