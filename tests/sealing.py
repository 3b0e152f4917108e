"""Manifests that a test has changed by hand, with their digest made anew, so that they are believed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rag.encoders.source import sha256_of

Content = dict[str, Any]


def digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of everything but the digest itself, as JSON with its keys in order."""
    rest = {key: value for key, value in content.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def manifest_content(version: Path) -> Content:
    """What the manifest of a version's folder says, digest and all."""
    content: Content = json.loads((version / "manifest.json").read_text(encoding="utf-8"))
    return content


def seal(version: Path, content: Mapping[str, Any]) -> None:
    """Make this the content of the manifest, under a digest that fits it."""
    sealed = {**content, "sha256": digest(content)}
    (version / "manifest.json").write_text(json.dumps(sealed), encoding="utf-8")


def edit_manifest(version: Path, change: Callable[[Content], object]) -> None:
    """Change the content of the manifest in place."""
    content = manifest_content(version)
    change(content)
    seal(version, content)


def bless(version: Path, *names: str) -> None:
    """Make the manifest expect these files as they are."""
    found = {name: sha256_of(version / name) for name in names}
    edit_manifest(version, lambda content: content["artefacts"].update(found))
