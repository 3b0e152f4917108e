"""What a build is asked to do, what of it the current version has done already, and what was done."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rag.corpus.chunker import CHUNKER_VERSION, DEFAULT_MAX_TOKENS
from rag.corpus.reader import MAX_FILE_BYTES, FoundFile, file_digest
from rag.encoders.base import Encoder
from rag.errors import UnreadableDocument
from rag.index.local.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """What a user may set about a build.

    `strict` publishes nothing when a file cannot be read; `rebuild` builds even when nothing changed, and
    takes nothing from the current version.
    """

    max_tokens: int = DEFAULT_MAX_TOKENS
    max_file_bytes: int = MAX_FILE_BYTES
    strict: bool = False
    rebuild: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """How the documents of a version differ from those of the version before, by `doc_id`.

    `edited` have other text, `redescribed` only other front matter. `renamed` maps new ids to old ones
    and names what is neither new nor removed.
    """

    new: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()
    redescribed: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """What a build did.

    `changes` compares with the version before, where there is one; `encoded` counts the texts that had to
    be encoded. `not_reused` says why the version before could not be used, None where it was no fault.
    `problems` are the files that are not in the index, `empty` the ids of documents without a word
    besides their title, `repaired` the ids of those whose text was mended, `ignored` counts files
    that are no markdown. `seconds` tells how long each stage took.
    """

    manifest: Manifest
    folder: Path
    changes: Changes | None = None
    encoded: int = 0
    not_reused: str | None = None
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
    def recipe(self) -> dict[str, Any]:
        """What decides the chunks of a document beside the document."""
        return self.recipe_of(self.encoder, self.chunker)

    @staticmethod
    def recipe_of(encoder: Mapping[str, Any], chunker: Mapping[str, int]) -> dict[str, Any]:
        """The `recipe` of a manifest with these parts."""
        return {"encoder": encoder["fingerprint"], "chunker": dict(chunker)}

    def having_read(self, file: FoundFile, digest: str) -> Plan:
        """The plan with the digest of what was read of a file."""
        path = self._path(file)
        return self if self.files[path] == digest else replace(self, files={**self.files, path: digest})

    def _path(self, file: FoundFile) -> str:
        return file.path.relative_to(self.seeds).as_posix()

    def digests(self, files: Sequence[FoundFile]) -> dict[str, str]:
        """The digest of each file by its `doc_id`, files that are refused by their place left out."""
        return {file.doc_id: self.files[self._path(file)] for file in files if not file.refusal}

    @property
    def corpus_sha256(self) -> str:
        """A digest over the names and digests of all files, hex."""
        lines = (f"{path} {digest}" for path, digest in sorted(self.files.items()))
        # A refused file's name may be no text; its bytes count all the same.
        return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()
