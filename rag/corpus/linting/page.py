"""A document as the checks see it: parsed once, with the line of whatever is found."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

from rag.corpus.document import Document, Metadata
from rag.corpus.licensing import Licenses, load_licenses
from rag.corpus.linting.findings import RULES, Finding
from rag.corpus.markdown import Section, sections

_KEY = re.compile(r"""^(["']?)([\w][\w .-]*)\1[ \t]*:(?=\s|$)""", re.MULTILINE)
# No expression here may look further than the next bracket: a hostile page can have a million of them.
_ADDRESS = re.compile(r"\]\([^\s()]*")
# The words of a link may hold brackets once; a target with spaces is no link.
_TARGET = re.compile(
    r"(!?)(?<!\\)\[(?:[^\[\]]|\[[^\[\]]*\])*\]"
    r"\([ \t]*(<[^<>\n]*>|[^\s()<]*(?:\([^\s()]*\)[^\s()]*)*)(?=\s*(?:[\"'(][^\n]{0,300})?\))"
)
_LONGEST_QUOTE = 60


@dataclass(frozen=True, slots=True)
class Folder:
    """What a check needs to know besides the page: the day, the files beside it, known licences."""

    as_of: date
    files: frozenset[str]
    licenses: Licenses = field(default_factory=load_licenses)


@dataclass(frozen=True, slots=True)
class Link:
    """The target of a link as it is written, and where in the text it stands."""

    target: str
    start: int
    is_image: bool


class Page:
    """One document with its headings, sections and links. `path` is relative to the folder."""

    def __init__(self, document: Document, path: str) -> None:
        self.document, self.path = document, path
        self.text: str = document.text
        self.metadata: Metadata = document.metadata
        self.sections: list[Section] = sections(self.text, document.body_start)
        self.headings = [one for one in self.sections if self._is_written(one)]
        self.empty_headings = [one for one in self.sections if one.heading and not self._is_written(one)]

    def _is_written(self, section: Section) -> bool:
        """Whether a section has a heading with words of its own, and not those of the paragraph below."""
        heading = section.heading
        if heading is None or heading.kind != "heading":
            return False
        return bool(self.text[heading.start : heading.end].strip("# \t\n"))

    @property
    def body(self) -> str:
        """What stands below the front matter."""
        return self.text[self.document.body_start :]

    @cached_property
    def parts(self) -> list[tuple[int, str]]:
        """What stands from one written heading to the next, heading included: offset and text.

        White space at the ends is cut off. What stands before the first heading is a part as well.
        """
        starts = [self.document.body_start, *(one.heading.start for one in self.headings if one.heading)]
        ends = [*starts[1:], len(self.text)]
        raw = ((start, self.text[start:end]) for start, end in zip(starts, ends, strict=True))
        return [
            (start + len(text) - len(text.lstrip()), part) for start, text in raw if (part := text.strip())
        ]

    @cached_property
    def words(self) -> str:
        """The body in lower case, without the addresses of links."""
        return _ADDRESS.sub("]", self.body).casefold()

    @cached_property
    def links(self) -> list[Link]:
        """Every link and image, in order."""
        begin = self.document.body_start
        return [
            Link(found[2].strip("<>"), found.start(2), bool(found[1]))
            for found in _TARGET.finditer(self.text, begin)
        ]

    @cached_property
    def key_lines(self) -> dict[str, int]:
        """The line of every key of the front matter."""
        front_matter = self.text[: self.document.body_start]
        lines: dict[str, int] = {}
        for found in _KEY.finditer(front_matter):
            lines.setdefault(found[2], front_matter.count("\n", 0, found.start()) + 1)
        return lines

    @cached_property
    def _line_starts(self) -> list[int]:
        starts = [0]
        for line in self.text.split("\n"):
            starts.append(starts[-1] + len(line) + 1)
        return starts

    def line(self, offset: int) -> int:
        """The line of an offset, counted from 1."""
        return bisect_right(self._line_starts, offset)

    def line_start(self, line: int) -> int:
        """The offset at which a line, counted from 1, begins."""
        return self._line_starts[line - 1]

    def finding(
        self, rule_id: str, message: str, *, at: int | None = None, key: str | None = None, subject: str = ""
    ) -> Finding:
        """A finding at an offset of the text, or at the line of a front-matter key."""
        line, column = self.key_lines.get(key or "", 1), None
        if at is not None:
            line = self.line(at)
            column = at - self.line_start(line) + 1
        return Finding(
            rule=RULES[rule_id],
            path=self.path,
            doc_id=self.document.doc_id,
            line=line,
            column=column,
            message=message,
            subject=subject or key or "",
        )


def quoted(text: str) -> str:
    """A piece of a document for a message: on one line, and not too long."""
    line = " ".join(text.split())
    return f"'{line}'" if len(line) <= _LONGEST_QUOTE else f"'{line[:_LONGEST_QUOTE]}…'"


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """A number with its noun: '1 link', '2,821 links'."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def listed(words: Iterable[str]) -> str:
    """Words as a person lists them: 'a, b and c'."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
