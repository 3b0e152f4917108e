"""What a document may be used for, judged from evidence and not from its own claim alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit

PROFESSIONAL = "professional"
PATIENT = "patient"

_PROFESSIONAL_PATH = re.compile(r"/hp(?![^\W_])|-hp-pdq(?![^\W_])", re.IGNORECASE)
_PROFESSIONAL_AUDIENCE = re.compile(
    r"(?<!\bnon)(?<!\bnon[- _])professional|clinician|physician|provider|practitioner|pharmacist|oncologist|"
    r"\b(hcps?|hp|doctors?|nurses?|researchers?|scientists?)\b",
    re.IGNORECASE,
)
_HP_FOLDER = re.compile(r"/hp(?=/|$)", re.IGNORECASE)
_HP_PREFIX = re.compile(r"/hp(?=[/-]|$)", re.IGNORECASE)
_HP_SUFFIX = re.compile(r"-hp(?=-pdq)", re.IGNORECASE)
_PROFESSIONAL_TITLE = re.compile(r"\bhealth\s+professional\s+version\b", re.IGNORECASE)


def resolve_audience(claim: str | None, *, url: str | None, titles: Iterable[str]) -> str:
    """Return whom a page is for: its claim, unless address or title show that it is for professionals.

    The stricter reading wins: a page once recognised as professional is never shown as patient
    material, whatever it claims. Without any claim or evidence a page counts as patient material.
    """
    if url and _PROFESSIONAL_PATH.search(urlsplit(url).path):
        return PROFESSIONAL
    if any(_PROFESSIONAL_TITLE.search(title) for title in titles):
        return PROFESSIONAL
    return claim or PATIENT


def is_professional(audience: str) -> bool:
    """Whether an audience, in whatever words, is one of professionals: 'professional', 'clinicians'."""
    return bool(_PROFESSIONAL_AUDIENCE.search(audience))


def twin_addresses(url: str) -> tuple[str, ...]:
    """Where the patient version of a page for professionals may stand, the likeliest first.

    "/types/lung/hp/x-pdq" has its twin at "/types/lung/patient/x-pdq", "/hp-x-pdq" at "/patient-x-pdq", and
    "/fatigue-hp-pdq" at "/fatigue-pdq".
    """
    parts = urlsplit(url)
    path = _HP_SUFFIX.sub("", parts.path)
    twins = (_HP_PREFIX.sub("/patient", path), _HP_FOLDER.sub("", path))
    addresses = (urlunsplit(parts._replace(path=twin)) for twin in twins if twin != parts.path)
    return tuple(dict.fromkeys(addresses))
