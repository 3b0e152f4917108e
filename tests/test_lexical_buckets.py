"""The lexical index in buckets: it answers as in one piece, and a changed page costs its own bucket only."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
from backend_contract import WORDS, random_texts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag.index.backend import Term
from rag.index.local.keys import word_key
from rag.index.local.lexical import Lexical, artefacts, only_documents
from rag.index.local.lexical_writer import Bucket, LexicalRow, buckets_of, write_lexical

FEW, MANY = 100, 100_000

Texts = Mapping[str, Sequence[str]]


class Rows:
    """Gives a row for every text of a document, and notes which documents were asked for."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self.asked: list[str] = []

    def __call__(self, doc_ids: Sequence[str]) -> Iterator[LexicalRow]:
        self.asked += doc_ids
        for doc_id in doc_ids:
            for at, text in enumerate(self._texts[doc_id]):
                head = text[:40].rpartition(" ")[0]
                yield LexicalRow(word_key(f"{doc_id}#{at}"), doc_id, head[:20], head, text)


def shelf(count: int = 40, *, seed: int = 1) -> dict[str, list[str]]:
    """Documents of up to nine chunks."""
    draw = np.random.default_rng(seed)
    return {
        f"d/{at}": random_texts(int(draw.integers(1, 10)), seed=1000 * seed + at)
        for at in draw.permutation(count).tolist()
    }


def buckets(texts: Texts, chunks: int) -> list[Bucket]:
    """As a build would part these documents, were there so many chunks."""
    return buckets_of([(doc_id, "|".join(held)) for doc_id, held in texts.items()], chunks, "a recipe")


def write(folder: Path, texts: Texts, chunks: int = MANY, past: Path | None = None) -> list[str]:
    """Write an index; returns the documents that had to be written, not copied."""
    rows = Rows(texts)
    write_lexical(folder, buckets(texts, chunks), rows, past)
    return rows.asked


def files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in artefacts(folder)}


def segments(folder: Path) -> list[str]:
    """The names, without suffix, of the files of each part."""
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    return [segment["segment_id"].replace("-", "") for segment in meta["segments"]]


@pytest.fixture
def both(tmp_path: Path) -> tuple[Lexical, Lexical]:
    """The same documents in one bucket and in four."""
    texts = shelf(200)
    for chunks, number in ((FEW, 1), (MANY, 4)):
        write(tmp_path / f"of-{number}", texts, chunks)
        assert len(segments(tmp_path / f"of-{number}")) == number
    return Lexical(tmp_path / "of-1"), Lexical(tmp_path / "of-4")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.98, 1.0])
def test_hits_and_scores_are_those_of_one_bucket_to_the_last_bit(
    both: tuple[Lexical, Lexical], share: float
) -> None:
    """Whatever the words and their weights, with few documents allowed, most of them or all."""
    draw = np.random.default_rng(int(100 * share))
    ids = list(shelf(200))
    for _ in range(40):
        words = draw.choice([*WORDS, "nowhere"], int(draw.integers(1, 9))).tolist()
        terms = [Term(word, float(draw.choice([1.0, 0.5, 0.3]))) for word in words]
        allowed = only_documents(ids, draw.random(len(ids)) < share)
        (keys, scores), (other_keys, other_scores) = (one.search(terms, 5000, allowed) for one in both)
        assert dict(zip(keys, scores, strict=True)) == dict(zip(other_keys, other_scores, strict=True))
        assert scores.tolist() == other_scores.tolist()
        best, other_best = (one.search(terms, 7, allowed) for one in both)
        assert best[1].tolist() == other_best[1].tolist() == scores[:7].tolist()
        # Where chunks tie, which of them comes first is open.
        sure = scores[:7] > (scores[7] if len(scores) > 7 else -1.0)
        assert set(best[0][sure]) == set(other_best[0][sure])


def test_words_and_phrases_are_counted_over_all_buckets(both: tuple[Lexical, Lexical]) -> None:
    one, four = both
    assert len(one) == len(four)
    assert one.vocabulary == four.vocabulary
    phrases = [(first, second) for first in WORDS for second in WORDS]
    for phrase in [*((word,) for word in WORDS), *phrases, (*WORDS[:2], WORDS[0])]:
        assert one.count(phrase, "title") == four.count(phrase, "title")
        assert one.count(phrase, "body") == four.count(phrase, "body") == len(four.holding(phrase))
        assert set(one.holding(phrase)) == set(four.holding(phrase))
    assert any(four.count(phrase, "title") for phrase in phrases), "or the titles prove nothing"


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.dictionaries(
        st.text(max_size=9), st.lists(st.text(max_size=40) | st.sampled_from(WORDS), max_size=3), max_size=9
    ),
    chunks=st.sampled_from((FEW, MANY)),
)
def test_the_same_rows_give_the_same_files(
    tmp_path_factory: pytest.TempPathFactory, texts: Texts, chunks: int
) -> None:
    """Byte for byte, in whatever order the documents come."""
    folder = tmp_path_factory.mktemp("twice")
    write(folder / "one", texts, chunks)
    write(folder / "other", dict(reversed(list(texts.items()))), chunks)
    assert files(folder / "one") == files(folder / "other")


def test_an_index_of_no_documents_is_one_that_finds_nothing(tmp_path: Path) -> None:
    assert write(tmp_path / "none", {}) == []
    assert len(Lexical(tmp_path / "none")) == 0
    write(tmp_path / "some", shelf(), past=tmp_path / "none")
    assert write(tmp_path / "none again", {}, past=tmp_path / "some") == []
    assert files(tmp_path / "none again") == files(tmp_path / "none")


@pytest.mark.parametrize("chunks", [FEW, MANY])
def test_buckets_that_an_earlier_version_holds_are_copied_and_not_written(
    tmp_path: Path, chunks: int
) -> None:
    assert sorted(write(tmp_path / "past", shelf(), chunks)) == sorted(shelf())
    assert write(tmp_path / "now", shelf(), chunks, past=tmp_path / "past") == []
    assert files(tmp_path / "now") == files(tmp_path / "past")
    # Copies, no links: what damages one version must not damage the other.
    assert {file.stat().st_nlink for file in (tmp_path / "now").iterdir()} == {1}
    assert not any(file.is_symlink() for file in (tmp_path / "now").iterdir())


def test_a_copy_lives_on_without_what_it_was_copied_from(tmp_path: Path) -> None:
    write(tmp_path / "past", shelf())
    write(tmp_path / "now", shelf(), past=tmp_path / "past")
    before = Lexical(tmp_path / "past").search([Term("kilo mambo")], 50)[1].tolist()
    for file in (tmp_path / "past").iterdir():
        file.unlink()
    assert Lexical(tmp_path / "now").search([Term("kilo mambo")], 50)[1].tolist() == before != []


CHANGES: dict[str, Callable[[Texts], Texts]] = {
    "a chunk has another word": lambda texts: {**texts, "d/7": [*texts["d/7"][:-1], "another"]},
    "a chunk is new": lambda texts: {**texts, "d/7": [*texts["d/7"], "alpha"]},
    "the last chunk is gone": lambda texts: {**texts, "d/7": []},
    "a document is new": lambda texts: {**texts, "new": ["kilo"]},
    "a document is gone": lambda texts: {doc_id: held for doc_id, held in texts.items() if doc_id != "d/7"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_document_costs_its_own_bucket_only(tmp_path: Path, change: str) -> None:
    texts = shelf()
    after = CHANGES[change](texts)
    write(tmp_path / "past", texts)
    written = write(tmp_path / "now", after, past=tmp_path / "past")
    (home,) = [one.doc_ids for one in buckets(after, MANY) if one not in buckets(texts, MANY)]
    assert written == home
    assert len(written) < len(texts) / 2
    past, now = files(tmp_path / "past"), files(tmp_path / "now")
    kept = set(segments(tmp_path / "past")) & set(segments(tmp_path / "now"))
    assert len(kept) == 3
    assert {name for name in now if past.get(name) == now[name]} == {
        name for name in past if name.partition(".")[0] in kept
    }


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("chunks", [FEW, MANY])
def test_what_was_made_of_an_earlier_version_is_what_is_made_of_nothing(
    tmp_path: Path, change: str, chunks: int
) -> None:
    """Also after a change is taken back, and when the number of buckets has changed in between."""
    before, after = shelf(), CHANGES[change](shelf())
    write(tmp_path / "new", after, chunks)
    write(tmp_path / "past", before, chunks)
    write(tmp_path / "now", after, chunks, past=tmp_path / "past")
    assert files(tmp_path / "now") == files(tmp_path / "new")
    write(tmp_path / "back", before, chunks, past=tmp_path / "now")
    assert files(tmp_path / "back") == files(tmp_path / "past")
    write(tmp_path / "parted", before, FEW + MANY - chunks, past=tmp_path / "now")
    write(tmp_path / "again", before, chunks, past=tmp_path / "parted")
    assert files(tmp_path / "again") == files(tmp_path / "past") != files(tmp_path / "parted")


def test_a_bucket_that_did_not_fit_in_one_part_is_copied_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.index.local.lexical_writer._HEAP_BYTES", 15_000_000)
    texts = {"d": [" ".join(f"{at}x{word}" for word in range(200)) for at in range(300)]}
    assert write(tmp_path / "past", texts, FEW) == ["d"]
    assert len(segments(tmp_path / "past")) > 1
    assert write(tmp_path / "now", texts, FEW, past=tmp_path / "past") == []
    assert files(tmp_path / "now") == files(tmp_path / "past")
    lexical = Lexical(tmp_path / "now")
    assert len(lexical) == len(lexical.search([Term("0x7"), *(Term(f"{n}x0") for n in range(300))], 999)[0])


@given(
    st.dictionaries(st.text(), st.text(), max_size=30),
    st.sampled_from((FEW, MANY)),
    st.randoms(use_true_random=False),
)
def test_every_document_stands_in_one_bucket_whatever_their_order(
    keys: dict[str, str], chunks: int, draw: Random
) -> None:
    parts = buckets_of(keys.items(), chunks, "a recipe")
    assert sorted(doc_id for part in parts for doc_id in part.doc_ids) == sorted(keys)
    assert all(part.doc_ids == sorted(part.doc_ids) != [] for part in parts)
    assert len({part.key for part in parts}) == len(parts) <= (1 if chunks == FEW else 4)
    shuffled = list(keys.items())
    draw.shuffle(shuffled)
    assert buckets_of(shuffled, chunks, "a recipe") == parts


@given(st.dictionaries(st.text(), st.text(), min_size=1, max_size=30), st.data())
def test_a_bucket_has_another_key_whenever_anything_in_it_is_another(
    keys: dict[str, str], data: st.DataObject
) -> None:
    before = buckets_of(keys.items(), MANY, "a recipe")
    changed = data.draw(st.sampled_from(sorted(keys)))
    after = buckets_of((keys | {changed: keys[changed] + "."}).items(), MANY, "a recipe")
    assert [one.doc_ids for one in after] == [one.doc_ids for one in before]
    assert [one.key == other.key for one, other in zip(before, after, strict=True)] == [
        changed not in one.doc_ids for one in before
    ]
    for recipe in ("another", {"encoder": "x"}, None):
        others = buckets_of(keys.items(), MANY, recipe)
        assert {one.key for one in others}.isdisjoint(one.key for one in before)
