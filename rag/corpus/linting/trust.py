"""Checks of what a page claims: for whom it is, how fresh it is, which cancers it is about."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from urllib.parse import unquote, urlsplit

from rag.corpus.freshness import Freshness, freshness, review_due
from rag.corpus.linting.findings import Finding
from rag.corpus.linting.page import Folder, Page, counted, listed, quoted
from rag.corpus.policy import PATIENT, PROFESSIONAL, is_professional, resolve_audience

MOST_TYPES = 5
# A cancer that is named so much more rarely than the page's own is one that it mentions in passing.
_PASSING = 10

# Words that stand for no cancer of their own.
_NO_CANCER = ("general", "all", "any", "other", "various", "multiple")
# What else names a cancer, beside the word by which documents are filed.
_KIN = {
    "bone": ("osteosarcoma", "ewing"),
    "brain": ("glioma", "glioblastoma", "astrocytoma", "medulloblastoma"),
    "cervical": ("cervix",),
    "colorectal": ("colon", "rectum", "rectal", "bowel"),
    "esophageal": ("esophagus", "oesophageal", "oesophagus"),
    "eye": ("intraocular", "retinoblastoma", "ocular"),
    "head and neck": ("head or neck", "laryngeal", "oral cavity", "oropharyngeal", "nasopharyngeal"),
    "kidney": ("renal", "wilms"),
    "leukemia": ("leukaemia",),
    "liver": ("hepatocellular", "hepatoblastoma", "hepatic"),
    "lung": ("pulmonary",),
    "lymphoma": ("hodgkin",),
    "melanoma": ("melanomas",),
    "ovarian": ("ovary", "ovaries"),
    "pancreatic": ("pancreas",),
    "prostate": ("prostatic",),
    "skin": ("melanoma", "basal cell"),
    "stomach": ("gastric",),
    "testicular": ("testis", "testes", "testicle"),
    "uterine": ("uterus", "endometrial", "endometrium"),
}


def audience_conflicts(page: Page, _: Folder) -> Iterator[Finding]:
    """Pages that claim to be for patients and show that they are for professionals."""
    metadata = page.metadata
    claim = metadata.audience_claim
    if metadata.audience != PROFESSIONAL or not claim or is_professional(claim):
        return
    by_address = resolve_audience(PATIENT, url=metadata.url, titles=()) == PROFESSIONAL
    evidence = f"the address {metadata.url}" if by_address else "the title"
    message = (
        f"audienceLevel is {quoted(claim)}, but {evidence} is one for professionals, and so the page is "
        "taken; write 'audienceLevel: professional'"
    )
    rule_id = f"audience/{'url' if by_address else 'title'}-conflict"
    yield page.finding(rule_id, message, key="audienceLevel")


def reviews(page: Page, folder: Folder) -> Iterator[Finding]:
    """Pages whose review is overdue, or due within 30 days."""
    metadata = page.metadata
    due = review_due(metadata.last_reviewed, metadata.review_frequency)
    state = freshness(due, folder.as_of)
    if state in (Freshness.OVERDUE, Freshness.DUE):
        said = f"was due on {due}" if state is Freshness.OVERDUE else f"is due on {due}"
        message = (
            f"reviewed {metadata.last_reviewed}, {metadata.review_frequency}: the next review {said}; "
            "review the page and change lastReviewed"
        )
        rule_id = "review/overdue" if state is Freshness.OVERDUE else "review/due-soon"
        yield page.finding(rule_id, message, key="lastReviewed")


def cancer_types(page: Page, _: Folder) -> Iterator[Finding]:
    """Cancers that the page does not name, those that it names in passing, and far too many."""
    types = [kind for kind in page.metadata.cancer_types if kind.casefold() not in _NO_CANCER]
    if not types:
        return
    heading = _heading_words(page)
    titled = {kind for kind in types if _named(kind).search(heading)}
    mentions = {kind: len(_named(kind).findall(page.words)) for kind in types}
    if absent := [kind for kind in types if kind not in titled and not mentions[kind]]:
        message = (
            f"cancerTypes lists {_quoted(absent)}, named nowhere on the page; strike what it is not about"
        )
        yield page.finding("cancer-types/never-named", message, key="cancerTypes")
    most = max((mentions[kind] for kind in titled), default=0)
    passing = [kind for kind in types if kind not in titled and 0 < mentions[kind] * _PASSING < most]
    if passing:
        named = listed(f"'{kind}' {mentions[kind]}" for kind in passing)
        message = (
            f"cancerTypes lists cancers that the page names in passing ({named} times, against {most:,} for "
            f"{_quoted(sorted(titled))}); keep those that it is about"
        )
        yield page.finding("cancer-types/in-passing", message, key="cancerTypes")
    if len(types) > MOST_TYPES:
        message = (
            f"cancerTypes lists {counted(len(types), 'cancer')}; keep those that the page is about, "
            "or write 'general'"
        )
        yield page.finding("cancer-types/too-many", message, key="cancerTypes")


def _heading_words(page: Page) -> str:
    """Title and address, as words."""
    path = unquote(urlsplit(page.metadata.url).path) if page.metadata.url else ""
    return f"{page.metadata.title} {path}".casefold().replace("_", " ")


@lru_cache(maxsize=1024)
def _named(kind: str) -> re.Pattern[str]:
    """A cancer's name or one of its kin, as whole words, plural or not."""
    names = (kind.casefold(), *_KIN.get(kind.casefold(), ()))
    spelled = (r"[\W_]+".join(map(re.escape, re.findall(r"[^\W_]+", name))) for name in names)
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(filter(None, spelled)) or 'x^'})(?:s|es)?(?![^\W_])")


def _quoted(kinds: Sequence[str]) -> str:
    return listed(quoted(kind) for kind in kinds)
