"""`rag serve`."""

from __future__ import annotations

import gc
import socket
import sys
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from rag.cli.options import IndexOption, errors_told, policy_of
from rag.config import Settings, load_settings

if TYPE_CHECKING:
    from fastapi import FastAPI

    from rag.index.backend import IndexInfo
    from rag.serve.live import LiveIndex

# A request may take `request_seconds` after a stop; this is for what comes around it.
_AROUND_SECONDS = 5.0


def serve(
    index_folder: IndexOption = None,
    host: Annotated[str | None, typer.Option(help="Address to serve on.  [default: 127.0.0.1]")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to serve on; 0 takes a free one.  [default: 8000]")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that serve; they share the index in memory.  [default: 1]")
    ] = None,
    reload_seconds: Annotated[
        float | None,
        typer.Option(help="How often to look for a newly published index; 0 never.  [default: 1.0]"),
    ] = None,
) -> None:
    """Serve POST /ask over HTTP, with interactive documentation at /docs.

    A newly published index is taken over without a pause; one that is damaged is refused, and the one
    before goes on serving. SIGTERM and Ctrl-C answer what was asked before they end the service.
    """
    with errors_told():
        settings = load_settings(
            index=index_folder, host=host, port=port, workers=workers, reload_seconds=reload_seconds
        )
        from rag.serve.server import listen
        from rag.serve.telemetry.logs import configure_logging, form_of

        configure_logging(form_of(settings.log_format, sys.stderr))
        with listen(settings.host, settings.port) as listener:
            if settings.workers > 1:
                _serve_from_several(settings, listener)
            else:
                _serve_from_here(settings, listener)


def _serve_from_here(settings: Settings, listener: socket.socket) -> None:
    from rag.serve.server import run

    with _service(settings) as (app, live):
        tell = partial(_tell, listener, live.status.index)
        run(app, listener, grace_seconds=settings.request_seconds + _AROUND_SECONDS, on_ready=tell)


def _serve_from_several(settings: Settings, listener: socket.socket) -> None:
    from rag.serve.supervisor import Supervisor
    from rag.serve.telemetry.logs import form_of

    supervisor = Supervisor(
        partial(_service, _shared_out(settings)),
        listener,
        count=settings.workers,
        grace_seconds=settings.request_seconds + _AROUND_SECONDS,
        log=form_of(settings.log_format, sys.stderr),
    )
    supervisor.run(partial(_tell, listener))


def _service(settings: Settings) -> AbstractContextManager[tuple[FastAPI, LiveIndex]]:
    """The service of this process, a worker's too."""
    # All that is loaded now stays; to look through it for garbage takes a fifth of the time to start.
    gc.disable()
    from rag.serve.wiring import service

    return service(settings, policy_of(settings))


def _shared_out(settings: Settings) -> Settings:
    """The settings of one of the workers, which have the cores between them."""
    from rag.encoders.base import available_cores

    threads = settings.threads or max(1, available_cores() // settings.workers)
    return settings.model_copy(update={"threads": threads})


def _tell(listener: socket.socket, index: IndexInfo) -> None:
    from rag.serve.server import address_of

    typer.echo(
        f"Serving the index {index.index_id} at {address_of(listener)}: {index.chunks:,} chunks of "
        f"{index.documents:,} documents. Stop with Ctrl-C.",
        err=True,
    )
