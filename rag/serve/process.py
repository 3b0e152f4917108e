"""What serves in one process: accepts connections one at a time, and stops without losing a request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

import uvicorn

from rag.serve.server import HANDSHAKE_SECONDS, hold_back

# When no connection can be accepted, for want of file descriptors for example.
_PAUSE_SECONDS = 0.5

_log = logging.getLogger(__name__)


class Process(uvicorn.Server):
    """Serves until it is told to stop by one of `signals`.

    `alone`: no other process accepts from `listener`, so nothing may be left waiting there, and a second
    signal ends the process at once.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        listener: socket.socket,
        *,
        signals: Sequence[signal.Signals],
        alone: bool,
        on_ready: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._listener, self._signals, self._alone, self._on_ready = listener, signals, alone, on_ready
        self._arriving: set[asyncio.Task[object]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        await super().startup(sockets=sockets)
        self._listener.settimeout(0)
        self._listen()
        self._on_ready()

    def _listen(self) -> None:
        asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> bool:
        """Take one connection that waits, if there is one.

        asyncio and uvloop take all there are, so that of many clients who come together one of several
        processes would get nearly all.
        """
        try:
            accepted, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False  # another process was faster, or the client has gone
        except OSError as error:
            self._pause(error)
            return False
        accepted.settimeout(0)
        loop = asyncio.get_running_loop()
        task: asyncio.Task[object] = loop.create_task(loop.connect_accepted_socket(self._protocol, accepted))
        self._arriving.add(task)
        task.add_done_callback(self._arrived)
        return True

    def _arrived(self, task: asyncio.Task[object]) -> None:
        self._arriving.discard(task)
        # A client that has gone meanwhile; asked for, so that asyncio does not report it.
        if not task.cancelled():
            task.exception()

    def _pause(self, error: OSError) -> None:
        _log.error("no connection can be accepted (%s)", error.strerror)
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listener.fileno())
        loop.call_later(_PAUSE_SECONDS, self._resume)

    def _resume(self) -> None:
        if not self.should_exit:
            self._listen()

    def _protocol(self) -> asyncio.Protocol:
        protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer everything that was sent before this; see `uvicorn.Server`."""
        await self._accept_the_last()
        await super().shutdown(sockets=sockets)
        if self.server_state.tasks:
            # The grace period is over. Waiting for threads that still work would have no bound.
            os._exit(1)

    async def _accept_the_last(self) -> None:
        if self._alone:
            hold_back(self._listener)
            await asyncio.sleep(HANDSHAKE_SECONDS)
        asyncio.get_running_loop().remove_reader(self._listener.fileno())
        while self._accept():
            pass
        self._listener.close()
        if self._arriving:
            await asyncio.wait(self._arriving)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on a signal, and end in peace: uvicorn would raise it again."""
        before = {number: signal.signal(number, self.handle_exit) for number in self._signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Stop; at once when this is the second time."""
        if self.should_exit and self._alone:
            os._exit(128 + sig)
        self.should_exit = True
