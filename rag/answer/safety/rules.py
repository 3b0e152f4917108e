"""A screen over one message for what cannot wait: signs of an emergency, danger by oneself or by others.

Deterministic rules, ours, in rules.yaml; the same message rings the same rule always. It is no diagnosis
and no triage: silence says nothing about a person's safety, and an alarm only that the words call for
human help. It reads English only, keeps and logs no text, and an alarm never holds a word of the message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from rag.answer.safety.message import Message, read_message
from rag.answer.safety.phrases import Phrases, Place
from rag.answer.safety.scope import CUES, LISTS, Reading
from rag.answer.safety.spelling import Respeller
from rag.errors import SettingsError

FILE_NAME = "rules.yaml"
CODES = ("crisis", "urgent_symptoms")
NEEDS = ("nothing", "a person", "having")
SCOPES = ("clause", "sentence", "message")
# So many words may stand between a sign and what excuses it; farther off it speaks of something else.
_NEAR = 3
_KEYS = frozenset(
    {"id", "code", "why", "sign", "with", "within", "unless", "needs", "firm", "even_if_over", "timeless"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """What rang. `code` is one of `CODES`, `rule` the id of the rule; never any text of the message."""

    code: str
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One entry of the file.

    Rings when a phrase of a block in `sign` stands in the message, one of each block in `with_` within the
    same `within`, none of `unless` close to the sign, and the sign is not excused: denied, past or
    over (unless `timeless`, or for over `even_if_over`), or only asked about (unless `firm`). `needs`:
    "nothing" more, "a person" it happens to, or "having", where a person is said to have it or it is said
    to be now.
    """

    id: str
    code: str
    why: str
    sign: tuple[str, ...]
    with_: tuple[str, ...] = ()
    within: str = "message"
    unless: tuple[str, ...] = ()
    needs: str = "nothing"
    firm: bool = False
    even_if_over: bool = False
    timeless: bool = False

    def blocks(self) -> tuple[str, ...]:
        """Every block that the rule names."""
        return (*self.sign, *self.with_, *self.unless)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules of one version. Immutable, so one serves all threads."""

    version: str
    rules: tuple[Rule, ...]
    _phrases: Phrases = field(repr=False, compare=False)
    _lists: Mapping[str, frozenset[str]] = field(repr=False, compare=False)
    _respeller: Respeller = field(repr=False, compare=False)

    def alarms(self, question: str) -> tuple[Alarm, ...]:
        """What rings for a message: at most one alarm a code, crisis first; empty when nothing does."""
        message = read_message(question, self._respeller.respell)
        found = self._phrases.find(message)
        reading = Reading(message, found, self._lists)
        rung = {code: self._first(code, message, found, reading) for code in CODES}
        return tuple(Alarm(code=code, rule=rule) for code, rule in rung.items() if rule)

    def _first(
        self, code: str, message: Message, found: Mapping[str, list[Place]], reading: Reading
    ) -> str | None:
        signs = found.keys()
        rules = (rule for rule in self.rules if rule.code == code and not signs.isdisjoint(rule.sign))
        return next((rule.id for rule in rules if _rings(rule, message, found, reading)), None)


def _rings(rule: Rule, message: Message, found: Mapping[str, list[Place]], reading: Reading) -> bool:
    signs = (place for block in rule.sign for place in found.get(block, ()))
    return any(
        _accompanied(rule, sign, message, found, reading)
        and not _excused(rule, sign, message, found, reading)
        for sign in signs
    )


def _accompanied(
    rule: Rule, sign: Place, message: Message, found: Mapping[str, list[Place]], reading: Reading
) -> bool:
    """Whether each block of `with` stands near enough, itself not denied."""
    return all(
        any(
            _is_within(rule.within, sign, other, message) and not reading.is_denied(other, beside=sign)
            for other in found.get(block, ())
        )
        for block in rule.with_
    )


def _is_within(scope: str, sign: Place, other: Place, message: Message) -> bool:
    if scope == "message":
        return True
    parts = message.sentences if scope == "sentence" else message.clauses
    return parts[sign.start] == parts[other.start]


def _is_near(sign: Place, other: Place, message: Message) -> bool:
    """Whether another phrase stands so near to the sign that it tells how the sign is meant."""
    apart = max(other.start - sign.end, sign.start - other.end)
    return apart <= _NEAR and message.sentences[sign.start] == message.sentences[other.start]


def _excused(
    rule: Rule, sign: Place, message: Message, found: Mapping[str, list[Place]], reading: Reading
) -> bool:
    if any(_is_near(sign, one, message) for block in rule.unless for one in found.get(block, ())):
        return True
    if reading.is_denied(sign) or (not rule.timeless and reading.is_past(sign)):
        return True
    if not (rule.timeless or rule.even_if_over) and reading.is_over(sign):
        return True
    if not rule.firm and reading.is_asked_about(sign):
        return True
    return not _has_needed(rule.needs, sign, reading)


def _has_needed(needs: str, sign: Place, reading: Reading) -> bool:
    if needs == "nothing":
        return True
    if needs == "a person":
        return reading.is_reported(sign) or reading.is_telegram(sign)
    return reading.is_had(sign) or reading.is_telegram(sign)


@cache
def load_rules() -> Rules:
    """The packaged rules, read once. Raises `SettingsError` that names the entry when they cannot be used."""
    return read_rules((files(__package__) / FILE_NAME).read_text("utf-8"))


def read_rules(text: str) -> Rules:
    """The rules in the YAML of a rules file. Raises `SettingsError`, likewise."""
    try:
        return _rules(yaml.safe_load(text))
    except (KeyError, TypeError, AttributeError, ValueError, yaml.YAMLError) as error:
        raise SettingsError(
            f"{FILE_NAME}: {error}; take the file of the release, or mend that entry"
        ) from error


def _rules(content: Mapping[str, Any]) -> Rules:
    lists = {name: text.split() for name, text in content["words"].items()}
    blocks = {name: text.splitlines() for name, text in (content["scope"] | content["blocks"]).items()}
    _require(set(CUES) <= set(content["scope"]), f"scope needs {', '.join(CUES)}")
    _require(set(LISTS) <= set(lists), f"words needs {', '.join(LISTS)}")
    _require(not set(content["scope"]) & set(content["blocks"]), "a name stands in scope and in blocks")
    rules = tuple(_rule(entry, blocks) for entry in content["rules"])
    ids = [rule.id for rule in rules]
    _require(len(set(ids)) == len(ids), f"a rule id stands twice in {sorted(ids)}")
    phrases = Phrases(blocks, lists)
    return Rules(
        version=str(content["version"]),
        rules=rules,
        _phrases=phrases,
        _lists={name: frozenset(lists[name]) for name in LISTS},
        _respeller=Respeller(content["spellings"], phrases.vocabulary),
    )


def _rule(entry: Mapping[str, Any], blocks: Mapping[str, Any]) -> Rule:
    name = entry["id"]
    _require(set(entry) <= _KEYS, f"rule '{name}': the keys are {', '.join(sorted(_KEYS))}")
    rule = Rule(
        id=name,
        code=entry["code"],
        why=entry["why"],
        sign=tuple(entry["sign"]),
        with_=tuple(entry.get("with", ())),
        within=entry.get("within", "message"),
        unless=tuple(entry.get("unless", ())),
        needs=entry.get("needs", "nothing"),
        firm=entry.get("firm", False),
        even_if_over=entry.get("even_if_over", False),
        timeless=entry.get("timeless", False),
    )
    unknown = [block for block in rule.blocks() if block not in blocks]
    _require(not unknown, f"rule '{name}': there is no block {', '.join(unknown)}")
    _require(rule.code in CODES, f"rule '{name}': the code is one of {', '.join(CODES)}")
    _require(rule.within in SCOPES, f"rule '{name}': within is one of {', '.join(SCOPES)}")
    _require(rule.needs in NEEDS, f"rule '{name}': needs is one of {', '.join(NEEDS)}")
    return rule


def _require(fulfilled: bool, reason: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not fulfilled:
        raise ValueError(reason)
