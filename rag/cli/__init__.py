"""The command line: one module for each group of commands.

Options win over RAG_* variables, which win over rag.yaml. Exit status: 0 done, 1 done in part
(some files could not be read, a floor was not reached), 2 not done; the reason is on standard error.
"""

from __future__ import annotations

import sys
import traceback

import typer

from rag.cli.asking import ask, show
from rag.cli.evaluating import evaluate
from rag.cli.indexing import index
from rag.cli.keys import keys
from rag.cli.linting import lint
from rag.cli.options import NOT_DONE
from rag.cli.replaying import replay
from rag.cli.serving import serve
from rag.cli.verifying import verify

app = typer.Typer(
    name="rag",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Citewell: answers a patient's question with the passages that answer it, cited exactly.\n\n"
    "Begin with 'rag index' to build an index from the documents in seeds/, then 'rag ask'. What lasts "
    "is also a setting: RAG_INDEX=… in the environment or 'index: …' in rag.yaml.",
)
for command in (index, lint, ask, verify, replay, show, serve):
    app.command()(command)
app.add_typer(evaluate, name="evaluate")
app.add_typer(keys, name="keys")


def main() -> None:
    """Run the command line.

    An unforeseen exception is told by its kind and place. Its message is not: it may hold the question.
    """
    try:
        app()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - a panic of the search library is no Exception
        sys.stderr.writelines(traceback.format_tb(error.__traceback__))
        typer.echo(f"rag: unforeseen {type(error).__name__}, see above; please report it", err=True)
        sys.exit(NOT_DONE)
