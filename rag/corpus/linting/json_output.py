"""A report as one JSON object."""

from __future__ import annotations

import json
from typing import Any

from rag.corpus.linting.findings import RULES, Finding
from rag.corpus.linting.linter import LintReport

SCHEMA = 1


def as_json(report: LintReport) -> str:
    """The report as JSON: what was looked at, counts by severity and rule, then every finding.

    `files` counts the files in which a rule found something. A column is null where a whole line is meant.
    """
    content = {
        "schema": SCHEMA,
        "folder": str(report.folder).encode("utf-8", "backslashreplace").decode(),
        "as_of": report.as_of.isoformat(),
        "looked_at": dict(report.looked_at),
        "values": {key: dict(counts) for key, counts in report.values.items()},
        "counts": {severity.value: number for severity, number in report.counts.items()},
        "rules": {
            rule_id: {"severity": RULES[rule_id].severity.value, "findings": found, "files": files}
            for rule_id, (found, files) in report.by_rule.items()
        },
        "findings": [_finding(finding) for finding in report.findings],
    }
    return json.dumps(content, ensure_ascii=False, indent=1)


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule.rule_id,
        "severity": finding.rule.severity.value,
        "path": finding.path,
        "doc_id": finding.doc_id,
        "line": finding.line,
        "column": finding.column,
        "message": finding.message,
        "subject": finding.subject,
    }
