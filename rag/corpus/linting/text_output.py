"""A report as lines for a person: file by file, then a count of each rule.

Characters of documents stand in these lines as they are; whoever prints them must make them harmless.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from rag.corpus.linting.findings import RULES, Finding, Severity
from rag.corpus.linting.linter import LintReport
from rag.corpus.linting.page import counted

# So many findings of one rule in one file have a line each; of more, one line stands for all.
_EACH = 3


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the report; `severity` is None for one that tells no finding."""

    text: str
    severity: Severity | None = None


def report_lines(report: LintReport, *, most: int) -> Iterator[Line]:
    """The findings file by file, `most` lines of them (0: all), the gravest kept; then the summary.

    Where a rule finds more than three faults in one file, one line stands for all of them.
    """
    told = [line for path in _by_path(report.findings) for line in _file_lines(path)]
    kept = set(range(len(told)))
    if most and len(told) > most:
        kept = set(sorted(kept, key=lambda place: (told[place][1].rule.severity.rank, place))[:most])
    last = None
    for place, (text, finding) in enumerate(told):
        if place in kept:
            if last not in (None, finding.path):
                yield Line("")
            last = finding.path
            yield Line(text, finding.rule.severity)
    if last:
        yield Line("")
    if hidden := len(told) - len(kept):
        yield Line(f"{counted(hidden, 'line')} more, none graver; --max 0 shows all")
        yield Line("")
    yield from _summary(report)


def _by_path(findings: Sequence[Finding]) -> Iterator[list[Finding]]:
    return (list(group) for _, group in groupby(findings, key=lambda finding: finding.path))


def _file_lines(findings: Sequence[Finding]) -> Iterator[tuple[str, Finding]]:
    """The lines of one file in the order of the text."""
    of_rule: dict[str, list[Finding]] = {}
    for finding in findings:
        of_rule.setdefault(finding.rule.rule_id, []).append(finding)
    for finding in findings:
        same = of_rule[finding.rule.rule_id]
        if len(same) <= _EACH:
            yield _told(finding), finding
        elif finding is same[0]:
            yield f"{_told(finding)} (and {len(same) - 1:,} more, to line {same[-1].line:,})", finding


def _told(finding: Finding) -> str:
    rule = finding.rule
    return f"{finding.path}:{finding.line}: {rule.severity} {rule.rule_id}: {finding.message}"


def _summary(report: LintReport) -> Iterator[Line]:
    for rule_id, (found, files) in report.by_rule.items():
        severity = RULES[rule_id].severity
        yield Line(f"{found:>8,}  {severity:<8} {rule_id} ({counted(files, 'file')})", severity)
    read, files = report.looked_at["documents"], report.looked_at["files"]
    looked = f"{counted(files, 'file')} looked at as of {report.as_of}"
    if read < files:
        looked += f", {files - read:,} of them unreadable"
    if not report.findings:
        yield Line(f"{looked}: nothing to mend.")
        return
    counts = ", ".join(counted(number, severity.value) for severity, number in report.counts.items())
    yield Line(f"{looked}: {counts}.")
