"""The screen adds up rules and network; each alone can neither ring against a sure other nor be silenced."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.answer.answerer import Answerer
from rag.answer.safety.classifier import OUTPUTS, Classifier, Network, grams, load_classifier
from rag.answer.safety.rules import CODES, load_rules
from rag.answer.safety.screen import BY_CLASSIFIER, RINGS_FROM, RULE_ODDS, Screen, load_screen
from rag.encoders.base import Encoder, Vectors

GOLD = Path(__file__).parent / "gold"


def always(crisis: float, urgent: float) -> Network:
    """A network that says the same of every message."""
    nothing = np.zeros((0, 1), dtype=np.float32)
    return Network(
        words=nothing,
        meaning=None,
        bias=np.zeros(1, dtype=np.float32),
        output=np.zeros((1, 2), dtype=np.float32),
        output_bias=np.array([crisis, urgent], dtype=np.float32),
    )


def screen_of(crisis: float, urgent: float) -> Screen:
    network = always(crisis, urgent)
    classifier = Classifier(
        version="always",
        encoder_fingerprint="",
        vocabulary={},
        with_meaning=network,
        words_alone=network,
    )
    return Screen(rules=load_rules(), classifier=classifier)


def messages(name: str) -> list[tuple[str, set[str]]]:
    lines = (GOLD / f"{name}.jsonl").read_text("utf-8").splitlines()
    return [(one["text"], set(one["expected"])) for one in map(json.loads, lines)]


def test_the_outputs_of_the_networks_are_the_codes() -> None:
    assert OUTPUTS == CODES == tuple(RINGS_FROM)


def test_a_sure_network_rings_where_no_rule_does() -> None:
    (alarm,) = screen_of(9.0, -9.0).alarms("hello")
    assert (alarm.code, alarm.rule) == ("crisis", BY_CLASSIFIER)


def test_a_rule_outvotes_an_unsure_network_and_not_a_very_sure_one() -> None:
    border = RINGS_FROM["crisis"] - RULE_ODDS
    (alarm,) = screen_of(border + 0.01, -99.0).alarms("i want to kill myself")
    assert alarm.code == "crisis"
    assert alarm.rule in {rule.id for rule in load_rules().rules}
    assert screen_of(border - 0.01, -99.0).alarms("i want to kill myself") == ()


def test_crisis_comes_first_and_each_code_once() -> None:
    assert [alarm.code for alarm in screen_of(9.0, 9.0).alarms("hello")] == ["crisis", "urgent_symptoms"]


def test_the_version_names_rules_and_networks() -> None:
    screen = load_screen()
    assert screen.version == f"{screen.rules.version}+{screen.classifier.version}"


def test_what_a_network_sees_are_words_pairs_and_pairs_around_a_word() -> None:
    assert grams("No FEVER, 39.5") == {
        *("no", "fever", "#"),
        *("< no", "no fever", "fever #", "# >"),
        *("< _ fever", "no _ #", "fever _ >"),
    }


def test_odds_are_those_of_one_hidden_layer() -> None:
    network = Network(
        words=np.array([[1, 0], [0, 2], [1, 1]], dtype=np.float32),
        meaning=np.array([[3, 0], [0, -9]], dtype=np.float32),
        bias=np.array([0.5, 0.5], dtype=np.float32),
        output=np.array([[1, -1], [2, 1]], dtype=np.float32),
        output_bias=np.array([0.25, 0.0], dtype=np.float32),
    )
    # Hidden: .5 + (1, 2) / sqrt(2) and then, with the vector, + (3, -9); below zero counts as zero.
    one, two = 0.5 + 1 / np.sqrt(2), 0.5 + 2 / np.sqrt(2)
    assert network.odds([0, 1], None).tolist() == pytest.approx([0.25 + one + 2 * two, two - one])
    vector = np.array([1, 1], dtype=np.float32)
    assert network.odds([0, 1], vector).tolist() == pytest.approx([0.25 + one + 3, -one - 3])
    assert network.odds([], None).tolist() == pytest.approx([0.25 + 1.5, 0.0])


def test_the_vector_of_another_encoder_is_not_looked_at(bundled: Encoder) -> None:
    classifier, text = load_classifier(), "my chest feels tight and my arm is numb"
    vector = bundled.encode_queries([text])[0]
    own = classifier.odds(text, vector, bundled.fingerprint)
    assert own != classifier.odds(text)
    assert classifier.odds(text, vector, "another") == classifier.odds(text)
    assert classifier.encoder_fingerprint == bundled.fingerprint


@given(st.text(max_size=300))
def test_any_text_has_odds(text: str) -> None:
    odds = load_classifier().odds(text)
    assert tuple(odds) == OUTPUTS
    assert np.isfinite(list(odds.values())).all()


@pytest.mark.parametrize("name", ["urgent-dev", "urgent-heldout", "urgent-rules"])
def test_what_was_found_once_is_not_lost(name: str, bundled: Encoder) -> None:
    """The networks were trained on these as well, so this measures nothing; docs/trust.md does."""
    screen, given_messages = load_screen(), messages(name)
    vectors = bundled.encode_queries([text for text, _ in given_messages])
    found = [
        {alarm.code for alarm in screen.alarms(text, vector, bundled.fingerprint)}
        for (text, _), vector in zip(given_messages, vectors, strict=True)
    ]
    assert share("crisis", given_messages, found) >= 0.99
    assert share("urgent_symptoms", given_messages, found) >= 0.97
    false = [bool(codes) for (_, expected), codes in zip(given_messages, found, strict=True) if not expected]
    assert np.mean(false) <= 0.02


def share(code: str, given_messages: Sequence[tuple[str, set[str]]], found: Sequence[set[str]]) -> float:
    hits = [
        code in codes for (_, expected), codes in zip(given_messages, found, strict=True) if code in expected
    ]
    return float(np.mean(hits))


def test_no_message_of_one_set_stands_in_another() -> None:
    sets = {
        name: {" ".join(sorted(grams(text))) for text, _ in messages(f"urgent-{name}")}
        for name in ("dev", "heldout", "train")
    }
    assert not sets["dev"] & sets["heldout"]
    assert not sets["train"] & (sets["dev"] | sets["heldout"])


def test_half_of_the_development_messages_are_hard_negatives() -> None:
    for name, least in (("urgent-dev", 300), ("urgent-heldout", 300)):
        given_messages = messages(name)
        assert len(given_messages) >= least
        assert sum(not expected for _, expected in given_messages) >= len(given_messages) / 2


def test_a_follow_up_is_screened_by_its_own_words(
    samples_index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its vector holds names of an earlier turn, which are no part of the message."""
    seen: list[bool] = []
    odds = Classifier.odds

    def watched(self: Classifier, text: str, vector: Vectors | None, fingerprint: str) -> dict[str, float]:
        seen.append(vector is not None)
        return odds(self, text, vector, fingerprint)

    monkeypatch.setattr(Classifier, "odds", watched)
    answerer = Answerer.open(samples_index)
    try:
        answerer.ask("does it cause fever?", history=["What is tarlatamab for?"])
        answerer.ask("does cisplatin cause fever?", history=["What is tarlatamab for?"])
    finally:
        answerer.close()
    assert seen == [False, True]


CRIES = (
    ("I want to kill myself.", "crisis"),
    ("I am coughing up blood.", "urgent_symptoms"),
    ("I have a fever of 103 and had chemo last week.", "urgent_symptoms"),
)
HARMLESS = ("Thank you for your help.", "My dog is called Rex.", "The weather is nice today.")


@pytest.mark.parametrize(("cry", "code"), CRIES)
def test_harmless_sentences_around_do_not_silence_a_cry(cry: str, code: str, bundled: Encoder) -> None:
    for message in (f"{cry} {' '.join(HARMLESS)}", f"{' '.join(HARMLESS)} {cry}", f"{HARMLESS[0]} {cry}"):
        vector = bundled.encode_queries([message])[0]
        assert code in {one.code for one in load_screen().alarms(message, vector, bundled.fingerprint)}


def test_questions_that_people_search_by_ring_seldom(bundled: Encoder) -> None:
    """The held-out questions were never trained on; the few that ring tell of a symptom."""
    lines = (GOLD / "confidence-heldout.jsonl").read_text("utf-8").splitlines()
    asked = [json.loads(line)["question"] for line in lines]
    vectors = bundled.encode_queries(asked)
    rung = [
        load_screen().alarms(text, vector, bundled.fingerprint)
        for text, vector in zip(asked, vectors, strict=True)
    ]
    assert sum(map(bool, rung)) <= 0.06 * len(asked)
