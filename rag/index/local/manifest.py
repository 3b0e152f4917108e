"""The manifest: what a version was made from and what it must still be when it is opened."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, get_origin, get_type_hints

from rag.encoders.source import sha256_of
from rag.errors import ArtefactCorrupt, SchemaMismatch
from rag.index.local.layout import CHUNKS, MANIFEST, VECTORS, rebuild_command
from rag.index.local.vector_plan import VectorPlan

# Raised whenever stored data changes its form or its meaning: columns, how words are cut, content keys.
SCHEMA = 3

_DIGEST = "sha256"

# What is read from the manifest's dictionaries.
_PARTS: dict[str, dict[str, type]] = {
    "encoder": {"name": str, "fingerprint": str, "engine": str, "dim": int},
    "counts": {"documents": int, "chunks": int},
    "artefacts": {CHUNKS: str, VECTORS: str},
}

# Encoded at build time, so that whoever opens the version can tell whether an encoder still gives these
# vectors: a fingerprint cannot cover everything that decides them.
SENTINELS = (
    "What are the side effects of chemotherapy?",
    "Call your doctor if you have a fever of 100.5 °F or higher.",
    "Tarlatamab-dlle is approved to treat small cell lung cancer.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One version's manifest.

    `previous` is the version that was current when this one was built. `files` maps each path below the
    seeds folder to the SHA-256 of its bytes, or to the reason why it was refused; `problems` lists those
    reasons. `artefacts` maps paths below the version's folder to their SHA-256. `sentinels` maps some
    texts to their vectors. `vectors` says how they are searched (`VectorPlan`; empty: exactly). The file
    ends in a digest of all this.
    """

    schema: int
    index_id: str
    previous: str | None
    built_at: str
    built_by: str
    encoder: dict[str, Any]
    chunker: dict[str, int]
    corpus_sha256: str
    files: dict[str, str]
    problems: list[dict[str, Any]]
    counts: dict[str, int]
    artefacts: dict[str, str]
    sentinels: dict[str, list[float]]
    vectors: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write it into a version's folder."""
        # Escaped, because the name of a refused file may be no text.
        content = asdict(self)
        sealed = content | {_DIGEST: _digest(content)}
        (folder / MANIFEST).write_text(json.dumps(sealed, indent=1) + "\n", encoding="utf-8")


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """Read a version's manifest. Raises `SchemaMismatch` or `ArtefactCorrupt`."""
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        schema = content["schema"]
    except PermissionError as error:
        raise ArtefactCorrupt(unreadable(path, error)) from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise ArtefactCorrupt(f"{path} is missing or damaged; {rebuild_command(folder)}") from None
    if schema != SCHEMA:
        raise SchemaMismatch(
            f"the index version {folder.name} has schema {schema}, this program reads {SCHEMA}; "
            f"{rebuild_command(folder)}"
        )
    try:
        expected = content.pop(_DIGEST)
        if (found := _digest(content)) != expected:
            raise ArtefactCorrupt(_changed(path, found, str(expected), folder))
        manifest = Manifest(**content)
        _check_shape(manifest)
    except (TypeError, LookupError) as error:
        raise ArtefactCorrupt(f"{path} is damaged ({error}); {rebuild_command(folder)}") from None
    return manifest


def _check_shape(manifest: Manifest) -> None:
    """Raise `TypeError` or `KeyError` where a part that others rely on is missing or of another kind."""
    for name, hint in get_type_hints(Manifest).items():
        kind = hint if isinstance(hint, UnionType) else get_origin(hint) or hint
        _check_kind(name, getattr(manifest, name), kind)
    for name, parts in _PARTS.items():
        for part, kind in parts.items():
            _check_kind(f"{name}.{part}", getattr(manifest, name)[part], kind)
    for text, vector in manifest.sentinels.items():
        _check_kind(f"sentinels.{text}", vector, list)
        for number in vector:
            _check_kind(f"sentinels.{text}", number, float)
    VectorPlan.recorded(manifest.vectors)
    for problem in manifest.problems:
        _check_kind("problems.path", problem["path"], str)
        _check_kind("problems.reason", problem["reason"], str)
        _check_kind("problems.line", problem["line"], int | None)


def _check_kind(name: str, value: Any, kind: Any) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"'{name}' is {value!r:.40}")


def check_artefacts(manifest: Manifest, folder: Path) -> None:
    """Raise `ArtefactCorrupt` unless every file of the version is as it was written."""
    for name, expected in manifest.artefacts.items():
        path = folder / name
        try:
            found = sha256_of(path)
        except FileNotFoundError:
            raise ArtefactCorrupt(f"{path} is missing; {rebuild_command(folder)}") from None
        except OSError as error:
            raise ArtefactCorrupt(unreadable(path, error)) from None
        if found != expected:
            raise ArtefactCorrupt(_changed(path, found, expected, folder))


def unreadable(path: Path, error: OSError) -> str:
    """The message about a file that is there and cannot be read."""
    if isinstance(error, PermissionError):
        return f"{path} cannot be read: {error.strerror}; let this user read the whole index folder"
    return f"{path} cannot be read: {error.strerror}; {rebuild_command(path.parent)}"


def _changed(path: Path, found: str, expected: str, folder: Path) -> str:
    return (
        f"{path} changed since it was written: SHA-256 {found[:12]}…, expected {expected[:12]}…; "
        f"{rebuild_command(folder)}"
    )
