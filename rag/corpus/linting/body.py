"""Checks of the text: encoding, title, headings, long sections, what is left over from a web page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from rag.corpus.linting.findings import Finding
from rag.corpus.linting.page import Folder, Page, counted, quoted

LONGEST_SECTION = 4_000
_SHOWN = 20

_NAVIGATION = re.compile(
    r"facebook|twitter|x|instagram|youtube|linkedin|pinterest|whatsapp|e-?mail|print|share"
    r"|(?:main |site )?(?:menu|navigation)|home ?(?:page)?|skip to (?:main )?content|search(?: results)?"
    r"|log ?in|sign ?in|sign up|subscribe|site ?map|(?:error )?(?:403|404)\b.*|(?:page )?not found"
    r"|page (?:cannot|could not|can't) be found|access denied|forbidden|error|index|default"
    r"|untitled(?: document)?|loading(?:\.\.\.|…)?|just a moment(?:\.\.\.|…)?|cookie (?:policy|settings)",
    re.IGNORECASE,
)
_NOISE = {
    "noise/image": (re.compile(r"!\[[^\[\]]*\]\("), "images", "say in words what they show"),
    "noise/enlarge": (re.compile(r"\[Enlarge\]"), "'Enlarge'", "delete the link"),
    "noise/placeholder": (re.compile(r"\bPlaceholder slot\b"), "'Placeholder slot'", "delete the line"),
    "noise/credit": (
        re.compile(r"^(?:Photo )?Credit:", re.IGNORECASE | re.MULTILINE),
        "a picture's credit",
        "delete the line",
    ),
}
_WORD = re.compile(r"[^\W_]")
# Images, and the addresses of links.
_UNSAID = re.compile(r"!\[[^\[\]]*\]\([^()]*\)|\]\([^\s()]*")


def encoding(page: Page, _: Folder) -> Iterator[Finding]:
    """Line ends and marks that are dropped on reading. Mended characters are told by `mojibake`."""
    repairs = page.document.repairs
    if "newlines" in repairs:
        yield page.finding("file/line-ends", "the lines end in CRLF or CR; save the file with LF")
    if "bom" in repairs:
        yield page.finding("file/byte-order-mark", "the file begins with a byte order mark; save it without")


def mojibake(page: Page, original: str) -> Iterator[Finding]:
    """One finding for the lines of `original`, the text as it was decoded, that the reader had to mend."""
    pairs = list(zip(original.split("\n"), page.text.split("\n"), strict=False))
    damaged = [number for number, (line, mended) in enumerate(pairs) if line != mended]
    if not damaged:
        return
    line, mended = pairs[damaged[0]]
    differing = (at for at, (one, other) in enumerate(zip(line, mended, strict=False)) if one != other)
    at = next(differing, min(len(line), len(mended)))
    begin = mended.rfind(" ", 0, at) + 1
    message = (
        f"wrongly decoded characters in {counted(len(damaged), 'line')}, first "
        f"{quoted(line[begin : at + _SHOWN])} for {quoted(mended[begin : at + _SHOWN])}; "
        "take the text from its source once more, as UTF-8"
    )
    yield page.finding("file/mojibake", message, at=page.line_start(damaged[0] + 1) + begin)


def titles(page: Page, _: Folder) -> Iterator[Finding]:
    """Titles that name a button, an error or the publisher instead of the page."""
    title = page.metadata.short_title.strip()
    if _NAVIGATION.fullmatch(title) or title.casefold() == (page.metadata.source or "").casefold():
        hint = _better_title(page)
        message = f"the title {quoted(page.metadata.title)} says nothing about the page; write its own{hint}"
        yield page.finding("title/navigation", message, key="title")


def _better_title(page: Page) -> str:
    """The first heading that would make a title."""
    for section in page.headings:
        words = section.heading_path[-1] if section.heading_path else ""
        if words and words != page.metadata.title and not _NAVIGATION.fullmatch(words):
            return f", perhaps {quoted(words)}"
    return ""


def headings(page: Page, _: Folder) -> Iterator[Finding]:
    """Levels that are skipped on the way down, and headings without words.

    Levels are compared over headings that have words of their own: an empty one is no step.
    """
    for above, below in pairwise(page.headings):
        if below.level > above.level + 1 and below.heading:
            words = below.heading_path[-1] if below.heading_path else ""
            message = (
                f"{quoted(words)} is of level {below.level} right below level {above.level}; "
                f"make it level {above.level + 1}"
            )
            yield page.finding("heading/skipped-level", message, at=below.heading.start, subject=words)
    for section in page.empty_headings:
        if section.heading:
            lent = section.heading.kind == "paragraph"
            words = quoted(section.heading_path[-1]) if lent and section.heading_path else ""
            message = (
                f"{words} stands below a heading without words; write it behind the '#' signs"
                if words
                else "a heading without words; write some behind the '#' signs or delete them"
            )
            yield page.finding("heading/empty", message, at=section.heading.start, subject=words)


def long_sections(page: Page, _: Folder) -> Iterator[Finding]:
    """Sections that want headings of their own."""
    for start, part in page.parts:
        if len(part) > LONGEST_SECTION:
            words = part.partition("\n")[0].lstrip("# ")
            message = (
                f"{quoted(words)} has {len(part):,} characters up to the next heading, more than "
                f"{LONGEST_SECTION:,}; divide it by headings"
            )
            yield page.finding("section/too-long", message, at=start, subject=words)


def noise(page: Page, _: Folder) -> Iterator[Finding]:
    """What is left over from a web page and is left out of every passage; one finding for each kind."""
    for rule_id, (pattern, name, mending) in _NOISE.items():
        found = [match.start() for match in pattern.finditer(page.text, page.document.body_start)]
        if found:
            message = f"{name}, {counted(len(found), 'time')} on the page; {mending}"
            yield page.finding(rule_id, message, at=found[0])


def empty_body(page: Page, _: Folder) -> Iterator[Finding]:
    """Pages that say nothing besides their title and headings."""
    blocks = (page.text[block.start : block.end] for one in page.sections for block in one.blocks)
    if not any(_says(text, page.metadata.title) for text in blocks):
        message = (
            "no words besides title and headings, so nothing can be found; write the text or delete the file"
        )
        yield page.finding("body/empty", message)


def _says(text: str, title: str) -> bool:
    words = _UNSAID.sub("", text).strip()
    return bool(_WORD.search(words)) and words != title
