"""`rag lint`: what is wrong with the documents, for a person, a program or a code host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from rag.cli.options import PARTLY_DONE, errors_told
from rag.config import load_settings

if TYPE_CHECKING:
    from rag.corpus.linting.linter import LintReport, OnProgress

_STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}


class Format(StrEnum):
    """How a report is written."""

    text = "text"
    json = "json"
    sarif = "sarif"


class FailOn(StrEnum):
    """From which severity on a finding makes the command fail."""

    error = "error"
    warning = "warning"
    note = "note"
    never = "never"


def lint(
    folder: Annotated[Path | None, typer.Argument(help="Folder of markdown files.  [default: seeds]")] = None,
    output: Annotated[Format, typer.Option("--format", help="How the report is written.")] = Format.text,
    fail_on: Annotated[
        FailOn, typer.Option(help="Exit status 1 for a finding of this severity or worse.")
    ] = FailOn.error,
    select: Annotated[
        list[str] | None, typer.Option(metavar="RULE", help="Only rules that begin so. Can be repeated.")
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar="RULE", help="No rules that begin so. Can be repeated.")
    ] = None,
    most: Annotated[
        int, typer.Option("--max", min=0, help="Most findings shown as text, the gravest first; 0 shows all.")
    ] = 200,
    as_of: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The day on which reviews are judged.  [default: today]"),
    ] = None,
    max_file_bytes: Annotated[
        int | None, typer.Option(help="Larger files count as unreadable.  [default: 10000000]")
    ] = None,
    rules: Annotated[bool, typer.Option("--rules", help="Print all rules and stop.")] = False,
) -> None:
    """Tell what is wrong with the documents in a folder, with file, line and what mends it.

    Nothing is changed and nothing is fetched. The exit status is 1 when there is a finding of the severity
    of --fail-on or worse, so that a pull request can be stopped by it, and 2 when the folder cannot be read.

    Findings come as text, as one JSON object, or in SARIF 2.1.0 for code hosts; see --format. JSON and
    SARIF are always complete. Rules can be chosen by the beginning of their names, as in
    '--select front-matter --ignore front-matter/missing-language'.
    """
    from rag.corpus.freshness import today
    from rag.corpus.licensing import load_licenses
    from rag.corpus.linting.findings import Severity
    from rag.corpus.linting.linter import lint as look_at

    with errors_told():
        if rules:
            _tell_rules()
            return
        settings = load_settings(seeds=folder, max_file_bytes=max_file_bytes)
        with _shown_progress() as on_progress:
            report = look_at(
                settings.seeds,
                as_of=as_of.date() if as_of else today(),
                select=select or (),
                ignore=ignore or (),
                max_bytes=settings.max_file_bytes,
                licenses=load_licenses(settings.licenses),
                on_progress=on_progress,
            )
        _tell(report, output, most)
        if fail_on is not FailOn.never and report.reaches(Severity(fail_on.value)):
            raise typer.Exit(PARTLY_DONE)


def _tell_rules() -> None:
    from rag.corpus.linting.findings import RULES

    width = max(map(len, RULES))
    for rule in RULES.values():
        typer.echo(f"{rule.rule_id:<{width}}  {rule.severity:<7}  {rule.help}")


@contextmanager
def _shown_progress() -> Iterator[OnProgress | None]:
    """A bar on a terminal that goes away when all is looked at; nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("Looking at"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("")
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _tell(report: LintReport, output: Format, most: int) -> None:
    from rag.reporting import printable, tell_json

    if output is Format.json:
        from rag.corpus.linting.json_output import as_json

        tell_json(as_json(report))
    elif output is Format.sarif:
        from rag.corpus.linting.sarif_output import as_sarif

        tell_json(as_sarif(report, start=Path.cwd()))
    else:
        from rag.corpus.linting.text_output import report_lines

        console = Console()
        for line in report_lines(report, most=most):
            style = _STYLES[line.severity] if line.severity else ""
            # A name with a line break in it must not forge a line of its own.
            shown = printable(line.text).replace("\n", "\N{SYMBOL FOR NEWLINE}")
            console.print(Text(shown, style=style), soft_wrap=True)
