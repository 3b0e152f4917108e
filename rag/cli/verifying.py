"""`rag verify`: whether a text says what it cites."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from rag import errors
from rag.cli.options import PARTLY_DONE, IndexOption, errors_told
from rag.config import load_settings

if TYPE_CHECKING:
    from rag.answer.verify import SentenceCheck, Verification


def verify(
    text: Annotated[str, typer.Argument(help="The text, in quotation marks; '-' reads standard input.")],
    cited: Annotated[
        list[str], typer.Option("--cite", metavar="ID", help="A chunk_id or doc_id; again for more.")
    ],
    index_folder: IndexOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare every sentence of a text with what it cites, and name what differs.

    The exit status is 0 when each one stands there word by word, 1 when not, 2 after an error.
    """
    with errors_told():
        given = _read_input() if text == "-" else text
        settings = load_settings(index=index_folder)
        from rag.answer.verify import Verifier
        from rag.index.local.local_index import LocalIndex
        from rag.reporting import printable, tell_json

        backend = LocalIndex.open(settings.index)
        try:
            verification = Verifier(backend).verify(given, cited)
        finally:
            backend.close()
        if as_json:
            tell_json(_to_json(verification))
        else:
            typer.echo(printable("\n".join(_told(verification))))
    if not verification.is_verbatim:
        raise typer.Exit(PARTLY_DONE)


def _read_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise errors.InvalidRequest(
            "text", f"standard input is not UTF-8 (byte {error.start:,}); convert it first"
        ) from None


def _to_json(verification: Verification) -> str:
    value = {"is_verbatim": verification.is_verbatim, "counts": verification.counts, **asdict(verification)}
    return json.dumps(value, ensure_ascii=False, indent=2)


def _told(verification: Verification) -> Iterator[str]:
    """Each sentence with its verdict, what differs, and where the nearest one stands."""
    for check in verification.sentences:
        yield f"{check.verdict}: {' '.join(check.text.split())}"
        yield from (f"    {line}" for line in _reasons(check))
    counts = ", ".join(f"{count} {verdict}" for verdict, count in verification.counts.items() if count)
    yield counts or "no sentence: nothing in the text is a word or a number"


def _reasons(check: SentenceCheck) -> Iterator[str]:
    if check.doc_id is None:
        yield "nothing like it stands in what is cited, nor the same anywhere in the index"
        return
    for change in check.changes:
        yield f"{change.kind}: said '{change.said}', the source has '{change.source}'"
    if check.verdict != "verbatim":
        yield f"source: {' '.join((check.source_text or '').split())}"
    yield f"{check.doc_id} {check.source_start}-{check.source_end}"
