"""The records of the linter: a rule, a finding, and the table of all rules.

Nothing here looks at a document.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from rag.errors import InvalidRequest


class Severity(StrEnum):
    """How much a finding matters, the gravest first."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """0 for an error, 1 for a warning, 2 for a note."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that is looked for. `help` says in one sentence why it matters and what mends it."""

    rule_id: str
    severity: Severity
    help: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault at one place. `line` and `column` count from 1; `path` is relative to the folder.

    `subject` is what the fault is about (a key, a heading, an address): it stays the same when the line
    moves, so that a finding can be recognised in a later run.
    """

    rule: Rule
    path: str
    message: str
    doc_id: str | None = None
    line: int = 1
    column: int | None = None
    subject: str = ""

    @property
    def place(self) -> tuple[str, int, int, str, str]:
        """The order in which findings are told."""
        return self.path, self.line, self.column or 0, self.rule.rule_id, self.message


_ERRORS = {
    "file/unreadable": "The file is left out of the index; mend the line that is named.",
    "front-matter/mistyped-key": "A key with a slip is an unknown key, so its value counts for nothing.",
    "front-matter/unknown-status": "Only active pages are searched; any other status hides the page.",
    "front-matter/future-review": "A page cannot have been reviewed on a day that is still to come.",
    "audience/url-conflict": "The address is one for professionals, so the page must not claim patients.",
    "audience/title-conflict": "The title is one for professionals, so the page must not claim patients.",
}
_WARNINGS = {
    "file/mojibake": "Wrongly decoded characters are mended on reading; mend them in the file.",
    "file/duplicate": "Two files are the same byte for byte; keep one of them.",
    "body/duplicate": "Two pages have the same text; keep one of them.",
    "body/empty": "A page without words besides its headings can answer nothing.",
    "front-matter/missing-title": "A citation names the page by its title.",
    "front-matter/missing-url": "A citation leads to the page by its address.",
    "front-matter/missing-source": "A citation names who publishes the page.",
    "front-matter/missing-license": "Without a licence nobody knows whether the page may be quoted.",
    "front-matter/missing-last-reviewed": "Without a date nobody knows how old the page is.",
    "front-matter/missing-review-frequency": "Without it nobody knows when the next review is due.",
    "front-matter/missing-audience-level": "Without it a page counts as one for patients.",
    "front-matter/unknown-audience": "A filter for an audience finds only pages that use its very word.",
    "front-matter/unknown-frequency": "When the next review is due cannot be told from this word.",
    "front-matter/malformed-language": "A language is written as a code: 'en', 'pt-BR', 'zh-Hans'.",
    "front-matter/unknown-license": "What a licence asks for can be kept only where the licence is known.",
    "review/overdue": "The page should have been reviewed by now.",
    "review/shared-date": "One date on most pages of a source is rather the day they were collected.",
    "title/navigation": "A title that names a button or an error says nothing about the page.",
    "title/shared": "Two pages of one title cannot be told apart in a list of citations.",
    "url/shared": "Two pages of one address are two versions of one page, or one address is wrong.",
    "heading/skipped-level": "Where a level is skipped, a heading hangs below the wrong one.",
    "link/dead": "The link leads nowhere.",
    "link/to-file": "A link to a file of the folder leads a reader of the answer to a wrong address.",
    "cancer-types/never-named": "A filter for a cancer brings up a page that does not even name it.",
    "cancer-types/in-passing": "A filter for a cancer brings up a page about another one.",
}
_NOTES = {
    "file/line-ends": "CRLF line ends become LF on reading; offsets count the text after that.",
    "file/byte-order-mark": "A byte order mark is dropped on reading; UTF-8 needs none.",
    "front-matter/missing-language": "A filter for a language leaves out pages that do not name theirs.",
    "front-matter/empty-value": "A key without a value says nothing; fill it in or delete it.",
    "review/due-soon": "The page is to be reviewed within 30 days.",
    "heading/empty": "A heading without words; the paragraph below may have been meant.",
    "section/too-long": "A section of more than 4,000 characters wants headings of its own.",
    "section/copied": "The same section stands elsewhere; what repeats is ranked lower and mended apart.",
    "link/relative": "A relative address leads somewhere only together with the page's own.",
    "noise/image": "Of an image nothing is searched or shown; say in words what it shows.",
    "noise/enlarge": "A link 'Enlarge' is left over from the web page; it is left out of passages.",
    "noise/placeholder": "'Placeholder slot' is left over from the web page; it is left out of passages.",
    "noise/credit": "A picture's credit is left over from the web page; it is left out of passages.",
    "cancer-types/too-many": "A page on more than five cancers is on none; 'general' may be meant.",
}

RULES: dict[str, Rule] = {
    rule_id: Rule(rule_id, severity, text)
    for severity, rules in (
        (Severity.ERROR, _ERRORS),
        (Severity.WARNING, _WARNINGS),
        (Severity.NOTE, _NOTES),
    )
    for rule_id, text in rules.items()
}


def chosen_rules(select: Iterable[str], ignore: Iterable[str]) -> frozenset[str]:
    """The ids of the rules to report: all, or those that begin with a word of `select`, less `ignore`.

    Raises `InvalidRequest` for a word with which no rule begins.
    """
    wanted = {rule_id for word in select for rule_id in _beginning("select", word)}
    unwanted = {rule_id for word in ignore for rule_id in _beginning("ignore", word)}
    return frozenset((wanted or set(RULES)) - unwanted)


def _beginning(option: str, word: str) -> list[str]:
    found = [rule_id for rule_id in RULES if word and rule_id.startswith(word)]
    if not found:
        groups = ", ".join(dict.fromkeys(rule_id.partition("/")[0] for rule_id in RULES))
        raise InvalidRequest(
            option, f"no rule begins with '{word}'; there are {groups}, and 'rag lint --rules' lists all"
        )
    return found
