"""How the documents of two versions are compared: every one has exactly one fate, and a move is no loss."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hypothesis import given
from hypothesis import strategies as st

from rag.index.local.finished import DocumentKeys
from rag.index.local.past import PastDocument
from rag.index.plan import Changes
from rag.index.reuse import compare

# What is in a file: its bytes and its text, written "BYTES/TEXT". Equal bytes have equal text.
Files = Mapping[str, str]


def changes(past: Files, now: Files) -> Changes:
    """Compare two folders of files, given by doc_id."""
    return compare({one.doc_id: one for one in _past(past)}, list(_now(now)))


def _now(files: Files) -> Iterable[DocumentKeys]:
    for doc_id, content in sorted(files.items()):
        yield DocumentKeys(doc_id, content, content.partition("/")[2])


def _past(files: Files) -> Iterable[PastDocument]:
    for doc, (doc_id, sha256, chunks_key) in enumerate(_now(files)):
        yield PastDocument(doc, doc_id, sha256, chunks_key, body_start=10, row=doc, chunks=1)


def test_what_stays_as_it_is_is_not_mentioned() -> None:
    assert changes({"a": "1/x", "b": "2/y"}, {"a": "1/x", "b": "2/y"}) == Changes()


def test_everything_is_new_after_nothing_and_removed_before_nothing() -> None:
    assert changes({}, {"a": "1/x", "b": "2/y"}) == Changes(new=("a", "b"))
    assert changes({"a": "1/x", "b": "2/y"}, {}) == Changes(removed=("a", "b"))


def test_other_text_is_an_edit_and_other_front_matter_a_redescription() -> None:
    assert changes({"a": "1/x", "b": "2/y"}, {"a": "3/z", "b": "4/y"}) == Changes(
        edited=("a",), redescribed=("b",)
    )


def test_the_same_content_under_a_new_name_is_renamed_and_neither_new_nor_removed() -> None:
    assert changes({"a": "1/x"}, {"b": "1/x"}) == Changes(renamed={"b": "a"})


def test_the_same_text_under_a_new_name_is_renamed_whatever_its_front_matter() -> None:
    assert changes({"a": "1/x"}, {"b": "2/x"}) == Changes(renamed={"b": "a"})


def test_a_copy_beside_its_original_is_new() -> None:
    assert changes({"a": "1/x"}, {"a": "1/x", "b": "1/x"}) == Changes(new=("b",))


def test_a_copy_that_goes_while_its_original_stays_is_removed() -> None:
    assert changes({"a": "1/x", "b": "1/x"}, {"a": "1/x"}) == Changes(removed=("b",))


def test_of_a_renamed_document_and_its_copy_one_is_new() -> None:
    found = changes({"a": "1/x"}, {"b": "1/x", "c": "1/x"})
    assert found == Changes(renamed={"b": "a"}, new=("c",))


def test_of_two_equal_documents_that_become_one_the_other_is_removed() -> None:
    found = changes({"a": "1/x", "b": "1/x"}, {"c": "1/x"})
    assert found.renamed in ({"c": "a"}, {"c": "b"})
    assert (found.new, len(found.removed)) == ((), 1)
    assert {*found.removed, *found.renamed.values()} == {"a", "b"}


def test_two_documents_that_change_names_are_both_edited() -> None:
    assert changes({"a": "1/x", "b": "2/y"}, {"a": "2/y", "b": "1/x"}) == Changes(edited=("a", "b"))


def test_a_document_that_moves_onto_another_edits_that_and_leaves_its_own_place() -> None:
    assert changes({"a": "1/x", "b": "2/y"}, {"b": "1/x"}) == Changes(edited=("b",), removed=("a",))


def test_equal_bytes_come_before_equal_text() -> None:
    found = changes({"a": "1/x", "b": "2/x"}, {"c": "2/x", "d": "1/x"})
    assert found == Changes(renamed={"c": "b", "d": "a"})
    found = changes({"a": "1/x", "b": "2/x"}, {"c": "3/x", "d": "2/x"})
    assert found == Changes(renamed={"c": "a", "d": "b"})


def test_a_folder_that_is_renamed_with_all_its_copies_is_renamed_whole() -> None:
    past = {f"old/{name}": "1/x" for name in "abc"}
    found = changes(past, {f"new/{name}": "1/x" for name in "abc"})
    assert (found.new, found.removed) == ((), ())
    assert sorted(found.renamed) == ["new/a", "new/b", "new/c"]
    assert sorted(found.renamed.values()) == sorted(past)


CONTENTS = st.builds("{}/{}".format, st.integers(0, 2), st.sampled_from("xy")).map(
    # The bytes decide the text.
    lambda content: f"{content[0]}{content[2]}/{content[2]}"
)
FILES = st.dictionaries(st.sampled_from("abcdefgh"), CONTENTS, max_size=6)


@given(FILES, FILES)
def test_every_document_has_exactly_one_fate(past: Files, now: Files) -> None:
    found = changes(past, now)
    assert sorted([*found.new, *found.renamed]) == sorted(now.keys() - past.keys())
    assert sorted([*found.removed, *found.renamed.values()]) == sorted(past.keys() - now.keys())
    both = sorted(past.keys() & now.keys())
    assert list(found.edited) == [one for one in both if past[one][-1] != now[one][-1]]
    assert list(found.redescribed) == [
        one for one in both if past[one] != now[one] and past[one][-1] == now[one][-1]
    ]


@given(FILES, FILES)
def test_what_is_renamed_has_the_same_text_and_nothing_of_that_text_is_left_unmatched(
    past: Files, now: Files
) -> None:
    found = changes(past, now)
    assert all(past[old][-1] == now[new][-1] for new, old in found.renamed.items())
    assert {now[one][-1] for one in found.new}.isdisjoint(past[one][-1] for one in found.removed)


@given(FILES, FILES)
def test_as_many_as_can_be_are_matched_by_their_bytes(past: Files, now: Files) -> None:
    gone = [past[one] for one in past.keys() - now.keys()]
    new = [now[one] for one in now.keys() - past.keys()]
    matched = [now[one] for one, old in changes(past, now).renamed.items() if past[old] == now[one]]
    for content in {*gone, *new}:
        assert matched.count(content) == min(gone.count(content), new.count(content))
