"""What a build takes over from the version before, and how the two differ.

A file of the same bytes is taken over whole. A document of the same text under another front matter or
name keeps its chunks. A text of the same words keeps its vector, wherever it stands.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from rag.corpus.pipeline import KnownDocument, KnownKeys
from rag.corpus.reader import FoundFile
from rag.encoders.base import Encoder
from rag.errors import CitewellError, IndexNotFound
from rag.index.local.finished import DocumentKeys
from rag.index.local.layout import Layout, reason_of
from rag.index.local.past import PastDocument, PastVersion
from rag.index.plan import Changes, Plan
from rag.index.sentinels import differing


def find_past(layout: Layout, encoder: Encoder) -> tuple[PastVersion | None, str | None]:
    """The current version for a build to go on from, or the fault that forbids it."""
    try:
        past = PastVersion.open(layout)
    except IndexNotFound:
        return None, None
    except CitewellError as fault:
        return None, reason_of(fault)
    same = past.manifest.encoder["fingerprint"] == encoder.fingerprint
    reason = differing(past.manifest, encoder) if same else None
    return (None, reason) if reason else (past, None)


def is_same(past: PastVersion, plan: Plan) -> bool:
    """Whether the version was made from just these files in just this way."""
    manifest = past.manifest
    return (manifest.files, manifest.encoder, manifest.chunker) == (plan.files, plan.encoder, plan.chunker)


class Reuse:
    """The documents of an earlier version that hold for the files of a plan; none without a version."""

    def __init__(self, past: PastVersion | None, plan: Plan, files: Sequence[FoundFile]) -> None:
        recipe = past and Plan.recipe_of(past.manifest.encoder, past.manifest.chunker)
        self._past = past.documents if past and recipe == plan.recipe else {}
        self._digests = plan.digests(files)
        self._vanished = {one.sha256: one for one in self._past.values() if one.doc_id not in self._digests}

    def unchanged(self, file: FoundFile) -> PastDocument | None:
        """The document that was made of the same bytes under the same name."""
        past = self._past.get(file.doc_id)
        if past is None or file.refusal or past.sha256 != self._digests[file.doc_id]:
            return None
        return past

    def known_keys(self, files: Iterable[FoundFile]) -> KnownKeys:
        """For each of these files the key of chunks that may be its own, where there is one.

        A renamed file is looked for by its bytes: one that is changed besides is chunked again.
        """
        found = {file.doc_id: self._candidate(file.doc_id) for file in files}
        return {doc_id: past.chunks_key for doc_id, past in found.items() if past}

    def source(self, known: KnownDocument) -> PastDocument:
        """The document whose chunks it has. Raises `KeyError`."""
        found = self._candidate(known.document.doc_id)
        if found is None or found.chunks_key != known.key:
            raise KeyError(known.key)
        return found

    def _candidate(self, doc_id: str) -> PastDocument | None:
        return self._past.get(doc_id) or self._vanished.get(self._digests.get(doc_id, ""))


def compare(past: Mapping[str, PastDocument], now: Sequence[DocumentKeys]) -> Changes:
    """How documents have changed. A removed document and a new one of the same content are one renamed."""
    here = {one.doc_id for one in now}
    gone = [one for one in past.values() if one.doc_id not in here]
    new = [one for one in now if one.doc_id not in past]
    renamed = _renamed(gone, new)
    moved = set(renamed.values())
    edited = [one.doc_id for one in now if _differs(past, one, "chunks_key")]
    redescribed = [
        one.doc_id for one in now if _differs(past, one, "sha256") and not _differs(past, one, "chunks_key")
    ]
    return Changes(
        new=tuple(one.doc_id for one in new if one.doc_id not in renamed),
        removed=tuple(one.doc_id for one in gone if one.doc_id not in moved),
        edited=tuple(edited),
        redescribed=tuple(redescribed),
        renamed=renamed,
    )


def _differs(past: Mapping[str, PastDocument], now: DocumentKeys, name: str) -> bool:
    before = past.get(now.doc_id)
    return before is not None and bool(getattr(before, name) != getattr(now, name))


def _renamed(gone: Sequence[PastDocument], new: Sequence[DocumentKeys]) -> dict[str, str]:
    """New ids to old ones: by the same bytes first, then by the same text."""
    renamed: dict[str, str] = {}
    for name in ("sha256", "chunks_key"):
        taken = set(renamed.values())
        free: dict[str, list[str]] = defaultdict(list)
        for old in reversed(gone):
            if old.doc_id not in taken:
                free[getattr(old, name)].append(old.doc_id)
        for one in new:
            if one.doc_id not in renamed and (olds := free[getattr(one, name)]):
                renamed[one.doc_id] = olds.pop()
    return dict(sorted(renamed.items()))
