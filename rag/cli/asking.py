"""`rag ask` and `rag show`: what the index answers, and what stands in it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console

from rag import errors
from rag.cli.options import IndexOption, RerankerOption, errors_told, policy_of
from rag.config import load_settings


def ask(
    question: Annotated[str, typer.Argument(help="The question, in quotation marks.")],
    index_folder: IndexOption = None,
    top_k: Annotated[int | None, typer.Option(help="How many passages, 1 to 50.  [default: 5]")] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="NAME=VALUE",
            help="Only documents with this value, for example cancer_types=lung; again for more.",
        ),
    ] = None,
    history: Annotated[
        list[str] | None,
        typer.Option(help="An earlier question that this one leans on; again for more, oldest first."),
    ] = None,
    as_of: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The day for which freshness is told.  [default: today]"),
    ] = None,
    strict_license: Annotated[
        bool | None,
        typer.Option("--strict-license", help="Leave out pages whose license is missing or not known."),
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PART",
            help="low_confidence_passages: passages even where nothing answers; receipt: what reproduces "
            "the answer (with --json). Can be repeated.",
        ),
    ] = None,
    reranker: RerankerOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what POST /ask returns.")] = False,
) -> None:
    """Print the passages that answer a question, best first, each with its citation.

    Filters: cancer_types, audience, language, source, source_type, license, status, tags, doc_id,
    last_reviewed_after (a date). Without status=..., only active documents are searched, and without
    audience=professional no pages for professionals.
    """
    with errors_told():
        settings = load_settings(
            index=index_folder, top_k=top_k, reranker=reranker, strict_license=strict_license
        )
        from rag.answer.answerer import Answerer
        from rag.index.filters import read_assignments

        chosen = read_assignments(filters or ())
        answerer = Answerer.open(
            settings.index,
            threads=settings.threads,
            reranker=settings.reranker,
            policy=policy_of(settings),
        )
        try:
            answer = answerer.ask(
                question,
                top_k=settings.top_k,
                filters=chosen,
                history=history or (),
                as_of=as_of.date() if as_of else None,
                include=include or (),
            )
        finally:
            answerer.close()
        if as_json:
            from rag.reporting import tell_json
            from rag.serve.wire.answering import to_response

            tell_json(to_response(answer).model_dump_json(indent=2))
        else:
            from rag.reporting import tell_answer

            tell_answer(answer, Console(highlight=False))


def show(
    an_id: Annotated[str, typer.Argument(metavar="CHUNK_OR_DOC_ID", help="An id as 'rag ask' prints it.")],
    index_folder: IndexOption = None,
) -> None:
    """Print a chunk's markdown or a whole document as it stands in the index."""
    with errors_told():
        settings = load_settings(index=index_folder)
        from rag.index.local.local_index import LocalIndex
        from rag.reporting import tell_source

        backend = LocalIndex.open(settings.index)
        try:
            if "#" in an_id:
                tell_source(backend.chunks([an_id])[0].chunk.markdown + "\n")
            else:
                tell_source(backend.document(an_id).text)
        except KeyError:
            raise errors.InvalidRequest(
                "id", f"there is no '{an_id}' in the index {backend.info.index_id}"
            ) from None
