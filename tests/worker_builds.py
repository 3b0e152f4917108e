"""Small applications for workers and a supervisor over them: quick to start, easy to break."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from starlette.types import Receive, Scope, Send

from rag.errors import IndexNotFound
from rag.index.backend import IndexInfo
from rag.serve.workers import METRICS_FOLDER

TESTS = Path(__file__).parent
INDEX = IndexInfo(
    index_id="the-index", built_at="2026-01-31", encoder="e", encoder_fingerprint="f", documents=3, chunks=7
)


@dataclass
class ProcessId:
    """Answers with the id of the process that answers, after some milliseconds."""

    seconds: float = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        await receive()
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            pass
        body = f"{os.getpid()} {os.environ[METRICS_FOLDER]}".encode()
        head = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})


@contextmanager
def serving(folder: Path, *, seconds: float = 0.0) -> Iterator[tuple[ProcessId, Any]]:
    """Serves, unless `folder` holds a file that says otherwise; every start is noted there."""
    (folder / f"start-{time.monotonic_ns()}").touch()
    # As prometheus-client leaves it for what a process measures of itself.
    (Path(os.environ[METRICS_FOLDER]) / f"gauge_liveall_{os.getpid()}.db").touch()
    if (folder / "refuse").exists():
        raise IndexNotFound("there is no index here; run: rag index")
    if (folder / "crash").exists():
        raise ValueError((folder / "crash").read_text())
    if (folder / "die").exists():
        os._exit(7)
    yield ProcessId(seconds), SimpleNamespace(status=SimpleNamespace(index=INDEX))


SUPERVISED = """
import sys
sys.path.insert(0, {tests!r})
from functools import partial
from pathlib import Path
import worker_builds
from rag.cli.options import errors_told
from rag.serve.server import address_of, listen
from rag.serve.supervisor import Supervisor

with errors_told(), listen("127.0.0.1", 0) as listener:
    build = partial(worker_builds.serving, Path({folder!r}), seconds={seconds})
    supervisor = Supervisor(build, listener, count={count}, grace_seconds={grace})
    supervisor.run(lambda index: print(index.index_id, address_of(listener), flush=True))
"""


def supervised(folder: Path, *, count: int = 2, seconds: float = 0.002, grace: float = 10.0) -> list[str]:
    """The command of a supervisor over workers as above."""
    script = SUPERVISED.format(
        tests=str(TESTS), folder=str(folder), count=count, seconds=seconds, grace=grace
    )
    return [sys.executable, "-c", script]


def starts(folder: Path) -> int:
    """How many workers were started so far."""
    return len(list(folder.glob("start-*")))
