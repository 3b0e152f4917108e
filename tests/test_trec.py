"""TREC files keep every id, relevance and score, and a malformed line is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag.errors import InvalidRequest
from rag.evaluate.trec import ranked, read_qrels, read_run, write_qrels, write_run

IDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(
    lambda text: text.split() == [text] and text[0] != "\ufeff"
)
SCORES = st.floats(allow_nan=False, allow_infinity=False)
LAWS = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@LAWS
@given(st.dictionaries(IDS, st.dictionaries(IDS, st.integers(-2, 10), min_size=1)))
def test_qrels_come_back_as_they_were_written(tmp_path: Path, qrels: dict[str, dict[str, int]]) -> None:
    write_qrels(tmp_path / "qrels", qrels)
    assert read_qrels(tmp_path / "qrels") == qrels


@LAWS
@given(st.dictionaries(IDS, st.dictionaries(IDS, SCORES, min_size=1)))
def test_a_run_comes_back_with_every_digit_of_its_scores(
    tmp_path: Path, run: dict[str, dict[str, float]]
) -> None:
    write_run(tmp_path / "run", run)
    assert read_run(tmp_path / "run") == run


def test_results_are_written_by_score_then_id_with_ranks_from_one(tmp_path: Path) -> None:
    write_run(tmp_path / "run", {"q2": {"z": 1.0}, "q1": {"b": 0.1, "c": 2.0, "a": 0.1}}, tag="mine")
    assert (tmp_path / "run").read_text() == (
        "q1 Q0 c 1 2.0 mine\nq1 Q0 a 2 0.1 mine\nq1 Q0 b 3 0.1 mine\nq2 Q0 z 1 1.0 mine\n"
    )


def test_ties_are_ranked_by_id() -> None:
    assert ranked({"b": 1.0, "a": 1.0, "c": 2.0, "d": -1.0}) == ["c", "a", "b", "d"]


def test_the_score_orders_and_not_the_rank_that_was_written(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("q Q0 a 1 0.1 x\nq Q0 b 2 0.9 x\n")
    assert ranked(read_run(tmp_path / "run")["q"]) == ["b", "a"]


def test_tabs_crlf_blank_lines_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    (tmp_path / "qrels").write_bytes(b"\xef\xbb\xbfq1\t0\ta\t2\r\n\r\nq1  0  b  0\r\n")
    assert read_qrels(tmp_path / "qrels") == {"q1": {"a": 2, "b": 0}}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"q1 0 a", "3 fields, expected 4: query_id iteration doc_id relevance"),
        (b"q1 0 a b 1", "5 fields, expected 4"),
        (b"q1 0 a high", "relevance: must be a whole number, found 'high'"),
        (b"q1 0 a 1.5", "relevance: must be a whole number, found '1.5'"),
        (b"q0 0 a 1", "doc_id: 'a' comes twice for the query 'q0'"),
        (b"q1 0 \xff 1", "not UTF-8"),
    ],
)
def test_a_malformed_line_of_qrels_is_named(line: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "qrels"
    # Long enough for the fault to lie behind the first piece that is read.
    good = b"".join(b"q%d 0 a 1\n" % number for number in range(2000))
    path.write_bytes(good + line + b"\n")
    with pytest.raises(InvalidRequest) as caught:
        read_qrels(path)
    assert reason in str(caught.value)
    if "UTF-8" not in reason:
        assert str(caught.value).startswith(f"{path}:2001: ")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("q1 Q0 a 1 0.5", "5 fields, expected 6: query_id Q0 doc_id rank score tag"),
        ("q1 Q0 a 1 much x", "score: must be a number, found 'much'"),
        ("q1 Q0 a 1 nan x", "score: must be finite"),
        ("q1 Q0 a 1 inf x", "score: must be finite"),
        ("q0 Q0 a 2 0.4 x", "doc_id: 'a' comes twice for the query 'q0'"),
    ],
)
def test_a_malformed_line_of_a_run_is_named(line: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.write_text(f"q0 Q0 a 1 0.5 x\n\n{line}\n")
    with pytest.raises(InvalidRequest) as caught:
        read_run(path)
    assert str(caught.value).startswith(f"{path}:3: {reason}")


@pytest.mark.parametrize("an_id", ["a b", "", "a\t", "\xa0", "a\n", "\ufeffa"])
def test_an_id_that_would_break_the_line_is_refused_and_nothing_is_written(
    an_id: str, tmp_path: Path
) -> None:
    path = tmp_path / "x"
    with pytest.raises(InvalidRequest, match="white space"):
        write_run(path, {"q": {an_id: 1.0}})
    with pytest.raises(InvalidRequest, match="white space"):
        write_run(path, {an_id: {"a": 1.0}})
    with pytest.raises(InvalidRequest, match="white space"):
        write_run(path, {"q": {"a": 1.0}}, tag=an_id)
    with pytest.raises(InvalidRequest, match="white space"):
        write_qrels(path, {"q": {an_id: 1}})
    assert not path.exists()


def test_a_file_that_is_not_there_or_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"none: cannot be read \(No such file"):
        read_run(tmp_path / "none")
    with pytest.raises(InvalidRequest, match=r"run: cannot be written \(No such file"):
        write_run(tmp_path / "none" / "run", {})
