"""The screen: what rings, what stays quiet, laws of its reading, and the form of its rules.

The messages are ours, written beside the rules; they show what the rules do, not how well. That is
measured on sets the rules have not seen.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import fields, replace
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rag.answer.safety.message import read_message
from rag.answer.safety.phrases import Phrases
from rag.answer.safety.rules import CODES, Alarm, load_rules, read_rules
from rag.errors import SettingsError

RULES = (files("rag.answer.safety") / "rules.yaml").read_text("utf-8")
# The digest of the rules without comments and version. When it changes, raise the version and note both.
DIGEST_OF = {"2026-11-23.1": "33b29b3b6d678209c92e7752812b082f5e78cd7e9ac9f85247c23f9c4165d14c"}

MESSAGES = [
    json.loads(line)
    for line in (Path(__file__).parent / "gold" / "urgent-rules.jsonl").read_text("utf-8").splitlines()
]


def messages_of(*codes: str) -> tuple[str, ...]:
    return tuple(one["text"] for one in MESSAGES if tuple(one["expected"]) == codes)


CRISES, EMERGENCIES, QUIET = messages_of("crisis"), messages_of("urgent_symptoms"), messages_of()
HARMLESS = ("Hello there.", "Thank you for your help.", "I have breast cancer.", "My dog is called Rex.")


def codes(message: str) -> set[str]:
    return {alarm.code for alarm in load_rules().alarms(message)}


# --- what rings and what does not -----------------------------------------------------------------------


@pytest.mark.parametrize("message", CRISES)
def test_danger_to_life_by_oneself_or_others_rings_crisis(message: str) -> None:
    assert "crisis" in codes(message)


@pytest.mark.parametrize("message", EMERGENCIES)
def test_a_sign_of_an_emergency_rings_urgent_symptoms(message: str) -> None:
    assert "urgent_symptoms" in codes(message)


@pytest.mark.parametrize("message", QUIET)
def test_the_same_words_without_an_emergency_stay_quiet(message: str) -> None:
    assert codes(message) == set()


def test_both_codes_ring_together_and_crisis_comes_first() -> None:
    alarms = load_rules().alarms("I have a fever of 39 on chemo. I want to die.")
    assert [alarm.code for alarm in alarms] == ["crisis", "urgent_symptoms"]


def test_an_educational_sentence_does_not_hide_an_emergency_in_the_next() -> None:
    assert codes("What are the signs of a stroke? My husband is coughing up blood.") == {"urgent_symptoms"}


@pytest.mark.parametrize(
    ("denied", "present"),
    [
        ("no coughing up blood", "no doubt I am coughing up blood"),
        ("he is not coughing up blood", "he is not only tired but coughing up blood"),
        ("no fever, chills, or bleeding heavily", "no fever but bleeding heavily"),
        ("I have no fever", "I have no idea why I have a fever"),
        ("I'm not suicidal", "I'm not sure but I'm suicidal"),
        ("I coughed up blood in 2015", "I coughed up blood in 2015 and now I am coughing up blood again"),
        ("she is fine, the bleeding has stopped", "the bleeding has not stopped"),
        ("I had a fever of 39, it is gone now", "I had a fever of 39, it is not gone now"),
        ("the vomiting blood has stopped", "the vomiting blood has not stopped"),
        ("what if I cough up blood", "I don't know what to do I cough up blood"),
    ],
)
def test_a_denial_or_date_reaches_no_farther_than_it_should(denied: str, present: str) -> None:
    assert codes(denied) == set()
    assert codes(present) != set()


# --- laws -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", [*CRISES[::4], *EMERGENCIES[::4], *QUIET[::4]])
def test_case_and_apostrophes_change_nothing(message: str) -> None:
    expected = load_rules().alarms(message)
    for other in (
        message.upper(),
        message.title(),
        message.replace("'", "\u2019"),
        message.replace("'", "`"),
    ):
        assert load_rules().alarms(other) == expected


@pytest.mark.parametrize("harmless", HARMLESS)
def test_a_harmless_sentence_beside_it_silences_no_alarm(harmless: str) -> None:
    silenced = [
        message
        for message in (*CRISES, *EMERGENCIES)
        for both in (f"{harmless} {message}", f"{message}. {harmless}")
        if not codes(message) <= codes(both)
    ]
    assert silenced == []


@given(st.text(max_size=400))
def test_no_message_breaks_the_screen_and_an_alarm_holds_none_of_it(message: str) -> None:
    known = {rule.id for rule in load_rules().rules}
    for alarm in load_rules().alarms(message):
        assert alarm.code in CODES
        assert alarm.rule in known
    assert [one.name for one in fields(Alarm)] == ["code", "rule"]


@pytest.mark.parametrize(
    "unit", ["a ", "i ", "no ", "if i ", "cant breath ", "blood ", "x", "want to ", "38.5 ", "?!", "my leg "]
)
def test_two_thousand_characters_of_anything_take_under_20_ms(unit: str) -> None:
    message = (unit * 2000)[:2000]
    load_rules().alarms(message)
    assert min(_seconds(message) for _ in range(5)) < 0.020


def test_a_usual_question_takes_well_under_a_millisecond() -> None:
    assert (
        min(_seconds("Is it normal that my leg is swollen after my second chemo?") for _ in range(20)) < 0.001
    )


def _seconds(message: str) -> float:
    began = time.perf_counter()
    load_rules().alarms(message)
    return time.perf_counter() - began


# --- the rules file -------------------------------------------------------------------------------------


def test_the_version_changes_whenever_the_rules_do() -> None:
    content = yaml.safe_load(RULES)
    version = content.pop("version")
    assert {version: hashlib.sha256(repr(content).encode()).hexdigest()} == DIGEST_OF
    assert load_rules().version == version


def test_every_block_and_list_is_used() -> None:
    screen, content = load_rules(), yaml.safe_load(RULES)
    used = {block for rule in screen.rules for block in rule.blocks()}
    assert set(content["blocks"]) - used == set()
    named = set(re.findall(r"<(\w+)>", RULES))
    in_code = {"who", "having", "telling", "asking", "aside", "was", "nots"}
    assert set(content["words"]) - named - in_code == set()


def test_every_rule_is_rung_by_a_case() -> None:
    screen = load_rules()
    idle = [
        rule.id
        for rule in screen.rules
        if not any(replace(screen, rules=(rule,)).alarms(message) for message in (*CRISES, *EMERGENCIES))
    ]
    assert idle == []


def test_every_rule_gives_its_reason_and_rule_ids_are_unique() -> None:
    rules = load_rules().rules
    assert all(rule.why.endswith(".") for rule in rules)
    assert len({rule.id for rule in rules}) == len(rules)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("sign: [cant_breathe]", "sign: [no_such_block]"), "no block no_such_block"),
        (("id: chest-pain\n", "id: fever\n"), "stands twice"),
        (("needs: having", "needs: luck"), "needs is one of"),
        (("code: crisis", "code: panic"), "the code is one of"),
        (("<suddenly>", "<nowhere>"), "no list of words <nowhere>"),
        (("    gasping\n", "    Gasping\n"), "'Gasping' must be lower case"),
        (("    gasping\n", "    ~ gasping\n"), "begin with a word"),
        (("rules:", "rulez: ["), "mend"),
    ],
)
def test_a_broken_rules_file_is_refused_with_the_entry(change: tuple[str, str], complaint: str) -> None:
    assert change[0] in RULES
    with pytest.raises(SettingsError, match=re.escape(complaint)):
        read_rules(RULES.replace(*change))


# --- phrases --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phrase", "text", "stands"),
    [
        ("cough* blood", "coughing blood", True),
        ("cough* blood", "coughing up blood", False),
        ("cough* ~ blood", "coughing up some red blood", True),
        ("cough* ~ blood", "coughing up one two three blood", False),
        ("cough* ~~ blood", "coughing up one two three blood", True),
        ("cough* ~~ blood", "coughing. blood", False),
        ("cant [really] breathe", "I can't breathe", True),
        ("cant [really] breathe", "I cannot really breathe", True),
        ("cant <verb>", "cant see", True),
        ("temp ~ #hot", "temp of 38", True),
        ("temp ~ #hot", "temp of 37.9", False),
        ("temp ~ #hot", "temp of 39,2", True),
        ("temp ~ #hot", "temp of thirty-nine", True),
        ("in #year", "in 2015", True),
    ],
)
def test_a_phrase_stands_where_its_marks_say(phrase: str, text: str, *, stands: bool) -> None:
    phrases = Phrases({"block": [phrase]}, {"verb": ["see", "hear"]})
    assert bool(phrases.find(read_message(text, str))) is stands
