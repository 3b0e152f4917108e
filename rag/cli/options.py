"""What several commands share: options, exit statuses, and how a deliberate error is told."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag import errors
from rag.config import Settings

if TYPE_CHECKING:
    from rag.answer.policy import AnswerPolicy

PARTLY_DONE = 1
NOT_DONE = 2

IndexOption = Annotated[Path | None, typer.Option("--index", help="Folder of the index.  [default: index]")]
RerankerOption = Annotated[
    str | None, typer.Option(help="Cross-encoder that orders the best passages anew, by name or path.")
]


def policy_of(settings: Settings) -> AnswerPolicy:
    """What the settings decide about answers. Raises `SettingsError`."""
    from rag.answer.policy import AnswerPolicy

    return AnswerPolicy(
        answered_from=settings.answered_from,
        uncertain_from=settings.uncertain_from,
        strict_license=settings.strict_license,
        locale=settings.locale,
        notices=settings.notices,
        licenses=settings.licenses,
        calibration=settings.calibration,
        hash_key=settings.hash_key,
    )


@contextmanager
def errors_told() -> Iterator[None]:
    """Turn a deliberate error into one line on standard error and exit status 2."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        yield
    except errors.CitewellError as error:
        from rag.reporting import printable

        typer.echo(f"rag: {' '.join(printable(str(error)).splitlines())}", err=True)
        raise typer.Exit(NOT_DONE) from None
