"""Versions come and go by renames: whoever reads meanwhile finds a whole one, the old or the new."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import WriteSeed
from keyword_encoder import KeywordEncoder

from rag.index.builder import build_index
from rag.index.local.layout import Layout
from rag.index.local.local_index import LocalIndex
from rag.index.local.manifest import read_manifest
from rag.index.local.publishing import new_workshop, point_at, publish, remove_version, sweep

PUBLISHES = 100
READERS = 2


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "index")


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two whole versions, of one document each: its name and its one word are theirs."""
    wholes = {}
    for word in ("fever", "nausea"):
        seeds, root = tmp_path_factory.mktemp("seeds"), tmp_path_factory.mktemp(word)
        (seeds / f"{word}.md").write_text(f"---\ntitle: One\n---\n\nThe {word}.\n", encoding="utf-8")
        wholes[word] = build_index(seeds, root, KeywordEncoder()).folder
    return wholes


Prepare = Callable[[str], Path]
Publish = Callable[[str], str]


@pytest.fixture
def prepare(layout: Layout, wholes: dict[str, Path]) -> Prepare:
    """Make a whole workshop for a version, which is called "<its word>-<anything>"."""

    def prepare(index_id: str) -> Path:
        folder = new_workshop(layout)
        shutil.copytree(wholes[index_id.partition("-")[0]], folder, dirs_exist_ok=True)
        replace(read_manifest(folder), index_id=index_id).write(folder)
        return folder

    return prepare


@pytest.fixture
def published(layout: Layout, prepare: Prepare) -> Publish:
    """Publish such a version."""

    def published(index_id: str) -> str:
        publish(layout, prepare(index_id), index_id)
        return index_id

    return published


def _served(layout: Layout) -> str:
    """The id of the version that a reader gets, which says what it holds."""
    index = LocalIndex.open(layout.root)
    try:
        [hit] = index.search(KeywordEncoder().encode_queries(["x"])[0], 10)
        word = hit.chunk_id.partition("#")[0]
        assert f"The {word}." in index.document(word).text
        assert index.chunks([hit.chunk_id])[0].chunk.text == f"The {word}."
        assert index.info.index_id.partition("-")[0] == word
        return index.info.index_id
    finally:
        index.close()


def _versions(layout: Layout) -> set[str]:
    return {entry.name for entry in layout.versions.iterdir()}


def test_a_published_version_is_the_current_one_and_its_workshop_is_gone(
    layout: Layout, prepare: Prepare
) -> None:
    folder = publish(layout, prepare("fever-1"), "fever-1")
    assert folder == layout.version("fever-1") == layout.current_version()
    assert _served(layout) == "fever-1"
    assert _versions(layout) == {"fever-1"}
    assert {entry.name for entry in layout.root.iterdir()} == {"versions", "current"}


def test_the_version_before_stays_to_go_back_to(layout: Layout, published: Publish) -> None:
    published("fever-1")
    published("nausea-2")
    assert _served(layout) == "nausea-2"
    point_at(layout, "fever-1")
    assert _served(layout) == "fever-1"
    point_at(layout, "nausea-2")
    assert _served(layout) == "nausea-2"


# Opens the current version again and again until a file says that it is enough, and keeps each open until
# it has the next. It prints how many openings there were, how many versions it saw, and what went wrong.
_READER = """
import sys
from pathlib import Path
from keyword_encoder import KeywordEncoder
from rag.index.local.local_index import LocalIndex

root, enough = Path(sys.argv[1]), Path(sys.argv[2])
question = KeywordEncoder().encode_queries(["x"])[0]
openings, seen, kept, wrong = 0, set(), None, []

def ask(index):
    word = index.info.index_id.partition("-")[0]
    [hit] = index.search(question, 10)
    assert hit.chunk_id.partition("#")[0] == word, (hit, index.info)
    assert index.document(word).text.endswith(f"The {word}." + chr(10)), index.info
    assert index.chunks([hit.chunk_id])[0].chunk.text == f"The {word}.", index.info

print("ready", flush=True)
while not enough.exists():
    try:
        index = LocalIndex.open(root)
        ask(index)
        if kept:
            ask(kept)
            kept.close()
    except Exception as error:
        wrong.append(repr(error))
        continue
    kept = index
    openings += 1
    seen.add(index.info.index_id)
print(openings, len(seen), *wrong[:3])
"""


class Readers:
    """Processes that open the current version in a tight loop."""

    def __init__(self, layout: Layout, enough: Path, cleanup: ExitStack) -> None:
        self._enough = enough
        path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
        command = [sys.executable, "-c", _READER, str(layout.root), str(enough)]
        self._programs = [
            cleanup.enter_context(
                subprocess.Popen(
                    command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path}
                )
            )
            for _ in range(READERS)
        ]
        # One that a failed test forgets would read for ever.
        cleanup.callback(enough.touch)
        for program in self._programs:
            assert program.stdout
            assert program.stdout.readline() == "ready\n"

    def stop(self) -> list[tuple[int, int, str]]:
        """Have them stop; of each the number of openings, of versions seen, and what went wrong."""
        self._enough.touch()
        told = [program.communicate()[0].strip().split(" ", 2) for program in self._programs]
        return [(int(openings), int(seen), "".join(wrong)) for openings, seen, *wrong in told]


@pytest.fixture
def readers(layout: Layout, tmp_path: Path) -> Iterator[Callable[[], Readers]]:
    with ExitStack() as cleanup:
        yield lambda: Readers(layout, tmp_path / "enough", cleanup)


def test_readers_never_miss_a_version_while_a_hundred_come_and_go(
    layout: Layout, published: Publish, readers: Callable[[], Readers]
) -> None:
    """Each is removed as soon as the next is published; who has it open reads on."""
    before = published("fever-0")
    reading = readers()
    for number in range(1, PUBLISHES + 1):
        index_id = published(f"{'nausea' if number % 2 else 'fever'}-{number}")
        remove_version(layout, before)
        before = index_id
    for openings, seen, wrong in reading.stop():
        assert not wrong
        assert openings >= seen > PUBLISHES // 20
    assert _versions(layout) == {before}


def test_readers_never_miss_a_version_while_it_is_gone_back_and_forth(
    layout: Layout, published: Publish, readers: Callable[[], Readers]
) -> None:
    ids = [published("fever-1"), published("nausea-2")]
    reading = readers()
    for number in range(PUBLISHES):
        point_at(layout, ids[number % 2])
        time.sleep(0.005)
    for openings, seen, wrong in reading.stop():
        assert not wrong
        assert openings > 2
        assert seen == 2


def test_the_pointer_is_never_seen_half_written(layout: Layout, published: Publish) -> None:
    ids = {published("fever-1"), published("nausea-2" + "2" * 100)}
    seen: set[str | None] = set()
    writing = threading.Event()

    def read() -> None:
        while not writing.is_set():
            seen.add(layout.current_id())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for index_id in sorted(ids) * PUBLISHES:
            point_at(layout, index_id)
    finally:
        writing.set()
        reader.join()
    assert seen == ids


def test_everything_is_on_the_disk_before_the_pointer_names_it(
    layout: Layout, tmp_path: Path, write_seed: WriteSeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that loses power forgets what was written and not synced, and keeps renames or not."""
    write_seed("a", "Fever.")
    done: list[tuple[str, Path, Path]] = []
    sync, move = os.fsync, os.replace

    def told_sync(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").resolve()
        done.append(("sync", path, path))
        sync(handle)

    def told_move(source: Path, target: Path) -> None:
        done.append(("move", Path(source), Path(target)))
        move(source, target)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("open files are named in /proc")
    monkeypatch.setattr(os, "fsync", told_sync)
    monkeypatch.setattr(os, "rename", told_move)
    monkeypatch.setattr(os, "replace", told_move)
    folder = build_index(tmp_path / "seeds", layout.root, KeywordEncoder()).folder

    [named] = [at for at, (what, _, target) in enumerate(done) if (what, target) == ("move", folder)]
    workshop = done[named][1]
    synced = {path.relative_to(workshop) for _, path, _ in done[:named] if path.is_relative_to(workshop)}
    assert synced >= {path.relative_to(folder) for path in (folder, *folder.rglob("*"))}
    pointer = layout.root / ".current-next"
    assert done[named + 1 :] == [
        ("sync", layout.versions, layout.versions),
        ("sync", pointer, pointer),
        ("move", pointer, layout.current),
        ("sync", layout.root, layout.root),
    ]


@pytest.mark.parametrize("failing", range(3), ids=["versions", "pointer", "folder"])
def test_whatever_cannot_be_synced_a_whole_version_is_current(
    layout: Layout,
    prepare: Prepare,
    published: Publish,
    monkeypatch: pytest.MonkeyPatch,
    failing: int,
) -> None:
    """A disk that fails may do so after the pointer was renamed: what it names must not be removed then."""
    published("fever-1")
    workshop = prepare("nausea-2")
    sync, calls = os.fsync, iter(range(10))

    def sync_or_fail(handle: int) -> None:
        if next(calls) == failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(handle)

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", sync_or_fail)
        with pytest.raises(OSError, match="Input/output error"):
            publish(layout, workshop, "nausea-2")
    assert layout.current_version().is_dir()
    assert _served(layout) == layout.current_id()
    published("nausea-3")
    assert _served(layout) == "nausea-3"


def test_a_version_of_the_same_name_is_not_written_over(
    layout: Layout, prepare: Prepare, published: Publish
) -> None:
    published("fever-1")
    published("nausea-2")
    kept = {path: path.stat().st_mtime_ns for path in layout.version("fever-1").rglob("*")}
    with pytest.raises(OSError, match="not empty"):
        publish(layout, prepare("fever-1"), "fever-1")
    assert _served(layout) == "nausea-2"
    assert {path: path.stat().st_mtime_ns for path in layout.version("fever-1").rglob("*")} == kept


@pytest.fixture
def disk(layout: Layout) -> Iterator[Path]:
    """A small disk where the index lies."""
    layout.root.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(layout.root)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a disk, and not everywhere")
    with ExitStack() as cleanup:
        cleanup.callback(subprocess.run, ["umount", "--lazy", str(layout.root)], check=True)
        yield layout.root


def _fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(bytes(1 << 12))
    return filler


def test_a_pointer_that_finds_no_room_leaves_the_old_one(
    layout: Layout, disk: Path, published: Publish
) -> None:
    published("fever-1")
    published("nausea-2")
    filler = _fill(disk)
    with pytest.raises(OSError, match="No space left"):
        point_at(layout, "fever-1")
    assert _served(layout) == "nausea-2"
    filler.unlink()
    point_at(layout, "fever-1")
    assert _served(layout) == "fever-1"


def test_a_version_whose_pointer_finds_no_room_is_removed_and_makes_room(
    layout: Layout, disk: Path, prepare: Prepare, published: Publish
) -> None:
    published("fever-1")
    workshop = prepare("nausea-2")
    _fill(disk)
    with pytest.raises(OSError, match="No space left"):
        publish(layout, workshop, "nausea-2")
    assert _served(layout) == "fever-1"
    assert _versions(layout) == {"fever-1"}
    point_at(layout, "fever-1")


def test_on_a_full_disk_a_version_can_be_removed(layout: Layout, disk: Path, published: Publish) -> None:
    published("fever-1")
    published("nausea-2")
    _fill(disk)
    remove_version(layout, "fever-1")
    assert _versions(layout) == {"nausea-2"}
    assert _served(layout) == "nausea-2"


def test_a_removed_version_can_be_read_on_by_who_has_it_open(layout: Layout, published: Publish) -> None:
    published("fever-1")
    index = LocalIndex.open(layout.root)
    published("nausea-2")
    remove_version(layout, "fever-1")
    assert _versions(layout) == {"nausea-2"}
    [hit] = index.search(KeywordEncoder().encode_queries(["fever"])[0], 10)
    assert hit.chunk_id.startswith("fever#")
    assert "The fever." in index.document("fever").text
    assert index.vocabulary()["fever"] == 1
    index.close()


def test_what_cannot_be_removed_whole_is_no_version_any_more(
    layout: Layout, published: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    published("fever-1")
    published("nausea-2")

    def fail(*_args: object, **_options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as broken:
        broken.setattr(os, "rmdir", fail)
        with pytest.raises(PermissionError):
            remove_version(layout, "fever-1")
    assert not layout.version("fever-1").exists()
    sweep(layout)
    assert _versions(layout) == {"nausea-2"}


def test_a_version_that_is_not_there_cannot_be_removed(layout: Layout, published: Publish) -> None:
    published("fever-1")
    with pytest.raises(FileNotFoundError):
        remove_version(layout, "nausea-2")
    assert _versions(layout) == {"fever-1"}


def test_sweeping_removes_what_the_dead_left_and_nothing_else(
    layout: Layout, prepare: Prepare, published: Publish
) -> None:
    published("fever-1")
    published("nausea-2")
    prepare("fever-3")
    layout.versions.joinpath(".pruned-fever-0", "lexical").mkdir(parents=True)
    layout.versions.joinpath(".pruned-fever-0", "lexical", "meta.json").touch()
    layout.versions.joinpath("notes.txt").touch()
    (layout.root / ".current-next").write_text("fev", encoding="utf-8")
    for kept in (layout.encoders, layout.unfinished):
        kept.mkdir()
        (kept / "file").touch()
    sweep(layout)
    sweep(layout)
    assert _versions(layout) == {"fever-1", "nausea-2", "notes.txt"}
    assert {entry.name for entry in layout.root.iterdir()} == {
        "versions",
        "current",
        "encoders",
        "unfinished",
    }
    assert (layout.encoders / "file").exists()
    assert (layout.unfinished / "file").exists()
    assert _served(layout) == "nausea-2"


def test_there_is_nothing_to_sweep_in_a_new_folder(layout: Layout) -> None:
    layout.root.mkdir()
    sweep(layout)
    assert list(layout.root.iterdir()) == []


def test_a_workshop_is_empty_its_own_and_open_to_readers(layout: Layout) -> None:
    one, other = new_workshop(layout), new_workshop(layout)
    assert one != other
    for folder in (one, other):
        assert folder.parent == layout.versions
        assert list(folder.iterdir()) == []
        assert folder.stat().st_mode & 0o777 == 0o755
