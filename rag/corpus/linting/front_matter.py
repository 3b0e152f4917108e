"""Checks of the front matter: keys that are missing or mistyped, and values that nobody can read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from rapidfuzz.distance import OSA

from rag.corpus.document import Metadata
from rag.corpus.freshness import FREQUENCIES, is_known_frequency
from rag.corpus.frontmatter import KNOWN_KEYS, parse_metadata, split_front_matter
from rag.corpus.linting.findings import Finding
from rag.corpus.linting.page import Folder, Page, quoted
from rag.corpus.policy import PATIENT, PROFESSIONAL

ACTIVE = "active"
STATUSES = (ACTIVE, "draft", "superseded", "archived", "retired", "withdrawn")
AUDIENCES = (PATIENT, "caregiver", "public", PROFESSIONAL)

# Every other known key may be left out without harm.
_NEEDED = {
    "title": ("title", "write 'title: …'"),
    "url": ("url", "write 'url: https://…'"),
    "source": ("source", "write 'source: …', the publisher's name"),
    "license": ("license", "write 'license: public_domain', 'license: CC-BY-4.0' or whatever it is"),
    "lastReviewed": ("last_reviewed", "write 'lastReviewed: 2026-01-31', the day of the last review"),
    "reviewFrequency": ("review_frequency", "write 'reviewFrequency: annual' or how often it is"),
    "audienceLevel": ("audience_claim", "write 'audienceLevel: patient' or 'audienceLevel: professional'"),
    "language": ("language", "write 'language: en' or whatever it is"),
}
_OPTIONAL = {
    "sourceType": "source_type",
    "citation": "citation",
    "version": "version",
    "cancerTypes": "cancer_types",
    "tags": "tags",
}
# Other words for a known key, as they stand in documents.
_SYNONYMS = {
    "audience": "audienceLevel",
    "licence": "license",
    "lang": "language",
    "reviewed": "lastReviewed",
    "lastreview": "lastReviewed",
    "cancer": "cancerTypes",
}
_PLAIN_KNOWN = {key.casefold(): key for key in KNOWN_KEYS}
# Of the shorter keys too many others are one slip away: 'tax' is not 'tag'.
_SHORTEST = 5
_LONG = 9
# A tag of BCP 47, lower-cased: language, script, region.
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z]{4})?(-([a-z]{2}|\d{3}))?")


def missing_keys(page: Page, _: Folder) -> Iterator[Finding]:
    """Keys that a citation or a filter needs; keys that stand there without a value."""
    for key, (name, mending) in _NEEDED.items():
        if not _has(page, key, name):
            fault = f"'{key}' is empty" if key in page.key_lines else f"'{key}' is missing"
            yield page.finding(f"front-matter/missing-{_kebab(key)}", f"{fault}; {mending}", key=key)
    for key, name in _OPTIONAL.items():
        if key in page.key_lines and not getattr(page.metadata, name):
            message = f"'{key}' is empty; fill it in or delete it"
            yield page.finding("front-matter/empty-value", message, key=key)


def _has(page: Page, key: str, name: str) -> bool:
    """Whether a key has a value. A page without a title is given one by the reader."""
    if key != "title":
        return bool(getattr(page.metadata, name))
    line = page.key_lines.get(key)
    value = page.text.split("\n", line)[line - 1].partition(":")[2].strip() if line else ""
    if value and value[0] not in "'\"~n#":
        return True
    # Seldom; the reader's own word on it costs another parse.
    return bool(parse_metadata(split_front_matter(page.text)[0]).title)


def _kebab(key: str) -> str:
    return re.sub(r"(?=[A-Z])", "-", key).lower()


def mistyped_keys(page: Page, _: Folder) -> Iterator[Finding]:
    """Unknown keys that are a slip away from a known one."""
    for key in page.metadata.extra:
        meant = meant_key(key, page.metadata, page.key_lines)
        if meant:
            message = f"'{key}' is unknown and counts for nothing; write '{meant}'"
            yield page.finding("front-matter/mistyped-key", message, key=key)


def meant_key(key: str, metadata: Metadata, written: dict[str, int]) -> str | None:
    """The known key that was meant by an unknown one, None when that may be a key of the owner's own.

    Another case or other signs between the words are a slip in any case. Other letters are one only
    where the known key is not there as well: 'sources' may stand beside 'source'.
    """
    plain = re.sub(r"[\W_]", "", key).casefold()
    if plain in _PLAIN_KNOWN:
        return _PLAIN_KNOWN[plain]
    if plain in _SYNONYMS:
        near = [_SYNONYMS[plain]]
    else:
        allowed = 0 if len(plain) < _SHORTEST else 2 if len(plain) >= _LONG else 1
        near = sorted(
            (known for folded, known in _PLAIN_KNOWN.items() if OSA.distance(plain, folded) <= allowed),
            key=lambda known: (OSA.distance(plain, known.casefold()), known),
        )
    return next((known for known in near if known not in written and known not in metadata.extra), None)


def strange_values(page: Page, folder: Folder) -> Iterator[Finding]:
    """Words that no filter knows, and dates that cannot be."""
    metadata = page.metadata
    if metadata.status not in STATUSES:
        message = f"the status {quoted(metadata.status)} hides the page from every search; {_of(STATUSES)}"
        yield page.finding("front-matter/unknown-status", message, key="status")
    if metadata.audience_claim and metadata.audience_claim not in AUDIENCES:
        message = f"the audience {quoted(metadata.audience_claim)} is unknown; {_of(AUDIENCES)}"
        yield page.finding("front-matter/unknown-audience", message, key="audienceLevel")
    frequency = metadata.review_frequency
    if frequency and not is_known_frequency(frequency):
        message = f"the review frequency {quoted(frequency)} is unknown; {_of(FREQUENCIES)}, 'every 6 months'"
        yield page.finding("front-matter/unknown-frequency", message, key="reviewFrequency")
    if metadata.language and not _LANGUAGE.fullmatch(metadata.language):
        message = f"the language {quoted(metadata.language)} is no code; write 'en', 'es' or 'pt-BR'"
        yield page.finding("front-matter/malformed-language", message, key="language")
    if metadata.license and folder.licenses.rule(metadata.license) is None:
        message = (
            f"the licence {quoted(metadata.license)} is unknown, so nobody can tell what it asks for; "
            "write 'public_domain', 'CC-BY-4.0' or the like, or add a rule for it"
        )
        yield page.finding("front-matter/unknown-license", message, key="license")
    if metadata.last_reviewed and metadata.last_reviewed > folder.as_of:
        message = f"lastReviewed is {metadata.last_reviewed}, which is after {folder.as_of}; mend the date"
        yield page.finding("front-matter/future-review", message, key="lastReviewed")


def _of(words: Any) -> str:
    return f"write one of {', '.join(words)}"
