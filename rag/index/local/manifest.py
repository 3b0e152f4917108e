"""The manifest: what a version was made from and what it must still be when it is opened."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rag.encoders.source import sha256_of
from rag.errors import ArtefactCorrupt, SchemaMismatch
from rag.index.local.layout import MANIFEST

SCHEMA = 1

# Encoded at build time, so that a later check can tell whether an encoder still gives these vectors.
SENTINELS = (
    "What are the side effects of chemotherapy?",
    "Call your doctor if you have a fever of 100.5 °F or higher.",
    "Tarlatamab-dlle is approved to treat small cell lung cancer.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One version's manifest.

    `files` maps each path below the seeds folder to the SHA-256 of its bytes, or to the reason why it
    was refused; `problems` lists those reasons. `artefacts` maps file names of the version to their
    SHA-256. `sentinels` holds a vector for each of `SENTINELS`.
    """

    schema: int
    index_id: str
    built_at: str
    built_by: str
    encoder: dict[str, Any]
    chunker: dict[str, int]
    corpus_sha256: str
    files: dict[str, str]
    problems: list[dict[str, Any]]
    counts: dict[str, int]
    artefacts: dict[str, str]
    sentinels: list[list[float]]

    def write(self, folder: Path) -> None:
        """Write it into a version's folder."""
        content = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        (folder / MANIFEST).write_text(content + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read a version's manifest. Raises `SchemaMismatch` or `ArtefactCorrupt`."""
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        schema = content["schema"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ArtefactCorrupt(f"{path} is missing or damaged; {_mend(folder)}") from None
    if schema != SCHEMA:
        raise SchemaMismatch(
            f"the index version {folder.name} has schema {schema}, this program reads {SCHEMA}; "
            f"{_mend(folder)}"
        )
    try:
        return Manifest(**content)
    except TypeError as error:
        raise ArtefactCorrupt(f"{path} is damaged ({error}); {_mend(folder)}") from None


def check_artefacts(manifest: Manifest, folder: Path) -> None:
    """Raise `ArtefactCorrupt` unless every file of the version is as it was written."""
    for name, expected in manifest.artefacts.items():
        path = folder / name
        if not path.is_file():
            raise ArtefactCorrupt(f"{path} is missing; {_mend(folder)}")
        found = sha256_of(path)
        if found != expected:
            raise ArtefactCorrupt(
                f"{path} changed since it was written: SHA-256 {found[:12]}…, expected "
                f"{expected[:12]}…; {_mend(folder)}"
            )


def _mend(folder: Path) -> str:
    return f"build anew with: rag index --rebuild --index {folder.parent.parent}"
