"""Sentences altered as a careless or inventive chatbot alters them, one way at a time.

Each function takes a sentence and a generator of random numbers and gives the altered sentence, or None
where there is nothing to alter in its way. They share no word list with the code they test.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping

Alter = Callable[[str, random.Random], str | None]

_DOSE = re.compile(
    r"(?<![\w.,/^-])(\d[\d,]*(?:\.\d+)?)(?=[ -]?(?:mg|mcg|µg|μg|g|kg|mL|Gy|cGy|IU|units|milligrams|grams)\b)"
)
_NUMBER = re.compile(
    r"(?<![\w.,/^-])\d[\d,]*(?:\.\d+)?(?![\w.,/^-]|[ -]?(?:mg|mcg|µg|μg|g|kg|mL|Gy|cGy|IU|to|or|and))"
)
_COUNTED = {"two": "three", "three": "four", "four": "six", "five": "two", "six": "eight", "ten": "twelve"}
_UNITS = {
    "mg": "mcg",
    "mcg": "mg",
    "mL": "L",
    "Gy": "cGy",
    "cGy": "Gy",
    "hours": "days",
    "days": "weeks",
    "day": "week",
    "weeks": "months",
    "week": "month",
    "months": "years",
    "month": "year",
    "years": "months",
    "year": "month",
    "minutes": "hours",
    "cm": "mm",
    "mm": "cm",
    "°F": "°C",
    "%": " mg",
    "percent": "grams",
}
_UNIT = re.compile(rf"(?<=\d)[ -]?({'|'.join(map(re.escape, _UNITS))})(?!\w)")
_DRUG_NAMES = """
cisplatin carboplatin oxaliplatin paclitaxel docetaxel tamoxifen letrozole pembrolizumab nivolumab rituximab
trastuzumab bevacizumab imatinib erlotinib sorafenib methotrexate doxorubicin etoposide cyclophosphamide
vincristine prednisone dexamethasone fluorouracil gemcitabine capecitabine tarlatamab aspirin ibuprofen
acetaminophen morphine ondansetron interferon lenalidomide bortezomib
"""
_DRUGS = _DRUG_NAMES.split()
_OPPOSITES = {
    "before": "after",
    "after": "before",
    "more": "less",
    "less": "more",
    "increase": "decrease",
    "higher": "lower",
    "lower": "higher",
    "may": "must",
    "without": "with",
    "always": "never",
}
_HELPERS = ("is", "are", "can", "may", "should", "will", "does", "do", "must", "was", "were", "has", "have")


def _one(pattern: re.Pattern[str], sentence: str, rng: random.Random) -> re.Match[str] | None:
    found = list(pattern.finditer(sentence))
    return rng.choice(found) if found else None


def _any_of(words: Mapping[str, str] | tuple[str, ...] | list[str]) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, words))})(?![\w-])")


def _put(sentence: str, found: re.Match[str], new: str) -> str:
    return sentence[: found.start()] + new + sentence[found.end() :]


def _other_number(old: str, rng: random.Random) -> str:
    value = float(old.replace(",", ""))
    factor = rng.choice((0.1, 0.5, 2, 3, 10))
    new = f"{value * factor:.1f}" if "." in old else str(max(1, int(value * factor)))
    return new if new != old.replace(",", "") else str(int(value) + 1)


def number(sentence: str, rng: random.Random) -> str | None:
    """Another number, in digits or in words, that is no dose."""
    if found := _one(_NUMBER, sentence, rng):
        return _put(sentence, found, _other_number(found[0], rng))
    counted = _one(_any_of(_COUNTED), sentence, rng)
    return _put(sentence, counted, _COUNTED[counted[0]]) if counted else None


def dose(sentence: str, rng: random.Random) -> str | None:
    """Another number before the unit of a drug or of radiation."""
    found = _one(_DOSE, sentence, rng)
    return _put(sentence, found, _other_number(found[1], rng)) if found else None


def unit(sentence: str, rng: random.Random) -> str | None:
    """Another unit behind the same number."""
    found = _one(_UNIT, sentence, rng)
    return sentence[: found.start(1)] + _UNITS[found[1]] + sentence[found.end(1) :] if found else None


def negation(sentence: str, rng: random.Random) -> str | None:
    """A negation left out, put in, or one word exchanged for its opposite."""
    ways: list[str] = []
    if found := re.search(r" not\b| never\b|(?<=do)n['’]t\b", sentence):
        ways.append(_put(sentence, found, ""))
    found = _one(_any_of(_HELPERS), sentence, rng)
    if found and not sentence[found.end() :].startswith((" not", "n")):
        ways.append(_put(sentence, found, f"{found[0]} not"))
    if found := _one(_any_of(_OPPOSITES), sentence, rng):
        ways.append(_put(sentence, found, _OPPOSITES[found[0]]))
    return rng.choice(ways) if ways else None


def drug(sentence: str, rng: random.Random) -> str | None:
    """The name of another drug."""
    found = _one(re.compile(_any_of(_DRUGS).pattern, re.IGNORECASE), sentence, rng)
    if not found:
        return None
    new = rng.choice([name for name in _DRUGS if name.casefold() not in sentence.casefold()])
    return _put(sentence, found, new.capitalize() if found[0][0].isupper() else new)


def word_order(sentence: str, rng: random.Random) -> str | None:
    """Two words exchanged."""
    words = list(re.finditer(r"(?<![\w-])[a-z]{3,}(?![\w-])", sentence))
    if len(words) < 2:
        return None
    first, last = sorted(rng.sample(words, 2), key=lambda found: found.start())
    if first[0] == last[0]:
        return None
    between = sentence[first.end() : last.start()]
    return sentence[: first.start()] + last[0] + between + first[0] + sentence[last.end() :]


def truncation(sentence: str, rng: random.Random) -> str | None:
    """The first words or the last ones left out."""
    words = sentence.split(" ")
    # A heading, or what may be two sentences, may well be whole without some words.
    if len(words) < 6 or not sentence.endswith(".") or ". " in sentence:
        return None
    cut = rng.randint(2, len(words) // 2)
    kept = words[:-cut] if rng.random() < 0.5 else words[cut:]
    shortened = " ".join(kept).strip(" ,;:")
    return f"{shortened[:1].upper()}{shortened[1:].rstrip('.')}." if len(kept) > 2 else None


ALTERATIONS: Mapping[str, Alter] = {
    "number": number,
    "dose": dose,
    "unit": unit,
    "negation": negation,
    "drug": drug,
    "word_order": word_order,
    "truncated": truncation,
}
