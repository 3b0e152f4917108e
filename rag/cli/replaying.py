"""`rag replay`: whether a receipt still holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rag.cli.options import PARTLY_DONE, IndexOption, errors_told, policy_of
from rag.config import load_settings


def replay(
    receipt: Annotated[Path, typer.Argument(help="A receipt, or an answer that holds one, as JSON.")],
    question: Annotated[str, typer.Option(help="The question it is of; a receipt holds none.")],
    index_folder: IndexOption = None,
    history: Annotated[
        list[str] | None, typer.Option(help="What was asked before; again for more, oldest first.")
    ] = None,
) -> None:
    """Ask again what a receipt is of, and say 'identical' or what differs.

    The version that answered is taken where the index folder still has it, else the current one. The
    question itself is compared by its hash, which takes the key that the receipt was made with (the same
    index folder, or RAG_HASH_KEY). The exit status is 0 when identical, 1 when not, 2 after an error.
    """
    with errors_told():
        settings = load_settings(index=index_folder)
        from rag.answer.answerer import Answerer
        from rag.answer.replay import is_comparable, read_receipt, version_of
        from rag.answer.replay import replay as asked_again
        from rag.reporting import tell_source

        kept = read_receipt(receipt)
        answerer = Answerer.open(
            settings.index,
            threads=settings.threads,
            reranker=settings.reranker,
            policy=policy_of(settings),
            version=version_of(kept, settings.index),
        )
        try:
            comparable = is_comparable(kept, answerer.question_hash.key_id)
            differences = asked_again(kept, answerer, question, history or ())
        finally:
            answerer.close()
        same = (
            "identical" if comparable else "identical, but for the question: it was hashed with another key"
        )
        tell_source("".join(f"{line}\n" for line in differences or [same]))
    if differences or not comparable:
        raise typer.Exit(PARTLY_DONE)
