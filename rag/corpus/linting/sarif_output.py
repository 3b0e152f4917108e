"""A report in SARIF 2.1.0, which code hosts show beside the lines of a pull request.

Source of the format: OASIS, Static Analysis Results Interchange Format, version 2.1.0.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rag.corpus.linting.findings import RULES, Finding, Rule
from rag.corpus.linting.linter import LintReport

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_ROOT = "%SRCROOT%"
_NUMBERS = {rule_id: number for number, rule_id in enumerate(RULES)}


def as_sarif(report: LintReport, *, start: Path) -> str:
    """The report as one SARIF run.

    Paths are relative to `start`, the root of the checked-out repository, when the folder lies in it, so
    that the report is the same on every machine; and else to the folder, whose place is then named.
    """
    root, folder = start.resolve(), report.folder.resolve()
    inside = folder.is_relative_to(root)
    below = folder.relative_to(root).as_posix() if inside else "."
    prefix = "" if below == "." else f"{below}/"
    seen: Counter[str] = Counter()
    run: dict[str, Any] = {
        "tool": {"driver": _driver()},
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, prefix, seen) for finding in report.findings],
    }
    if not inside:
        run["originalUriBaseIds"] = {_ROOT: {"uri": f"{folder.as_uri().rstrip('/')}/"}}
    content = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(content, ensure_ascii=False, indent=1)


def _driver() -> dict[str, Any]:
    return {
        "name": "citewell",
        "semanticVersion": version("citewell"),
        "rules": [_rule(rule) for rule in RULES.values()],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.rule_id,
        "name": "".join(word.capitalize() for word in rule.rule_id.replace("/", "-").split("-")),
        "shortDescription": {"text": rule.help},
        "help": {"text": rule.help},
        "defaultConfiguration": {"level": rule.severity.value},
    }


def _result(finding: Finding, prefix: str, seen: Counter[str]) -> dict[str, Any]:
    region = {"startLine": finding.line}
    if finding.column:
        region["startColumn"] = finding.column
    address = quote(f"{prefix}{finding.path}")
    physical = {"artifactLocation": {"uri": address, "uriBaseId": _ROOT}, "region": region}
    return {
        "ruleId": finding.rule.rule_id,
        "ruleIndex": _NUMBERS[finding.rule.rule_id],
        "level": finding.rule.severity.value,
        "message": {"text": finding.message},
        "locations": [{"physicalLocation": physical}],
        "partialFingerprints": {"citewell/v1": _fingerprint(finding, seen)},
    }


def _fingerprint(finding: Finding, seen: Counter[str]) -> str:
    """By which a finding is recognised when its line moved: rule, file, subject, and which of several."""
    what = f"{finding.rule.rule_id}\n{finding.path}\n{finding.subject}"
    seen[what] += 1
    return hashlib.sha256(f"{what}\n{seen[what]}".encode("utf-8", "backslashreplace")).hexdigest()[:32]
