"""A confidence is a calibrated probability or nothing, and two thresholds make a status of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calling import call, stand_in
from constant_calibration import calibration
from hypothesis import given
from hypothesis import strategies as st
from keyword_encoder import KeywordEncoder
from little_index import fillers, little_index, page

from rag.answer.answer import LOW_CONFIDENCE_PASSAGES, PARTS
from rag.answer.answerer import Answerer
from rag.answer.confidence import FOLDER, Calibration, Status, file_name, find_calibration, status_of
from rag.answer.evidence import EVIDENCE_NAMES, Evidence
from rag.answer.policy import ANSWERED_FROM, UNCERTAIN_FROM, AnswerPolicy
from rag.config import Settings
from rag.encoders.base import Encoder
from rag.errors import SettingsError
from rag.index.filters import Filters
from rag.index.local.local_index import LocalIndex
from rag.search.retriever import Retriever

KEYWORDS = KeywordEncoder()
NOTHING = Evidence(**dict.fromkeys(EVIDENCE_NAMES, 0.0))
NO_VECTOR = np.zeros(KEYWORDS.dim, dtype=np.float32)
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> LocalIndex:
    pages = {"hot": page("A fever means that you should call."), "sick": page("Nausea may come.")}
    return little_index(tmp_path_factory.mktemp("confidence"), pages | fillers())


def answerer(index: LocalIndex, made: Calibration | None, **policy: Any) -> Answerer:
    return Answerer(Retriever(index, KEYWORDS), calibration=made, policy=AnswerPolicy(**policy))


def up(value: float) -> float:
    return math.nextafter(value, 2)


def down(value: float) -> float:
    return math.nextafter(value, -1)


# The probability


@given(st.lists(st.floats(-30, 30), min_size=len(EVIDENCE_NAMES), max_size=len(EVIDENCE_NAMES)), st.data())
def test_it_is_the_logistic_of_a_weighted_sum(values: list[float], data: st.DataObject) -> None:
    number = st.floats(-3, 3)
    weights = {name: data.draw(number) for name in EVIDENCE_NAMES}
    axes = {axis: data.draw(number) for axis in range(KEYWORDS.dim)}
    made = calibration(KEYWORDS, 0.5, weights=weights, meaning=axes)
    shifted = {
        name: weight.model_copy(update={"mean": 0.5, "scale": 2.0}) for name, weight in made.evidence.items()
    }
    share = made.meaning.share.model_copy(update={"mean": -0.25, "scale": 0.5, "weight": 0.7})
    meaning = made.meaning.model_copy(update={"intercept": 0.1, "share": share})
    made = made.model_copy(update={"evidence": shifted, "meaning": meaning, "intercept": -0.3})
    evidence = Evidence(**dict(zip(EVIDENCE_NAMES, values, strict=True)))
    vector = np.linspace(-1, 1, KEYWORDS.dim).astype(np.float32)
    odds = -0.3 + sum(weights[name] * (getattr(evidence, name) - 0.5) / 2 for name in EVIDENCE_NAMES)
    told = 0.1 + sum(axes[axis] * float(vector[axis]) for axis in axes)
    odds += 0.7 * (told + 0.25) / 0.5
    assert made.probability(evidence, vector) == pytest.approx(0.5 * (1 + math.tanh(odds / 2)), abs=1e-12)


@pytest.mark.parametrize(("odds", "probability"), [(-5000.0, 0.0), (5000.0, 1.0), (0.0, 0.5)])
def test_odds_beyond_all_bounds_overflow_nothing(odds: float, probability: float) -> None:
    made = calibration(KEYWORDS, 0.5, weights={"nearest": odds})
    assert made.probability(replace(NOTHING, nearest=1.0), NO_VECTOR) == probability


@given(st.floats(-50, 50), st.floats(-50, 50))
def test_more_of_what_speaks_for_it_never_lowers_it(one: float, other: float) -> None:
    made = calibration(KEYWORDS, 0.3, weights={"matched": 2.0})
    low, high = (made.probability(replace(NOTHING, matched=x), NO_VECTOR) for x in sorted((one, other)))
    assert 0 <= low <= high <= 1


# The status


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_the_thresholds_belong_to_the_better_side(confidence: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    status = status_of(confidence, found=True, answered_from=high, uncertain_from=low)
    expected = [Status.NO_ANSWER, Status.UNCERTAIN, Status.ANSWERED]
    assert status is expected[(confidence >= low) + (confidence >= high)]


@pytest.mark.parametrize(
    ("confidence", "status"),
    [
        (ANSWERED_FROM, "answered"),
        (down(ANSWERED_FROM), "uncertain"),
        (UNCERTAIN_FROM, "uncertain"),
        (down(UNCERTAIN_FROM), "no_answer"),
        (1.0, "answered"),
        (0.0, "no_answer"),
        (math.nan, "no_answer"),
    ],
)
def test_by_default_the_borders_are_where_the_policy_says(confidence: float, status: str) -> None:
    thresholds = {"answered_from": ANSWERED_FROM, "uncertain_from": UNCERTAIN_FROM}
    assert status_of(confidence, found=True, **thresholds) == status
    assert status_of(confidence, found=False, **thresholds) == "no_answer"


def test_without_a_confidence_nothing_counts_as_answered() -> None:
    for found, status in ((True, "uncertain"), (False, "no_answer")):
        assert status_of(None, found=found, answered_from=0.0, uncertain_from=0.0) == status


@pytest.mark.parametrize(
    ("answered_from", "uncertain_from"),
    [(0.2, 0.3), (1.1, 0.5), (0.5, -0.1), (math.nan, 0.1), (0.5, math.nan), (math.inf, 0.5)],
)
def test_thresholds_that_contradict_each_other_are_refused(
    answered_from: float, uncertain_from: float
) -> None:
    with pytest.raises(SettingsError, match="0 <= uncertain_from <= answered_from <= 1"):
        AnswerPolicy(answered_from=answered_from, uncertain_from=uncertain_from)


def test_policy_and_settings_have_the_same_thresholds() -> None:
    fields = Settings.model_fields
    told = (fields["answered_from"].default, fields["uncertain_from"].default)
    assert told == (ANSWERED_FROM, UNCERTAIN_FROM)


# In an answer


@pytest.mark.parametrize("threshold", ["answered_from", "uncertain_from"])
def test_at_exactly_a_threshold_the_better_status_is_told_and_a_hair_below_the_worse(
    threshold: str, index: LocalIndex
) -> None:
    made = calibration(KEYWORDS, 0.37)
    confidence = answerer(index, made).ask("fever").confidence
    assert confidence is not None
    assert confidence == pytest.approx(0.37)
    other = {"uncertain_from": 0.0} if threshold == "answered_from" else {"answered_from": 1.0}
    better, worse = {
        "answered_from": ("answered", "uncertain"),
        "uncertain_from": ("uncertain", "no_answer"),
    }[threshold]
    assert answerer(index, made, **{threshold: confidence}, **other).ask("fever").status == better
    assert answerer(index, made, **{threshold: up(confidence)}, **other).ask("fever").status == worse


def test_without_a_calibration_there_is_no_confidence_and_passages_are_uncertain(index: LocalIndex) -> None:
    answer = answerer(index, None).ask("fever")
    assert (answer.status, answer.confidence) == ("uncertain", None)
    assert answer.passages
    assert answer.answer


@pytest.mark.parametrize("made", [None, calibration(KEYWORDS, 0.99)])
def test_where_nothing_is_found_there_is_no_answer_and_no_confidence(
    made: Calibration | None, index: LocalIndex
) -> None:
    nothing = Filters(doc_id=("no such page",))
    answer = answerer(index, made).ask("fever", filters=nothing, include=PARTS)
    assert (answer.status, answer.confidence) == ("no_answer", None)
    assert (answer.answer, answer.passages) == (None, ())


def test_no_answer_has_no_passages_and_no_sentences_unless_passages_are_asked_for(index: LocalIndex) -> None:
    doubtful = answerer(index, calibration(KEYWORDS, 0.01))
    for include in ((), ("receipt",), ("timings",)):
        answer = doubtful.ask("fever", include=include)
        assert (answer.status, answer.answer, answer.passages) == ("no_answer", None, ())
        assert answer.confidence == pytest.approx(0.01)
    answer = doubtful.ask("fever", include=[LOW_CONFIDENCE_PASSAGES])
    assert (answer.status, answer.answer) == ("no_answer", None)
    assert answer.passages == answerer(index, None).ask("fever").passages


def test_asking_for_low_confidence_passages_changes_no_answer_that_has_some(index: LocalIndex) -> None:
    sure = answerer(index, calibration(KEYWORDS, 0.9))
    plain, asked = (sure.ask("fever", include=include) for include in ((), (LOW_CONFIDENCE_PASSAGES,)))
    assert (plain.status, plain.answer, plain.passages) == (asked.status, asked.answer, asked.passages)


def test_a_notice_is_told_even_where_nothing_answers(index: LocalIndex) -> None:
    answer = answerer(index, calibration(KEYWORDS, 0.01)).ask("I want to kill myself")
    assert (answer.status, answer.passages) == ("no_answer", ())
    assert [notice.code for notice in answer.notices] == ["crisis"]


class LongestFirst:
    """Orders hits by the length of their text."""

    name = "longest"

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:  # noqa: ARG002
        return [float(len(text)) for text in texts]


def test_a_reranker_changes_no_confidence_by_the_number_of_passages(tmp_path: Path) -> None:
    pages = {f"p-{n:02}": page("Fever. " * (60 - n) + "Nausea. " * n, title=f"Zp{n}") for n in range(60)}
    index = little_index(tmp_path, pages | fillers())
    retriever = Retriever(index, KEYWORDS, reranker=LongestFirst())
    made = calibration(KEYWORDS, weights={"nearest": 3.0, "matched": -2.0})
    asked = Answerer(retriever, calibration=made)
    confidences = [asked.ask("fever", top_k=top_k).confidence for top_k in (1, 5, 30, 31, 50)]
    assert len(set(confidences)) == 1


# Which calibration


def kept(made: Calibration, folder: Path) -> Path:
    """Write it as the one of an index folder."""
    file = folder / FOLDER / file_name(made.encoder_fingerprint)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(made.model_dump_json(), encoding="utf-8")
    return file


def test_the_bundled_encoder_has_one_that_comes_with_citewell(bundled: Encoder) -> None:
    found = find_calibration(bundled.fingerprint)
    assert found is not None
    assert found.encoder_fingerprint == bundled.fingerprint
    assert len(found.meaning.weights) == bundled.dim


def test_an_encoder_that_nobody_calibrated_has_none(tmp_path: Path) -> None:
    assert find_calibration(KEYWORDS.fingerprint, tmp_path) is None
    assert find_calibration(KEYWORDS.fingerprint, tmp_path / "none") is None


def test_a_named_file_wins_over_that_of_the_folder_and_that_over_the_packaged(
    tmp_path: Path, bundled: Encoder
) -> None:
    packaged = find_calibration(bundled.fingerprint, tmp_path)
    of_folder = calibration(bundled, 0.25)
    kept(of_folder, tmp_path)
    assert find_calibration(bundled.fingerprint, tmp_path) == of_folder != packaged
    named = tmp_path / "mine.json"
    named.write_text(calibration(bundled, 0.75).model_dump_json())
    assert find_calibration(bundled.fingerprint, tmp_path, path=named) == calibration(bundled, 0.75)


BROKEN: dict[str, Change] = {
    "it weighs ['corpus', 'first_person', 'instruction', 'length', 'matched', 'own": (
        lambda c: c["evidence"].pop("nearest")
    ),
    "'more'": lambda c: c["evidence"].update(more=c["evidence"]["nearest"]),
    "evidence.length.scale": lambda c: c["evidence"]["length"].update(scale=0),
    "evidence.length.weight": lambda c: c["evidence"]["length"].update(weight=math.nan),
    "meaning.weights.3": lambda c: c["meaning"]["weights"].__setitem__(3, math.inf),
    "intercept": lambda c: c.update(intercept=math.nan),
    "version": lambda c: c.update(version=2),
    "meaning": lambda c: c.pop("meaning"),
    "surplus": lambda c: c.update(surplus=1),
    "belongs to the encoder 'keywords'": lambda c: c.update(encoder_fingerprint="f" * 64),
}


@pytest.mark.parametrize("told", BROKEN)
@pytest.mark.parametrize("where", ["named", "folder"])
def test_a_calibration_that_cannot_be_used_is_refused_by_name_with_what_mends_it(
    told: str, where: str, tmp_path: Path
) -> None:
    content = calibration(KEYWORDS).model_dump()
    BROKEN[told](content)
    file = kept(calibration(KEYWORDS), tmp_path)
    file.write_text(json.dumps(content))
    path = file if where == "named" else None
    with pytest.raises(SettingsError, match="rag evaluate calibrate") as refused:
        find_calibration(KEYWORDS.fingerprint, tmp_path, path=path)
    assert told in str(refused.value)
    assert str(file) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_no_calibration_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"c\.json"):
        find_calibration(KEYWORDS.fingerprint, path=file)


@pytest.mark.parametrize("name", ["none.json", "."])
def test_a_named_file_that_cannot_be_read_is_never_passed_over(
    name: str, tmp_path: Path, bundled: Encoder
) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        find_calibration(bundled.fingerprint, path=tmp_path / name)


def test_a_calibration_for_shorter_vectors_is_refused_before_anything_is_asked(index: LocalIndex) -> None:
    made = calibration(KEYWORDS)
    short = made.model_copy(update={"meaning": made.meaning.model_copy(update={"weights": [1.0]})})
    with pytest.raises(SettingsError, match="weighs 1 numbers of a vector, but those of 'keywords' have 9"):
        answerer(index, short)


def test_a_calibration_of_another_encoder_is_refused_when_it_is_handed_over(index: LocalIndex) -> None:
    with pytest.raises(SettingsError, match="belongs to the encoder 'keywords'"):
        answerer(index, calibration(KeywordEncoder(["a", "b", "c", "d", "e", "f", "g", "h"])))


def test_the_command_takes_the_calibration_of_the_variable_and_refuses_a_broken_one_in_one_line(
    samples_index: Path, tmp_path: Path, bundled: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, samples_index, monkeypatch)
    (tmp_path / "mine.json").write_text(calibration(bundled, 0.42).model_dump_json())
    variables = {"RAG_INDEX": str(samples_index), "RAG_CALIBRATION": "mine.json"}
    answer = json.loads(call("ask", "pain", "--json", **variables).out)
    assert (answer["status"], answer["confidence"]) == ("uncertain", 0.42)
    assert json.loads(call("ask", "pain", "--json", **variables, RAG_ANSWERED_FROM="0.41").out)["status"] == (
        "answered"
    )
    (tmp_path / "mine.json").write_text("{")
    for command in (["ask", "pain"], ["serve"]):
        line = call(*command, **variables).line
        assert line.startswith("rag: the calibration mine.json cannot be used: ")
    (tmp_path / "mine.json").write_text(calibration(KEYWORDS).model_dump_json())
    line = call("ask", "pain", **variables).line
    assert line.startswith("rag: the calibration mine.json belongs to the encoder 'keywords'")


def test_an_index_is_opened_with_the_calibration_made_for_it(tmp_path: Path) -> None:
    built = little_index(tmp_path, {"hot": page("A fever means that you should call.")})
    built.close()
    root = tmp_path / "index"
    assert Answerer.open(root, encoder=KEYWORDS).ask("fever").confidence is None
    kept(calibration(KEYWORDS, 0.8), root)
    assert Answerer.open(root, encoder=KEYWORDS).ask("fever").confidence == pytest.approx(0.8)
    named = AnswerPolicy(calibration=kept(calibration(KEYWORDS, 0.7), tmp_path))
    assert Answerer.open(root, encoder=KEYWORDS, policy=named).ask("fever").confidence == pytest.approx(0.7)
