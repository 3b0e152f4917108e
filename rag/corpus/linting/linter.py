"""Looks at a folder of documents and gathers all findings, in a stable order.

Each page is read and parsed once; no check changes anything.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from rag.corpus.licensing import Licenses, load_licenses
from rag.corpus.linting import body, front_matter, trust
from rag.corpus.linting.corpus import Abstract, abstract, across
from rag.corpus.linting.findings import RULES, Finding, Severity, chosen_rules
from rag.corpus.linting.links import links
from rag.corpus.linting.page import Folder, Page
from rag.corpus.reader import MAX_FILE_BYTES, FoundFile, find_files, read_document
from rag.errors import UnreadableDocument

# Called with the number of files looked at and of all files.
OnProgress = Callable[[int, int], None]

CHECKS: tuple[Callable[[Page, Folder], Iterator[Finding]], ...] = (
    front_matter.missing_keys,
    front_matter.mistyped_keys,
    front_matter.strange_values,
    trust.audience_conflicts,
    trust.reviews,
    trust.cancer_types,
    body.encoding,
    body.titles,
    body.headings,
    body.long_sections,
    body.noise,
    body.empty_body,
    links,
)
# Values of these keys are counted: whoever owns the documents sees at a glance what they all say.
_COUNTED = {
    "audienceLevel": "audience_claim",
    "language": "language",
    "license": "license",
    "reviewFrequency": "review_frequency",
    "source": "source",
    "status": "status",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LintReport:
    """What was found, and what was looked at to find it.

    `looked_at` counts files, documents, headings, sections (as many as have at least 200 characters) and
    links; `values` counts, for each key that takes few words, how many documents say what.
    """

    folder: Path
    as_of: date
    findings: tuple[Finding, ...]
    looked_at: Mapping[str, int]
    values: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def counts(self) -> dict[Severity, int]:
        """How many findings of each severity."""
        found = Counter(finding.rule.severity for finding in self.findings)
        return {severity: found[severity] for severity in Severity}

    @property
    def by_rule(self) -> dict[str, tuple[int, int]]:
        """Findings and files of each rule that found something, in the order of the table of rules."""
        found = Counter(finding.rule.rule_id for finding in self.findings)
        files = Counter(rule_id for rule_id, _ in {(one.rule.rule_id, one.path) for one in self.findings})
        return {rule_id: (found[rule_id], files[rule_id]) for rule_id in RULES if found[rule_id]}

    def reaches(self, severity: Severity) -> bool:
        """Whether something was found that is as grave as `severity`, or graver."""
        return any(finding.rule.severity.rank <= severity.rank for finding in self.findings)


@dataclass(slots=True)
class _Gathered:
    findings: list[Finding] = field(default_factory=list)
    pages: list[Abstract] = field(default_factory=list)
    looked_at: Counter[str] = field(default_factory=Counter)


def lint(
    folder: Path,
    *,
    as_of: date,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    max_bytes: int = MAX_FILE_BYTES,
    licenses: Licenses | None = None,
    on_progress: OnProgress | None = None,
) -> LintReport:
    """Look at every markdown file below `folder` as on the day `as_of`.

    `select` and `ignore` are beginnings of rule ids, `licenses` those that are known. Raises
    `EmptyCorpus` for a folder without a markdown file, and `InvalidRequest` for a rule that does not
    exist.
    """
    chosen = chosen_rules(select, ignore)
    files, others = find_files(folder)
    context = Folder(as_of, _all_files(folder), licenses or load_licenses())
    gathered = _Gathered()
    for number, file in enumerate(files, 1):
        _look_at(file, folder, context, max_bytes, gathered)
        if on_progress:
            on_progress(number, len(files))
    gathered.findings += across(gathered.pages)
    looked_at = {
        "files": len(files),
        "other_files": others,
        "documents": len(gathered.pages),
        **{name: gathered.looked_at[name] for name in ("headings", "sections", "links")},
    }
    return LintReport(
        folder=folder,
        as_of=as_of,
        findings=_in_order(one for one in gathered.findings if one.rule.rule_id in chosen),
        looked_at=looked_at,
        values=_values(gathered.pages),
    )


def _in_order(findings: Iterator[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: finding.place))


def _look_at(file: FoundFile, root: Path, context: Folder, max_bytes: int, gathered: _Gathered) -> None:
    path = _shown(file.path.relative_to(root))
    try:
        document = read_document(file, max_bytes=max_bytes)
    except UnreadableDocument as problem:
        gathered.findings.append(_unreadable(problem, path, file.doc_id))
        return
    page = Page(document, path)
    for check in CHECKS:
        gathered.findings += check(page, context)
    if "mojibake" in document.repairs:
        gathered.findings += body.mojibake(page, _undecoded(file.path))
    one = abstract(page)
    gathered.pages.append(one)
    gathered.looked_at.update(headings=len(page.headings), sections=len(one.sections), links=len(page.links))


def _shown(path: Path) -> str:
    """A path as text; a name that is none is spelled out."""
    return path.as_posix().encode("utf-8", "backslashreplace").decode()


def _unreadable(problem: UnreadableDocument, path: str, doc_id: str) -> Finding:
    return Finding(
        rule=RULES["file/unreadable"],
        path=path,
        doc_id=_shown(Path(doc_id)),
        line=problem.line or 1,
        message=f"cannot be indexed: {problem.reason}",
    )


def _undecoded(path: Path) -> str:
    """The text of a file before wrongly decoded characters were mended, with LF line ends."""
    text = path.read_bytes().decode("utf-8-sig", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _all_files(root: Path) -> frozenset[str]:
    """Every file below the folder, to tell whether a link leads to one."""
    return frozenset(
        _shown((Path(here) / name).relative_to(root)) for here, _, names in os.walk(root) for name in names
    )


def _values(pages: Sequence[Abstract]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for key, name in _COUNTED.items():
        counts = Counter(str(getattr(one.metadata, name) or "") for one in pages)
        found[key] = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    dates = Counter(str(one.metadata.last_reviewed or "") for one in pages)
    found["lastReviewed"] = dict(sorted(dates.items(), key=lambda item: (-item[1], item[0])))
    return found
