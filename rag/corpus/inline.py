"""The words of one line of markdown: links unwrapped, signs gone, layout noise left out."""

from __future__ import annotations

import re

from markdown_it.token import Token

from rag.corpus.parsing import markdown_parser

# Everything that plain text leaves out besides markdown's own signs. Nothing else may be lost.
LAYOUT_NOISE = {
    "image": "an image and its alternative text",
    "reference mark": "a link into the page's own reference list, '[[1](#cit/section_1.1)]'",
    "enlarge": "a link whose whole text is 'Enlarge'",
    "placeholder": "a paragraph that says only 'Placeholder slot'",
    "credit": "a paragraph that only credits a picture, 'Credit: iStock'",
    "html tag": "the tags and attributes (not the words) of common inline and block HTML elements",
    "html comment": "a comment, '<!-- … -->', within one paragraph",
    "fence language": "what follows the sign that opens a fence, '```python'",
    "link target": "the address and the title of a link",
}

_NOISE_PARAGRAPH = re.compile(
    r"(?:Placeholder slot|(?:Photo )?Credit:[^\n]{0,160}|\[?Enlarge\]?)", re.IGNORECASE
)
_HTML = re.compile(
    r"</?(?:a|abbr|b|blockquote|br|center|code|dd|div|dl|dt|em|figcaption|figure|font|h[1-6]"
    r"|hr|i|iframe|img|li|ol|p|pre|section|small|span|strong|sub|sup|table|tbody|td|th|thead|tr|u|ul)"
    r"(?:\s+[\w:-]+\s*=[^<>]*|\s*)/?>",
    re.IGNORECASE,
)
# Without a sign, 10<sup>9</sup> would become another number.
_POWER = re.compile(r"(?<=\d)<sup>(?=[-+−]?\d)", re.IGNORECASE)
_BREAKING_HTML = re.compile(r"</?(?:br|p|div|li|tr|td|th|h[1-6]|hr|dd|dt)\b", re.IGNORECASE)
# A noncharacter stands where a reference mark was, until its brackets are found.
_MARK = "\ufdd0"
# Atomic rather than possessive: Python 3.11.2 takes a character too many after a possessive group.
_BRACKETED = rf"(?>(?:\[(?:{_MARK}[ ,;–-]*)+\])+)"
_MARKS = re.compile(rf" ?{_BRACKETED}(?![\w(\[])|{_BRACKETED}|{_MARK}")

# The text and the target of a link, as they are written.
WrittenLink = tuple[str, str]


_PARSER = markdown_parser()


def is_noise(paragraph: str) -> bool:
    """Tell whether a paragraph's plain text is layout noise and nothing else."""
    return bool(_NOISE_PARAGRAPH.fullmatch(paragraph))


def line_text(markdown: str) -> str:
    """Render a single line of markdown, such as a heading or a cell."""
    tokens = _PARSER.parseInline(markdown.strip())
    return inline_text(tokens[0], []) if tokens else ""


def inline_text(token: Token, links: list[WrittenLink]) -> str:
    """Render the inline content of a block on one line; append its links to `links`."""
    parts: list[str] = []
    opened: list[tuple[int, str]] = []
    for child in token.children or ():
        match child.type:
            case "text" | "code_inline" | "text_special":
                parts.append(child.content)
            case "softbreak" | "hardbreak":
                parts.append(" ")
            case "link_open":
                opened.append((len(parts), str(child.attrGet("href") or "")))
            case "link_close":
                start, target = opened.pop()
                if link := _close_link(parts, start, target):
                    links.append(link)
    return _without_noise("".join(parts))


def _close_link(parts: list[str], start: int, target: str) -> WrittenLink | None:
    """The link whose text is `parts[start:]`; a noisy one is taken out of `parts` instead."""
    text = " ".join("".join(parts[start:]).split())
    if target.startswith("#cit/"):
        parts[start:] = [_MARK]
    elif text == "Enlarge":
        parts[start:] = [" "]
    elif text and target:
        return text, target
    return None


def _without_noise(text: str) -> str:
    if "<" in text:
        text = _POWER.sub("^", _without_comments(text))
        text = _HTML.sub(lambda tag: " " if _BREAKING_HTML.match(tag.group()) else "", text)
    text = " ".join(text.split())
    if _MARK in text:
        text = " ".join(_MARKS.sub("", text).split())
    return text


def _without_comments(text: str) -> str:
    *commented, rest = text.split("-->")
    parts = []
    for part in commented:
        before, opening, _ = part.partition("<!--")
        parts.append(before if opening else f"{part}-->")
    return "".join([*parts, rest])
