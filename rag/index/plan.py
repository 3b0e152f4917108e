"""What a build is asked to do and what it has done; whether the current version is that already."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rag.corpus.chunker import CHUNKER_VERSION, DEFAULT_MAX_TOKENS
from rag.corpus.reader import MAX_FILE_BYTES, FoundFile, file_digest
from rag.encoders.base import Encoder
from rag.errors import CitewellError, UnreadableDocument
from rag.index.local.layout import Layout
from rag.index.local.local_index import LocalIndex
from rag.index.local.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """What a user may set about a build.

    `strict` publishes nothing when a file cannot be read; `rebuild` builds even when nothing changed.
    """

    max_tokens: int = DEFAULT_MAX_TOKENS
    max_file_bytes: int = MAX_FILE_BYTES
    strict: bool = False
    rebuild: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """What a build did.

    `problems` are the files that are not in the index, `empty` the ids of documents without a word
    besides their title, `repaired` the ids of those whose text was mended, `ignored` counts files
    that are no markdown. `seconds` tells how long each stage took.
    """

    manifest: Manifest
    folder: Path
    problems: tuple[UnreadableDocument, ...] = ()
    empty: tuple[str, ...] = ()
    repaired: tuple[str, ...] = ()
    ignored: int = 0
    unchanged: bool = False
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """What decides the content of a version: files, encoder and settings."""

    seeds: Path
    files: dict[str, str]
    encoder: dict[str, Any]
    chunker: dict[str, int]

    @classmethod
    def make(cls, seeds: Path, files: Sequence[FoundFile], encoder: Encoder, options: BuildOptions) -> Plan:
        """Hash the files and describe the rest."""
        digests = {
            file.path.relative_to(seeds).as_posix(): file_digest(file, options.max_file_bytes)
            for file in files
        }
        described = {
            "name": encoder.name,
            "fingerprint": encoder.fingerprint,
            "engine": getattr(encoder, "engine", "auto"),
            "dim": encoder.dim,
            "max_tokens": encoder.max_tokens,
        }
        limit = min(options.max_tokens, encoder.max_tokens)
        chunker = {"version": CHUNKER_VERSION, "max_tokens": limit}
        return cls(seeds, digests, described, chunker)

    @property
    def corpus_sha256(self) -> str:
        """A digest over the names and digests of all files, hex."""
        lines = (f"{path} {digest}" for path, digest in sorted(self.files.items()))
        # A refused file's name may be no text; its bytes count all the same.
        return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


def same_as_current(layout: Layout, plan: Plan) -> BuildReport | None:
    """A report on the current version, if it is whole and was made after the same plan."""
    try:
        folder = layout.current_version()
        index = LocalIndex.open_version(folder)
    except CitewellError:
        return None
    index.close()
    manifest = index.manifest
    if (manifest.files, manifest.encoder, manifest.chunker) != (
        plan.files,
        plan.encoder,
        plan.chunker,
    ):
        return None
    problems = tuple(
        UnreadableDocument(plan.seeds / problem["path"], problem["reason"], line=problem["line"])
        for problem in manifest.problems
    )
    return BuildReport(manifest=manifest, folder=folder, problems=problems, unchanged=True)
