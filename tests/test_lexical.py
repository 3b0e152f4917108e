"""Words on disk: what is indexed, how headings count, and that its conditions change no score."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import tantivy
from backend_contract import WORDS, bm25, random_texts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag.errors import ArtefactCorrupt
from rag.index.backend import Term
from rag.index.local.lexical import (
    Lexical,
    artefacts,
    only_documents,
    stems,
)
from rag.index.local.lexical_writer import Bucket, LexicalRow, write_lexical

Index = Callable[[Sequence[LexicalRow]], Lexical]


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """Write rows to a new folder and open it."""
    numbers = count()

    def index(rows: Sequence[LexicalRow]) -> Lexical:
        folder = tmp_path / f"lexical-{next(numbers)}"
        write_lexical(folder, [Bucket("all", [])], lambda _: rows)
        return Lexical(folder)

    return index


def bodies(texts: Sequence[str]) -> list[LexicalRow]:
    """A document of one chunk for each text, without title or headings."""
    return [LexicalRow(key, f"d{key}", "", "", text) for key, text in enumerate(texts)]


def scores(lexical: Lexical, terms: Sequence[Term], k: int = 1000) -> dict[str, float]:
    keys, found = lexical.search(terms, k)
    assert (keys.dtype.name, found.dtype.name) == ("int64", "float32")
    assert (np.diff(found) <= 0).all()
    return {str(key): score for key, score in zip(keys.tolist(), found.tolist(), strict=True)}


def test_words_of_the_headings_count_again_by_a_fifth(index: Index) -> None:
    """They stand in the body too, as they are embedded; title words are among the headings."""
    texts, headings = random_texts(80, seed=1), [text[:60] for text in random_texts(80, seed=2)]
    headings = [heading.rpartition(" ")[0] for heading in headings]
    whole = [
        " ".join(f"{heading} {text}".split()[:40]) for heading, text in zip(headings, texts, strict=True)
    ]
    parts = zip(headings, whole, strict=True)
    lexical = index([LexicalRow(key, "d", "", head, body) for key, (head, body) in enumerate(parts)])
    weights = {"zulu": 0.5, "kilo": 1.0, "rondo": 2.0}
    exact = bm25({str(row): body for row, body in enumerate(whole)}, weights)
    for row, more in bm25({str(row): head for row, head in enumerate(headings)}, weights).items():
        exact[row] += 0.2 * more
    assert scores(lexical, [Term(*one) for one in weights.items()]) == pytest.approx(exact, rel=1e-5)


def test_words_of_a_title_that_stand_in_no_body_are_not_found(index: Index) -> None:
    """The title is kept apart to count names; a chunk has it in its body and headings as well."""
    lexical = index([LexicalRow(0, "d", "zulu", "", "alpha")])
    assert scores(lexical, [Term("zulu")]) == {}
    assert lexical.count(["zulu"], "title") == 1


def test_long_texts_are_weighed_by_their_length_to_an_eighth(index: Index) -> None:
    """Beyond 40 words a length is kept in steps, so scores are right within a few per cent."""
    draw = np.random.default_rng(4)
    texts = [" ".join(draw.choice(WORDS, length)) for length in draw.integers(41, 900, size=60)]
    exact = bm25({str(row): text for row, text in enumerate(texts)}, {"tango": 1.0})
    assert scores(index(bodies(texts)), [Term("tango")]) == pytest.approx(exact, rel=0.08)


def test_a_chunk_is_found_by_its_key_wherever_it_was_written(index: Index) -> None:
    keys = [7, 3, 2**40, 0, 2**63 - 1, 11]
    lexical = index([LexicalRow(key, "d", "", "", f"alpha {WORDS[at]}") for at, key in enumerate(keys)])
    assert set(scores(lexical, [Term("alpha")])) == {str(key) for key in keys}
    for at, key in enumerate(keys[1:], start=1):
        assert scores(lexical, [Term(WORDS[at])]).keys() == {str(key)}
        assert lexical.holding(["alpha", WORDS[at]]).tolist() == [key]
    assert len(lexical) == 6


@pytest.mark.parametrize("k", [0, -1])
def test_none_are_found_where_none_are_asked_for(index: Index, k: int) -> None:
    keys, found = index(bodies(["alpha"])).search([Term("alpha")], k)
    assert (keys.dtype.name, found.dtype.name, keys.size, found.size) == ("int64", "float32", 0, 0)


@pytest.mark.parametrize(("length", "kept"), [(39, True), (40, False), (400, False)])
def test_what_is_too_long_for_a_word_is_left_out_on_both_sides(index: Index, length: int, kept: bool) -> None:  # noqa: FBT001
    word = "x" * length
    lexical = index(bodies([f"alpha {word} bravo"]))
    assert stems(word) == [word] * kept
    assert sorted(lexical.vocabulary) == sorted(["alpha", "bravo", *[word] * kept])
    assert scores(lexical, [Term(f"{word} alpha")]).keys() == {"0"}
    assert bool(scores(lexical, [Term(word)])) == kept


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.text(max_size=60) | st.sampled_from(["Vomiting", "naïve 肺癌", "2.5 mg", "U.S. İI"]), max_size=12
    )
)
def test_the_index_holds_the_stems_that_a_question_is_brought_to(index: Index, texts: list[str]) -> None:
    """Whatever the text, two analysers make the same of it: the index's own and that of the terms."""
    lexical = index(bodies(texts))
    held = [set(stems(text)) for text in texts]
    assert lexical.vocabulary == Counter(stem for words in held for stem in words)
    for text, words in zip(texts, held, strict=True):
        found = {str(row) for row, others in enumerate(held) if words & others}
        assert scores(lexical, [Term(text)]).keys() == found


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.text(max_size=9) | st.sampled_from(["Vomiting", "non-small", "Ärzte", "x" * 50]), max_size=9)
)
def test_a_text_has_the_same_stems_however_often_it_is_asked_for(index: Index, texts: list[str]) -> None:
    lexical = index(bodies(["vomiting and ärzte", *texts[::2]]))
    for text in (*texts, *texts):
        assert lexical.stems(text) == stems(text)


@pytest.mark.parametrize("allowed", [1, 3, 49, 50, 51, 97, 99])
def test_a_condition_lets_just_its_documents_through_and_changes_no_score(index: Index, allowed: int) -> None:
    """Whether few documents are allowed or few are left out."""
    texts = random_texts(300, seed=9)
    lexical = index([LexicalRow(key, f"d/{key % 100}", "", text[:9], text) for key, text in enumerate(texts)])
    ids = [f"d/{at}" for at in range(100)]
    mask = np.zeros(100, dtype=np.bool_)
    mask[np.random.default_rng(allowed).permutation(100)[:allowed]] = True
    terms = [Term("alpha", 0.4), Term("mambo")]
    keys, found = lexical.search(terms, 300, only_documents(ids, mask))
    exact = {key: score for key, score in scores(lexical, terms).items() if mask[int(key) % 100]}
    assert dict(zip(map(str, keys.tolist()), found.tolist(), strict=True)) == exact
    best = lexical.search(terms, 5, only_documents(ids, mask))[1]
    assert best.tolist() == sorted(exact.values(), reverse=True)[:5]


@pytest.mark.parametrize("allowed", [1, 3])
def test_a_condition_takes_an_id_for_the_whole_of_itself(index: Index, allowed: int) -> None:
    """Ids that begin alike, end alike, or would be one if they were cut into words."""
    ids = ["a", "a/b", "a b", "b", "A/B", "a/b/é 🩺", "a/b-"]
    lexical = index([LexicalRow(key, doc_id, "", "", "alpha") for key, doc_id in enumerate(ids)])
    for first in range(len(ids)):
        mask = np.isin(np.arange(len(ids)), [(first + at) % len(ids) for at in range(allowed)])
        for one in (mask, ~mask):
            found = lexical.search([Term("alpha")], 9, only_documents(ids, one))[0]
            assert sorted(found.tolist()) == np.flatnonzero(one).tolist()


def test_no_condition_is_needed_where_all_documents_are_allowed() -> None:
    assert only_documents(list("abcd"), np.ones(4, dtype=np.bool_)) is None


def test_a_condition_that_allows_no_document_lets_nothing_through(index: Index) -> None:
    lexical = index(bodies(["alpha", "alpha"]))
    nothing = only_documents(["d0", "d1"], np.zeros(2, dtype=np.bool_))
    assert lexical.search([Term("alpha")], 5, nothing)[0].size == 0


@pytest.mark.parametrize("field", ["body", "title"])
def test_a_phrase_is_counted_where_its_stems_stand_in_a_row(index: Index, field: str) -> None:
    texts = [
        "small cells",
        "Small-cell",
        "cell small",
        "small small cell",
        "small of cell",
        "smaller cell",
        "",
    ]
    rows = [LexicalRow(0, "d0", "", "", "nothing")]
    for key, text in enumerate(texts, start=1):
        words = (text, "", "x") if field == "title" else ("x", "", text)
        rows.append(LexicalRow(key, f"d{key}", *words))
    lexical = index(rows)
    counted = lexical.count(["small", "cell"], "title" if field == "title" else "body")
    assert counted == 3
    assert lexical.count(["small", "cell"], "body" if field == "title" else "title") == 0
    assert lexical.count(["cell", "nowhere"], "body") == 0
    if field == "body":
        assert sorted(lexical.holding(["small", "cell"]).tolist()) == [1, 2, 4]
        assert sorted(lexical.holding(["cell"]).tolist()) == [1, 2, 3, 4, 5, 6]
    assert lexical.holding(["small", "nowhere"]).size == lexical.holding(["nowhere"]).size == 0


def test_an_index_of_no_rows_finds_nothing(index: Index) -> None:
    lexical = index([])
    assert len(lexical) == 0
    assert scores(lexical, [Term("alpha")]) == {}
    assert lexical.vocabulary == {}
    assert lexical.holding(["alpha"]).size == lexical.count(["alpha"], "body") == 0


def test_the_artefacts_alone_are_the_whole_index(index: Index, tmp_path: Path) -> None:
    """What the library keeps beside them for its writers can go missing or change."""
    index(bodies(random_texts(30, seed=1)))
    written, copied = tmp_path / "lexical-0", tmp_path / "copied"
    names = artefacts(written)
    assert names == sorted(names)
    assert "meta.json" in names
    assert not any(name.startswith(".") for name in names)
    copied.mkdir()
    for name in names:
        shutil.copy(written / name, copied / name)
    assert scores(Lexical(copied), [Term("kilo")]) == scores(Lexical(written), [Term("kilo")]) != {}
    for file in written.iterdir():
        if file.name not in names:
            file.unlink()
    assert len(Lexical(written)) == 30
    assert artefacts(written) == names


def test_others_may_read_the_files(index: Index, tmp_path: Path) -> None:
    index(bodies(["alpha"]))
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "lexical-0").iterdir()} == {0o644}


@pytest.mark.parametrize("state", ["missing", "empty", "a file", "nonsense", "no segment"])
def test_what_is_no_lexical_index_is_refused_with_the_command_that_mends_it(
    index: Index, tmp_path: Path, state: str
) -> None:
    index(bodies(["alpha"]))
    folder = (tmp_path / "versions" / "v" / "lexical").resolve()
    folder.parent.mkdir(parents=True)
    if state == "a file":
        folder.touch()
    elif state != "missing":
        folder.mkdir()
    if state == "nonsense":
        (folder / "meta.json").write_text("nonsense", encoding="utf-8")
    if state == "no segment":
        shutil.copy(tmp_path / "lexical-0" / "meta.json", folder / "meta.json")
    with pytest.raises(ArtefactCorrupt) as caught:
        Lexical(folder)
    assert str(caught.value).startswith(f"{folder} holds no lexical index (")
    assert str(caught.value).endswith(f"build anew with: rag index --rebuild --index {tmp_path}")


def test_an_index_of_other_fields_is_refused(tmp_path: Path) -> None:
    """Queries name fields by their place, so it would answer, and wrongly."""
    other = tantivy.SchemaBuilder()
    for name in ("body", "headings", "title"):
        other.add_text_field(name, tokenizer_name="en_stem", index_option="position")
    folder = tmp_path / "lexical"
    folder.mkdir()
    tantivy.Index(other.build(), path=str(folder)).writer().commit()
    with pytest.raises(ArtefactCorrupt, match="its fields are others"):
        Lexical(folder)
