"""How a version becomes the current one, and how versions go: by renames that happen whole or not at all.

Whoever calls holds the folder (`holding`).
"""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

from rag.index.local.layout import Layout

_NEXT = ".current-next"
_BUILDING = ".building-"
_PRUNED = ".pruned-"


def new_workshop(layout: Layout) -> Path:
    """An empty folder beside the versions to build in. Raises `OSError`."""
    folder = layout.versions / f"{_BUILDING}{uuid.uuid4().hex[:12]}"
    folder.mkdir(parents=True)
    return folder


def leftovers(layout: Layout) -> list[Path]:
    """What processes that were killed have left half done."""
    return [folder for prefix in (_BUILDING, _PRUNED) for folder in layout.versions.glob(f"{prefix}*")]


def sweep(layout: Layout) -> None:
    """Remove what processes that were killed have left half done."""
    layout.root.joinpath(_NEXT).unlink(missing_ok=True)
    for folder in leftovers(layout):
        shutil.rmtree(folder, ignore_errors=True)


def settle(folder: Path) -> None:
    """Return when everything in `folder` is on the disk."""
    for path in (*folder.rglob("*"), folder):
        _sync(path)


def publish(layout: Layout, workshop: Path, index_id: str) -> Path:
    """Make the settled folder `workshop` the current version; returns its final place.

    A reader finds the old version or the new one and never a part of either.
    """
    folder = layout.version(index_id)
    workshop.rename(folder)
    try:
        _sync(layout.versions)
        point_at(layout, index_id)
    except OSError:
        if layout.current_id() != index_id:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def point_at(layout: Layout, index_id: str) -> None:
    """Make a version that is in its place the current one."""
    pointer = layout.root / _NEXT
    try:
        pointer.write_text(index_id + "\n", encoding="utf-8")
        _sync(pointer)
        pointer.replace(layout.current)
    except OSError:
        pointer.unlink(missing_ok=True)
        raise
    _sync(layout.root)


def remove_version(layout: Layout, index_id: str) -> None:
    """Delete a version. Whoever has it open can go on reading it."""
    doomed = layout.versions / f"{_PRUNED}{index_id}"
    # Under another name first, so that no half of a version is ever taken for one.
    layout.version(index_id).rename(doomed)
    shutil.rmtree(doomed)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
