"""What several tests share: the sample seeds, the real pages, encoders, and folders to build in."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis.configuration import set_hypothesis_home_dir
from keyword_encoder import KeywordEncoder

from rag.encoders.base import Encoder
from rag.encoders.loading import load_encoder
from rag.index.builder import build_index

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"

# Nothing is written outside .venv and index/, however pytest was started.
set_hypothesis_home_dir(ROOT / ".venv" / "cache" / "hypothesis")

WriteSeed = Callable[..., Path]


@pytest.fixture(scope="session")
def seeds_folder() -> Path:
    """The sample documents of the project."""
    return ROOT / "seeds"


@pytest.fixture(scope="session")
def nci_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 1,432 real pages, unpacked; skipped where ../shared is absent."""
    archive = SHARED / "corpus" / "nci.tar.xz"
    if not archive.is_file():
        pytest.skip(f"the real pages are not here: {archive} is missing")
    folder = tmp_path_factory.mktemp("nci")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / "nci"


@pytest.fixture(scope="session")
def nci_slice(nci_folder: Path) -> list[Path]:
    """60 of the real pages, evenly spread, none of the giants."""
    pages = [page for page in sorted(nci_folder.rglob("*.md")) if page.stat().st_size < 200_000]
    return pages[:: len(pages) // 60][:60]


@pytest.fixture(scope="session")
def bundled() -> Encoder:
    """The bundled encoder on the fast engine; its conversion is kept in index/encoders."""
    return load_encoder("bundled", cache=ROOT / "index" / "encoders")


@pytest.fixture(scope="session")
def samples_index(seeds_folder: Path, bundled: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index folder of the sample documents, built once with the bundled encoder."""
    root = tmp_path_factory.mktemp("samples") / "index"
    root.mkdir()
    (root / "encoders").symlink_to(ROOT / "index" / "encoders")
    build_index(seeds_folder, root, bundled)
    return root


@pytest.fixture
def keywords() -> KeywordEncoder:
    """The encoder that a person can compute."""
    return KeywordEncoder()


@pytest.fixture
def write_seed(tmp_path: Path) -> WriteSeed:
    """Write a document below `tmp_path / "seeds"`; keyword arguments are further front-matter lines."""

    def write(name: str, body: str, **front_matter: str) -> Path:
        path = tmp_path / "seeds" / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = {"title": f"About {name}", "url": f"https://example.org/{name}"} | front_matter
        head = "\n".join(f"{key}: {value}" for key, value in lines.items())
        path.write_text(f"---\n{head}\n---\n\n{body}\n", encoding="utf-8")
        return path

    return write
