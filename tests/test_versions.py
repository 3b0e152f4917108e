"""Versions are listed, gone back to and deleted, and the one that serves is never lost on the way."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from keyword_encoder import KeywordEncoder
from little_index import page
from sealing import edit_manifest

from rag.errors import (
    ArtefactCorrupt,
    CitewellError,
    CountMismatch,
    EncoderNotFound,
    IndexLocked,
    IndexNotFound,
    SchemaMismatch,
    VersionNotFound,
)
from rag.index import versions
from rag.index.backend import Term
from rag.index.builder import build_index
from rag.index.local.holding import holding
from rag.index.local.layout import CHUNKS, VECTORS, Layout
from rag.index.local.local_index import LocalIndex
from rag.index.local.manifest import SCHEMA, Manifest, read_manifest
from rag.index.versions import list_versions, prune, roll_back


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The place of an index folder; nothing is there yet."""
    return tmp_path / "index"


def build(root: Path, mark: str, *, documents: int = 2) -> str:
    """Publish a version whose pages all have this word; returns its id."""
    seeds = root.parent / f"seeds-{mark}"
    seeds.mkdir()
    for number in range(documents):
        (seeds / f"page-{number}.md").write_text(page(f"A fever, {mark}."))
    return build_index(seeds, root, KeywordEncoder()).manifest.index_id


def current(root: Path) -> str:
    """The version that a service would open, once it has opened."""
    with closing(LocalIndex.open(root)) as index:
        return index.info.index_id


def ids(root: Path) -> list[str]:
    return [version.index_id for version in list_versions(root)]


def folders(root: Path) -> list[str]:
    """Everything in the folder of versions, half-done and hidden folders as well."""
    return sorted(path.name for path in (root / "versions").iterdir())


def version(root: Path, index_id: str) -> Path:
    return root / "versions" / index_id


# Listing


def test_versions_are_listed_newest_first_with_what_they_hold(root: Path) -> None:
    one, two, three = build(root, "one"), build(root, "two", documents=3), build(root, "three")
    found = list_versions(root)
    assert [(one.index_id, one.is_current) for one in found] == [(three, True), (two, False), (one, False)]
    for listed in found:
        folder = version(root, listed.index_id)
        assert listed.manifest == read_manifest(folder)
        assert listed.fault is None
        assert listed.size == sum(
            (Path(place) / name).stat().st_size for place, _, names in os.walk(folder) for name in names
        )
    assert [listed.manifest and listed.manifest.counts["documents"] for listed in found] == [2, 3, 2]


def test_the_current_version_is_marked_wherever_it_stands(root: Path) -> None:
    built = [build(root, mark) for mark in ("one", "two", "three")]
    for index_id in (built[0], built[1], built[2]):
        roll_back(root, index_id) if current(root) != index_id else None
        assert [listed.index_id for listed in list_versions(root) if listed.is_current] == [index_id]


def test_what_a_killed_process_left_half_done_is_no_version(root: Path) -> None:
    one = build(root, "one")
    for left in (".building-abc", ".pruned-20250101T000000000Z-00000000"):
        version(root, left).mkdir()
    (root / "versions" / "notes.txt").write_text("x")
    assert ids(root) == [one]
    prune(root, 1)
    assert folders(root) == [one, "notes.txt"]


@pytest.mark.parametrize(
    ("damage", "part"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json is missing or damaged"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json is missing or damaged"),
        (
            lambda folder: edit_manifest(folder, lambda content: content.update(schema=SCHEMA + 1)),
            f"has schema {SCHEMA + 1}, this program reads {SCHEMA}",
        ),
        (shutil.rmtree, None),
    ],
    ids=["no manifest", "broken manifest", "newer schema", "removed"],
)
def test_a_version_that_cannot_be_read_is_listed_with_the_reason(
    damage: Callable[[Path], object], part: str | None, root: Path
) -> None:
    one, two = build(root, "one"), build(root, "two")
    damage(version(root, two))
    *damaged, sound = list_versions(root)
    assert (sound.index_id, sound.fault, sound.is_current) == (one, None, False)
    assert [(listed.index_id, listed.is_current, listed.manifest) for listed in damaged] == (
        [(two, True, None)] if part else []
    )
    assert all(part and part in (listed.fault or "") for listed in damaged)


@pytest.mark.parametrize("verb", [list_versions, roll_back, lambda root: prune(root, 1)])
def test_where_nothing_was_built_that_is_said_with_what_builds_it(
    verb: Callable[[Path], object], root: Path
) -> None:
    for _ in range(2):
        with pytest.raises(IndexNotFound, match=rf"no index in {root}; build one with: rag index"):
            verb(root)
        root.mkdir(exist_ok=True)


# Going back


def test_going_back_serves_the_version_before_again(root: Path) -> None:
    one, two = build(root, "one"), build(root, "two")
    before = {path: path.read_bytes() for path in version(root, one).rglob("*") if path.is_file()}
    assert roll_back(root) == one
    with closing(LocalIndex.open(root)) as index:
        assert index.info.index_id == one
        (first, _) = index.match([Term("fever")], 5)
        assert index.chunks([first.chunk_id])[0].chunk.text == "A fever, one."
    assert ids(root) == [two, one]
    assert {path: path.read_bytes() for path in before} == before


def test_going_back_twice_goes_two_versions_back_and_then_no_further(root: Path) -> None:
    one, two, three = (build(root, mark) for mark in ("one", "two", "three"))
    assert [roll_back(root), roll_back(root)] == [two, one]
    with pytest.raises(VersionNotFound, match=f"{one} has no version before it; rag index --list --index"):
        roll_back(root)
    assert current(root) == one
    assert roll_back(root, three) == three
    assert roll_back(root) == two


def test_going_back_leads_to_what_served_before_and_not_to_what_is_older(root: Path) -> None:
    one, two = build(root, "one"), build(root, "two")
    roll_back(root)
    three = build(root, "three")
    assert read_manifest(version(root, three)).previous == one
    assert roll_back(root) == one
    assert ids(root) == [three, two, one]


def test_a_version_that_never_served_is_not_gone_back_to(root: Path) -> None:
    """A build that was killed between its two renames leaves a whole version that nobody has opened."""
    one, two = build(root, "one"), build(root, "two")
    (root / "current").write_text(one + "\n")
    three = build(root, "three")
    assert ids(root) == [three, two, one]
    assert roll_back(root) == one
    assert roll_back(root, two) == two


@pytest.mark.parametrize(
    "wrong",
    [
        *("20200101T000000000Z-00000000", "nothing", ".", "..", "../versions", "../../etc", "/", "\x00"),
        *(
            "../current",
            "{id}/lexical",
            "../versions/{id}",
            "./{id}",
            "{id}/",
            " {id}",
            "{root}/versions/{id}",
        ),
        *("x" * 5000, "*", "{id}\n", ".building-x"),
    ],
)
def test_what_is_no_version_of_the_folder_is_refused(wrong: str, root: Path) -> None:
    one, two = build(root, "one"), build(root, "two")
    version(root, ".building-x").mkdir()
    with pytest.raises(VersionNotFound, match="rag index --list --index") as caught:
        roll_back(root, wrong.format(id=one, root=root))
    assert "there is no version" in str(caught.value)
    assert current(root) == two


def test_the_current_version_cannot_be_gone_back_to(root: Path) -> None:
    build(root, "one")
    two = build(root, "two")
    with pytest.raises(VersionNotFound, match=f"{two} is the current version already"):
        roll_back(root, two)
    assert current(root) == two


def test_a_version_before_that_was_deleted_is_said_to_be_gone(root: Path) -> None:
    one, two = build(root, "one"), build(root, "two")
    prune(root, 1)
    with pytest.raises(VersionNotFound, match=f"there is no version {one} in .*; rag index --list"):
        roll_back(root)
    assert current(root) == two


def _renamed(folder: Path) -> None:
    """Put another version into the folder."""
    other = max(path for path in folder.parent.iterdir() if path != folder)
    shutil.rmtree(folder)
    shutil.copytree(other, folder)


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda folder: (folder / VECTORS).unlink(), ArtefactCorrupt),
        (lambda folder: os.truncate(folder / CHUNKS, 100), ArtefactCorrupt),
        (lambda folder: (folder / "manifest.json").unlink(), ArtefactCorrupt),
        (lambda folder: edit_manifest(folder, lambda c: c.update(schema=SCHEMA + 1)), SchemaMismatch),
        (lambda folder: edit_manifest(folder, lambda c: c["counts"].update(chunks=9)), CountMismatch),
        (_renamed, ArtefactCorrupt),
    ],
    ids=["removed", "truncated", "no manifest", "newer schema", "other counts", "another version"],
)
@pytest.mark.parametrize("named", [True, False], ids=["named", "the one before"])
def test_a_damaged_version_is_not_gone_back_to(
    named: bool,  # noqa: FBT001 - a case
    damage: Callable[[Path], object],
    fault: type[CitewellError],
    root: Path,
) -> None:
    one, two = build(root, "one"), build(root, "two")
    damage(version(root, one))
    with pytest.raises(fault):
        roll_back(root, one if named else None)
    assert current(root) == two


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "manifest.json").unlink(),
        lambda folder: edit_manifest(folder, lambda content: content.update(schema=SCHEMA + 1)),
        shutil.rmtree,
    ],
    ids=["no manifest", "newer schema", "removed"],
)
def test_from_a_damaged_version_one_goes_back_to_the_newest_that_is_older(
    damage: Callable[[Path], object], root: Path
) -> None:
    build(root, "one")
    two, three, four = (build(root, mark) for mark in ("two", "three", "four"))
    roll_back(root, three)
    damage(version(root, three))
    assert roll_back(root) == two
    assert current(root) == two
    assert four in ids(root)


def test_a_damaged_first_version_has_none_before_it(root: Path) -> None:
    one = build(root, "one")
    (version(root, one) / "manifest.json").unlink()
    with pytest.raises(VersionNotFound, match=f"{one} has no version before it"):
        roll_back(root)


def test_a_lost_current_is_mended_by_naming_a_version(root: Path) -> None:
    one, two = build(root, "one"), build(root, "two")
    (root / "current").unlink()
    assert [(listed.index_id, listed.is_current) for listed in list_versions(root)] == [
        (two, False),
        (one, False),
    ]
    assert roll_back(root, two) == two
    assert current(root) == two


def test_a_build_after_going_back_goes_on_from_what_serves(root: Path) -> None:
    one, two = build(root, "one"), build(root, "two")
    roll_back(root)
    three = build(root, "three")
    assert current(root) == three
    assert ids(root) == [three, two, one]


# Deleting


@pytest.mark.parametrize("keep", [1, 2, 3, 4, 5, 100])
def test_the_newest_are_kept(keep: int, root: Path) -> None:
    built = [build(root, mark) for mark in ("one", "two", "three", "four")][::-1]
    assert prune(root, keep) == built[keep:]
    assert ids(root) == built[:keep]
    assert folders(root) == sorted(built[:keep])
    assert current(root) == built[0]


@pytest.mark.parametrize("keep", [1, 2, 3])
@pytest.mark.parametrize("serving", [0, 1, 2, 3])
def test_the_current_version_is_kept_even_when_it_is_the_oldest(serving: int, keep: int, root: Path) -> None:
    built = [build(root, mark) for mark in ("one", "two", "three", "four")][::-1]
    if serving:
        roll_back(root, built[serving])
    # First what serves, then what one would go back to, then the newest.
    before = built[serving + 1 : serving + 2]
    others = [index_id for index_id in built if index_id not in (built[serving], *before)]
    expected = [built[serving], *before, *others]
    assert prune(root, keep) == expected[keep:]
    assert sorted(ids(root)) == sorted(expected[:keep])
    assert current(root) == built[serving]


def test_the_way_back_is_kept_before_a_newer_version_that_was_given_up(root: Path) -> None:
    good, bad = build(root, "good"), build(root, "bad")
    roll_back(root)
    better = build(root, "better")
    assert prune(root, 2) == [bad]
    assert roll_back(root) == good
    assert better in ids(root)


def test_a_folder_of_somebody_else_is_no_version_and_stays(root: Path) -> None:
    built = [build(root, mark) for mark in ("one", "two")][::-1]
    (root / "versions" / "my-backup").mkdir()
    assert ids(root) == built
    assert prune(root, 1) == built[1:]
    assert (root / "versions" / "my-backup").is_dir()
    with pytest.raises(VersionNotFound):
        roll_back(root, "my-backup")


@pytest.mark.parametrize("keep", [0, -1, -5])
def test_fewer_than_one_cannot_be_kept(keep: int, root: Path) -> None:
    built = [build(root, mark) for mark in ("one", "two", "three")][::-1]
    with pytest.raises((ValueError, CitewellError), match="keep"):
        prune(root, keep)
    assert ids(root) == built


def test_without_a_current_version_the_newest_are_kept(root: Path) -> None:
    built = [build(root, mark) for mark in ("one", "two", "three")][::-1]
    for lost in ((root / "current").unlink, lambda: (root / "current").write_text("lost\n")):
        lost()
        assert prune(root, 2) == built[2:3]
        assert ids(root) == built[:2]
        built = built[:2]


def test_who_has_a_deleted_version_open_goes_on_reading_it(root: Path) -> None:
    one = build(root, "one", documents=40)
    with closing(LocalIndex.open(root)) as reader:
        two = build(root, "two")
        assert prune(root, 1) == [one]
        assert folders(root) == [two]
        hits = reader.match([Term("fever")], 50)
        near = reader.search(KeywordEncoder().encode_queries(["fever"])[0], 50)
        assert {hit.chunk_id for hit in hits} == {hit.chunk_id for hit in near}
        assert len(hits) == 40
        stored = reader.chunks([hit.chunk_id for hit in hits])
        assert {chunk.chunk.text for chunk in stored} == {"A fever, one."}
        assert reader.document("page-39").text.endswith("A fever, one.\n")


def test_what_was_deleted_cannot_be_gone_back_to_and_a_build_goes_on(root: Path) -> None:
    one, _two = build(root, "one"), build(root, "two")
    prune(root, 1)
    with pytest.raises(VersionNotFound):
        roll_back(root, one)
    three = build(root, "three")
    assert current(root) == three


def test_a_damaged_version_can_be_deleted(root: Path) -> None:
    one, two = build(root, "one"), build(root, "two")
    (version(root, one) / "manifest.json").unlink()
    assert prune(root, 1) == [one]
    assert ids(root) == [two]


# One at a time


@pytest.mark.parametrize("verb", [roll_back, lambda root: prune(root, 1)], ids=["roll back", "prune"])
def test_a_folder_that_is_being_built_in_is_left_alone_and_the_builder_named(
    verb: Callable[[Path], object], root: Path
) -> None:
    one, two = build(root, "one"), build(root, "two")
    with (
        holding(Layout(root), "building"),
        pytest.raises(
            IndexLocked, match=rf"held by process {os.getpid()} on .* \(building since .*run .* again"
        ),
    ):
        verb(root)
    assert ids(root) == [two, one]
    assert current(root) == two
    assert list_versions(root)[0].is_current


def _hold_and_die(root: Path) -> None:
    with holding(Layout(root), "building"):
        os._exit(1)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_the_lock_of_a_process_that_died_hinders_nobody(root: Path) -> None:
    one, two = build(root, "one"), build(root, "two")
    died = multiprocessing.get_context("spawn").Process(target=_hold_and_die, args=(root,))
    died.start()
    died.join()
    assert died.exitcode == 1
    assert (root / ".holder").exists()
    assert roll_back(root) == one
    assert prune(root, 1) == [two]


def test_a_version_may_be_listed_while_another_one_is_built(root: Path) -> None:
    one = build(root, "one")
    with holding(Layout(root), "building"):
        assert ids(root) == [one]


def test_a_refused_call_leaves_the_folder_free_for_the_next(root: Path) -> None:
    one, _two = build(root, "one"), build(root, "two")
    with pytest.raises(VersionNotFound):
        roll_back(root, "nothing")
    assert roll_back(root) == one
    assert not (root / ".holder").exists()


# What an encoder has to do with it


def test_a_version_whose_encoder_cannot_be_loaded_is_not_gone_back_to(root: Path) -> None:
    """A service that is running would refuse it, and one that starts would have nothing to serve."""
    seeds = root.parent / "seeds-lost"
    seeds.mkdir()
    (seeds / "page.md").write_text(page("A fever."))
    lost = KeywordEncoder(["fever"])
    lost.name = "/no/such/model"
    build_index(seeds, root, lost)
    serving = build(root, "two")
    with pytest.raises(EncoderNotFound):
        roll_back(root)
    assert current(root) == serving


def test_nothing_is_made_where_there_is_nothing_to_go_back_in(root: Path) -> None:
    with pytest.raises(IndexNotFound, match="build one with"):
        roll_back(root)
    assert not root.exists()


# The way back is offered only where it leads somewhere


def test_a_damaged_version_that_serves_names_the_way_back_and_it_works(root: Path) -> None:
    one, two = build(root, "one"), build(root, "two")
    (version(root, two) / VECTORS).write_bytes(b"")
    with pytest.raises(ArtefactCorrupt, match=f"or go back with: rag index --rollback --index {root}$"):
        current(root)
    assert roll_back(root) == one


@pytest.mark.parametrize("serving", ["the first", "one that was gone back to"])
def test_a_damaged_version_without_an_older_one_names_no_way_back(serving: str, root: Path) -> None:
    one = build(root, "one")
    if serving == "one that was gone back to":
        build(root, "two")
        roll_back(root)
    (version(root, one) / VECTORS).write_bytes(b"")
    with pytest.raises(ArtefactCorrupt, match=f"rag index --rebuild --index {root}$"):
        current(root)


def test_a_damaged_target_does_not_advise_the_command_that_has_just_failed(root: Path) -> None:
    one, two = build(root, "one"), build(root, "two")
    (version(root, one) / VECTORS).write_bytes(b"")
    with pytest.raises(ArtefactCorrupt) as refused:
        roll_back(root)
    assert "--rollback" not in str(refused.value)
    assert str(refused.value).endswith(f"rag index --list --index {root} shows what there is")
    assert current(root) == two


def test_the_list_can_be_read_while_versions_go(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = build(root, "one"), build(root, "two")
    read = read_manifest

    def and_another_prunes(folder: Path) -> Manifest:
        found = read(folder)
        if folder.name == one:
            shutil.rmtree(folder)
        return found

    monkeypatch.setattr(versions, "read_manifest", and_another_prunes)
    assert ids(root) == [two]
