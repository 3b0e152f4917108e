"""`rag index`: builds an index, and looks after its versions."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rag.cli.options import PARTLY_DONE, IndexOption, errors_told
from rag.config import Settings, load_settings


class EngineChoice(StrEnum):
    """What runs the encoder."""

    auto = "auto"
    ctranslate2 = "ctranslate2"
    torch = "torch"


def index(
    seeds: Annotated[Path | None, typer.Argument(help="Folder of markdown files.  [default: seeds]")] = None,
    index_folder: IndexOption = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="'bundled', or a sentence-transformers name or path.  [default: bundled]"),
    ] = None,
    engine: Annotated[
        EngineChoice | None, typer.Option(help="What runs the encoder.  [default: auto]")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Longest chunk, title and headings included.  [default: 256]")
    ] = None,
    max_file_bytes: Annotated[
        int | None, typer.Option(help="Larger files are refused.  [default: 10000000]")
    ] = None,
    strict: Annotated[
        bool | None, typer.Option("--strict", help="Publish nothing when a file cannot be read.")
    ] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build even when nothing changed.")] = False,
) -> None:
    """Build an index from a folder of markdown files and publish it.

    Files that cannot be read are named with line and reason and left out; the exit status is then 1.
    """
    with errors_told():
        settings = load_settings(
            seeds=seeds,
            index=index_folder,
            encoder=encoder,
            engine=engine.value if engine else None,
            max_tokens=max_tokens,
            max_file_bytes=max_file_bytes,
            strict=strict,
        )
        problems = _build(settings, rebuild=rebuild)
    if problems:
        raise typer.Exit(PARTLY_DONE)


def _build(settings: Settings, *, rebuild: bool) -> int:
    """Build as the settings say, tell how it went; returns the number of unreadable files."""
    from rag.encoders.loading import load_encoder
    from rag.index.builder import build_index
    from rag.index.local.layout import Layout
    from rag.index.plan import BuildOptions
    from rag.progress import shown_progress
    from rag.reporting import tell_build

    console = Console(stderr=True)
    encoder = load_encoder(
        settings.encoder,
        cache=Layout(settings.index).encoders,
        engine=settings.engine,
        threads=settings.threads,
    )
    options = BuildOptions(
        max_tokens=settings.max_tokens,
        max_file_bytes=settings.max_file_bytes,
        strict=settings.strict,
        rebuild=rebuild,
    )
    with shown_progress(console) as on_progress:
        report = build_index(
            settings.seeds, settings.index, encoder, options=options, on_progress=on_progress
        )
    tell_build(report, console)
    return len(report.problems)
