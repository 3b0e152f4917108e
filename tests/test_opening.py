"""Opening verifies: whatever does not fit is refused by name, with what mends it."""

from __future__ import annotations

import gc
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import faiss
import pytest
from conftest import ROOT, WriteSeed
from keyword_encoder import WORDS, KeywordEncoder
from sealing import bless, edit_manifest, manifest_content

from rag.encoders.base import Encoder
from rag.encoders.source import sha256_of
from rag.errors import (
    ArtefactCorrupt,
    CitewellError,
    CountMismatch,
    EncoderMismatch,
    IndexFault,
    IndexNotFound,
    SchemaMismatch,
    SentinelMismatch,
)
from rag.index.backend import Occurrences, Term
from rag.index.builder import build_index
from rag.index.local.finished import lexical_rows
from rag.index.local.layout import CHUNKS, LEXICAL, VECTORS
from rag.index.local.lexical import artefacts
from rag.index.local.lexical_writer import Bucket, write_lexical
from rag.index.local.manifest import SCHEMA
from rag.index.opening import OpenIndex, open_index
from rag.index.plan import BuildOptions


@pytest.fixture
def root(tmp_path: Path, write_seed: WriteSeed) -> Path:
    """An index folder with one published version: three documents, one of them withdrawn."""
    write_seed("fever", "Fever.\n\n## More\n\nPain and fever.")
    write_seed("nausea", "Nausea.")
    write_seed("old", "Sleep.", status="withdrawn")
    build_index(tmp_path / "seeds", tmp_path / "index", KeywordEncoder())
    return tmp_path / "index"


@pytest.fixture
def version(root: Path) -> Path:
    """The folder of the version."""
    return root / "versions" / (root / "current").read_text(encoding="utf-8").strip()


def _refusal(kind: type[IndexFault], root: Path, encoder: Encoder | None = None) -> str:
    """The message that opening `root` is refused with, by just this class, a command in it."""
    with pytest.raises(IndexFault) as caught:
        open_index(root, encoder=encoder or KeywordEncoder())
    assert type(caught.value) is kind
    message = str(caught.value)
    assert re.search(rf"rag index (--rebuild )?--index {root}$", message), message
    return message


def test_an_index_opens_with_the_encoder_that_made_it(root: Path, version: Path) -> None:
    opened = open_index(root, encoder=KeywordEncoder())
    info = opened.backend.info
    assert info.index_id == version.name
    assert (info.encoder, info.encoder_fingerprint) == ("keywords", KeywordEncoder().fingerprint)
    assert (info.documents, info.chunks) == (3, 4)
    hits = opened.backend.search(opened.encoder.encode_queries(["fever"])[0], 10)
    assert [hit.chunk_id.partition("#")[0] for hit in hits] == ["fever", "fever", "nausea"]
    opened.backend.close()


def test_words_are_found_as_soon_as_an_index_is_open(root: Path) -> None:
    opened = open_index(root, encoder=KeywordEncoder())
    assert _words(opened) == {"fever": ["fever", "fever"], "nauseas": ["nausea"], "sleep": []}
    opened.backend.close()


def _words(opened: OpenIndex) -> dict[str, list[str]]:
    """The documents that are found by a word each."""
    backend = opened.backend
    return {
        word: [hit.chunk_id.partition("#")[0] for hit in backend.match([Term(word)], 9)]
        for word in ("fever", "nauseas", "sleep")
    }


@pytest.fixture
def read_only(version: Path) -> Iterator[Path]:
    """The version where nothing can be written in it, as an image or a read-only volume has it."""
    with ExitStack() as cleanup:
        if os.geteuid():
            for folder in (version, version / LEXICAL):
                folder.chmod(0o555)
                cleanup.callback(folder.chmod, 0o755)
        else:
            # Root writes wherever the file system lets it, so only a mount stops it.
            _mount(version, "--bind", str(version))
            cleanup.callback(subprocess.run, ["umount", "--lazy", str(version)], check=True)
            _mount(version, "-o", "remount,ro,bind")
        yield version


def _mount(folder: Path, *options: str) -> None:
    mount = ["mount", *options, str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("root can write here, and may not mount a folder read-only")


def test_a_version_opens_where_nothing_can_be_written(
    root: Path, read_only: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By way of a temporary folder, which is gone once the index is closed."""
    beside = tmp_path / "beside"
    beside.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(beside))
    for folder in (read_only, read_only / LEXICAL):
        with pytest.raises(OSError, match=r"Read-only|Permission"):
            (folder / "new").touch()
    opened = open_index(root, encoder=KeywordEncoder())
    assert len(list(beside.iterdir())) == 1
    assert _words(opened) == {"fever": ["fever", "fever"], "nauseas": ["nausea"], "sleep": []}
    backend = opened.backend
    assert backend.vocabulary()["fever"] == 2
    assert backend.occurrences(backend.stems("pain and fever")) == Occurrences(mentioned=1, titled=0)
    assert backend.mentions(
        ["about", "nausea"], [hit.chunk_id for hit in backend.match([Term("nausea")], 1)]
    ).all()
    backend.close()
    assert list(beside.iterdir()) == []


def test_links_of_an_index_that_nobody_closed_go_with_it(
    root: Path, read_only: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_only.is_dir()
    beside = tmp_path / "beside"
    beside.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(beside))
    for _ in range(20):
        open_index(root, encoder=KeywordEncoder())
    gc.collect()
    assert list(beside.iterdir()) == []


def test_an_index_can_be_moved(root: Path) -> None:
    moved = root.rename(root.with_name("moved elsewhere é"))
    open_index(moved, encoder=KeywordEncoder()).backend.close()


def test_an_index_brings_its_encoder(tmp_path: Path, bundled: Encoder, write_seed: WriteSeed) -> None:
    """The engine too: torch would have another fingerprint."""
    write_seed("fever", "Call your doctor about a fever.")
    root = tmp_path / "index"
    build_index(tmp_path / "seeds", root, bundled)
    (root / "encoders").symlink_to(ROOT / "index" / "encoders")
    for encoder in (None, "bundled"):
        opened = open_index(root, encoder=encoder)
        assert opened.encoder.fingerprint == bundled.fingerprint
        opened.backend.close()


@pytest.mark.parametrize("state", ["missing", "empty", "a file", "unnamed", "blank"])
def test_where_nothing_is_published_the_command_that_builds_is_named(root: Path, state: str) -> None:
    if state in ("missing", "empty", "a file"):
        shutil.rmtree(root)
    if state == "empty":
        root.mkdir()
    if state == "a file":
        root.touch()
    if state == "unnamed":
        (root / "current").unlink()
    if state == "blank":
        (root / "current").write_text(" \n", encoding="utf-8")
    assert _refusal(IndexNotFound, root).startswith(f"no index in {root}; ")


@pytest.mark.parametrize("named", ["20200101T000000000Z-12345678", "x" * 4000, "a\0b", "../nowhere"])
def test_a_missing_version_is_named(root: Path, named: str) -> None:
    (root / "current").write_text(named, encoding="utf-8")
    message = _refusal(IndexNotFound, root)
    assert f"{root / 'current'} names the version {named}, which is not in {root / 'versions'}" in message


def test_a_current_that_is_no_text_is_refused(root: Path) -> None:
    (root / "current").write_bytes(b"\xff\xfe\x00\x80")
    assert str(root / "current") in _refusal(IndexNotFound, root)


def test_a_current_that_cannot_be_read_is_refused(root: Path) -> None:
    (root / "current").unlink()
    (root / "current").mkdir()
    assert f"{root / 'current'} cannot be read (Is a directory)" in _refusal(IndexNotFound, root)


@pytest.mark.parametrize("schema", [SCHEMA + 1, SCHEMA - 1, 0, "2", None])
def test_another_schema_is_refused_and_both_are_named(root: Path, version: Path, schema: object) -> None:
    edit_manifest(version, lambda content: content.update(schema=schema, something_new={}))
    message = _refusal(SchemaMismatch, root)
    assert f"the index version {version.name} has schema {schema}, this program reads {SCHEMA}" in message


def test_an_index_without_words_is_refused_as_old_and_not_as_damaged(root: Path, version: Path) -> None:
    """Schema 1 had no lexical index: whoever upgrades is told of the format and how to build anew."""
    shutil.rmtree(version / LEXICAL)
    edit_manifest(
        version,
        lambda content: content.update(
            schema=1, artefacts={name: content["artefacts"][name] for name in (CHUNKS, VECTORS)}
        ),
    )
    message = _refusal(SchemaMismatch, root)
    assert message.endswith(f"build anew with: rag index --rebuild --index {root}")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"7", b"\xff", b'{"a": 1}', None])
def test_a_manifest_that_is_damaged_or_missing_is_named(
    root: Path, version: Path, content: bytes | None
) -> None:
    path = version / "manifest.json"
    path.unlink() if content is None else path.write_bytes(content)
    assert f"{path} is missing or damaged" in _refusal(ArtefactCorrupt, root)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": lambda file: os.truncate(file, file.stat().st_size // 2),
    "one byte short": lambda file: os.truncate(file, file.stat().st_size - 1),
    "empty": lambda file: os.truncate(file, 0),
    "longer": lambda file: file.write_bytes(file.read_bytes() + b"\0"),
    "first bit": lambda file: _flip(file, 0),
    "middle bit": lambda file: _flip(file, file.stat().st_size // 2),
    "last bit": lambda file: _flip(file, -1),
}


def _flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


ARTEFACTS = (
    *("chunks.sqlite", "vectors.faiss", "lexical/meta.json", "lexical/*.term", "lexical/*.idx"),
    *("lexical/*.pos", "lexical/*.fast", "lexical/*.fieldnorm", "lexical/*.store"),
)


@pytest.fixture(params=ARTEFACTS)
def name(request: pytest.FixtureRequest, version: Path) -> str:
    """Each artefact in turn; the files of the lexical index have names that nobody knows before."""
    (path,) = version.glob(request.param)
    return path.relative_to(version).as_posix()


def test_no_artefact_is_left_out_here(version: Path) -> None:
    listed = manifest_content(version)["artefacts"]
    assert {path.relative_to(version).as_posix() for one in ARTEFACTS for path in version.glob(one)} == set(
        listed
    )


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_artefact_is_named_with_both_checksums(
    root: Path, version: Path, name: str, damage: str
) -> None:
    before = sha256_of(version / name)
    DAMAGES[damage](version / name)
    found = sha256_of(version / name)
    message = _refusal(ArtefactCorrupt, root)
    assert f"{version / name} changed since it was written: SHA-256 {found[:12]}…" in message
    assert f"expected {before[:12]}…" in message


def test_a_missing_artefact_is_named(root: Path, version: Path, name: str) -> None:
    (version / name).unlink()
    assert f"{version / name} is missing" in _refusal(ArtefactCorrupt, root)


@pytest.mark.parametrize("content", [b"", b"nonsense" * 700])
def test_what_was_never_an_artefact_is_refused_even_with_its_checksum(
    root: Path, version: Path, name: str, content: bytes
) -> None:
    (version / name).write_bytes(content)
    bless(version, name)
    whole = version / LEXICAL if name.startswith(LEXICAL) else version / name
    assert str(whole) in _refusal(ArtefactCorrupt, root)


def test_a_lexical_index_that_nobody_misses_is_missed(root: Path, version: Path) -> None:
    """Not even by a manifest that does not name its files."""
    shutil.rmtree(version / LEXICAL)
    edit_manifest(
        version,
        lambda content: content.update(
            artefacts={name: content["artefacts"][name] for name in (CHUNKS, VECTORS)}
        ),
    )
    assert f"{version / LEXICAL} holds no lexical index" in _refusal(ArtefactCorrupt, root)


def test_what_the_lexical_library_keeps_for_itself_is_not_missed(root: Path, version: Path) -> None:
    """A copy without hidden files is whole."""
    for file in (version / LEXICAL).glob(".*"):
        file.unlink()
    opened = open_index(root, encoder=KeywordEncoder())
    assert _words(opened)["nauseas"] == ["nausea"]
    opened.backend.close()


@pytest.mark.parametrize(("name", "wrong"), [("documents", 4), ("chunks", 3), ("chunks", 0)])
def test_wrong_counts_are_named(root: Path, version: Path, name: str, wrong: int) -> None:
    edit_manifest(version, lambda content: content["counts"].update({name: wrong}))
    found, expected = _refusal(CountMismatch, root).split("its manifest says")
    right = {"documents": 3, "chunks": 4}
    assert f"'{name}': {right[name]}" in found
    assert f"'{name}': {wrong}" in expected


def test_a_chunk_without_a_vector_is_noticed(root: Path, version: Path) -> None:
    index = faiss.read_index(str(version / "vectors.faiss"))
    shorter = faiss.IndexScalarQuantizer(index.d, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    shorter.add(index.reconstruct_n(0, index.ntotal - 1))
    faiss.write_index(shorter, str(version / "vectors.faiss"))
    bless(version, "vectors.faiss")
    found, expected = _refusal(CountMismatch, root).split("its manifest says")
    assert "'vectors': 3" in found
    assert "'vectors': 4" in expected


def test_a_chunk_without_its_words_is_noticed(root: Path, version: Path) -> None:
    shutil.rmtree(version / LEXICAL)
    rows = list(lexical_rows(version / CHUNKS, ["fever", "nausea", "old"]))
    assert len(rows) == 4
    write_lexical(version / LEXICAL, [Bucket("all", [])], lambda _: rows[:3])
    names = [f"{LEXICAL}/{name}" for name in artefacts(version / LEXICAL)]
    edit_manifest(
        version,
        lambda content: content.update(
            artefacts={name: sha256_of(version / name) for name in (CHUNKS, VECTORS, *names)}
        ),
    )
    found, expected = _refusal(CountMismatch, root).split("its manifest says")
    assert "'words': 3" in found
    assert "'words': 4" in expected


def test_a_document_without_its_row_is_noticed(root: Path, version: Path) -> None:
    connection = sqlite3.connect(version / "chunks.sqlite")
    connection.execute("DELETE FROM documents WHERE doc_id = 'nausea'")
    connection.commit()
    connection.close()
    bless(version, "chunks.sqlite")
    assert "'documents': 2" in _refusal(CountMismatch, root)


def test_vectors_of_another_width_are_noticed(root: Path, version: Path) -> None:
    edit_manifest(version, lambda content: content["encoder"].update(dim=384))
    found, expected = _refusal(CountMismatch, root).split("its manifest says")
    assert "'dim': 9" in found
    assert "'dim': 384" in expected


def test_an_encoder_of_another_fingerprint_is_refused_although_the_width_is_the_same(root: Path) -> None:
    built, other = KeywordEncoder(), KeywordEncoder([*WORDS[:-1], "clinic"])
    other.name = "other/words"
    assert other.dim == built.dim
    with pytest.raises(EncoderMismatch) as caught:
        open_index(root, encoder=other)
    message = str(caught.value)
    assert f"was built with the encoder 'keywords' (fingerprint {built.fingerprint[:12]})" in message
    assert f"'other/words' is at hand (fingerprint {other.fingerprint[:12]})" in message
    assert message.endswith(f"RAG_ENCODER=other/words rag index --index {root}")


MISMATCHES: dict[type[IndexFault], Callable[[Path], object]] = {
    IndexNotFound: shutil.rmtree,
    SchemaMismatch: lambda version: edit_manifest(version, lambda told: told.update(schema=SCHEMA + 1)),
    ArtefactCorrupt: lambda version: _flip(version / VECTORS, -1),
    CountMismatch: lambda version: edit_manifest(version, lambda told: told["counts"].update(chunks=5)),
    EncoderMismatch: lambda version: edit_manifest(
        version, lambda told: told["encoder"].update(fingerprint="another")
    ),
    SentinelMismatch: lambda version: edit_manifest(
        version, lambda told: told["sentinels"].update({"fever": [0.0] * 8 + [1.0]})
    ),
}


@pytest.mark.parametrize("kind", MISMATCHES)
@pytest.mark.parametrize("options", [BuildOptions(rebuild=True), BuildOptions()], ids=["rebuild", "build"])
def test_every_mismatch_has_a_class_of_its_own_and_a_build_mends_it(
    root: Path, version: Path, kind: type[IndexFault], options: BuildOptions
) -> None:
    """The command that is named does, and so does one without `--rebuild` although no file changed."""
    assert kind.__bases__ == (IndexFault,)
    MISMATCHES[kind](version)
    with pytest.raises(IndexFault) as caught:
        open_index(root, encoder=KeywordEncoder())
    assert type(caught.value) is kind
    assert f"rag index --rebuild --index {root}" in str(caught.value) or kind is EncoderMismatch
    report = build_index(root.parent / "seeds", root, KeywordEncoder(), options=options)
    assert not report.unchanged
    opened = open_index(root, encoder=KeywordEncoder())
    assert opened.backend.info.index_id == report.manifest.index_id != version.name
    assert _words(opened)["fever"] == ["fever", "fever"]
    opened.backend.close()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted in /proc")
@pytest.mark.parametrize(
    "fault",
    [
        *("counts", "vectors.faiss", "chunks.sqlite", "lexical/meta.json"),
        *("fingerprint", "sentinels", "no encoder"),
    ],
)
def test_a_refused_index_leaves_no_file_open(root: Path, version: Path, fault: str) -> None:
    encoder: Encoder | str = KeywordEncoder()
    if fault == "counts":
        edit_manifest(version, lambda content: content["counts"].update(chunks=9))
    elif fault == "fingerprint":
        encoder = KeywordEncoder(["other"])
    elif fault == "sentinels":
        edit_manifest(version, lambda content: content.update(sentinels={}))
    elif fault == "no encoder":
        encoder = "/nowhere/at/all"
    else:
        (version / fault).write_bytes(b"nonsense" * 700)
        bless(version, fault)
    with pytest.raises(CitewellError) as kept:
        open_index(root, encoder=encoder)
    # The lexical library looks at its meta.json twice a second, for some microseconds each time.
    for _ in range(5):
        left_open = _open_files(root)
        time.sleep(0.01 if left_open else 0)
    assert left_open == [], kept.value


def _open_files(root: Path) -> list[Path]:
    """The files below `root` that this process holds open."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(link.readlink())
    return [path for path in found if path.is_relative_to(root)]
