"""A real server in a process of its own, for tests that need one."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SECONDS_TO_START = 60
_SECONDS_TO_STOP = 20
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


def bare_environment(**variables: str) -> dict[str, str]:
    """The environment without settings of Citewell, and with these variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAG_")}
    return kept | {"PYTHONWARNINGS": "error"} | variables


@dataclass(frozen=True)
class Server:
    """A running server; all that it writes goes to the file `log`."""

    process: subprocess.Popen[bytes]
    address: str
    log: Path

    def stop(self, how: signal.Signals) -> int:
        """Ask it to stop and return its exit status."""
        self.process.send_signal(how)
        return self.process.wait(_SECONDS_TO_STOP)

    def wait_for(self, text: str, *, times: int = 1) -> None:
        """Wait until it has written something so often."""
        end = time.monotonic() + _SECONDS_TO_START
        while self.written().count(text) < times:
            assert time.monotonic() < end, self.written()
            time.sleep(0.02)

    def written(self) -> str:
        """Everything on its standard output and standard error so far."""
        return self.log.read_text(encoding="utf-8")


@contextmanager
def running(command: Sequence[str], folder: Path) -> Iterator[Server]:
    """Start a server in `folder` and wait until it has said where it serves."""
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=bare_environment(), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield Server(process, _wait_for_address(process, log), log)
    finally:
        process.kill()
        process.wait(_SECONDS_TO_STOP)


def serve_command(index: Path, *options: str) -> list[str]:
    """`rag serve` on a free port."""
    return [sys.executable, "-m", "rag.cli", "serve", "--index", str(index), "--port", "0", *options]


def _wait_for_address(process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < end:
        if found := _ADDRESS.search(log.read_text(encoding="utf-8")):
            return found.group()
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise AssertionError(f"the server did not start: {log.read_text(encoding='utf-8')}")
