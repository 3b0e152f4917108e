"""`rag serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from rag.cli.options import IndexOption, errors_told
from rag.config import load_settings


def serve(
    index_folder: IndexOption = None,
    host: Annotated[str | None, typer.Option(help="Address to serve on.  [default: 127.0.0.1]")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to serve on; 0 takes a free one.  [default: 8000]")
    ] = None,
) -> None:
    """Serve POST /ask over HTTP, with interactive documentation at /docs."""
    with errors_told():
        settings = load_settings(index=index_folder, host=host, port=port)
        from rag.answer.answer import Answerer
        from rag.serve.api import create_app
        from rag.serve.server import address_of, listen, run

        with listen(settings.host, settings.port) as listener:
            answerer = Answerer.open(settings.index, threads=settings.threads, reranker=settings.reranker)
            info = answerer.backend.info
            typer.echo(
                f"Serving the index {info.index_id} at {address_of(listener)}: {info.chunks:,} chunks of "
                f"{info.documents:,} documents. Stop with Ctrl-C.",
                err=True,
            )
            run(create_app(answerer), listener)
