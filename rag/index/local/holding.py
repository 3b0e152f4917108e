"""One process at a time changes an index folder; whoever comes second learns who is at work.

The lock is the operating system's: it ends with its process, however that ends, so none is stale.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from rag.errors import IndexLocked, IndexNotWritable
from rag.index.local.layout import Layout

_LOCK = ".lock"
_HOLDER = ".holder"


@contextmanager
def holding(layout: Layout, purpose: str) -> Iterator[None]:
    """Hold the index folder for changing it; `purpose` tells others what for ("building").

    Raises `IndexLocked`, which names the holder, and `IndexNotWritable`.
    """
    lock = FileLock(layout.root / _LOCK, timeout=0, mode=0o644)
    holder = layout.root / _HOLDER
    try:
        layout.root.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise IndexLocked(_who(layout.root, holder)) from None
    except OSError as error:
        raise IndexNotWritable(f"{layout.root} cannot be written: {error.strerror}") from None
    try:
        with suppress(OSError):  # on a full disk nobody is named, but somebody may make room
            holder.write_text(_description(purpose), encoding="utf-8")
        yield
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def _description(purpose: str) -> str:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return json.dumps({"purpose": purpose, "pid": os.getpid(), "host": socket.gethostname(), "since": now})


def _who(root: Path, holder: Path) -> str:
    try:
        told = json.loads(holder.read_text(encoding="utf-8"))
        who = f"process {told['pid']} on {told['host']} ({told['purpose']} since {told['since']})"
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        who = "another process"
    return f"{root} is held by {who}; wait until it has finished, or stop it, and run the command again"
