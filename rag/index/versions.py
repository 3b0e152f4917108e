"""The versions of an index folder: which there are, going back to one, and deleting old ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from rag.errors import IndexFault, IndexNotFound, IndexNotWritable, InvalidRequest, VersionNotFound
from rag.index.local.holding import holding
from rag.index.local.layout import Layout, reason_of
from rag.index.local.local_index import LocalIndex
from rag.index.local.manifest import Manifest, read_manifest
from rag.index.local.publishing import point_at, remove_version, sweep
from rag.index.opening import with_encoder

# As a build makes them; other folders there are somebody else's.
_INDEX_ID = re.compile(r"\d{8}T\d{9}Z-[0-9a-f]{8}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version on the disk. `size` is in bytes.

    `fault` says why its manifest cannot be read, which is None then; its artefacts are not looked at.
    """

    index_id: str
    is_current: bool
    size: int
    manifest: Manifest | None
    fault: str | None


def list_versions(root: Path | str) -> list[Version]:
    """Every version in the index folder `root`, newest first. Raises `IndexNotFound`."""
    layout = Layout(Path(root))
    current = layout.current_id()
    found = [_version(layout, index_id, current) for index_id in _index_ids(layout)]
    # Another process may delete one meanwhile.
    there = [version for version in found if layout.version(version.index_id).exists()]
    if not there:
        raise IndexNotFound(layout.nothing_here)
    return there


def roll_back(root: Path | str, index_id: str | None = None) -> str:
    """Make an earlier version the current one again, once it has opened; returns its id.

    Without `index_id` it is the version that was current before the current one was built.
    Raises `VersionNotFound`, `IndexLocked`, `IndexNotWritable` and what opening the version raises.
    """
    layout = Layout(Path(root))
    if not _index_ids(layout):
        raise IndexNotFound(layout.nothing_here)
    with holding(layout, "rolling back"):
        target = index_id or _before(layout)
        if target not in _index_ids(layout):
            raise VersionNotFound(f"there is no version {target} in {layout.versions}; {_choice(layout)}")
        if target == layout.current_id():
            raise VersionNotFound(f"{target} is the current version already; {_choice(layout)}")
        _check(layout, target)
        try:
            point_at(layout, target)
        except OSError as error:
            raise IndexNotWritable(f"{layout.root} cannot be written: {error.strerror}") from None
    return target


def _check(layout: Layout, target: str) -> None:
    """Open a version as a service would; an encoder that serves already needs no check."""
    try:
        backend = LocalIndex.open_named(layout.version(target))
    except IndexFault as fault:
        raise type(fault)(f"{reason_of(fault)}; {_choice(layout)}") from None
    try:
        if _fingerprint(layout, layout.current_id()) not in (None, backend.info.encoder_fingerprint):
            with_encoder(backend, layout.root)
    finally:
        backend.close()


def _fingerprint(layout: Layout, index_id: str | None) -> str | None:
    try:
        return index_id and str(read_manifest(layout.version(index_id)).encoder["fingerprint"])
    except IndexFault:
        return None


def prune(root: Path | str, keep: int) -> list[str]:
    """Delete all versions but the current one and the newest others, `keep` in all; returns their ids.

    The version to go back to counts as the newest other. Whoever has a deleted version open goes on reading
    it. Raises `InvalidRequest` for `keep` below 1, `IndexNotFound`, `IndexLocked` and `IndexNotWritable`.
    """
    if keep < 1:
        raise InvalidRequest("keep", f"must be 1 or more, found {keep}")
    layout = Layout(Path(root))
    if not _index_ids(layout):
        raise IndexNotFound(layout.nothing_here)
    with holding(layout, "pruning"):
        sweep(layout)
        first = [layout.current_id(), _previous(layout)]
        kept_first = sorted(_index_ids(layout), key=lambda found: first.index(found) if found in first else 2)
        doomed = kept_first[keep:]
        try:
            for index_id in doomed:
                remove_version(layout, index_id)
        except OSError as error:
            raise IndexNotWritable(
                f"{layout.versions} cannot be written: {error.strerror or error}"
            ) from None
    return doomed


def _index_ids(layout: Layout) -> list[str]:
    """The ids of all versions, newest first: an id begins with the time of its build."""
    try:
        names = [entry.name for entry in layout.versions.iterdir() if entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise IndexNotFound(f"{layout.versions} cannot be listed: {error.strerror}") from None
    return sorted((name for name in names if _INDEX_ID.fullmatch(name)), reverse=True)


def _version(layout: Layout, index_id: str, current: str | None) -> Version:
    folder = layout.version(index_id)
    manifest, fault = None, None
    try:
        manifest = read_manifest(folder)
    except IndexFault as error:
        fault = reason_of(error)
    return Version(
        index_id=index_id,
        is_current=index_id == current,
        size=_size(folder),
        manifest=manifest,
        fault=fault,
    )


def _size(folder: Path) -> int:
    try:
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    except OSError:
        return 0  # deleted a moment ago


def _before(layout: Layout) -> str:
    """The version before the current one: as its manifest says, else the newest that is older."""
    previous = _previous(layout)
    if previous is None:
        raise VersionNotFound(
            f"{layout.current_id() or 'nothing'} has no version before it; {_choice(layout)}"
        )
    return previous


def _previous(layout: Layout) -> str | None:
    current = layout.current_id()
    if current is None:
        return None
    try:
        return read_manifest(layout.version(current)).previous
    except IndexFault:
        return next((index_id for index_id in _index_ids(layout) if index_id < current), None)


def _choice(layout: Layout) -> str:
    return f"rag index --list --index {layout.root} shows what there is"
