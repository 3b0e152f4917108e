"""What is open stays whole when its version goes, and leaves nothing behind when it is closed."""

from __future__ import annotations

import gc
import shutil
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path
from threading import Thread

import pytest
from conftest import WriteSeed
from keyword_encoder import KeywordEncoder
from sealing import edit_manifest

from rag.errors import ArtefactCorrupt, EncoderMismatch, IndexFault, VersionNotFound
from rag.index.backend import Term
from rag.index.builder import build_index
from rag.index.local import local_index
from rag.index.local.layout import Layout
from rag.index.local.local_index import LocalIndex
from rag.index.local.publishing import new_workshop, point_at, publish, remove_version
from rag.index.opening import open_index

PAGES = 30


@pytest.fixture
def layout(tmp_path: Path, write_seed: WriteSeed) -> Layout:
    """An index of some pages, each of which has a word of its own."""
    for at in range(PAGES):
        write_seed(f"d{at}", f"Fever {at}, word{at}.\n\n## More\n\nNausea and pain. " + f"Filler{at} " * 200)
    build_index(tmp_path / "seeds", tmp_path / "index", KeywordEncoder())
    return Layout(tmp_path / "index")


def _current(layout: Layout) -> str:
    index_id = layout.current_id()
    assert index_id
    return index_id


def _ask(index: LocalIndex, at: int) -> object:
    """Something of everything that an index is asked, about one page and about all."""
    vector = KeywordEncoder().encode_queries(["fever and nausea"])[0]
    hits = index.search(vector, 2 * at + 1)
    matched = index.match([Term(f"word{at}"), Term("nausea", 0.5)], 9)
    ids = [hit.chunk_id for hit in matched]
    return (
        hits,
        matched,
        index.chunks(ids),
        index.document(f"d{at}"),
        index.similarities(vector, ids).tolist(),
        index.traits(ids).doc_ids,
        index.copies(ids[0]),
        index.mentions([f"word{at}"], ids).tolist(),
        index.occurrences(index.stems(f"about d{at}")),
        index.vocabulary()[f"word{at}"],
    )


def _remove_at_once(layout: Layout, index_id: str) -> None:
    shutil.rmtree(layout.version(index_id))


@pytest.mark.parametrize("remove", [remove_version, _remove_at_once])
def test_an_index_whose_version_is_deleted_goes_on_answering(
    layout: Layout, remove: Callable[[Layout, str], None]
) -> None:
    """In many threads, and what is read for the first time too."""
    before = LocalIndex.open(layout.root)
    expected = [_ask(before, at) for at in range(PAGES)]
    before.close()
    index = LocalIndex.open(layout.root)
    remove(layout, index.info.index_id)
    assert list(layout.versions.iterdir()) == []
    with ThreadPoolExecutor(8) as pool:
        asked = [at % PAGES for at in range(4 * PAGES)]
        assert list(pool.map(lambda at: _ask(index, at), asked)) == [expected[at] for at in asked]
    index.close()


@pytest.fixture
def move_on(layout: Layout) -> Callable[[], str]:
    """Publish the current version under another id and remove it under the one it had."""
    numbers = count(1)

    def move_on() -> str:
        old, new = _current(layout), f"moved-{next(numbers)}"
        workshop = new_workshop(layout)
        shutil.copytree(layout.version(old), workshop, dirs_exist_ok=True)
        edit_manifest(workshop, lambda content: content.update(index_id=new))
        publish(layout, workshop, new)
        remove_version(layout, old)
        return new

    return move_on


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("step", ["read_manifest", "check_artefacts", "ChunkStore", "Lexical"])
def test_a_version_that_goes_while_it_is_opened_is_followed_to_the_next(
    layout: Layout,
    move_on: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    times: int,
) -> None:
    """Before whichever step of opening that happens, and however often it happens again."""
    moves = _moving_on_before(step, move_on, times, monkeypatch)
    index = LocalIndex.open(layout.root)
    assert next(moves, None) is None
    assert index.info.index_id == f"moved-{times}"
    assert _ask(index, 7)
    index.close()


def _moving_on_before(
    step: str, move_on: Callable[[], str], times: int, monkeypatch: pytest.MonkeyPatch
) -> Iterator[int]:
    """Move on whenever that step of opening is reached, so many times; gives what is left of them."""
    original, moves = getattr(local_index, step), iter(range(times))

    def late(*values: object) -> object:
        if next(moves, None) is not None:
            move_on()
        return original(*values)

    monkeypatch.setattr(local_index, step, late)
    return moves


def test_a_version_that_goes_when_all_its_files_are_open_is_opened_all_the_same(
    layout: Layout, move_on: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although its rows are still to be read."""
    old = _current(layout)
    _moving_on_before("_check_counts", move_on, 1, monkeypatch)
    index = LocalIndex.open(layout.root)
    assert index.info.index_id == old != _current(layout)
    assert _ask(index, 7)
    index.close()


def test_opening_never_fails_while_versions_come_and_go(layout: Layout, move_on: Callable[[], str]) -> None:
    publisher = Thread(target=lambda: [move_on() for _ in range(25)])
    publisher.start()
    seen = []
    while publisher.is_alive():
        index = LocalIndex.open(layout.root)
        assert len(index.match([Term("word7")], 9)) == 1
        seen.append(index.info.index_id)
        index.close()
    publisher.join()
    assert len(set(seen)) > 1
    assert _current(layout) == "moved-25"


@pytest.fixture
def two_versions(layout: Layout, write_seed: WriteSeed) -> tuple[str, str]:
    """The ids of the version that was current, and of the one published after it with another word."""
    old = _current(layout)
    write_seed("d0", "Changed now, wordnew.")
    build_index(layout.root.parent / "seeds", layout.root, KeywordEncoder())
    return old, _current(layout)


def test_the_version_that_is_named_is_opened_and_else_the_current_one(
    layout: Layout, two_versions: tuple[str, str]
) -> None:
    """And naming one points at nothing anew."""
    old, new = two_versions
    expected = {old: (1, 0), new: (0, 1), None: (0, 1)}
    for name, counts in expected.items():
        backend = open_index(layout.root, encoder=KeywordEncoder(), version=name).backend
        assert backend.info.index_id == (name or new)
        found = [len(backend.match([Term(word)], 9)) for word in ("word0", "wordnew")]
        backend.close()
        assert tuple(found) == counts
        assert _current(layout) == new


@pytest.mark.parametrize(
    "name", ["nowhere", "../versions/{old}", "{old}/", "./{old}", ".", "..", ".hidden", "*"]
)
def test_a_version_that_is_not_there_is_told_with_the_command_that_lists_them(
    layout: Layout, two_versions: tuple[str, str], name: str
) -> None:
    """A name is a name, no path: nothing outside the versions is opened, and nothing half-done."""
    old, _ = two_versions
    name = name.format(old=old)
    shutil.copytree(layout.version(old), layout.versions / ".hidden")
    with pytest.raises(VersionNotFound) as caught:
        open_index(layout.root, encoder=KeywordEncoder(), version=name)
    root = layout.root
    assert str(caught.value) == (
        f"there is no version {name} in {root}; rag index --list --index {root} prints those there are"
    )


def test_a_removed_version_is_not_there_and_the_current_one_is_not_taken_for_it(
    layout: Layout, two_versions: tuple[str, str]
) -> None:
    old, _ = two_versions
    remove_version(layout, old)
    with pytest.raises(VersionNotFound, match=old):
        open_index(layout.root, encoder=KeywordEncoder(), version=old)


def test_a_folder_without_versions_has_none_of_any_name(tmp_path: Path) -> None:
    with pytest.raises(VersionNotFound):
        open_index(tmp_path, version="any")


def test_a_named_version_is_verified_as_the_current_one_is(
    layout: Layout, two_versions: tuple[str, str]
) -> None:
    old, new = two_versions
    with pytest.raises(EncoderMismatch):
        open_index(layout.root, encoder=KeywordEncoder(["other"]), version=old)
    (layout.version(old) / "vectors.faiss").write_bytes(b"")
    with pytest.raises(ArtefactCorrupt, match=rf"{old}/vectors\.faiss changed"):
        open_index(layout.root, encoder=KeywordEncoder(), version=old)
    open_index(layout.root, encoder=KeywordEncoder(), version=new).backend.close()


def test_a_version_under_another_ones_name_is_refused(layout: Layout, two_versions: tuple[str, str]) -> None:
    old, _ = two_versions
    shutil.copytree(layout.version(old), layout.version("renamed"))
    with pytest.raises(ArtefactCorrupt, match=rf"holds the version {old}, expected renamed"):
        open_index(layout.root, encoder=KeywordEncoder(), version="renamed")


def test_a_file_among_the_versions_is_no_version(layout: Layout, two_versions: tuple[str, str]) -> None:
    assert two_versions
    (layout.versions / "notes").write_text("ours", encoding="utf-8")
    with pytest.raises(IndexFault, match="notes"):
        open_index(layout.root, encoder=KeywordEncoder(), version="notes")


def test_a_damaged_version_is_not_tried_for_ever(layout: Layout) -> None:
    """Nor when there was another one before it that was good."""
    good = _current(layout)
    workshop = new_workshop(layout)
    shutil.copytree(layout.version(good), workshop, dirs_exist_ok=True)
    (workshop / "vectors.faiss").write_bytes(b"")
    publish(layout, workshop, "bad")
    with pytest.raises(ArtefactCorrupt, match=r"bad/vectors\.faiss changed"):
        LocalIndex.open(layout.root)
    point_at(layout, good)
    LocalIndex.open(layout.root).close()


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Memory comes back by counting references alone."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
def test_a_closed_index_is_freed_with_its_last_reference(layout: Layout) -> None:
    """A service that changes indexes must not hold two of them until the collector comes by."""
    opened = open_index(layout.root, encoder=KeywordEncoder())
    index = opened.backend
    for at in range(5):
        _ask(index, at)
    parts = _references(index)
    assert len(parts) > 4
    index.close()
    del index, opened
    assert [part() for part in parts if part() is not None] == []


def _references(index: LocalIndex) -> list[weakref.ref[object]]:
    """Weak ones, to an index and to whatever it consists of."""
    found = []
    for part in (index, *vars(index).values()):
        with suppress(TypeError):
            found.append(weakref.ref(part))
    return found


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
def test_threads_and_open_files_do_not_add_up(layout: Layout) -> None:
    """The lexical library watches a folder from a thread of its own, which ends within half a second."""
    time.sleep(0.6)  # for what other tests have closed
    for at in range(30):
        index = LocalIndex.open(layout.root)
        _ask(index, at)
        index.close()
        del index
        if not at:
            # Threads of other libraries come with their first use and stay.
            most, _ = _threads_and_files(layout)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        threads, files = _threads_and_files(layout)
        if threads <= most and not files:
            break
        time.sleep(0.05)
    assert (threads <= most, files) == (True, 0)


def _threads_and_files(layout: Layout) -> tuple[int, int]:
    """How many threads this process has, and how many files of the index it holds open."""
    files = 0
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            files += link.readlink().is_relative_to(layout.root)
    return len(list(Path("/proc/self/task").iterdir())), files
