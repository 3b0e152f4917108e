"""Checks of links: what a reader of an answer gets to when following one. Nothing is fetched.

Citewell resolves a relative address against the page's own (`url`), so that is how it is judged:
'/about-cancer/coping' leads somewhere only where the page has one. Whether an address on the web still
answers is not asked.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from rag.corpus.linting.findings import Finding
from rag.corpus.linting.page import Folder, Link, Page, counted, quoted
from rag.corpus.reader import SUFFIXES

_ELSEWHERE = ("mailto", "tel", "sms")
_DEAD, _RELATIVE = "link/dead", "link/relative"
# The id of a rule and the message.
_Fault = tuple[str, str]


def links(page: Page, folder: Folder) -> Iterator[Finding]:
    """Links that lead nowhere, one finding each; those that hang on the page's address, one for all."""
    relative = []
    for link in page.links:
        rule_id, fault = _judged(link, page, folder) or (None, "")
        if rule_id == _RELATIVE:
            relative.append(link)
        elif rule_id:
            yield page.finding(rule_id, fault, at=link.start, subject=link.target)
    if relative:
        images = sum(link.is_image for link in relative)
        of_images = f" ({counted(images, 'image')} among them)" if images else ""
        message = (
            f"{counted(len(relative), 'relative address', 'relative addresses')}{of_images}, first "
            f"{quoted(relative[0].target)}, followed from {page.metadata.url}; write whole addresses"
        )
        yield page.finding(_RELATIVE, message, at=relative[0].start)


def _judged(link: Link, page: Page, folder: Folder) -> _Fault | None:
    """The rule that a link breaks, and how; None for a link that is right."""
    if link.target.startswith("#"):
        return None
    try:
        parts = urlsplit(link.target)
    except ValueError:
        return _DEAD, f"{quoted(link.target)} is no address; mend it"
    if parts.scheme or parts.netloc:
        return _judged_whole(parts, link)
    if not link.target:
        return _DEAD, "the link has no address; write one or keep only its words"
    return _judged_relative(parts.path, link, page, folder)


def _judged_whole(parts: SplitResult, link: Link) -> _Fault | None:
    if parts.scheme in ("http", "https", ""):
        return None if parts.netloc else (_DEAD, f"{quoted(link.target)} names no host; mend it")
    if parts.scheme in _ELSEWHERE or (link.is_image and parts.scheme == "data"):
        return None
    return _DEAD, f"{quoted(link.target)} cannot be followed by a reader; write an address of http(s)"


def _judged_relative(path: str, link: Link, page: Page, folder: Folder) -> _Fault | None:
    shown, url = quoted(link.target), page.metadata.url
    in_folder = posixpath.normpath(posixpath.join(posixpath.dirname(page.path), unquote(path)))
    of_folder = not path.startswith("/")
    if of_folder and in_folder in folder.files:
        led = (
            f"a reader is led to {quoted(urljoin(url, link.target))}"
            if url
            else "no reader of an answer has it"
        )
        fault = f"{shown} is a file of the folder, but {led}; write the address of that page"
        return None if link.is_image else ("link/to-file", fault)
    if of_folder and path.lower().endswith(SUFFIXES):
        return _DEAD, f"{shown} leads to no file of the folder; mend it"
    if not url:
        return _DEAD, f"{shown} is relative, and the page has no 'url' to follow it from; add one"
    return _RELATIVE, ""
