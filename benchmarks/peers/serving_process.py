"""A server in a process of its own: started, waited for, weighed, stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from load_client import NoAnswer, ask

_SECONDS_TO_START = 600.0
_SECONDS_TO_STOP = 20.0
_PAUSE = 0.01
# What is set here for other purposes must not decide how a contender runs.
_OURS = ("RAG_", "OMP_", "MKL_", "OPENBLAS_")


class NotServing(Exception):
    """A server ended, or gave no answer in time; the message shows the end of its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Of all processes of a server, in MB (10^6 bytes). `pss` counts a page that n processes share as 1/n."""

    rss: float
    pss: float
    processes: int


@dataclass(frozen=True, slots=True)
class Server:
    """A server that has been started. `started` is a `time.perf_counter`."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    started: float

    def first_answer(self, request: bytes) -> float:
        """Seconds from the start of the process to its first answer. Raises `NotServing`."""
        while (passed := time.perf_counter() - self.started) < _SECONDS_TO_START:
            with suppress(OSError, NoAnswer):
                status, body = ask(self.port, request)
                if status == HTTPStatus.OK:
                    return time.perf_counter() - self.started
                raise NotServing(f"it answers {status}: {body[:300]!r}")
            if self.process.poll() is not None:
                break
            time.sleep(_PAUSE)
        log = self.log.read_text(encoding="utf-8", errors="replace")
        raise NotServing(f"no answer after {passed:.0f} s; {self.log} ends with: {log[-1500:]}")

    def memory(self) -> Memory:
        """What it and all its children hold now."""
        sums = [_rollup(pid) for pid in _family(self.process.pid)]
        rss, pss = (sum(part[place] for part in sums) / 1e6 for place in (0, 1))
        return Memory(rss=rss, pss=pss, processes=len(sums))


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a contender's process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return kept | dict(variables)


def free_port() -> int:
    """A port on loopback that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str], *, port: int, variables: Mapping[str, str], folder: Path
) -> Iterator[Server]:
    """Start a server in `folder`, in a session of its own, and stop all of that at the end."""
    log = folder / "server.log"
    with log.open("wb") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(variables),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Server(process, port, log, started)
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_SECONDS_TO_STOP)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(_SECONDS_TO_STOP)


def _family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):
                found += [int(child) for child in children.read_text(encoding="ascii").split()]
    return found


def _rollup(pid: int) -> tuple[int, int]:
    """Rss and Pss in bytes."""
    sizes = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, _, size = line.partition(":")
        sizes[name] = int(size.split()[0]) * 1024
    return sizes["Rss"], sizes["Pss"]
