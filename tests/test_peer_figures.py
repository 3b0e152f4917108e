"""What the comparison with the peers makes of its measurements."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks" / "peers"))

from exporting import Corpus
from neighbours import exact_search, overlap
from peer import Passage, Vectors, read_passages, write_passages
from summary import at_clients, cell, failures, indexing_rate


def passage(chunk_id: str, doc_id: str = "page") -> Passage:
    return Passage(chunk_id=chunk_id, doc_id=doc_id, title="Title", url="", text=f"Text of {chunk_id}\n☤")


def corpus(vectors: Vectors, doc_ids: list[str] | None = None) -> Corpus:
    names = [chr(ord("a") + row) for row in range(len(vectors))]
    documents = doc_ids or ["page"] * len(names)
    return Corpus(
        index_id="v",
        passages=[passage(*pair) for pair in zip(names, documents, strict=True)],
        vectors=vectors,
        texts=dict.fromkeys(names, ""),
        pages=dict.fromkeys(documents, ""),
    )


def on_circle(*degrees: float) -> Vectors:
    radians = np.radians(np.array(degrees))
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


QUESTION = on_circle(0)


def test_the_nearest_in_any_order_overlap_wholly() -> None:
    """Overlap is of sets; who ranks otherwise is not punished."""
    exact = exact_search(corpus(on_circle(10, 20, 30, 40)), QUESTION, k=2)
    assert overlap(exact, [["b", "a", "d"]]) == 1.0


def test_what_stands_beyond_the_first_k_does_not_count() -> None:
    """The fifth of four is no answer."""
    exact = exact_search(corpus(on_circle(10, 20, 30, 40)), QUESTION, k=2)
    assert overlap(exact, [["c", "a", "b"]]) == 0.5


def test_a_missing_answer_is_a_wrong_answer() -> None:
    """Who finds nothing has not been right about it."""
    exact = exact_search(corpus(on_circle(10, 20, 30, 40)), np.repeat(QUESTION, 2, axis=0), k=2)
    assert overlap(exact, [["a", "b"], []]) == 0.5
    assert overlap(exact, [["a"], ["b"]]) == 0.5


def test_any_of_equal_passages_is_right_but_only_for_its_own_place() -> None:
    """a is nearest; b, c and d are the same: one of them belongs beside it, two do not make up for a."""
    exact = exact_search(corpus(on_circle(10, 20, -20, 20)), QUESTION, k=2)
    assert [overlap(exact, [found]) for found in (["a", "c"], ["d", "a"], ["b", "c"])] == [1.0, 1.0, 0.5]


def test_a_part_keeps_documents_whole_and_rows_together() -> None:
    """A limit cuts between documents, and every passage keeps its vector."""
    whole = corpus(on_circle(*range(6)), ["z", "z", "z", "x", "y", "y"])
    part = whole.part(4)
    counts = {doc_id: sum(one.doc_id == doc_id for one in part.passages) for doc_id in part.pages}
    assert sum(counts.values()) <= 4
    assert all(counts[doc_id] == {"x": 1, "y": 2, "z": 3}[doc_id] for doc_id in counts)
    rows = [ord(one.chunk_id) - ord("a") for one in part.passages]
    assert np.array_equal(part.vectors, whole.vectors[rows])
    assert set(part.texts) == {one.chunk_id for one in part.passages}


def test_no_limit_is_the_whole(tmp_path: Path) -> None:
    """The whole is served from the index as it lies, which is told by identity."""
    whole = corpus(on_circle(1, 2))
    assert whole.part(0) is whole.part(2) is whole
    write_passages(tmp_path / "passages", whole.passages)
    assert read_passages(tmp_path / "passages") == whole.passages


def met(number: int, rate: float, **statuses: int) -> dict[str, Any]:
    counts = {status.removeprefix("s"): count for status, count in statuses.items()}
    return {"round": number, "loads": [{"clients": 4, "rate": rate, "statuses": counts}]}


def test_ratios_are_taken_round_by_round() -> None:
    """A machine that is slow for a round is slow for both; medians of each alone would mix rounds."""
    ours = [met(1, 100), met(2, 50), met(3, 90)]
    theirs = [met(3, 9), met(1, 10), met(2, 10)]
    found = cell(theirs, ours, at_clients(4, "rate"))
    assert found is not None
    assert found.ratio == pytest.approx(0.1)
    assert (found.lowest, found.median, found.highest) == (9, 10, 10)


def test_a_round_that_one_has_missed_gives_no_ratio() -> None:
    """Rounds are paired by number, not by place."""
    found = cell([met(2, 10)], [met(1, 100)], at_clients(4, "rate"))
    assert found is not None
    assert found.ratio is None


def test_what_was_not_measured_has_no_cell() -> None:
    """An empty field, no zero."""
    assert cell([met(1, 10)], [met(1, 10)], at_clients(16, "rate")) is None
    assert cell([], [], indexing_rate) is None


def test_failures_are_all_that_is_not_200() -> None:
    """Refusals, faults and broken connections, over all rounds."""
    assert failures([met(1, 1, s200=7, s503=2), met(2, 1, s0=1, s200=5)]) == 3
