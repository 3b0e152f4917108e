"""`rag serve`."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from rag.cli.options import IndexOption, errors_told, policy_of
from rag.config import load_settings


def serve(
    index_folder: IndexOption = None,
    host: Annotated[str | None, typer.Option(help="Address to serve on.  [default: 127.0.0.1]")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to serve on; 0 takes a free one.  [default: 8000]")
    ] = None,
    reload_seconds: Annotated[
        float | None,
        typer.Option(help="How often to look for a newly published index; 0 never.  [default: 1.0]"),
    ] = None,
) -> None:
    """Serve POST /ask over HTTP, with interactive documentation at /docs.

    A newly published index is taken over without a pause; one that is damaged is refused, and the one
    before goes on serving.
    """
    with errors_told():
        settings = load_settings(index=index_folder, host=host, port=port, reload_seconds=reload_seconds)
        from rag.serve.server import address_of, listen, run
        from rag.serve.wiring import service

        logging.getLogger("rag").setLevel(logging.INFO)
        with (
            listen(settings.host, settings.port) as listener,
            service(settings, policy_of(settings)) as (app, live),
        ):
            info = live.status.index
            typer.echo(
                f"Serving the index {info.index_id} at {address_of(listener)}: {info.chunks:,} chunks of "
                f"{info.documents:,} documents. Stop with Ctrl-C.",
                err=True,
            )
            run(app, listener)
