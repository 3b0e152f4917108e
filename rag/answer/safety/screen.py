"""A screen over one message for what cannot wait: signs of an emergency, danger to life by oneself or others.

Rules and small networks look at it, and what each finds is added up: a rule counts much, and a message
that no rule foresaw rings when the networks are sure. It is no diagnosis and no triage: silence says nothing
about a person's safety, and an alarm only that the words call for human help. It reads English only, keeps
and logs no text, and an alarm never holds a word of the message.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from rag.answer.safety.classifier import Classifier, load_classifier
from rag.answer.safety.rules import CODES, Alarm, Rules, load_rules
from rag.encoders.base import Vectors

__all__ = ["CODES", "Alarm", "Screen", "load_screen"]

# What a rule adds to the networks' log-odds, and from which sum on a message rings: chosen on the
# development messages, which neither had seen (docs/trust.md).
RULE_ODDS = 4.0
RINGS_FROM = {"crisis": -0.25, "urgent_symptoms": -0.75}
BY_CLASSIFIER = "classifier"


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """Rules and networks of one version. Immutable, so one serves all threads."""

    rules: Rules
    classifier: Classifier

    @property
    def version(self) -> str:
        """The version of the rules and that of the networks."""
        return f"{self.rules.version}+{self.classifier.version}"

    def alarms(
        self, question: str, vector: Vectors | None = None, fingerprint: str = ""
    ) -> tuple[Alarm, ...]:
        """What rings for a message: at most one alarm a code, crisis first; empty when nothing does.

        `vector` [dim] is the message's by the encoder with `fingerprint`. `Alarm.rule` names the rule, or
        says "classifier" where none rang.
        """
        rung = {alarm.code: alarm.rule for alarm in self.rules.alarms(question)}
        odds = self.classifier.odds(question, vector, fingerprint)
        return tuple(
            Alarm(code=code, rule=rung.get(code, BY_CLASSIFIER))
            for code in CODES
            if odds[code] + RULE_ODDS * (code in rung) > RINGS_FROM[code]
        )


@cache
def load_screen() -> Screen:
    """The screen that comes with Citewell, read once. Raises `SettingsError` for rules of no use."""
    return Screen(rules=load_rules(), classifier=load_classifier())
