"""`rag index`: builds an index, and looks after its versions."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rag.cli.options import PARTLY_DONE, IndexOption, errors_told
from rag.config import Settings, load_settings
from rag.errors import InvalidRequest


class EngineChoice(StrEnum):
    """What runs the encoder."""

    auto = "auto"
    ctranslate2 = "ctranslate2"
    torch = "torch"


def index(
    seeds: Annotated[
        Path | None,
        typer.Argument(help="Folder of markdown files; with --rollback, a version.  [default: seeds]"),
    ] = None,
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
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Build even when nothing changed, taking nothing from it.")
    ] = False,
    show_versions: Annotated[bool, typer.Option("--list", help="Print the versions and stop.")] = False,
    rollback: Annotated[
        bool,
        typer.Option(
            "--rollback", help="Serve an earlier version again: --rollback [ID], or the one before."
        ),
    ] = False,
    keep: Annotated[
        int | None,
        typer.Option(
            "--prune",
            min=1,
            metavar="KEEP",
            help="Keep KEEP versions: the current one, the one before it, the newest.",
        ),
    ] = None,
) -> None:
    """Build an index from a folder of markdown files and publish it.

    What did not change is taken from the version before, and a build that was interrupted goes on where
    it was. Whoever serves the index changes over by itself. Files that cannot be read are named with line
    and reason and left out; the exit status is then 1.

    Every build leaves a version of its own: see them with --list, go back with --rollback, delete old ones
    with --prune.
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
        if show_versions or rollback or keep is not None:
            building = (seeds if not rollback else None, encoder, engine, max_tokens, max_file_bytes, strict)
            _check_alone([show_versions, rollback, keep is not None], any(building) or rebuild)
            _look_after(settings.index, rollback=rollback, to=seeds, keep=keep)
            return
        problems = _build(settings, rebuild=rebuild)
    if problems:
        raise typer.Exit(PARTLY_DONE)


def _check_alone(chosen: list[bool], building: bool) -> None:  # noqa: FBT001 - a fact, no choice
    if building or sum(chosen) > 1:
        raise InvalidRequest(
            "options", "--list, --rollback and --prune each stand alone, with no other option but --index"
        )


def _look_after(root: Path, *, rollback: bool, to: Path | None, keep: int | None) -> None:
    """Go back, delete, or only list; tell what there is."""
    from rag.index.versions import list_versions, prune, roll_back
    from rag.reporting import tell_note, tell_versions

    if rollback:
        tell_note(f"{roll_back(root, str(to) if to else None)} is the current version again.")
    elif keep is not None:
        tell_note(f"Deleted {len(prune(root, keep))} versions.")
    tell_versions(list_versions(root))


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
