"""The command line: `rag index`, `rag ask`, `rag show`, `rag serve`, `rag evaluate`.

Options win over RAG_* variables, which win over rag.yaml. Exit status: 0 done, 1 done in part
(some files could not be read, a floor was not reached), 2 not done; the reason is on standard error.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rag import errors
from rag.config import Settings, load_settings

PARTLY_DONE = 1
NOT_DONE = 2

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


class EngineChoice(StrEnum):
    """What runs the encoder."""

    auto = "auto"
    ctranslate2 = "ctranslate2"
    torch = "torch"


IndexOption = Annotated[Path | None, typer.Option("--index", help="Folder of the index.  [default: index]")]
RerankerOption = Annotated[
    str | None, typer.Option(help="Cross-encoder that orders the best passages anew, by name or path.")
]


@app.command()
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
    with _errors_told():
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


@app.command()
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
    reranker: RerankerOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what POST /ask returns.")] = False,
) -> None:
    """Print the passages that answer a question, best first, each with its citation.

    Filters: cancer_types, audience, language, source, source_type, license, status, tags, doc_id,
    last_reviewed_after (a date). Without status=..., only active documents are searched.
    """
    with _errors_told():
        settings = load_settings(index=index_folder, top_k=top_k, reranker=reranker)
        from rag.answer.answer import Answerer
        from rag.index.filters import read_assignments

        chosen = read_assignments(filters or ())
        answerer = Answerer.open(settings.index, threads=settings.threads, reranker=settings.reranker)
        answer = answerer.ask(question, top_k=settings.top_k, filters=chosen, history=history or ())
        if as_json:
            from rag.reporting import tell_json
            from rag.serve.wire import to_response

            tell_json(to_response(answer).model_dump_json(indent=2))
        else:
            from rag.reporting import tell_answer

            tell_answer(answer, Console(highlight=False))


@app.command()
def show(
    an_id: Annotated[str, typer.Argument(metavar="CHUNK_OR_DOC_ID", help="An id as 'rag ask' prints it.")],
    index_folder: IndexOption = None,
) -> None:
    """Print a chunk's markdown or a whole document as it stands in the index."""
    with _errors_told():
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


@app.command()
def serve(
    index_folder: IndexOption = None,
    host: Annotated[str | None, typer.Option(help="Address to serve on.  [default: 127.0.0.1]")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to serve on; 0 takes a free one.  [default: 8000]")
    ] = None,
) -> None:
    """Serve POST /ask over HTTP, with interactive documentation at /docs."""
    with _errors_told():
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


@app.command()
def evaluate(
    questions: Annotated[
        Path, typer.Argument(help="Judged questions: a file of JSON lines, or a BEIR folder.")
    ],
    index_folder: IndexOption = None,
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", metavar="NAME=VALUE", help="Search only such documents, as for 'rag ask'."),
    ] = None,
    reranker: RerankerOption = None,
    measures: Annotated[
        str | None,
        typer.Option(help="Parted by commas.  [default: nDCG@10,RR@10,Success@1,Success@5,P@5,R@10,AP]"),
    ] = None,
    floor: Annotated[
        list[str] | None, typer.Option(help="As nDCG@10=.70: exit status 1 below it. Can be repeated.")
    ] = None,
    per_question: Annotated[bool, typer.Option("--per-question", help="Print a row a question.")] = False,
    misses: Annotated[int, typer.Option(min=0, help="Print the worst questions, this many, to be read.")] = 0,
    ablation: Annotated[
        bool, typer.Option("--ablation", help="Measure again with each part of the search left out.")
    ] = False,
    compare: Annotated[
        Path | None, typer.Option(help="What --json or --run-out gave earlier for the same questions.")
    ] = None,
    run_out: Annotated[Path | None, typer.Option(help="Write the judged ranking as a TREC run.")] = None,
    split: Annotated[str | None, typer.Option(help="Qrels of a BEIR folder.  [default: test]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, also for --compare.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
) -> None:
    """Measure how well and how fast an index answers judged questions.

    A line of the file is {"query_id": "q1", "question": "...", "relevant": [{"doc_id": "...", "start":
    120, "end": 480, "relevance": 2, "text": "..."}]}; an empty list says that nothing answers. A passage
    earns the relevance of a text of its document when they share half of the shorter one's runs of five
    words; each text is earned once. Means are over the questions that have an answer.

    Measures are nDCG, RR and AP, also with a cutoff (nDCG@10), and Success@5, P@5, R@10, Judged@10.
    --compare tells whether a difference is more than luck; only --floor changes the exit status.
    """
    with _errors_told():
        settings = load_settings(index=index_folder, reranker=reranker)
        from rag.evaluate.command import Request, carry_out
        from rag.evaluate.options import parse_floors, parse_measures
        from rag.evaluate.watching import shown_questions
        from rag.index.filters import read_assignments
        from rag.reporting import tell_outcome

        request = Request(
            questions=questions,
            split=split,
            measures=parse_measures(measures),
            floors=parse_floors(floor or ()),
            per_question=per_question,
            misses=misses,
            ablation=ablation,
            baseline=compare,
            run_out=run_out,
            filters=read_assignments(filters or ()),
            reranker=settings.reranker,
        )
        with shown_questions(Console(stderr=True)) as watch:
            outcome = carry_out(request, settings.index, threads=settings.threads, watch=watch)
        tell_outcome(outcome, as_json=as_json, markdown=markdown)
    if outcome.below:
        raise typer.Exit(PARTLY_DONE)


@contextmanager
def _errors_told() -> Iterator[None]:
    """Turn a deliberate error into one line on standard error and exit status 2."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        yield
    except errors.CitewellError as error:
        from rag.reporting import printable

        typer.echo(f"rag: {' '.join(printable(str(error)).splitlines())}", err=True)
        raise typer.Exit(NOT_DONE) from None


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
