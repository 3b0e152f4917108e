"""Where things lie in an index folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rag.errors import CitewellError, IndexNotFound

CHUNKS = "chunks.sqlite"
VECTORS = "vectors.faiss"
SHORT_CODES = "vectors.codes"
LEXICAL = "lexical"
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Layout:
    """The parts of an index folder.

    versions/<id>/   one immutable version each
    current          the id of the version that is served
    encoders/        models converted for the fast engine
    unfinished/      the vectors of a build that did not come to its end
    .lock, .holder   who is changing the folder
    """

    root: Path

    @property
    def unfinished(self) -> Path:
        """The folder of what an unfinished build leaves to the next one."""
        return self.root / "unfinished"

    @property
    def versions(self) -> Path:
        """The folder of all versions."""
        return self.root / "versions"

    @property
    def encoders(self) -> Path:
        """The folder of converted encoders."""
        return self.root / "encoders"

    @property
    def current(self) -> Path:
        """The file that names the version to serve."""
        return self.root / "current"

    def version(self, index_id: str) -> Path:
        """The folder of one version."""
        return self.versions / index_id

    def current_id(self) -> str | None:
        """The id of the current version, None when nothing is published. Raises `IndexNotFound`."""
        try:
            return self.current.read_text(encoding="utf-8", errors="replace").strip() or None
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError as error:
            raise IndexNotFound(
                f"{self.current} cannot be read ({error.strerror}); let this user read the whole index folder"
            ) from None
        except OSError as error:
            raise IndexNotFound(
                f"{self.current} cannot be read ({error.strerror}); it should name the current version. "
                f"Remove it and build anew with: rag index --index {self.root}"
            ) from None

    @property
    def nothing_here(self) -> str:
        """The message where nothing is published."""
        return f"no index in {self.root}; build one with: rag index --index {self.root}"

    def current_version(self) -> Path:
        """The folder of the current version. Raises `IndexNotFound`."""
        index_id = self.current_id()
        if index_id is None:
            raise IndexNotFound(self.nothing_here)
        folder = self.version(index_id)
        # A name too long for a path is no error here; one that leads elsewhere names no version.
        if os.path.basename(index_id).strip(".") != index_id or not os.path.isdir(folder):  # noqa: PTH112, PTH119
            raise IndexNotFound(
                f"{self.current} names the version {index_id}, which is not in {self.versions}; "
                f"build anew with: rag index --rebuild --index {self.root}"
            )
        return folder


def rebuild_command(version: Path) -> str:
    """What mends a damaged version, given its folder; for the one that serves, the quick way too."""
    layout = Layout(version.parent.parent)
    older = [other for other in version.parent.glob("[!.]*") if other.name < version.name]
    serves = layout.current.is_file() and layout.current_id() == version.name
    back = f", or go back with: rag index --rollback --index {layout.root}" if serves and older else ""
    return f"build anew with: rag index --rebuild --index {layout.root}{back}"


def reason_of(fault: CitewellError) -> str:
    """What was found, without `rebuild_command`: where that is going on already or is not what mends it."""
    return str(fault).partition("; build anew")[0]
