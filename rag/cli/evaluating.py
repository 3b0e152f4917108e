"""`rag evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from rag.cli.options import PARTLY_DONE, IndexOption, RerankerOption, errors_told, policy_of
from rag.config import load_settings


class _WithDefault(TyperGroup):
    """Takes what names no subcommand for the first: 'rag evaluate FILE' is 'rag evaluate retrieval FILE'."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default subcommand before arguments that name none."""
        if args and args[0] not in self.commands:
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)


evaluate = typer.Typer(
    cls=_WithDefault,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Measure the index on judged questions, or calibrate its confidence on labelled ones.",
)


@evaluate.command()
def retrieval(
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

    'retrieval' may be left out. The confidence of answers is calibrated by 'rag evaluate calibrate'.
    """
    with errors_told():
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


@evaluate.command()
def calibrate(
    questions: Annotated[list[Path], typer.Argument(help="Labelled questions: files of JSON lines.")],
    index_folder: IndexOption = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Where to write it.  [default: calibrations/ in the index folder]"),
    ] = None,
    only_measure: Annotated[
        bool, typer.Option("--measure", help="Measure the calibration in use; make none.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown, with diagrams.")] = False,
) -> None:
    """Fit the confidence of answers on labelled questions, for the encoder of the index.

    A line of the file is {"query_id": "q1", "question": "...", "answerable": true, "answered": false}:
    whether the documents answer it, and whether the top passages did when someone read them ('answered'
    may be left out where it is the same). Judged questions, as 'rag evaluate' takes them, will do as well.

    It takes some hundred questions, about as many that nothing answers as others, of the kinds that
    people send. What is printed is measured by cross-validation: no question on a calibration that was
    fitted on it. A service takes the calibration when it is started or changes over to another version.
    """
    with errors_told():
        settings = load_settings(index=index_folder)
        from rag.evaluate.calibrating import CalibrationRequest, carry_out
        from rag.evaluate.watching import shown_questions
        from rag.reporting import tell_calibration

        request = CalibrationRequest(
            questions=questions, out=out, only_measure=only_measure, policy=policy_of(settings)
        )
        with shown_questions(Console(stderr=True)) as watch:
            outcome = carry_out(request, settings.index, threads=settings.threads, watch=watch)
        tell_calibration(outcome, as_json=as_json, markdown=markdown)
