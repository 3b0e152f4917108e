"""The index in service changes over to another version without a pause, a mixture or a leak."""

from __future__ import annotations

import errno
import gc
import logging
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import Queue
from types import SimpleNamespace
from typing import Any, cast

import pytest
from keyword_encoder import WORDS, KeywordEncoder
from little_index import page
from sealing import edit_manifest

from rag.answer.answerer import Answerer
from rag.corpus.document import Metadata
from rag.encoders.base import Encoder, Vectors
from rag.errors import (
    ArtefactCorrupt,
    CitewellError,
    EncoderNotFound,
    IndexFault,
    IndexLocked,
    IndexNotFound,
)
from rag.index import opening
from rag.index.backend import IndexInfo
from rag.index.builder import build_index
from rag.index.local import local_index
from rag.index.local.layout import VECTORS, Layout
from rag.index.local.local_index import LocalIndex
from rag.index.local.manifest import SENTINELS
from rag.index.local.publishing import point_at
from rag.index.versions import prune, roll_back
from rag.serve import live as module
from rag.serve.live import LiveIndex

# Far longer than anything here takes: it ends a test that would wait for ever.
PATIENCE = 20.0
RELOADS = 30
SECONDS_TO_END = 10


class Book:
    """Stands for an open version: knows how often it was closed."""

    def __init__(self, index_id: str) -> None:
        self.info = IndexInfo(
            index_id=index_id,
            built_at="2026-01-31T00:00:00Z",
            encoder="keywords",
            encoder_fingerprint="f",
            documents=1,
            chunks=1,
        )
        self.closed = 0

    def close(self) -> None:
        self.closed += 1

    def vocabulary(self) -> dict[str, int]:
        return {}

    def catalog(self) -> list[tuple[str, Metadata]]:
        return []


class Shelf:
    """An index folder of books: publishing names one, opening takes it out, or fails as it was told to."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.opened: list[Book] = []
        self.faults: dict[str, BaseException] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.inside = threading.Semaphore(0)

    def publish(self, index_id: str) -> None:
        point_at(self.layout, index_id)

    def open(self, _encoder: Encoder | None = None) -> Answerer:
        index_id = self.layout.current_id() or "nothing"
        self.inside.release()
        assert self.gate.wait(PATIENCE)
        if index_id in self.faults:
            raise self.faults[index_id]
        book = Book(index_id)
        self.opened.append(book)
        return Answerer(cast("Any", SimpleNamespace(backend=book, encoder=KeywordEncoder())))

    def live(self) -> LiveIndex:
        """Serve the first book, "one"."""
        self.publish("one")
        made = LiveIndex(self.open(), layout=self.layout, opener=self.open)
        assert self.inside.acquire(timeout=PATIENCE)
        return made

    @property
    def ids(self) -> list[str]:
        return [book.info.index_id for book in self.opened]

    @property
    def closings(self) -> list[int]:
        return [book.closed for book in self.opened]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.fixture
def told() -> Iterator[Queue[str]]:
    """Every line that the service logs about its index, to be waited for."""
    lines: Queue[str] = Queue()
    handler = logging.Handler()
    handler.emit = lambda record: lines.put(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger(module.__name__)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lines
    logger.setLevel(before)
    logger.removeHandler(handler)


@pytest.fixture
def watching() -> Iterator[Callable[[LiveIndex], LiveIndex]]:
    """Have a service look for publications all the time, until the test is over."""
    with ExitStack() as cleanup:

        def watch(live: LiveIndex) -> LiveIndex:
            live.watch(0.002)
            cleanup.callback(live.close)
            return live

        yield watch


def served(live: LiveIndex) -> str:
    with live.lease() as answerer:
        return answerer.backend.info.index_id


# Leases


def test_a_version_stays_open_until_its_last_lease_has_ended_and_not_longer(shelf: Shelf) -> None:
    live = shelf.live()
    with ExitStack() as first, ExitStack() as second:
        leased = first.enter_context(live.lease())
        assert second.enter_context(live.lease()) is leased
        shelf.publish("two")
        assert live.reload()
        assert served(live) == "two"
        assert (leased.backend.info.index_id, shelf.closings) == ("one", [0, 0])
        first.close()
        assert shelf.closings == [0, 0]
        second.close()
        assert shelf.closings == [1, 0]
    assert served(live) == "two"
    assert shelf.closings == [1, 0]


def test_a_version_that_nobody_uses_is_closed_when_the_next_one_serves(shelf: Shelf) -> None:
    live = shelf.live()
    served(live)
    for index_id in ("two", "three"):
        shelf.publish(index_id)
        live.reload()
    assert (shelf.ids, shelf.closings) == (["one", "two", "three"], [1, 1, 0])


def test_a_request_that_fails_ends_its_lease_as_well(shelf: Shelf) -> None:
    live = shelf.live()

    def request() -> None:
        with live.lease():
            shelf.publish("two")
            live.reload()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        request()
    assert shelf.closings == [1, 0]


def test_each_version_lives_as_long_as_its_own_leases(shelf: Shelf) -> None:
    live = shelf.live()
    leases = []
    for index_id in ("two", "three", "four"):
        lease = live.lease()
        lease.__enter__()
        leases.append(lease)
        shelf.publish(index_id)
        live.reload()
    assert shelf.closings == [0, 0, 0, 0]
    for ended, expected in ((1, [0, 1, 0, 0]), (0, [1, 1, 0, 0]), (2, [1, 1, 1, 0])):
        leases[ended].__exit__(None, None, None)
        assert shelf.closings == expected


def test_closing_waits_for_the_last_request(shelf: Shelf) -> None:
    live = shelf.live()
    with live.lease():
        live.close()
        assert shelf.closings == [0]
    assert shelf.closings == [1]


def test_closing_twice_closes_once(shelf: Shelf) -> None:
    live = shelf.live()
    live.close()
    live.close()
    assert shelf.closings == [1]


def test_nothing_is_opened_any_more_by_what_was_closed(shelf: Shelf) -> None:
    """A look that had begun goes on while the service stops."""
    live = shelf.live()
    live.close()
    shelf.publish("two")
    assert not live.reload()
    assert (shelf.ids, shelf.closings) == (["one"], [1])


def test_an_answerer_alone_serves_for_good(shelf: Shelf) -> None:
    shelf.publish("one")
    live = LiveIndex(shelf.open())
    shelf.publish("two")
    assert not live.reload()
    assert served(live) == "one"
    assert live.status.refusal is None


# Reloading


def test_reloading_the_version_that_serves_opens_nothing(shelf: Shelf) -> None:
    live = shelf.live()
    assert not live.reload()
    shelf.publish("one")
    assert not live.reload()
    assert (shelf.ids, shelf.closings) == (["one"], [0])
    assert (live.status.reloads, live.status.refusals) == (0, 0)


def test_two_reloads_at_once_take_turns_and_end_on_the_newest(shelf: Shelf) -> None:
    live = shelf.live()
    shelf.publish("two")
    shelf.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(live.reload)
        assert shelf.inside.acquire(timeout=PATIENCE)
        shelf.publish("three")
        second = pool.submit(live.reload)
        assert not shelf.inside.acquire(timeout=0.2), "the second began before the first had ended"
        shelf.gate.set()
        assert first.result(PATIENCE)
        assert second.result(PATIENCE)
    assert (shelf.ids, shelf.closings) == (["one", "two", "three"], [1, 1, 0])
    assert served(live) == "three"
    assert live.status.reloads == 2


def test_two_reloads_at_once_of_one_version_open_it_once(shelf: Shelf) -> None:
    live = shelf.live()
    shelf.publish("two")
    with ThreadPoolExecutor(8) as pool:
        outcomes = [done.result(PATIENCE) for done in [pool.submit(live.reload) for _ in range(8)]]
    assert sorted(outcomes) == [False] * 7 + [True]
    assert (shelf.ids, shelf.closings) == (["one", "two"], [1, 0])


def test_the_old_version_answers_while_the_new_one_is_being_opened(shelf: Shelf) -> None:
    live = shelf.live()
    shelf.publish("two")
    shelf.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        reloading = pool.submit(live.reload)
        assert shelf.inside.acquire(timeout=PATIENCE)
        assert served(live) == "one"
        assert live.status.index.index_id == "one"
        shelf.gate.set()
        assert reloading.result(PATIENCE)
    assert served(live) == "two"


# Refusals

FAULTS = (
    ArtefactCorrupt("vectors changed"),
    EncoderNotFound("no such model"),
    MemoryError("no room"),
    OSError(errno.EMFILE, "too many open files"),
    RuntimeError("broken"),
    RecursionError("deep"),
    KeyError("dim"),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_whatever_opening_raises_the_version_is_refused_and_the_one_before_goes_on(
    fault: Exception, shelf: Shelf, told: Queue[str]
) -> None:
    live = shelf.live()
    shelf.faults["bad"] = fault
    shelf.publish("bad")
    with pytest.raises(CitewellError) as caught:
        live.reload()
    if isinstance(fault, CitewellError):
        assert caught.value is fault
    else:
        assert type(caught.value) is IndexFault
        assert type(fault).__name__ in str(caught.value)
    status = live.status
    assert status.refusal is not None
    assert status.refusal.index_id == "bad"
    assert (status.index.index_id, status.reloads, status.refusals) == ("one", 0, 1)
    assert (served(live), shelf.closings) == ("one", [0])
    assert told.get_nowait() == f"the index bad is refused, one goes on serving: {caught.value}"


def test_a_good_version_after_a_refused_one_serves_and_clears_the_refusal(shelf: Shelf) -> None:
    live = shelf.live()
    shelf.faults["bad"] = RuntimeError("broken")
    for _ in range(2):
        shelf.publish("bad")
        with pytest.raises(IndexFault):
            live.reload()
    shelf.publish("good")
    assert live.reload()
    assert live.status.refusal is None
    assert (live.status.reloads, live.status.refusals) == (1, 2)
    assert (shelf.ids, shelf.closings) == (["one", "good"], [1, 0])


def test_going_back_to_the_version_that_serves_clears_the_refusal(shelf: Shelf) -> None:
    live = shelf.live()
    shelf.faults["bad"] = RuntimeError("broken")
    shelf.publish("bad")
    with pytest.raises(IndexFault):
        live.reload()
    shelf.publish("one")
    assert not live.reload()
    assert live.status.refusal is None
    assert (shelf.ids, shelf.closings) == (["one"], [0])


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda current: current.unlink(), "none"),
        (lambda current: (current.unlink(), current.mkdir()), "unknown"),
        (lambda current: current.write_text(""), "none"),
        (lambda current: current.write_text("not-here\n"), "not-here"),
        (lambda current: current.write_bytes(b"\xff\x00\xfe"), None),
    ],
    ids=["removed", "a folder", "empty", "names nothing", "no text"],
)
def test_a_current_that_names_no_version_is_a_refusal(
    damage: Callable[[Path], object], named: str | None, real: Path
) -> None:
    live = LiveIndex.open(real)
    serving = served(live)
    damage(real / "current")
    with pytest.raises(IndexNotFound):
        live.reload()
    assert live.status.refusal is not None
    assert named in (None, live.status.refusal.index_id)
    with live.lease() as answerer:
        assert answerer.ask("fever").index.index_id == serving
    live.close()


# Watching


def test_a_watched_folder_is_followed_to_what_is_published_and_back(
    shelf: Shelf, told: Queue[str], watching: Callable[[LiveIndex], LiveIndex]
) -> None:
    live = watching(shelf.live())
    for index_id in ("two", "three", "two", "one"):
        shelf.publish(index_id)
        assert told.get(timeout=PATIENCE) == f"now serving the index {index_id}"
        assert served(live) == index_id
    assert shelf.closings == [1, 1, 1, 1, 0]


def test_a_watch_goes_on_after_a_refusal(
    shelf: Shelf, told: Queue[str], watching: Callable[[LiveIndex], LiveIndex]
) -> None:
    live = watching(shelf.live())
    for fault in FAULTS:
        shelf.faults["bad"] = fault
        shelf.publish("bad")
        assert told.get(timeout=PATIENCE).startswith("the index bad is refused, one goes on serving: ")
    shelf.publish("good")
    assert told.get(timeout=PATIENCE) == "now serving the index good"
    assert served(live) == "good"


def test_a_watch_ends_when_the_service_closes(shelf: Shelf) -> None:
    live = shelf.live()
    before = set(threading.enumerate())
    live.watch(0.002)
    (thread,) = set(threading.enumerate()) - before
    assert thread.daemon
    live.close()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    shelf.publish("two")
    assert shelf.ids == ["one"]


class CountedLayout(Layout):
    """Tells of every look at `current`."""

    looks = threading.Semaphore(0)

    @property
    def current(self) -> Path:
        self.looks.release()
        return self.root / "current"


def test_a_refused_version_is_tried_again_only_after_a_while(
    shelf: Shelf,
    told: Queue[str],
    watching: Callable[[LiveIndex], LiveIndex],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shelf.layout = CountedLayout(shelf.layout.root)
    live = watching(shelf.live())
    shelf.faults["bad"] = MemoryError("no room")
    shelf.publish("bad")
    told.get(timeout=PATIENCE)
    while CountedLayout.looks.acquire(blocking=False):
        pass
    for _ in range(50):
        assert CountedLayout.looks.acquire(timeout=PATIENCE)
    assert live.status.refusals == 1

    del shelf.faults["bad"]
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.0)
    assert told.get(timeout=PATIENCE) == "now serving the index bad"
    assert live.status.refusal is None


def test_what_serves_well_is_never_opened_again_by_a_watch(
    shelf: Shelf, watching: Callable[[LiveIndex], LiveIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.0)
    shelf.layout = CountedLayout(shelf.layout.root)
    watching(shelf.live())
    for _ in range(50):
        assert CountedLayout.looks.acquire(timeout=PATIENCE)
    assert shelf.ids == ["one"]


# Over real versions


class Named(KeywordEncoder):
    """The words are its name, so that it can be loaded by it."""

    def __init__(self, name: str = " ".join(WORDS)) -> None:
        super().__init__(name.split())
        self.name = name
        self.asked: list[str] = []

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        return super().encode_queries(texts)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[Named]:
    """The encoders that were loaded by name instead of being taken from what is at hand."""
    encoders: list[Named] = []

    def load(name: str, **_options: object) -> Named:
        if name == "gone":
            raise EncoderNotFound("no such model")
        encoders.append(Named(name))
        return encoders[-1]

    monkeypatch.setattr(opening, "load_encoder", load)
    return encoders


def publish(root: Path, mark: str, encoder: Encoder | None = None) -> str:
    """Publish a version in which every page has this mark; returns its id."""
    seeds = root.parent / "seeds"
    seeds.mkdir(exist_ok=True)
    for name in ("fever", "hair", "lung"):
        (seeds / f"{name}.md").write_text(page(f"About the {name}, {mark}."))
    return build_index(seeds, root, encoder or Named()).manifest.index_id


@pytest.fixture
def real(tmp_path: Path, loaded: list[Named]) -> Path:
    """An index folder with one version, whose encoder can be loaded."""
    assert not loaded
    publish(tmp_path / "index", "Mark0")
    return tmp_path / "index"


def test_the_encoder_is_kept_where_it_is_the_same_and_changed_where_it_is_not(
    real: Path, loaded: list[Named]
) -> None:
    live = LiveIndex.open(real)
    for mark in ("Mark1", "Mark2"):
        publish(real, mark)
        assert live.reload()
    assert len(loaded) == 1
    with live.lease() as answerer:
        assert answerer.encoder is loaded[0]

    publish(real, "Mark3", Named("fever hair lung clinic"))
    assert live.reload()
    assert [encoder.name for encoder in loaded] == [" ".join(WORDS), "fever hair lung clinic"]
    with live.lease() as answerer:
        assert answerer.encoder is loaded[1]
        assert "Mark3" in answerer.ask("fever").passages[0].text
    live.close()


def test_an_encoder_that_cannot_be_loaded_is_a_refusal(real: Path) -> None:
    live = LiveIndex.open(real)
    publish(real, "Mark1", Named("gone"))
    with pytest.raises(EncoderNotFound):
        live.reload()
    with live.lease() as answerer:
        assert "Mark0" in answerer.ask("fever").passages[0].text
    live.close()


def test_a_version_is_asked_before_a_person_asks_it(real: Path, loaded: list[Named]) -> None:
    live = LiveIndex.open(real)
    assert loaded[0].asked == list(SENTINELS)
    publish(real, "Mark1")
    live.reload()
    assert loaded[0].asked == [*SENTINELS, *SENTINELS]
    live.close()


def test_a_version_that_cannot_answer_is_refused(real: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live = LiveIndex.open(real)
    publish(real, "Mark1")
    with monkeypatch.context() as broken:
        broken.setattr(LocalIndex, "chunks", lambda _self, _ids: 1 / 0)
        with pytest.raises(IndexFault, match="ZeroDivisionError"):
            live.reload()
    with live.lease() as answerer:
        assert "Mark0" in answerer.ask("fever").passages[0].text
    assert live.reload()
    live.close()


def test_no_lease_ever_sees_a_closed_version(real: Path) -> None:
    """Eight threads ask without pause while two versions take turns and every answer is read to its end."""
    ids = {(real / "current").read_text().strip(): "Mark0", publish(real, "Mark1"): "Mark1"}
    live = LiveIndex.open(real)
    over = threading.Event()
    start = threading.Barrier(9, timeout=PATIENCE)

    def ask() -> set[str]:
        seen = set()
        start.wait()
        while not over.is_set():
            with live.lease() as answerer:
                answer = answerer.ask("fever in the lung")
                document = answerer.backend.document("hair")
            mark = ids[answer.index.index_id]
            assert sorted(passage.text for passage in answer.passages) == [
                f"About the {name}, {mark}." for name in ("fever", "hair", "lung")
            ]
            assert document.text.endswith(f"{mark}.\n")
            seen.add(mark)
        return seen

    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(ask) for _ in range(8)]
        start.wait()
        try:
            for _ in range(RELOADS):
                roll_to = next(one for one in ids if one != live.status.index.index_id)
                point_at(Layout(real), roll_to)
                assert live.reload()
        finally:
            over.set()
        seen = [done.result(PATIENCE) for done in asking]
    assert set.union(*seen) == {"Mark0", "Mark1"}
    live.close()


def _count(kind: str) -> int:
    """How many open files ("fd") or threads ("task") this process has."""
    counted = Path("/proc/self") / kind
    if not counted.is_dir():
        pytest.skip(f"{counted} is not here")
    return len(list(counted.iterdir()))


def test_reloads_leave_no_memory_no_files_and_no_threads_behind(real: Path) -> None:
    ids = [(real / "current").read_text().strip(), publish(real, "Mark1")]
    live = LiveIndex.open(real)
    gc.collect()
    gc.disable()
    try:
        files, threads = [], _count("task")
        for number in range(RELOADS):
            with live.lease() as answerer:
                answerer.ask("fever in the lung")
                retired = weakref.ref(answerer.backend)
            del answerer
            point_at(Layout(real), ids[number % 2])
            assert live.reload()
            assert retired() is None, "only the garbage collector would free the version before"
            files.append(_count("fd"))
    finally:
        gc.enable()
    assert len(set(files)) == 1
    # A thread of the search library outlives its index by the half second between two of its looks.
    end = time.monotonic() + SECONDS_TO_END
    while _count("task") > threads and time.monotonic() < end:
        time.sleep(0.05)
    assert _count("task") <= threads
    live.close()


def test_closing_gives_back_every_file(real: Path) -> None:
    LiveIndex.open(real).close()
    gc.collect()
    before = _count("fd")
    live = LiveIndex.open(real)
    publish(real, "Mark1")
    live.reload()
    live.close()
    del live
    assert _count("fd") == before


def _cannot_answer(_version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalIndex, "chunks", lambda _self, _ids: 1 / 0)


def _has_another_encoder(version: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    edit_manifest(version, lambda content: content["encoder"].update(fingerprint="0" * 64))


def _has_other_vectors(version: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    edit_manifest(
        version,
        lambda content: content["sentinels"].update(
            {text: [-number for number in vector] for text, vector in content["sentinels"].items()}
        ),
    )


# All of them come to light when the version is open already.
_LATE_FAULTS = (_cannot_answer, _has_another_encoder, _has_other_vectors)
_Fault = Callable[[Path, pytest.MonkeyPatch], None]


@pytest.mark.parametrize("fault", _LATE_FAULTS)
def test_a_refused_version_is_not_kept_in_memory(
    fault: _Fault, real: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal may stand for days, beside a version that needs the memory."""
    live = LiveIndex.open(real)
    made: list[weakref.ref[LocalIndex]] = []
    check = opening._check_encoder

    def noted(backend: LocalIndex, encoder: Encoder, root: Path) -> None:
        made.append(weakref.ref(backend))
        check(backend, encoder, root)

    monkeypatch.setattr(opening, "_check_encoder", noted)
    # Pytest keeps every log record, and with it what was raised.
    monkeypatch.setattr(logging.getLogger(module.__name__), "disabled", True)
    fault(real / "versions" / publish(real, "Mark1"), monkeypatch)
    with pytest.raises(IndexFault):
        live.reload()
    gc.collect()
    assert live.status.refusal is not None
    assert [one() for one in made] == [None]
    live.close()


@pytest.mark.parametrize("fault", _LATE_FAULTS)
def test_a_version_that_was_opened_and_then_refused_is_closed(
    fault: _Fault, real: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = LiveIndex.open(real)
    closed: list[LocalIndex] = []
    close = LocalIndex.close

    def noted(index: LocalIndex) -> None:
        closed.append(index)
        close(index)

    index_id = publish(real, "Mark1")
    fault(real / "versions" / index_id, monkeypatch)
    monkeypatch.setattr(LocalIndex, "close", noted)
    with pytest.raises(IndexFault):
        live.reload()
    assert [index.info.index_id for index in closed] == [index_id]
    live.close()


def test_a_version_deleted_while_it_serves_goes_on_answering(real: Path) -> None:
    live = LiveIndex.open(real)
    shutil.rmtree(real / "versions" / live.status.index.index_id)
    with live.lease() as answerer:
        assert "Mark0" in answerer.ask("fever").passages[0].text
    live.close()


@pytest.mark.parametrize("moment", ["read_manifest", "check_artefacts", "ChunkStore", "Lexical"])
def test_a_version_deleted_while_it_is_opened_gives_way_to_the_newer_one(
    moment: str, real: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = LiveIndex.open(real)
    publish(real, "Mark1")
    go_on = getattr(local_index, moment)
    newer: list[str] = []

    def overtaken(*args: object) -> object:
        if not newer:
            newer.append("is being built")
            newer[0] = publish(real, "Mark2")
            prune(real, 1)
        return go_on(*args)

    monkeypatch.setattr(local_index, moment, overtaken)
    assert live.reload()
    assert [live.status.index.index_id] == newer
    assert live.status.refusals == 0
    live.close()


def test_a_version_damaged_in_place_is_refused_at_its_first_opening_only(real: Path) -> None:
    """What is open was verified; what is opened is verified anew."""
    first = (real / "current").read_text().strip()
    live = LiveIndex.open(real)
    (real / "versions" / publish(real, "Mark1") / VECTORS).write_bytes(b"")
    with pytest.raises(ArtefactCorrupt):
        live.reload()
    roll_back(real)
    assert not live.reload()
    assert (live.status.index.index_id, live.status.refusal) == (first, None)
    live.close()


class Panic(BaseException):
    """What a panic of the search library arrives as: no Exception."""


def test_a_panic_while_opening_is_a_refusal_and_the_watch_goes_on(
    shelf: Shelf, watching: Callable[[LiveIndex], LiveIndex], told: Queue[str]
) -> None:
    live = watching(shelf.live())
    shelf.faults["two"] = Panic("failed to spawn a thread")
    shelf.publish("two")
    assert "the index two is refused" in told.get(timeout=PATIENCE)
    assert live.status.refusal is not None
    shelf.publish("three")
    assert told.get(timeout=PATIENCE) == "now serving the index three"


def test_who_does_not_wait_is_told_that_a_change_over_is_under_way(shelf: Shelf) -> None:
    live = shelf.live()
    shelf.publish("two")
    shelf.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(live.reload)
        assert shelf.inside.acquire(timeout=PATIENCE)
        with pytest.raises(IndexLocked, match="under way"):
            live.reload(wait=False)
        shelf.gate.set()
        assert first.result(PATIENCE)
    assert shelf.ids == ["one", "two"]
    assert not live.reload(wait=False)
