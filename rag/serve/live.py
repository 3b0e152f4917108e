"""The index in service: changes over to a newly published version without a pause and without mixing two.

A version is opened, verified and warmed beside the one that serves; then one reference is swapped. Requests
that are under way finish on the version they began with, which is closed when the last one has ended.
A version that cannot be served is refused, and the one before goes on.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rag.answer.answerer import Answerer
from rag.answer.policy import DEFAULT_POLICY, AnswerPolicy
from rag.encoders.base import Encoder
from rag.errors import CitewellError, IndexFault, IndexLocked
from rag.index.backend import IndexInfo
from rag.index.local.layout import Layout
from rag.index.local.manifest import SENTINELS
from rag.search.reranker import CrossEncoderReranker

# A refusal may have passing reasons (memory, open files), so a refused version is tried again, but seldom:
# each time all its files are read.
_RETRY_SECONDS = 60.0

# Opens the current version; the encoder at hand is taken when it is the version's own.
Opener = Callable[[Encoder | None], Answerer]

_NAME = re.compile(r"[\w.-]{1,80}", re.ASCII)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A version that was published and cannot be served, and the kind of error that says why not.

    The error itself is only logged: it would keep what it was raised from in memory.
    """

    index_id: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What is in service. `reloads` and `refusals` count since the start."""

    index: IndexInfo
    refusal: Refusal | None
    reloads: int
    refusals: int


class _Held:
    """An answerer and the number of requests that use it."""

    def __init__(self, answerer: Answerer) -> None:
        self.answerer = answerer
        self.users = 0
        self.retired = False

    @property
    def is_done(self) -> bool:
        return self.retired and not self.users


class LiveIndex:
    """Leases the answerer in service. Safe to use from several threads.

    Made of an answerer alone, it serves that one for good; `LiveIndex.open` follows an index folder.
    """

    def __init__(
        self, answerer: Answerer, *, layout: Layout | None = None, opener: Opener | None = None
    ) -> None:
        self._held = _Held(answerer)
        self._layout, self._opener = layout, opener
        self._lock = threading.Lock()
        self._reloading = threading.Lock()
        self._stopped = threading.Event()
        self._refusal: Refusal | None = None
        self._reloads = self._refusals = 0
        self._tried: tuple[object, float] = (None, 0.0)

    @classmethod
    def open(
        cls,
        root: Path | str,
        *,
        threads: int | None = None,
        reranker: str | None = None,
        policy: AnswerPolicy = DEFAULT_POLICY,
        remember: int = 0,
    ) -> LiveIndex:
        """Open the current version of the index folder `root`. Raises as `Answerer.open` does."""
        judge = CrossEncoderReranker(reranker) if reranker else None

        def opener(encoder: Encoder | None) -> Answerer:
            answerer = Answerer.open(
                root, threads=threads, reranker=judge, policy=policy, remember=remember, at_hand=encoder
            )
            try:
                _warm(answerer)
            except BaseException:
                answerer.close()
                raise
            return answerer

        return cls(opener(None), layout=Layout(Path(root)), opener=opener)

    @property
    def status(self) -> Status:
        """What is in service now."""
        with self._lock:
            return Status(
                index=self._held.answerer.backend.info,
                refusal=self._refusal,
                reloads=self._reloads,
                refusals=self._refusals,
            )

    @contextmanager
    def lease(self) -> Iterator[Answerer]:
        """The answerer in service; it stays open until the lease ends, whatever is published meanwhile."""
        with self._lock:
            held = self._held
            held.users += 1
        try:
            yield held.answerer
        finally:
            with self._lock:
                held.users -= 1
                done = held.is_done
            if done:
                _close(held.answerer)

    def reload(self, *, wait: bool = True) -> bool:
        """Change over to the current version of the folder; returns False when it serves already.

        Raises `IndexFault` or another `CitewellError` where that version is refused, and `IndexLocked`
        without `wait` while another call is at it.
        """
        if not self._reloading.acquire(blocking=wait):
            raise IndexLocked("a change-over to another version is under way; ask again when it has ended")
        try:
            return self._changed_over()
        finally:
            self._reloading.release()

    def _changed_over(self) -> bool:
        if self._layout is None or self._opener is None or self._stopped.is_set():
            return False
        self._tried = (self._published(), time.monotonic())
        serving = self._held.answerer
        try:
            wanted = self._layout.current_id()
            if wanted == serving.backend.info.index_id:
                self._refusal = None
                return False
            fresh = self._opener(serving.encoder)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a panic of the search library is no Exception
            raise self._refused(error) from None
        self._swap(fresh)
        _log.info("now serving the index %s", fresh.backend.info.index_id)
        return True

    def watch(self, seconds: float) -> None:
        """From now on look every so many seconds whether another version was published."""
        threading.Thread(target=self._watch, args=(seconds,), name="index-watch", daemon=True).start()

    def close(self) -> None:
        """Stop watching and close what serves, after its last request."""
        with self._reloading:
            if not self._stopped.is_set():
                self._stopped.set()
                self._retire(self._held)

    def _watch(self, seconds: float) -> None:
        while not self._stopped.wait(seconds):
            published = self._published()
            tried, when = self._tried
            if published != tried or (self._refusal and time.monotonic() - when > _RETRY_SECONDS):
                with suppress(CitewellError):  # told and noted
                    self.reload()

    def _published(self) -> object:
        """Something that changes whenever a version is published."""
        try:
            status = self._layout.current.stat() if self._layout else None
        except OSError as error:
            return error.errno
        return status and (status.st_mtime_ns, status.st_ino)

    def _refused(self, error: BaseException) -> CitewellError:
        if not isinstance(error, CitewellError):
            error = IndexFault(f"the version cannot be opened: {type(error).__name__}: {error}")
        serving = self._held.answerer.backend.info.index_id
        refused = self._named()
        with self._lock:
            self._refusal = Refusal(refused, type(error).__name__)
            self._refusals += 1
        reason = "".join(char if char.isprintable() else "\ufffd" for char in str(error))
        _log.error("the index %s is refused, %s goes on serving: %s", refused, serving, reason)
        return error

    def _named(self) -> str:
        """The version that `current` names, as clients may be told: whatever else stands there is not."""
        try:
            named = (self._layout and self._layout.current_id()) or "none"
        except CitewellError:
            return "unknown"
        return named if _NAME.fullmatch(named) else "unknown"

    def _swap(self, fresh: Answerer) -> None:
        with self._lock:
            old, self._held = self._held, _Held(fresh)
            self._refusal = None
            self._reloads += 1
        self._retire(old)

    def _retire(self, held: _Held) -> None:
        with self._lock:
            held.retired = True
            done = held.is_done
        if done:
            _close(held.answerer)


def _close(answerer: Answerer) -> None:
    """Close what nobody uses any more; a failure must cost neither a request nor the watch."""
    try:
        answerer.close()
    except Exception as error:  # noqa: BLE001
        _log.error("a version that was served before could not be closed: %s", error)


def _warm(answerer: Answerer) -> None:
    """Let the first question of a person find everything loaded."""
    for text in SENTINELS:
        answerer.ask(text)
