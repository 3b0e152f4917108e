"""What a command has to tell, in plain words for a terminal."""

from __future__ import annotations

import json
import math
import re
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from rag.answer.answer import Answer
from rag.answer.citation import Citation
from rag.answer.confidence import Status
from rag.answer.passage import Passage
from rag.corpus.freshness import DateEvidence, Freshness
from rag.corpus.licensing import LicenseStatus
from rag.index.plan import BuildReport, Changes
from rag.index.versions import Version

if TYPE_CHECKING:
    # Only `rag evaluate` pays for what it loads.
    from rag.evaluate.calibrating import CalibrationOutcome
    from rag.evaluate.command import Outcome

_SHOWN_PROBLEMS = 50
_SHOWN_COPIES = 3
_WIDTH = 100
_LOW_CONFIDENCE = "--include low_confidence_passages"
# Escape sequences in a document must not reach the terminal: they can move, hide or forge text.
_VISIBLE = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"}
_VISIBLE |= {0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)


def tell_build(report: BuildReport, console: Console) -> None:
    """Say what was built and everything that is not in it."""
    counts = report.manifest.counts
    for problem in report.problems[:_SHOWN_PROBLEMS]:
        _line(console, f"not indexed: {problem}")
    hidden = len(report.problems) - _SHOWN_PROBLEMS
    if hidden > 0:
        _line(console, f"not indexed: {hidden} more; manifest.json names them all")
    for doc_id in report.empty:
        _line(console, f"no passage: {doc_id} has no words besides its title")
    for doc_id in report.repaired:
        _line(console, f"repaired: {doc_id} (wrongly decoded characters)")
    if report.ignored:
        _line(console, f"ignored: {report.ignored} files that are not markdown")
    if report.unchanged:
        _line(console, f"Nothing changed; the index stays {report.manifest.index_id}.")
        return
    if report.not_reused:
        _line(console, f"everything was made anew: {report.not_reused}")
    seconds = sum(report.seconds.values())
    left_out = f" ({len(report.problems)} not indexed)" if report.problems else ""
    _line(
        console,
        f"Published {report.manifest.index_id}: {counts['documents']:,} documents{left_out}, "
        f"{counts['chunks']:,} chunks ({report.encoded:,} encoded), {seconds:,.1f} s.",
    )
    if report.changes:
        _line(console, f"Against the version before: {_told(report.changes)}.")


def _told(changes: Changes) -> str:
    """How many documents differ; the first ones by name."""
    renamed = [f"{new} (was {old})" for new, old in changes.renamed.items()]
    kinds: dict[str, Sequence[str]] = {
        "new": changes.new,
        "removed": changes.removed,
        "renamed": renamed,
        "edited": changes.edited,
        "with other front matter": changes.redescribed,
    }
    told = [f"{len(ids):,} {kind}: {_shortened(ids)}" for kind, ids in kinds.items() if ids]
    return "; ".join(told) or "the same documents"


def tell_note(text: str) -> None:
    """Say what was done, beside what is printed."""
    _line(Console(stderr=True), text)


def tell_versions(versions: Sequence[Version]) -> None:
    """Print the versions, newest first; the current one is marked."""
    for version in versions:
        mark = "*" if version.is_current else " "
        size = f"{version.size / 1e6:,.1f} MB"
        if version.manifest:
            counts = version.manifest.counts
            held = f"{counts['documents']:,} documents, {counts['chunks']:,} chunks"
            told = f"built {version.manifest.built_at}  {held}  {version.manifest.encoder['name']}"
        else:
            told = f"unusable: {version.fault}"
        print(printable(f"{mark} {version.index_id}  {size}  {told}"))  # noqa: T201


def tell_answer(answer: Answer, console: Console) -> None:
    """Print an answer for a person to read: what must be said first, how sure it is, and the passages."""
    for notice in answer.notices:
        wording = textwrap.fill(f"{notice.severity.upper()}: {notice.message}", _WIDTH)
        _line(console, f"{wording}\n", style="bold")
    for word, meant in answer.corrections.items():
        _line(console, f"searched also for: {meant} ({word})")
    if answer.unknown:
        _line(console, f"in no document and no dictionary: {', '.join(answer.unknown)}")
    _line(console, f"{_standing(answer)}\n")
    if answer.answer:
        for number, sentence in enumerate(answer.answer.sentences, start=1):
            shown = f"{number}. {printable(sentence.text)} [{sentence.passage}]"
            _line(console, textwrap.fill(shown, _WIDTH, initial_indent="  ", subsequent_indent="     "))
        _line(console, "")
    for passage in answer.passages:
        _tell_passage(passage, console)


def _standing(answer: Answer) -> str:
    """Status and confidence in words."""
    if answer.status is Status.NO_ANSWER:
        if answer.confidence is None:
            return (
                "No answer: no document passes the filters (without status=... only active ones are "
                "searched, without audience=professional none for professionals, and with a strict "
                "license none whose terms are missing or not known)."
            )
        nearest = "the nearest passages follow." if answer.passages else f"see them with {_LOW_CONFIDENCE}."
        return f"No answer: the passages found probably do not answer this ({_sure(answer)}); {nearest}"
    if answer.status is Status.ANSWERED:
        return f"Answered: the passages probably answer this ({_sure(answer)})."
    return f"Uncertain: the passages may not answer this ({_sure(answer)})."


def _sure(answer: Answer) -> str:
    if answer.confidence is None:
        return "confidence unknown: there is no calibration for this encoder"
    # Rounding must not make it certain, nor lift it over a threshold.
    percent = math.floor(answer.confidence * 100)
    return f"confidence {percent} %" if percent else "confidence below 1 %"


def _tell_passage(passage: Passage, console: Console) -> None:
    citation = passage.citation
    _line(console, f"{citation.label} {_heading(passage)}", style="bold")
    for line in printable(passage.text).splitlines():
        indent = "    " + " " * (len(line) - len(line.lstrip()))
        _line(console, textwrap.fill(line, _WIDTH, initial_indent="    ", subsequent_indent=indent))
    facts = [
        f"source: {citation.source or 'unknown'}",
        _dated(citation),
        f"license: {_licensed(citation)}",
        f"audience: {citation.audience}",
    ]
    _line(console, "    " + " | ".join(facts))
    if citation.attribution:
        _line(console, f"    attribution: {citation.attribution}")
    if citation.patient_version:
        twin = citation.patient_version
        _line(console, f"    for patients: {twin.title} ({twin.doc_id}) {twin.url}")
    if passage.missing:
        _line(console, f"    does not mention: {', '.join(passage.missing)}")
    if passage.also_in:
        _line(console, f"    also in: {_shortened(passage.also_in)}")
    if citation.deep_link:
        _line(console, f"    {citation.deep_link}")
    _line(console, f"    {passage.chunk_id}")
    _line(console, "")


def _shortened(doc_ids: Sequence[str]) -> str:
    more = len(doc_ids) - _SHOWN_COPIES
    return ", ".join(doc_ids[:_SHOWN_COPIES]) + (f" and {more} more" if more > 0 else "")


def tell_outcome(outcome: Outcome, *, as_json: bool, markdown: bool) -> None:
    """Print an evaluation, and on standard error every floor that it did not reach."""
    if as_json:
        tell_json(json.dumps(outcome.value, ensure_ascii=False, indent=1))
    else:
        shown = [table.markdown() if markdown else table.text() for table in outcome.tables]
        print(printable("\n\n".join(shown)))  # noqa: T201
    for line in outcome.below:
        print(f"rag: {line}", file=sys.stderr)  # noqa: T201


def tell_calibration(outcome: CalibrationOutcome, *, as_json: bool, markdown: bool) -> None:
    """Print how good a calibration is, and on standard error where it was written."""
    if as_json:
        tell_json(json.dumps(outcome.value, ensure_ascii=False, indent=1))
    else:
        shown = [table.markdown() if markdown else table.text() for table in outcome.tables]
        if markdown:
            shown.append(outcome.diagrams)
        print(printable("\n\n".join(shown)))  # noqa: T201
    if outcome.written:
        tell_note(f"Written to {outcome.written}.")


def tell_json(content: str) -> None:
    """Print JSON. It stays the same value: what could steer a terminal is written as an escape."""
    print(re.sub("[\x7f-\x9f]", lambda found: f"\\u{ord(found[0]):04x}", content))  # noqa: T201


def tell_source(text: str) -> None:
    """Print a text character by character, except that a terminal is not steered by it."""
    sys.stdout.write(printable(text) if sys.stdout.isatty() else text)


def printable(text: str) -> str:
    """The text with a visible sign for every control character but newline and tab."""
    return text.translate(_VISIBLE)


def _heading(passage: Passage) -> str:
    """Title and headings; a first heading that only repeats the title is left out."""
    title, path = passage.citation.title, passage.heading_path
    return " > ".join((title, *(path[1:] if path[:1] == (title,) else path)))


def _dated(citation: Citation) -> str:
    """When it was reviewed or only collected, and how current that is."""
    if citation.last_reviewed is None:
        return "reviewed: unknown"
    collected = citation.review_evidence is DateEvidence.COLLECTION
    day = f"{'collected' if collected else 'reviewed'}: {citation.last_reviewed.isoformat()}"
    if citation.freshness is Freshness.UNKNOWN or citation.review_due is None:
        return f"{day}, next review unknown"
    told = {
        Freshness.CURRENT: "current until",
        Freshness.DUE: "review due on",
        Freshness.OVERDUE: "review overdue since",
    }
    return f"{day}, {told[citation.freshness]} {citation.review_due.isoformat()}"


def _licensed(citation: Citation) -> str:
    if citation.license_status is LicenseStatus.MISSING:
        return "MISSING"
    unknown = citation.license_status is LicenseStatus.UNKNOWN
    return f"{citation.license}{' (terms not known)' if unknown else ''}"


def _line(console: Console, text: str, *, style: str = "") -> None:
    console.print(Text(printable(text), style=style), soft_wrap=True)
