"""`rag evaluate calibrate`: what it writes is what answers then use, and what cannot be done is told."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from calling import Result, call, stand_in

from rag.answer.answerer import Answerer
from rag.answer.confidence import FOLDER, Calibration, file_name
from rag.answer.policy import DEFAULT_POLICY, AnswerPolicy
from rag.encoders.base import Encoder
from rag.errors import InvalidRequest
from rag.evaluate.calibrate import FEWEST
from rag.evaluate.calibrating import CalibrationRequest, carry_out
from rag.index.builder import build_index

GOLD = Path(__file__).parent / "gold"
QUESTION = "what can I do about mouth sores"


def lines_of(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (GOLD / name).read_text(encoding="utf-8").splitlines()]


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def copied(index: Path, folder: Path) -> Path:
    """The same index in a folder of the test's own."""
    return Path(shutil.copytree(index, folder / "copied", symlinks=True))


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty gold questions that the samples answer and thirty that nothing answers."""
    gold = lines_of("seeds.jsonl")
    answerable = [line for line in gold if line["relevant"]]
    unanswerable = [line for line in gold if not line["relevant"]]
    file = tmp_path_factory.mktemp("questions") / "questions.jsonl"
    return write(file, [*answerable[:200:7], *unanswerable[:30]])


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, samples_index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, samples_index, monkeypatch)


@pytest.fixture(scope="module")
def index(samples_index: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(samples_index, tmp_path_factory.mktemp("calibrated"))


@pytest.fixture(scope="module")
def made(index: Path, questions: Path) -> Result:
    """The command as a person calls it; the calibration lies in `index` from then on."""
    return call("evaluate", "calibrate", str(questions), "--index", str(index), "--json")


def calibration_in(index: Path, encoder: Encoder) -> Path:
    return index / FOLDER / file_name(encoder.fingerprint)


def confidence(root: Path, **policy: Any) -> float:
    answerer = Answerer.open(root, policy=AnswerPolicy(**policy))
    found = answerer.ask(QUESTION).confidence
    answerer.close()
    assert found is not None
    return found


def measured_confidence(index: Path, file: Path, **variables: str) -> float:
    """What `--measure` says of `QUESTION`."""
    result = call(
        "evaluate", "calibrate", str(file), "--index", str(index), "--measure", "--json", **variables
    )
    assert (result.status, result.err) == (0, "")
    return float(json.loads(result.out)["confidences"]["mouth"])


@pytest.fixture
def with_mouth(questions: Path, tmp_path: Path) -> Path:
    """The questions and `QUESTION`."""
    lines = [json.loads(line) for line in questions.read_text(encoding="utf-8").splitlines()]
    asked = {"query_id": "mouth", "question": QUESTION, "answerable": True}
    return write(tmp_path / "with-mouth.jsonl", [*lines, asked])


# What is written


def test_the_calibration_is_written_beside_the_versions_for_the_encoder(
    made: Result, index: Path, bundled: Encoder
) -> None:
    file = calibration_in(index, bundled)
    assert (made.status, made.err.split()) == (0, ["Written", "to", f"{file}."])
    calibration = Calibration.model_validate_json(file.read_text(encoding="utf-8"))
    assert calibration.encoder_fingerprint == bundled.fingerprint
    assert sum(calibration.fitted_on.values()) == 59
    assert [one.name for one in file.parent.iterdir()] == [file.name]


def test_the_json_holds_the_figures_and_the_confidence_of_every_question(
    made: Result, index: Path, bundled: Encoder, questions: Path
) -> None:
    value = json.loads(made.out)
    ids = [json.loads(line)["query_id"] for line in questions.read_text(encoding="utf-8").splitlines()]
    assert list(value["confidences"]) == ids
    assert value["questions"] == len(ids) == 59
    assert all(0 <= one <= 1 for one in value["confidences"].values())
    stored = Calibration.model_validate_json(calibration_in(index, bundled).read_text(encoding="utf-8"))
    assert stored.measured == {name: round(value[name], 4) for name in stored.measured}
    assert set(stored.measured) == {"auc_answerable", "auc_answered", "calibration_error"}


def test_answers_use_it_in_place_of_the_one_that_comes_with_citewell(
    made: Result, index: Path, samples_index: Path, with_mouth: Path
) -> None:
    assert made.status == 0
    own, packaged = confidence(index), confidence(samples_index)
    assert own != packaged
    assert measured_confidence(index, with_mouth) == round(own, 4)
    assert measured_confidence(samples_index, with_mouth) == round(packaged, 4)


def test_a_calibration_outlives_the_next_version_of_the_index(
    made: Result, index: Path, bundled: Encoder, seeds_folder: Path, tmp_path: Path
) -> None:
    assert made.status == 0
    root = copied(index, tmp_path)
    fewer = Path(shutil.copytree(seeds_folder, tmp_path / "fewer"))
    (fewer / "drugs" / "tarlatamab.md").unlink()
    before = (root / "current").read_text(encoding="utf-8")
    build_index(fewer, root, bundled)
    assert (root / "current").read_text(encoding="utf-8") != before
    kept, first = (calibration_in(one, bundled).read_bytes() for one in (root, index))
    assert kept == first
    # One page less is no reason to think otherwise of a question about another one.
    assert confidence(root) == pytest.approx(confidence(index), abs=0.05)


def test_out_writes_elsewhere_and_a_setting_takes_it_from_there(
    samples_index: Path, questions: Path, with_mouth: Path, tmp_path: Path
) -> None:
    root, out = copied(samples_index, tmp_path), tmp_path / "new" / "mine.json"
    result = call(
        *("evaluate", "calibrate", str(questions), "--index", str(root)), *("--out", str(out), "--markdown")
    )
    assert result.status == 0
    assert not (root / FOLDER).exists()
    assert [one.name for one in out.parent.iterdir()] == ["mine.json"]
    own = confidence(root, calibration=out)
    assert own != confidence(root)
    assert measured_confidence(root, with_mouth, RAG_CALIBRATION=str(out)) == round(own, 4)
    assert_is_markdown_with_diagrams(result.out)


def assert_is_markdown_with_diagrams(text: str) -> None:
    titles = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert titles == ["Confidence", "Reliability", "Risk and coverage", "Status"]
    diagrams = re.findall(r"^```mermaid\nxychart-beta\n(.*?)\n```$", text, re.MULTILINE | re.DOTALL)
    assert len(diagrams) == 2
    for diagram in diagrams:
        ticks, *series = re.findall(r"\[(.*)\]$", diagram, re.MULTILINE)
        assert {len(one.split(", ")) for one in series} == {len(ticks.split(", "))}
    assert "59 questions, by cross-validation: the documents answer 29, and the top passages " in text


# What is only measured


def test_measuring_writes_nothing_and_says_what_it_measures(
    samples_index: Path, questions: Path, tmp_path: Path
) -> None:
    root = copied(samples_index, tmp_path)
    before = sorted(one.name for one in root.iterdir())
    arguments = ("evaluate", "calibrate", str(questions), "--index", str(root), "--measure")
    result = call(*arguments, RAG_ANSWERED_FROM="1", RAG_UNCERTAIN_FROM="0")
    assert (result.status, result.err) == (0, "")
    assert sorted(one.name for one in root.iterdir()) == before
    assert "59 questions, by the calibration in use" in result.out
    assert "cross-validation" not in result.out
    # The thresholds are those of the settings: nothing is certain, and nothing is worth less than 0.
    assert "answered from 1.0, uncertain from 0.0." in result.out
    rows = [line.split() for line in result.out.splitlines() if line.startswith(("yes ", "no "))]
    assert {(row[2], row[4]) for row in rows} == {("0", "0")}
    assert sum(int(row[3]) for row in rows) == 59


def test_without_a_calibration_there_is_none_to_measure(
    samples_index: Path, questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.answer.confidence.FOLDER", "no-calibrations-here")
    line = call("evaluate", "calibrate", str(questions), "--index", str(samples_index), "--measure").line
    assert line == (
        f"rag: there is no calibration for the encoder of {samples_index}; leave out --measure to make one"
    )


# What cannot be done


def test_a_file_that_is_not_there_is_named_before_anything_is_asked(samples_index: Path) -> None:
    line = call("evaluate", "calibrate", "none.jsonl", "--index", str(samples_index)).line
    assert line.startswith("rag: none.jsonl: cannot be read")


def test_too_few_questions_are_refused_and_nothing_is_written(samples_index: Path, tmp_path: Path) -> None:
    root = copied(samples_index, tmp_path)
    write(tmp_path / "few.jsonl", [line for line in lines_of("seeds.jsonl") if not line["relevant"]])
    line = call("evaluate", "calibrate", "few.jsonl", "--index", str(root)).line
    expected = f"hold 0 that are answered by the top passages; it takes {FEWEST} at the least"
    assert line == f"rag: questions: {expected}"
    assert not (root / FOLDER).exists()


def test_the_same_id_in_two_files_is_refused(samples_index: Path, questions: Path, tmp_path: Path) -> None:
    again = Path(shutil.copy(questions, tmp_path / "again.jsonl"))
    line = call("evaluate", "calibrate", str(questions), str(again), "--index", str(samples_index)).line
    assert line.startswith(f"rag: {again}:1: query_id: 'gold-001' comes twice")


def test_a_line_that_contradicts_itself_is_named(samples_index: Path, tmp_path: Path) -> None:
    bad = {"query_id": "q", "question": "Why?", "answerable": False, "answered": True}
    write(tmp_path / "bad.jsonl", [bad])
    line = call("evaluate", "calibrate", "bad.jsonl", "--index", str(samples_index)).line
    assert line == "rag: bad.jsonl:1: answered: is true though 'answerable' is false"


def test_without_an_index_it_is_said_how_to_make_one(questions: Path) -> None:
    line = call("evaluate", "calibrate", str(questions), "--index", "nowhere").line
    assert "rag index" in line


def test_measuring_into_a_file_is_refused_rather_than_forgotten(samples_index: Path, questions: Path) -> None:
    arguments = ("evaluate", "calibrate", str(questions), "--index", str(samples_index))
    line = call(*arguments, "--measure", "--out", "mine.json").line
    assert line.startswith("rag: out: is of no use with --measure")
    assert not Path("mine.json").exists()


@pytest.mark.parametrize("out", ["folder", ".", "taken/mine.json"])
def test_a_place_that_cannot_be_written_is_told_and_left_as_it_was(
    out: str, samples_index: Path, questions: Path, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    arguments = ("evaluate", "calibrate", str(questions), "--index", str(samples_index))
    line = call(*arguments, "--out", out).line
    assert re.fullmatch(rf"rag: out: {re.escape(out)} cannot be written \(.+\); choose another", line)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_index_folder_that_takes_no_calibration_is_told(
    samples_index: Path, questions: Path, tmp_path: Path
) -> None:
    root = copied(samples_index, tmp_path)
    (root / FOLDER).write_text("not a folder", encoding="utf-8")
    line = call("evaluate", "calibrate", str(questions), "--index", str(root)).line
    assert line.startswith(f"rag: out: {root / FOLDER}")
    assert "cannot be written" in line


def test_a_place_that_cannot_be_written_is_told_before_anything_is_asked(
    samples_index: Path, questions: Path, tmp_path: Path
) -> None:
    request = CalibrationRequest(questions=[questions], out=tmp_path, policy=DEFAULT_POLICY)
    with pytest.raises(InvalidRequest, match="cannot be written"):
        carry_out(request, samples_index, threads=None, watch=lambda *_: pytest.fail("a question was asked"))


def test_a_place_that_is_taken_while_the_questions_are_asked_gets_no_half_of_a_file(
    samples_index: Path, questions: Path, tmp_path: Path
) -> None:
    out = tmp_path / "late"
    request = CalibrationRequest(questions=[questions], out=out, policy=DEFAULT_POLICY)
    with pytest.raises(InvalidRequest, match="late cannot be written"):
        carry_out(request, samples_index, threads=None, watch=lambda *_: out.mkdir(exist_ok=True))
    assert [one.name for one in tmp_path.iterdir() if "late" in one.name] == ["late"]
    assert list(out.iterdir()) == []


# The group


@pytest.fixture
def few(questions: Path, tmp_path: Path) -> Path:
    """The first questions, enough to see that they are measured."""
    first = questions.read_text(encoding="utf-8").splitlines()[:5]
    return write(tmp_path / "few.jsonl", [json.loads(line) for line in first])


def means(*arguments: str) -> Any:
    result = call(*arguments)
    assert (result.status, result.err) == (0, "")
    return json.loads(result.out)["means"]


def test_the_first_subcommand_may_be_left_out_wherever_its_options_stand(
    samples_index: Path, few: Path
) -> None:
    file, options = str(few), ("--index", str(samples_index), "--json")
    named = means("evaluate", "retrieval", file, *options)
    assert means("evaluate", file, *options) == named
    assert means("evaluate", *options, file) == named


def test_the_help_without_a_subcommand_is_that_of_the_first_and_names_the_other() -> None:
    bare, named = call("evaluate", "--help"), call("evaluate", "retrieval", "--help")
    assert bare.status == named.status == 0
    assert bare.out == named.out
    assert "rag evaluate calibrate" in " ".join(bare.out.split())
    own = call("evaluate", "calibrate", "--help")
    assert own.status == 0
    assert all(option in own.out for option in ("--out", "--measure", "--json", "--markdown", "--index"))


def test_nothing_at_all_lists_both_subcommands() -> None:
    result = call("evaluate")
    shown = result.out + result.err
    assert re.search(r"^\W*retrieval ", shown, re.MULTILINE)
    assert re.search(r"^\W*calibrate ", shown, re.MULTILINE)


def test_a_file_named_as_a_subcommand_is_reached_by_its_path(samples_index: Path, few: Path) -> None:
    shutil.copy(few, "calibrate")
    options = ("--index", str(samples_index), "--json")
    assert means("evaluate", "./calibrate", *options) == means("evaluate", str(few), *options)


def test_an_option_that_does_not_exist_is_refused(questions: Path) -> None:
    for arguments in (("evaluate", str(questions)), ("evaluate", "calibrate", str(questions))):
        result = call(*arguments, "--colour")
        assert result.status == 2
        assert "No such option: --colour" in result.err
