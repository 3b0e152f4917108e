"""A receipt asked again is identical, or what differs is told by its place."""

from __future__ import annotations

import copy
import json
import math
import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from calling import Rag, Result, call, stand_in
from hypothesis import given
from hypothesis import strategies as st
from keyword_encoder import KeywordEncoder
from little_index import page

from rag.answer.answer import LOW_CONFIDENCE_PASSAGES, RECEIPT
from rag.answer.answerer import Answerer
from rag.answer.policy import AnswerPolicy
from rag.answer.replay import is_comparable, read_receipt, replay, version_of
from rag.errors import InvalidRequest
from rag.index.builder import build_index
from rag.index.filters import Filters

KEY = "a key for these tests"
QUESTION = "What helps against nausea?"
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def samples(samples_index: Path) -> Iterator[Answerer]:
    answerer = Answerer.open(samples_index, policy=AnswerPolicy(hash_key=KEY))
    yield answerer
    answerer.close()


@pytest.fixture
def receipt(samples: Answerer) -> dict[str, Any]:
    return made(samples)


def made(answerer: Answerer, question: str = QUESTION, **options: Any) -> dict[str, Any]:
    """A receipt as it comes back from a file."""
    include = (RECEIPT, *options.pop("include", ()))
    content: dict[str, Any] = json.loads(
        json.dumps(answerer.ask(question, include=include, **options).receipt)
    )
    return content


# Identical


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"top_k": 50},
        {"as_of": date(1999, 12, 31)},
        {"strict_license": True},
        {"include": [LOW_CONFIDENCE_PASSAGES]},
        {"filters": Filters(audience=("professional",), last_reviewed_after=date(2020, 1, 1))},
        {"filters": Filters(doc_id=("none",))},
    ],
)
def test_the_same_question_is_identical_whatever_was_asked_for(
    options: dict[str, Any], samples: Answerer
) -> None:
    assert replay(made(samples, **options), samples, QUESTION) == []


def test_a_follow_up_is_identical_with_its_history_only(samples: Answerer) -> None:
    history = ("What is cisplatin?",)
    got = made(samples, "What about its side effects?", history=history)
    assert replay(got, samples, "What about its side effects?", history) == []
    places = [
        line.partition(":")[0] for line in replay(got, samples, "What about its side effects?", ["Hello!"])
    ]
    assert "question.history[0]" in places
    assert any(place.startswith("passages[0]") for place in places)
    lines = replay(got, samples, "What about its side effects?")
    assert any(line.startswith("question.history[0]: was ") and line.endswith("is nothing") for line in lines)


def test_asking_again_changes_no_receipt(receipt: dict[str, Any], samples: Answerer) -> None:
    before = copy.deepcopy(receipt)
    replay(receipt, samples, QUESTION + "?")
    assert receipt == before


# What differs


def test_another_question_differs_by_its_hash_first(receipt: dict[str, Any], samples: Answerer) -> None:
    lines = replay(receipt, samples, "Will my hair fall out?")
    assert lines[0].startswith('question.hash: was "')
    assert any(line.startswith("passages[0].chunk_id: was ") for line in lines)


TAMPERED: dict[str, Change] = {
    "sentences[0].start": lambda r: r["sentences"][0].update(start=0),
    "passages[1].sha256": lambda r: r["passages"][1].update(sha256="0" * 64),
    "passages[4]": lambda r: r["passages"].pop(),
    "passages[5]": lambda r: r["passages"].append({"rank": 6}),
    "decisions.status": lambda r: r["decisions"].update(status="uncertain"),
    "decisions.confidence": lambda r: r["decisions"].update(confidence=None),
    "decisions.notices": lambda r: r["decisions"].pop("notices"),
    "settings.answered_from": lambda r: r["settings"].update(answered_from=0.0),
    "settings": lambda r: r.pop("settings"),
    "code_version": lambda r: r.update(code_version="9.9.9"),
    "index.id": lambda r: r["index"].update(id="another"),
    "index": lambda r: r.update(index="another"),
    "question.hash": lambda r: r["question"].update(hash="0" * 64),
    "question": lambda r: r.update(question=[]),
    "question.key_id": lambda r: r["question"].pop("key_id"),
    "more": lambda r: r.update(more=1),
    "request.strict_license": lambda r: r["request"].update(strict_license="no"),
    "request.top_k": lambda r: r["request"].update(top_k=5.5),
}


@pytest.mark.parametrize("place", TAMPERED)
def test_a_receipt_that_was_tampered_with_tells_where(
    place: str, receipt: dict[str, Any], samples: Answerer
) -> None:
    TAMPERED[place](receipt)
    lines = replay(receipt, samples, QUESTION)
    assert any(line.startswith(f"{place}: was ") for line in lines)
    if place != "request.strict_license":
        assert len(lines) == 1


def test_another_setting_is_told_with_what_it_was_and_what_it_is(
    receipt: dict[str, Any], samples_index: Path
) -> None:
    other = Answerer.open(samples_index, policy=AnswerPolicy(hash_key=KEY, locale="en-GB", answered_from=1.0))
    assert replay(receipt, other, QUESTION) == [
        "settings.answered_from: was 0.6, is 1.0",
        'settings.locale: was "en-US", is "en-GB"',
        'decisions.status: was "answered", is "uncertain"',
    ]
    other.close()


def test_with_another_key_all_but_the_question_is_compared(
    receipt: dict[str, Any], samples_index: Path
) -> None:
    other = Answerer.open(samples_index, policy=AnswerPolicy(hash_key=KEY + "!"))
    assert not is_comparable(receipt, other.question_hash.key_id)
    assert replay(receipt, other, QUESTION) == []
    assert replay(receipt, other, "Will my hair fall out?") != []
    other.close()


def test_with_the_same_key_the_question_is_compared(receipt: dict[str, Any], samples: Answerer) -> None:
    assert is_comparable(receipt, samples.question_hash.key_id)


# Receipts that are none


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda r: r["request"].pop("top_k"), "its request cannot be asked"),
        (lambda r: r["request"].update(top_k=math.inf), "its request cannot be asked"),
        (lambda r: r["request"].update(top_k=math.nan), "its request cannot be asked"),
        (lambda r: r["request"].update(top_k=None), "its request cannot be asked"),
        (lambda r: r["request"].update(top_k=0), "top_k: is 0"),
        (lambda r: r["request"].update(as_of="soon"), "its request cannot be asked"),
        (lambda r: r["request"].update(as_of=20260101), "its request cannot be asked"),
        (lambda r: r["request"].update(filters=None), "its request cannot be asked"),
        (lambda r: r["request"].update(filters=["lung"]), "its request cannot be asked"),
        (lambda r: r["request"].update(filters={"tumor": ["lung"]}), "filters.tumor: is no filter"),
        (lambda r: r.update(request=[]), "its request cannot be asked"),
        (lambda r: r.update(request=None), "its request cannot be asked"),
    ],
)
def test_a_request_that_cannot_be_asked_is_refused(
    change: Change, told: str, receipt: dict[str, Any], samples: Answerer
) -> None:
    change(receipt)
    with pytest.raises(InvalidRequest, match=told):
        replay(receipt, samples, QUESTION)


@pytest.mark.parametrize("question", ["", "x" * 2001, "\ud800"])
def test_a_question_out_of_bounds_is_no_fault_of_the_receipt(
    question: str, receipt: dict[str, Any], samples: Answerer
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        replay(receipt, samples, question)
    assert refused.value.field == "question"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 200_000, "is not JSON"),
        (b"null", "holds no receipt"),
        (b"[]", "holds no receipt"),
        (b'"receipt"', "holds no receipt"),
        (b'{"receipt": null}', "holds no receipt"),
        (b'{"status": "answered"}', "holds no receipt"),
        (b'{"version": 2, "request": {}}', "has version 2, expected 1"),
        (b'{"request": {}}', "has version None, expected 1"),
    ],
)
def test_a_file_without_a_receipt_is_refused_by_name(content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(InvalidRequest, match=told) as refused:
        read_receipt(tmp_path / "r.json")
    assert str(tmp_path / "r.json") in str(refused.value)
    assert refused.value.field == "receipt"


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(InvalidRequest, match="cannot be read"):
            read_receipt(path)


def test_a_receipt_is_read_by_itself_or_within_its_answer(receipt: dict[str, Any], tmp_path: Path) -> None:
    for content in (receipt, {"status": "answered", "receipt": receipt}):
        (tmp_path / "r.json").write_text(json.dumps(content))
        assert read_receipt(tmp_path / "r.json") == receipt


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["question", "index", "version"]), _VALUES))
def test_whatever_a_receipt_holds_where_it_comes_from_can_be_looked_up(content: dict[str, Any]) -> None:
    assert version_of(content, Path("/nowhere")) is None
    assert is_comparable(content, "\0no such key") in (True, False)


# Versions


@pytest.mark.parametrize("index_id", ["..", "../..", "/", "", ".", "none", None, 1, ["a"]])
def test_only_a_version_of_the_folder_is_looked_up(index_id: Any, samples_index: Path) -> None:
    assert version_of({"index": {"id": index_id}}, samples_index) is None


def test_the_version_that_answered_is_known_where_the_folder_still_has_it(
    receipt: dict[str, Any], samples_index: Path
) -> None:
    assert version_of(receipt, samples_index) == (samples_index / "current").read_text().strip()


def build(folder: Path, body: str) -> None:
    (folder / "seeds").mkdir(exist_ok=True)
    (folder / "seeds" / "a.md").write_text(page(body))
    build_index(folder / "seeds", folder / "index", KeywordEncoder())


def test_an_older_version_answers_as_it_did_and_the_new_one_tells_what_changed(tmp_path: Path) -> None:
    build(tmp_path, "A fever means that you should call.")
    with_key: dict[str, Any] = {"encoder": KeywordEncoder(), "policy": AnswerPolicy(hash_key=KEY)}
    got = made(Answerer.open(tmp_path / "index", **with_key), "fever")
    build(tmp_path, "A fever means that you should call at once.")
    old = version_of(got, tmp_path / "index")
    assert old
    assert replay(got, Answerer.open(tmp_path / "index", version=old, **with_key), "fever") == []
    lines = replay(got, Answerer.open(tmp_path / "index", **with_key), "fever")
    places = {line.partition(":")[0] for line in lines}
    assert {"index.id", "passages[0].sha256", "passages[0].end", "sentences[0].end"} <= places
    shutil.rmtree(tmp_path / "index" / "versions" / old)
    assert version_of(got, tmp_path / "index") is None


# On the command line


@pytest.fixture
def rag(tmp_path: Path, samples_index: Path, monkeypatch: pytest.MonkeyPatch) -> Rag:
    """In an empty folder whose index is that of the samples, without its key."""
    stand_in(tmp_path, samples_index, monkeypatch)
    for name in ("current", "versions"):
        (tmp_path / "index" / name).symlink_to(samples_index / name)
    return call


@pytest.fixture
def answer(rag: Rag, tmp_path: Path) -> Path:
    """An answer with its receipt, as `rag ask` printed it."""
    result = rag("ask", QUESTION, "--json", "--include", "receipt")
    (tmp_path / "answer.json").write_text(result.out)
    return tmp_path / "answer.json"


def replayed(rag: Rag, file: Path, *options: str, question: str = QUESTION, **variables: str) -> Result:
    return rag("replay", str(file), "--question", question, *options, **variables)


def test_the_command_says_identical_and_nothing_else(rag: Rag, answer: Path) -> None:
    result = replayed(rag, answer)
    assert (result.status, result.out, result.err) == (0, "identical\n", "")


def test_the_command_says_a_line_for_all_that_differs_and_ends_with_one(rag: Rag, answer: Path) -> None:
    result = replayed(rag, answer, RAG_LOCALE="en-GB", RAG_ANSWERED_FROM="1")
    assert result.status == 1
    assert result.out.splitlines() == [
        "settings.answered_from: was 0.6, is 1.0",
        'settings.locale: was "en-US", is "en-GB"',
        'decisions.status: was "answered", is "uncertain"',
    ]
    assert result.err == ""
    assert QUESTION not in replayed(rag, answer, question="Will my hair fall out?").out


def test_the_command_says_when_the_question_cannot_be_compared(rag: Rag, answer: Path) -> None:
    result = replayed(rag, answer, RAG_HASH_KEY="another key of theirs")
    assert (result.status, result.err) == (1, "")
    assert result.out == "identical, but for the question: it was hashed with another key\n"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"receipt": null}', '{"version": 1, "request": []}'])
def test_the_command_refuses_what_is_no_receipt_in_one_line(content: str, rag: Rag, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(content)
    result = replayed(rag, tmp_path / "r.json")
    assert result.line.startswith("rag: receipt: ")


def test_the_command_refuses_a_file_that_is_not_there_in_one_line(rag: Rag) -> None:
    result = replayed(rag, Path("none.json"))
    assert result.line == "rag: receipt: none.json cannot be read: No such file or directory"
