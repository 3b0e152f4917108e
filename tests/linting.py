"""A page without a fault, and a way to spoil it, for the tests of the linter."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from rag.corpus.linting.linter import LintReport, lint

TODAY = date(2026, 3, 1)
FRONT_MATTER = {
    "title": "Sore mouth",
    "url": "https://example.org/sore-mouth",
    "source": "Example",
    "license": "CC0-1.0",
    "language": "en",
    "status": "active",
    "audienceLevel": "patient",
    "cancerTypes": "[lung]",
    "lastReviewed": "2026-01-10",
    "reviewFrequency": "annual",
}
# Line 13 of the file is the first of the body.
BODY = "\n# Sore mouth\n\nIn lung cancer a sore mouth is common.\n"
LINES = {key: line for line, key in enumerate(FRONT_MATTER, 2)}


def page(body: str = BODY, **front_matter: str | None) -> str:
    """The page with other front matter: None takes a key away, a new one stands at the end."""
    lines = FRONT_MATTER | front_matter
    head = "".join(f"{key}: {value}\n" for key, value in lines.items() if value is not None)
    return f"---\n{head}---\n{body}"


def other(body: str = "\n# Hiccups\n\nHiccups in lung cancer pass.\n", **front_matter: str | None) -> str:
    """A second page without a fault, on another subject."""
    changed = {"title": "Hiccups", "url": "https://example.org/hiccups"} | front_matter
    return page(body, **changed)


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Write files below a folder, their folders included."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return folder


def linted(
    folder: Path,
    files: dict[str, str | bytes],
    *,
    as_of: date = TODAY,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
) -> LintReport:
    """The report on a folder of these files."""
    return lint(write(folder, files), as_of=as_of, select=select, ignore=ignore)


def found(report: LintReport) -> list[tuple[str, str, int]]:
    """Rule, path and line of every finding, in the order of the report."""
    return [(one.rule.rule_id, one.path, one.line) for one in report.findings]
