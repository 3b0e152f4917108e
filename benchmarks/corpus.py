"""The real pages for benchmarks: unpacked from ../shared, all of them or only those for patients."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from rag.corpus.reader import find_files, read_document
from rag.errors import UnreadableDocument

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"
ARCHIVE = SHARED / "corpus" / "nci.tar.xz"


def unpack(folder: Path) -> Path:
    """Unpack the 1,432 pages below `folder`; returns the folder that holds them."""
    with tarfile.open(ARCHIVE) as tar:
        tar.extractall(folder, filter="data")
    return folder / "nci"


def patient_pages(pages: Path, target: Path) -> Path:
    """Copy the pages whose address has no '/hp' (as ../shared/eval/README.md defines them)."""
    for file in find_files(pages)[0]:
        try:
            url = read_document(file).metadata.url or ""
        except UnreadableDocument:
            continue
        if "/hp" not in url:
            place = target / file.path.relative_to(pages)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.path, place)
    return target
