"""Builds that are killed: a program that forks a process for each, so that hundreds are soon done.

It reads one `Request` a line from its input, as JSON, and answers each with a line, an `Outcome`.
Whoever imports this module gets those two only; what is heavy is loaded by the program, once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

# So small that a build of a few pages has several batches.
BATCH = 2

_CHANGING = (
    "fcntl.flock",
    "os.chmod",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.truncate",
    "sqlite3.connect",
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_STEP, _REPORT = "step ", "report "


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a process is to do and when it dies.

    `job` is one of "build" (index `seeds` in `root`), "roll_back" (to the version `index_id`) and "prune"
    (all versions but the current one).
    It is killed just before its step `before_step` (counted from 1), or `after` seconds, or not at all.
    """

    job: str
    root: str
    seeds: str = ""
    index_id: str = ""
    before_step: int | None = None
    after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it.

    `steps` are those that changed something on the disk, the one that was never done last when it was
    killed there. `encoded` and `unchanged` are what a build that came to its end says of itself.
    """

    killed: bool
    steps: list[str]
    seconds: float
    encoded: int | None = None
    unchanged: bool | None = None
    error: str | None = None


class _Steps:
    """Tells of every step that changes the folder, and dies before one of them."""

    def __init__(self, root: str, last: int | None, pipe: int) -> None:
        self._root, self._last, self._pipe = root, last, pipe
        self._count = 0

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        """An audit hook."""
        if event == "open":
            changes = bool(args[2] & _WRITING)
        else:
            changes = event in _CHANGING and "mode=ro" not in str(args[0])
        if changes and self._concerns(args[0]):
            self.take(event, *args[: 2 if event == "os.rename" else 1])

    def _concerns(self, path: object) -> bool:
        """A file that is named by its number, or within a folder that is, may be one of ours."""
        name = _plain(path)
        return not name.startswith("/") or name.startswith(self._root)

    def take(self, name: str, *concerned: object) -> None:
        """Note a step, just before it is done."""
        self._count += 1
        below = [_plain(one).removeprefix(self._root).removeprefix("/") or "." for one in concerned]
        os.write(self._pipe, f"{_STEP}{' '.join([name, *below])}\n".encode())
        if self._count == self._last:
            os.kill(os.getpid(), signal.SIGKILL)


def _plain(path: object) -> str:
    """A path as SQLite names it or anyone else."""
    return str(path).removeprefix("file://")


def _build(request: Request, steps: _Steps) -> dict[str, object]:
    from keyword_encoder import KeywordEncoder

    from rag.encoders.base import Vectors
    from rag.index.builder import build_index

    class Stepwise(KeywordEncoder):
        def encode_documents(self, texts: Sequence[str]) -> Vectors:
            steps.take("encode", len(texts))
            return super().encode_documents(texts)

    report = build_index(request.seeds, request.root, Stepwise())
    return {"encoded": report.encoded, "unchanged": report.unchanged}


def _roll_back(request: Request, _steps: _Steps) -> dict[str, object]:
    from rag.index.versions import roll_back

    roll_back(request.root, request.index_id)
    return {}


def _prune(request: Request, _steps: _Steps) -> dict[str, object]:
    from rag.index.versions import prune

    prune(request.root, 1)
    return {}


_JOBS: dict[str, Callable[[Request, _Steps], dict[str, object]]] = {
    "build": _build,
    "roll_back": _roll_back,
    "prune": _prune,
}


def _child(request: Request, pipe: int) -> NoReturn:
    """Do the job and tell of it through the pipe."""
    steps = _Steps(request.root, request.before_step, pipe)
    sync = os.fsync

    def told_sync(handle: int) -> None:
        # The audit system does not know it.
        steps.take("os.fsync", Path(f"/proc/self/fd/{handle}").resolve())
        sync(handle)

    vars(os)["fsync"] = told_sync
    sys.addaudithook(steps.hear)
    try:
        report = _JOBS[request.job](request, steps)
    except BaseException:  # noqa: BLE001 - whatever it is, it is told to whoever asked
        report = {"error": traceback.format_exc()}
    os.write(pipe, f"{_REPORT}{json.dumps(report)}\n".encode())
    os._exit(0)


def _run(request: Request) -> Outcome:
    reading, writing = os.pipe()
    started = time.perf_counter()
    child = os.fork()
    if not child:
        _child(request, writing)
    os.close(writing)
    if request.after is not None:
        time.sleep(request.after)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reading, encoding="utf-8") as stream:
        told = stream.read().splitlines()
    _, status = os.waitpid(child, 0)
    seconds = time.perf_counter() - started
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    reports = [json.loads(line.removeprefix(_REPORT)) for line in told if line.startswith(_REPORT)]
    steps = [line.removeprefix(_STEP) for line in told if line.startswith(_STEP)]
    # One that was killed when all was said has come to its end.
    killed = killed and not reports
    return Outcome(killed=killed, steps=steps, seconds=seconds, **(reports[0] if reports else {}))


def main() -> None:
    """Load everything once, then answer requests until there are no more."""
    # Whoever takes it from there comes later.
    vars(import_module("rag.index.encoding"))["AT_ONCE"] = BATCH
    # A build loads the last two itself, when it comes to need them.
    for name in ("keyword_encoder", "rag.index.builder", "rag.index.versions", "email.parser", "numpy.ma"):
        import_module(name)
    for line in sys.stdin:
        outcome = _run(Request(**json.loads(line)))
        sys.stdout.write(json.dumps(asdict(outcome)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
