"""A build: what it reports, what it publishes, and what it leaves alone when it fails."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import WriteSeed
from keyword_encoder import WORDS, KeywordEncoder, count_words

from rag.corpus.pipeline import ChunkedDocument, chunk_files
from rag.corpus.reader import find_files
from rag.encoders.base import Encoder, Vectors
from rag.errors import (
    CitewellError,
    CountMismatch,
    EmptyCorpus,
    IndexNotWritable,
    SchemaMismatch,
    UnreadableDocument,
)
from rag.index import builder
from rag.index.backend import Occurrences, Term
from rag.index.builder import build_index
from rag.index.building import Stage
from rag.index.local.holding import holding
from rag.index.local.layout import Layout
from rag.index.local.lexical_writer import LexicalRow, write_rows
from rag.index.local.local_index import LocalIndex
from rag.index.local.manifest import SCHEMA, SENTINELS
from rag.index.plan import BuildOptions, BuildReport, Changes

STRICT = BuildOptions(strict=True)
REBUILD = BuildOptions(rebuild=True)
BROKEN = "---\ntitle: [never closed\n---\n\nFever.\n"

Build = Callable[..., BuildReport]


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    return tmp_path / "seeds"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "index")


@pytest.fixture
def build(seeds: Path, layout: Layout) -> Build:
    """Build `seeds` into the index folder with the keyword encoder."""

    def build(options: BuildOptions | None = None, *, encoder: Encoder | None = None) -> BuildReport:
        return build_index(seeds, layout.root, encoder or KeywordEncoder(), options=options)

    return build


def _search(root: Path, question: str, k: int = 10) -> list[str]:
    """The documents that the published index finds, best first."""
    index = LocalIndex.open(root)
    try:
        hits = index.search(KeywordEncoder().encode_queries([question])[0], k)
        return [hit.chunk_id.partition("#")[0] for hit in hits if hit.score > 0]
    finally:
        index.close()


def _match(root: Path, *words: str, k: int = 10) -> list[str]:
    """The chunks that the published index finds by words, best first, their numbers left out."""
    index = LocalIndex.open(root)
    try:
        hits = index.match([Term(word) for word in words], k)
        return [hit.chunk_id.rpartition("-")[0] for hit in hits]
    finally:
        index.close()


def _versions(layout: Layout) -> set[str]:
    """Everything in versions/, hidden folders too."""
    return {entry.name for entry in layout.versions.iterdir()} if layout.versions.exists() else set()


class Noting(KeywordEncoder):
    """Keeps what it was asked to encode."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        return super().encode_documents(texts)


class Failing(KeywordEncoder):
    """Fails once it has encoded a number of batches."""

    def __init__(self, error: BaseException, *, after: int = 0) -> None:
        super().__init__()
        self._error, self._left = error, after

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        if not self._left:
            raise self._error
        self._left -= 1
        return super().encode_documents(texts)


def test_a_built_index_finds_what_was_written(build: Build, layout: Layout, write_seed: WriteSeed) -> None:
    write_seed("chemo/fever", "Call about a fever.")
    write_seed("nausea", "Nausea passes.")
    report = build()
    assert not report.unchanged
    assert report.problems == ()
    assert _search(layout.root, "a fever") == ["chemo/fever"]
    assert _search(layout.root, "nausea") == ["nausea"]


def test_what_is_written_is_found_by_its_words_headings_and_title(
    build: Build, layout: Layout, write_seed: WriteSeed
) -> None:
    write_seed("chemo/fever", "Call about chills.\n\n## Mouth sores\n\nRinse often.", title="Chemo fever")
    write_seed("nausea", "Vomited twice?")
    build()
    assert _match(layout.root, "chill") == ["chemo/fever#top"]
    assert _match(layout.root, "sore") == ["chemo/fever#mouth-sores"]
    assert sorted(_match(layout.root, "fever")) == ["chemo/fever#mouth-sores", "chemo/fever#top"]
    assert _match(layout.root, "vomiting") == ["nausea#top"]
    assert _match(layout.root, "https", "example", "org", "status") == []
    index = LocalIndex.open(layout.root)
    assert index.occurrences(["fever"]) == Occurrences(mentioned=2, titled=2)
    index.close()


def test_standing_text_is_weighed_over_the_whole_build(
    build: Build, layout: Layout, write_seed: WriteSeed
) -> None:
    standing = " ".join(f"standing{at}" for at in range(60))
    for doc in range(6):
        own = " ".join(f"own{doc}x{at}" for at in range(60))
        write_seed(f"d{doc}", f"{own}\n\n## About this page\n\n{standing}")
    build()
    index = LocalIndex.open(layout.root)
    ids = [hit.chunk_id for hit in index.search(KeywordEncoder().encode_queries(["x"])[0], 50)]
    repeated = dict(zip(ids, index.traits(ids).repeated.tolist(), strict=True))
    index.close()
    assert len(ids) == 12
    assert {chunk_id.split("-")[0].partition("#")[2]: share for chunk_id, share in repeated.items()} == {
        "top": 0.0,
        "about": 1.0,
    }


def test_a_version_holds_its_parts_and_current_names_it(
    build: Build, layout: Layout, write_seed: WriteSeed
) -> None:
    write_seed("a", "Fever.")
    report = build()
    assert {file.name for file in report.folder.iterdir()} == {
        "manifest.json",
        "chunks.sqlite",
        "vectors.faiss",
        "lexical",
    }
    assert layout.current.read_text(encoding="utf-8") == report.manifest.index_id + "\n"
    assert report.folder == layout.root / "versions" / report.manifest.index_id
    assert {entry.name for entry in layout.root.iterdir()} == {"versions", "current", ".lock"}


def test_reading_leaves_nothing_behind(build: Build, layout: Layout, write_seed: WriteSeed) -> None:
    write_seed("a", "Fever.")
    folder = build().folder
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert _search(layout.root, "fever") == ["a"]
    assert _match(layout.root, "fever") == ["a#top"]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_others_may_read_a_published_version(build: Build, write_seed: WriteSeed) -> None:
    write_seed("a", "Fever.")
    folder = build().folder
    for path in (folder, *folder.rglob("*")):
        readable = 0o555 if path.is_dir() else 0o444
        assert path.stat().st_mode & readable == readable, path


def test_files_that_cannot_be_read_are_reported_and_the_others_go_on(
    build: Build, layout: Layout, seeds: Path, write_seed: WriteSeed
) -> None:
    write_seed("good/one", "Fever.")
    write_seed("zz", "More fever.")
    (seeds / "broken.md").write_text(BROKEN, encoding="utf-8")
    (seeds / "latin.md").write_bytes("---\ntitle: x\n---\n\nM\xfcdigkeit\n".encode("latin-1"))
    (seeds / "binary.md").write_bytes(b"PK\x03\x04\n\n\x00\x00")
    (seeds / "notes.txt").write_text("not markdown", encoding="utf-8")
    report = build()
    assert [(problem.path, problem.line) for problem in report.problems] == [
        (seeds / "binary.md", 3),
        (seeds / "broken.md", 2),
        (seeds / "latin.md", 5),
    ]
    assert all(str(problem).startswith(f"{problem.path}:{problem.line}: ") for problem in report.problems)
    assert report.ignored == 1
    assert report.manifest.counts["documents"] == 2
    assert sorted(_search(layout.root, "fever")) == ["good/one", "zz"]


def test_a_file_over_the_limit_is_a_problem_and_not_a_document(
    build: Build, seeds: Path, write_seed: WriteSeed
) -> None:
    write_seed("small", "Fever.")
    write_seed("large", "Fever. " * 500)
    report = build(BuildOptions(max_file_bytes=1000))
    assert [problem.path for problem in report.problems] == [seeds / "large.md"]
    assert "1,000" in report.problems[0].reason


def test_a_file_whose_name_is_no_text_is_reported(build: Build, seeds: Path, write_seed: WriteSeed) -> None:
    write_seed("good", "Fever.")
    try:
        shutil.copy(seeds / "good.md", seeds / os.fsdecode(b"caf\xe9.md"))
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    report = build()
    assert [problem.reason for problem in report.problems] == ["the file name is not valid UTF-8"]
    assert build().unchanged
    assert [problem.reason for problem in build().problems] == ["the file name is not valid UTF-8"]


def test_documents_without_a_word_and_repaired_ones_are_named(build: Build, write_seed: WriteSeed) -> None:
    write_seed("a", "Fever.")
    write_seed("hollow", "![](picture.png)")
    write_seed("mojibake", "The patientâ€™s fever.")
    report = build()
    assert report.empty == ("hollow",)
    assert report.repaired == ("mojibake",)
    assert report.manifest.counts == {"documents": 3, "chunks": 2}


def test_strict_publishes_nothing_and_keeps_the_current_version(
    build: Build, layout: Layout, seeds: Path, write_seed: WriteSeed
) -> None:
    write_seed("a", "Fever.")
    before = build().manifest.index_id
    write_seed("b", "More fever.")
    (seeds / "broken.md").write_text(BROKEN, encoding="utf-8")
    with pytest.raises(UnreadableDocument) as caught:
        build(STRICT)
    assert (caught.value.path, caught.value.line) == (seeds / "broken.md", 2)
    assert layout.current_id() == before
    assert _versions(layout) == {before}
    assert _search(layout.root, "fever") == ["a"]


def test_strict_refuses_a_broken_file_that_the_current_version_left_out(
    build: Build, layout: Layout, seeds: Path, write_seed: WriteSeed
) -> None:
    write_seed("a", "Fever.")
    (seeds / "broken.md").write_text(BROKEN, encoding="utf-8")
    before = build().manifest.index_id
    with pytest.raises(UnreadableDocument, match=r"broken\.md:2"):
        build(STRICT)
    assert _versions(layout) == {before}


def test_strict_publishes_what_is_whole(build: Build, layout: Layout, write_seed: WriteSeed) -> None:
    write_seed("a", "Fever.")
    assert layout.current_id() is None
    assert build(STRICT).manifest.index_id == layout.current_id()


def test_nothing_is_built_when_nothing_changed(
    build: Build, layout: Layout, seeds: Path, write_seed: WriteSeed
) -> None:
    write_seed("a", "Fever.")
    (seeds / "broken.md").write_text(BROKEN, encoding="utf-8")
    first = build()
    (seeds / "a.md").touch()
    (seeds / "notes.txt").write_text("not markdown", encoding="utf-8")
    encoder = Noting()
    second = build(encoder=encoder)
    assert second.unchanged
    assert encoder.asked == list(SENTINELS), "by them it is known again, and nothing else is encoded"
    assert second.folder == first.folder
    assert second.manifest == first.manifest
    assert [str(problem) for problem in second.problems] == [str(problem) for problem in first.problems]
    assert _versions(layout) == {first.manifest.index_id}


CHANGES: dict[str, Callable[[Path], object]] = {
    "a file is new": lambda seeds: shutil.copy(seeds / "a.md", seeds / "c.md"),
    "a file is gone": lambda seeds: (seeds / "a.md").unlink(),
    "a file has another name": lambda seeds: (seeds / "a.md").rename(seeds / "d.md"),
    "a file lies elsewhere": lambda seeds: (seeds / "a.md").rename(seeds / "sub" / "a.md"),
    "a byte is new": lambda seeds: (seeds / "a.md").write_bytes((seeds / "a.md").read_bytes() + b"\n"),
    "two files changed places": lambda seeds: _swap(seeds / "a.md", seeds / "sub" / "b.md"),
    "an unreadable file is new": lambda seeds: (seeds / "new.md").write_bytes(b"\xff\xfe\x00"),
    "an unreadable file is mended": lambda seeds: shutil.copy(seeds / "a.md", seeds / "broken.md"),
    "an unreadable file is broken otherwise": lambda seeds: (seeds / "broken.md").write_bytes(b"\x00"),
    "a link leads out": lambda seeds: (seeds / "link.md").symlink_to("/etc/hostname"),
}


def _swap(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_of_the_files_is_built(
    build: Build, layout: Layout, seeds: Path, write_seed: WriteSeed, change: str
) -> None:
    write_seed("a", "Fever.")
    write_seed("sub/b", "Nausea.")
    (seeds / "broken.md").write_text(BROKEN, encoding="utf-8")
    before = build().manifest
    CHANGES[change](seeds)
    after = build()
    assert not after.unchanged
    assert after.manifest.index_id == layout.current_id() != before.index_id
    assert after.manifest.corpus_sha256 != before.corpus_sha256
    assert build().unchanged


@pytest.mark.parametrize(
    "options",
    [BuildOptions(max_tokens=64), BuildOptions(max_file_bytes=300), REBUILD],
    ids=["max_tokens", "max_file_bytes", "rebuild"],
)
def test_any_change_of_the_settings_is_built(
    build: Build, write_seed: WriteSeed, options: BuildOptions
) -> None:
    write_seed("a", "Fever.")
    write_seed("b", "Nausea. " * 60)
    before = build().manifest.index_id
    after = build(options)
    assert not after.unchanged
    assert after.manifest.index_id != before
    assert build(replace(options, rebuild=False)).unchanged


def test_max_tokens_beyond_the_encoder_change_nothing(build: Build, write_seed: WriteSeed) -> None:
    write_seed("a", "Fever.")
    build(BuildOptions(max_tokens=KeywordEncoder.max_tokens))
    report = build(BuildOptions(max_tokens=8000))
    assert report.unchanged
    assert report.manifest.chunker["max_tokens"] == KeywordEncoder.max_tokens


def test_another_encoder_is_built_even_when_its_vectors_have_the_same_width(
    build: Build, write_seed: WriteSeed
) -> None:
    write_seed("a", "Fever.")
    before = build().manifest
    other = KeywordEncoder([*WORDS[:-1], "clinic"])
    after = build(encoder=other)
    assert not after.unchanged
    assert after.manifest.encoder["dim"] == before.encoder["dim"]
    assert after.manifest.encoder["fingerprint"] == other.fingerprint
    assert not build().unchanged


@pytest.mark.parametrize("name", ["manifest.json", "chunks.sqlite", "vectors.faiss", "lexical/meta.json"])
def test_a_damaged_version_is_built_anew_although_nothing_changed(
    build: Build, layout: Layout, write_seed: WriteSeed, name: str
) -> None:
    write_seed("a", "Fever.")
    damaged = build().folder / name
    damaged.write_bytes(damaged.read_bytes()[:-2])
    assert not build().unchanged
    assert _search(layout.root, "fever") == ["a"]
    assert _match(layout.root, "fever") == ["a#top"]


def test_a_version_of_an_older_schema_is_built_anew_although_nothing_changed(
    build: Build, layout: Layout, write_seed: WriteSeed
) -> None:
    write_seed("a", "Fever.")
    old = build().folder
    manifest = (old / "manifest.json").read_text(encoding="utf-8")
    older = manifest.replace(f'"schema": {SCHEMA}', f'"schema": {SCHEMA - 1}')
    (old / "manifest.json").write_text(older, encoding="utf-8")
    with pytest.raises(SchemaMismatch):
        LocalIndex.open(layout.root)
    assert not build().unchanged
    assert _match(layout.root, "fever") == ["a#top"]


def test_a_missing_folder_is_named(build: Build, layout: Layout, seeds: Path) -> None:
    with pytest.raises(EmptyCorpus, match=f"{seeds} is not a folder"):
        build()
    assert not layout.root.exists()


def test_an_empty_folder_says_what_it_should_hold(build: Build, layout: Layout, seeds: Path) -> None:
    seeds.mkdir()
    (seeds / "notes.txt").write_text("not markdown", encoding="utf-8")
    with pytest.raises(EmptyCorpus, match=f"{seeds} holds no markdown file"):
        build()
    assert not layout.root.exists()


def test_a_folder_of_unreadable_files_names_the_first(build: Build, layout: Layout, seeds: Path) -> None:
    seeds.mkdir()
    (seeds / "a.md").write_text(BROKEN, encoding="utf-8")
    (seeds / "b.md").write_bytes(b"\x00")
    with pytest.raises(EmptyCorpus, match=rf"none of the 2 files .*{seeds}/a\.md:2: "):
        build()
    assert _versions(layout) == set()
    assert layout.current_id() is None


def test_a_folder_of_titles_alone_is_empty(build: Build, layout: Layout, write_seed: WriteSeed) -> None:
    write_seed("a", "")
    with pytest.raises(EmptyCorpus, match=r"no document in .* holds any text"):
        build()
    assert _versions(layout) == set()


# What is encoded in a build of 600 chunks upon another version: the sentinels, to know that version's encoder
# and the journal's, two batches, and the sentinels of the manifest.
BATCHES = 5


@pytest.mark.parametrize("error", [RuntimeError("out of luck"), KeyboardInterrupt(), MemoryError()])
def test_nothing_of_a_failed_build_is_left_but_its_vectors(
    build: Build, layout: Layout, write_seed: WriteSeed, error: BaseException
) -> None:
    write_seed("a", "Fever.")
    before = build().manifest.index_id
    write_seed("b", "\n\n".join(f"## Part {at}\n\nMore fever." for at in range(600)))
    for after in range(BATCHES):
        with pytest.raises(type(error)):
            build(encoder=Failing(error, after=after))
        assert _versions(layout) == {before}
        assert layout.current_id() == before
        left = {entry.name for entry in layout.root.iterdir()} - {"versions", "current", ".lock"}
        assert left == ({"unfinished"} if after else set())
        shutil.rmtree(layout.unfinished, ignore_errors=True)
    assert _search(layout.root, "fever") == ["a"]
    assert build(encoder=Failing(error, after=BATCHES)).manifest.index_id == layout.current_id() != before
    assert not layout.unfinished.exists()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted in /proc")
@pytest.mark.parametrize("after", range(BATCHES - 1))
def test_a_failed_build_gives_its_disk_space_back(
    build: Build, layout: Layout, write_seed: WriteSeed, after: int
) -> None:
    """A deleted file takes room for as long as it is open, were it only by an exception's traceback."""
    write_seed("b", "\n\n".join(f"## Part {at}\n\nMore fever." for at in range(600)))
    with pytest.raises(RuntimeError) as kept:
        build(encoder=Failing(RuntimeError("out of luck"), after=after))
    opened = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert not [path for path in opened if path.is_relative_to(layout.root)], kept.value


def test_nothing_of_a_version_is_left_that_could_not_be_made_current(
    build: Build, layout: Layout, seeds: Path, write_seed: WriteSeed
) -> None:
    """Whether something was in the way when the build began, or came there while it went on."""
    write_seed("a", "Fever.")
    before = build().manifest.index_id
    write_seed("b", "More fever.")
    in_the_way = layout.root / ".current-next"

    def hinder(_stage: Stage, _done: int, _total: int) -> None:
        in_the_way.mkdir(exist_ok=True)

    for _ in range(2):
        with pytest.raises(IndexNotWritable):
            build_index(seeds, layout.root, KeywordEncoder(), on_progress=hinder)
        assert in_the_way.is_dir()
        assert _versions(layout) == {before}
        assert layout.current_id() == before
    in_the_way.rmdir()
    assert build().manifest.index_id == layout.current_id()


def test_a_version_that_does_not_hold_together_is_never_published(
    build: Build, layout: Layout, seeds: Path, write_seed: WriteSeed
) -> None:
    """A row is lost before its file's checksum is taken, so that only a look at the whole can tell."""
    write_seed("a", "Fever.")
    before = build().manifest.index_id
    write_seed("b", "More fever.\n\n## Then\n\nPain.")

    def lose_a_row(stage: Stage, done: int, total: int) -> None:
        if (stage, done) == ("encoding", total):
            (chunks,) = layout.versions.glob(".building-*/chunks.sqlite")
            with closing(sqlite3.connect(chunks)) as connection, connection:
                connection.execute("DELETE FROM chunks WHERE row = 2")

    with pytest.raises(CountMismatch, match=rf"'chunks': 2.*'chunks': 3.*--index {layout.root}$"):
        build_index(seeds, layout.root, KeywordEncoder(), on_progress=lose_a_row)
    assert layout.current_id() == before
    assert _versions(layout) == {before}
    assert _search(layout.root, "fever") == ["a"]
    assert build().manifest.counts["chunks"] == 3


def test_a_reader_goes_on_with_its_version_after_the_next_is_published(
    build: Build, layout: Layout, write_seed: WriteSeed
) -> None:
    write_seed("a", "A fever.")
    build()
    reader = LocalIndex.open(layout.root)
    query = KeywordEncoder().encode_queries(["fever"])[0]
    before = reader.search(query, 5)
    write_seed("a", "No such word any more.")
    write_seed("b", "Fever.")
    build()
    assert reader.search(query, 5) == before
    assert "A fever." in reader.document("a").text
    assert reader.chunks([before[0].chunk_id])[0].chunk.text == "A fever."
    reader.close()
    assert _search(layout.root, "fever") == ["b"]


def test_what_is_not_a_folder_cannot_hold_an_index(
    build: Build, layout: Layout, write_seed: WriteSeed
) -> None:
    write_seed("a", "Fever.")
    layout.root.write_text("a file", encoding="utf-8")
    with pytest.raises(IndexNotWritable, match=f"{layout.root} cannot be written"):
        build()


class Disk:
    """A file system of its own, to make read-only or to fill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make_read_only(self) -> None:
        self._mount("remount,ro")

    def leave_free(self, free: int) -> None:
        """Fill all but `free` bytes."""
        filler = self.folder / "filler"
        # What the disk says of its free space is not exact, so it is filled and then relieved.
        with filler.open("ab", buffering=0) as stream, suppress(OSError):
            while True:
                stream.write(bytes(1 << 12))
        os.truncate(filler, filler.stat().st_size - free)

    def _mount(self, options: str) -> None:
        subprocess.run(["mount", "-o", options, str(self.folder)], check=True, capture_output=True)  # noqa: S607


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A small disk at `tmp_path / "index"`, where the tests may mount one."""
    folder = tmp_path / "index"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a disk, and not everywhere")
    with ExitStack() as cleanup:
        cleanup.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=True)
        yield Disk(folder)


def test_a_read_only_folder_keeps_its_version(
    build: Build, layout: Layout, disk: Disk, write_seed: WriteSeed
) -> None:
    write_seed("a", "Fever.")
    before = build().manifest.index_id
    write_seed("b", "More fever.")
    disk.make_read_only()
    with pytest.raises(IndexNotWritable, match=f"{layout.root} cannot be written: Read-only file system"):
        build()
    assert layout.current_id() == before
    assert _search(layout.root, "fever") == ["a"]
    assert _match(layout.root, "fever") == ["a#top"]


def test_an_unchanged_index_on_a_read_only_disk_is_no_error(
    build: Build, disk: Disk, write_seed: WriteSeed
) -> None:
    write_seed("a", "Fever.")
    build()
    disk.make_read_only()
    assert build().unchanged


def test_wherever_the_disk_runs_full_the_old_version_stays(
    build: Build, layout: Layout, disk: Disk, write_seed: WriteSeed
) -> None:
    """The disk is given one more page with every try, until there is room for the whole version."""
    write_seed("a", "Fever.")
    before = build().manifest.index_id
    write_seed("b", "\n\n".join(f"## Part {at}\n\nMore fever, and words to fill a page." for at in range(30)))
    published = None
    for free in range(0, 1 << 20, os.statvfs(disk.folder).f_bsize):
        disk.leave_free(free)
        try:
            published = build()
            break
        except IndexNotWritable as error:
            said = str(error)
        assert said.startswith(f"{layout.root} cannot be written: ")
        assert "full" in said or "No space left" in said
        assert layout.current_id() == before
        assert _versions(layout) == {before}
        assert _search(layout.root, "fever") == ["a"]
    assert free > 10 * os.statvfs(disk.folder).f_bsize, "several files ran out of room"
    assert published
    assert set(_search(layout.root, "fever", 50)) == {"a", "b"}
    assert len(_match(layout.root, "page", k=50)) == 30
    assert layout.current_id() == published.manifest.index_id != before


@pytest.mark.parametrize("pages", [0, 1, 3])
def test_words_that_do_not_fit_on_the_disk_are_an_error_that_says_so(disk: Disk, pages: int) -> None:
    """The library writes in threads of its own, which do not say why they died."""
    disk.leave_free(pages * os.statvfs(disk.folder).f_bsize)
    rows = (LexicalRow(row, f"d{row}", "", "", f"word{row} " * 50) for row in range(3000))
    with pytest.raises(OSError, match="No space left"):
        write_rows(disk.folder / "lexical", rows)


def test_progress_only_grows_and_ends_at_the_total(
    seeds: Path, layout: Layout, write_seed: WriteSeed
) -> None:
    for at in range(12):
        write_seed(f"d{at}", "\n\n".join(f"## Part {part}\n\nFever." for part in range(100)))
    (seeds / "broken.md").write_text(BROKEN, encoding="utf-8")
    calls: list[tuple[Stage, int, int]] = []
    report = build_index(
        seeds,
        layout.root,
        KeywordEncoder(),
        on_progress=lambda stage, done, total: calls.append((stage, done, total)),
    )
    stages = list(dict.fromkeys(stage for stage, _, _ in calls))
    assert stages == ["reading", "encoding"]
    assert [stage for stage, _, _ in calls] == sorted((stage for stage, _, _ in calls), key=stages.index)
    for stage, whole in (("reading", 13), ("encoding", report.manifest.counts["chunks"])):
        done = [step for name, step, _ in calls if name == stage]
        assert {total for name, _, total in calls if name == stage} == {whole}
        assert done[0] == 0
        assert done[-1] == whole
        assert done == sorted(set(done))
    assert len([1 for stage, _, _ in calls if stage == "encoding"]) > 2


def test_several_processes_give_the_chunks_that_one_gives(
    build: Build, layout: Layout, seeds: Path, write_seed: WriteSeed
) -> None:
    for at in range(120):
        write_seed(f"{at % 7}/d{at}", f"Fever {at}.\n\n## Then\n\n" + "Nausea and pain. " * (at % 40))
    for at in range(0, 120, 30):
        (seeds / f"broken{at}.md").write_text("\n" * at + BROKEN, encoding="utf-8")
    files, _ = find_files(seeds)
    alone = list(chunk_files(files, count_words, max_tokens=64, workers=1))
    together = list(chunk_files(files, count_words, max_tokens=64, workers=2))
    for one, other in zip(alone, together, strict=True):
        if isinstance(one, CitewellError):
            assert (type(one), str(one)) == (type(other), str(other))
        else:
            assert one == other
    build(BuildOptions(max_tokens=64))
    index = LocalIndex.open(layout.root)
    for one in alone:
        if isinstance(one, ChunkedDocument):
            assert index.document(one.document.doc_id) == one.document
            stored = index.chunks([chunk.chunk_id for chunk in one.chunks])
            assert [each.chunk for each in stored] == one.chunks
    index.close()


def test_a_build_with_the_bundled_encoder_finds_by_meaning(samples_index: Path, bundled: Encoder) -> None:
    index = LocalIndex.open(samples_index)
    hits = index.search(bundled.encode_queries(["Will I go bald?"])[0], 3)
    index.close()
    assert hits[0].chunk_id.startswith("side-effects/hair-loss#")
    vectors = np.array(list(index.manifest.sentinels.values()))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_build_that_was_overtaken_looks_at_the_documents_again(
    build: Build, layout: Layout, write_seed: WriteSeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had listed them before a page came that the faster build has published already."""
    write_seed("a", "Fever.")
    build()
    write_seed("a", "More fever.")
    held = holding

    @contextmanager
    def overtaken(layout: Layout, purpose: str) -> Iterator[None]:
        monkeypatch.setattr(builder, "holding", held)
        write_seed("b", "Fever again.")
        assert build().changes == Changes(new=("b",), edited=("a",))
        with held(layout, purpose):
            yield

    monkeypatch.setattr(builder, "holding", overtaken)
    assert build().unchanged
    assert sorted(_search(layout.root, "fever")) == ["a", "b"]


def test_a_version_that_no_service_opens_is_built_anew_although_nothing_changed(
    build: Build, layout: Layout, write_seed: WriteSeed
) -> None:
    """Its folder was renamed, and `current` with it."""
    write_seed("a", "Fever.")
    folder = build().folder
    folder.rename(folder.with_name("20200101T000000000Z-12345678"))
    layout.current.write_text("20200101T000000000Z-12345678\n", encoding="utf-8")
    report = build()
    assert not report.unchanged
    assert report.not_reused
    assert "expected 20200101T000000000Z-12345678" in report.not_reused
    assert _search(layout.root, "fever") == ["a"]


def test_what_a_killed_build_left_goes_even_when_nothing_changed(build: Build, write_seed: WriteSeed) -> None:
    write_seed("a", "Fever.")
    left = build().folder.parent / ".building-left"
    left.mkdir()
    (left / "chunks.sqlite").write_bytes(b"half")
    assert build().unchanged
    assert not left.exists()


def test_strict_names_the_first_of_many_files_and_nothing_else(
    seeds: Path, layout: Layout, write_seed: WriteSeed, capfd: pytest.CaptureFixture[str]
) -> None:
    """Even where several processes read: what they have begun is waited for."""
    for number in range(130):
        write_seed(f"page-{number:03}", "Fever.")
    (seeds / "page-007.md").write_text(BROKEN, encoding="utf-8")
    (seeds / "page-100.md").write_text(BROKEN, encoding="utf-8")
    with pytest.raises(UnreadableDocument, match=r"page-007\.md:2"):
        build_index(seeds, layout.root, KeywordEncoder(), options=STRICT)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_version_is_as_open_as_its_builder_wants_it(build: Build, write_seed: WriteSeed, mask: int) -> None:
    write_seed("a", "Fever.")
    before = os.umask(mask)
    try:
        folder = build().folder
    finally:
        os.umask(before)
    for path in (folder, *folder.rglob("*")):
        wanted = (0o777 if path.is_dir() else 0o666) & ~mask
        assert path.stat().st_mode & 0o777 == wanted, path
