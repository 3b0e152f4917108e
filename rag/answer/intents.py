"""What a question is after other than information: somebody's own records, or orders to the service.

Signs, not verdicts: each pattern of intents.yaml is a way in which such questions are put, and the
calibration learns what it is worth (see `rag.answer.evidence`).
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

# More signs than that say no more.
MOST_SIGNS = 2
# Short, and ending with the sentence: so each pattern takes linear time.
_GAP = r"\b[^.?!]{0,30}?\b"
_BLOCK = re.compile(r"\{(\w+)\}")
_FIRST_PERSON = re.compile(r"\b(?:i|i'm|im|i've|ive|me)\b", re.IGNORECASE)
# "Stage I" counts; "the stage I have" speaks of oneself.
_NUMERAL = re.compile(
    r"\b(?:stages?|phases?|types?|grades?|class|level|part|factor|group)\s+i\b"
    r"(?!'|\s+(?:a?m|was|have|had|do|did|will|would|can|could|shall|should|may|must|need|want|got|get|take)\b)",
    re.IGNORECASE,
)


def own_record_signs(question: str) -> int:
    """How many signs there are, 0 to 2, that a question is about somebody's own results, visits or bills."""
    return _signs("own_records", question)


def instruction_signs(question: str) -> int:
    """How many signs there are, 0 to 2, that a text gives the service orders rather than asking it."""
    return _signs("instruction", question)


def is_in_first_person(question: str) -> bool:
    """Whether the person who asks speaks of themselves."""
    return bool(_FIRST_PERSON.search(_NUMERAL.sub(" ", _plain(question))))


def _signs(intent: str, question: str) -> int:
    text = _plain(question)
    return min(MOST_SIGNS, sum(bool(pattern.search(text)) for pattern in _patterns()[intent]))


def _plain(question: str) -> str:
    return question.replace("\u2019", "'")


@cache
def _patterns() -> dict[str, tuple[re.Pattern[str], ...]]:
    content = yaml.safe_load(files(__package__).joinpath("intents.yaml").read_text(encoding="utf-8"))
    blocks: dict[str, str] = content["blocks"]
    return {
        intent: tuple(_compiled(pattern, blocks) for pattern in content[intent])
        for intent in ("own_records", "instruction")
    }


def _compiled(pattern: str, blocks: dict[str, Any]) -> re.Pattern[str]:
    spelled = _BLOCK.sub(lambda found: f"(?:{blocks[found[1]]})", pattern).replace(" ~ ", _GAP)
    return re.compile(rf"(?<!\w)(?:{spelled})(?!\w)", re.IGNORECASE)
