"""`rag index` builds, and shows, goes back to and deletes what it built."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from calling import Rag, Result, call, stand_in
from conftest import WriteSeed
from keyword_encoder import KeywordEncoder
from little_index import page

from rag.index.builder import build_index
from rag.index.local.holding import holding
from rag.index.local.layout import VECTORS, Layout


@pytest.fixture
def folder(tmp_path: Path, samples_index: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where the command is called; its index/ has the encoder ready."""
    stand_in(tmp_path, samples_index, monkeypatch)
    return tmp_path


@pytest.fixture
def rag(folder: Path) -> Rag:
    """Call `rag index` inside this process."""

    def index(*arguments: str, **variables: str) -> Result:
        assert Path.cwd() == folder
        return call("index", *arguments, **variables)

    return index


@pytest.fixture
def versions(folder: Path) -> list[str]:
    """The ids of three versions in index/, oldest first; the newest has three documents."""
    made = []
    for mark, documents in (("one", 2), ("two", 2), ("three", 3)):
        seeds = folder / f"seeds-{mark}"
        seeds.mkdir()
        for number in range(documents):
            (seeds / f"page-{number}.md").write_text(page(f"A fever, {mark}."))
        made.append(build_index(seeds, folder / "index", KeywordEncoder()).manifest.index_id)
    return made


def current() -> str:
    return Path("index/current").read_text().strip()


def listed(text: str) -> list[str]:
    """The ids in a list of versions, in order; the current one with its mark."""
    return [re.sub(r"^(\*?) *(\S+) .*", r"\1\2", line) for line in text.splitlines()]


# --list


def test_the_list_shows_every_version_newest_first_and_marks_the_current_one(
    rag: Rag, versions: list[str]
) -> None:
    one, two, three = versions
    result = rag("--list")
    assert (result.status, result.err) == (0, "")
    lines = result.out.splitlines()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    for line, start, held in (
        (lines[0], f"* {three}", "3 documents, 3 chunks"),
        (lines[1], f"  {two}", "2 documents, 2 chunks"),
        (lines[2], f"  {one}", "2 documents, 2 chunks"),
    ):
        assert re.fullmatch(rf"{re.escape(start)}  \d+\.\d MB  built {stamp}  {held}  keywords", line), line
    assert len(lines) == 3


def test_the_list_names_a_version_that_cannot_be_used_with_the_reason(rag: Rag, versions: list[str]) -> None:
    manifest = Path("index/versions") / versions[1] / "manifest.json"
    manifest.write_text("{\x1b[2J")
    result = rag("--list")
    assert result.status == 0
    line = result.out.splitlines()[1]
    assert re.match(rf"  {versions[1]}  \d+\.\d MB  unusable: \S+manifest.json is missing or damaged$", line)
    assert listed(result.out) == [f"*{versions[2]}", versions[1], versions[0]]


@pytest.mark.parametrize("option", [["--list"], ["--rollback"], ["--prune", "1"]])
def test_where_nothing_was_built_that_is_one_line(option: list[str], rag: Rag) -> None:
    for folder in ("index", "nowhere"):
        result = rag(*option, "--index", folder)
        assert result.line == f"rag: no index in {folder}; build one with: rag index --index {folder}"
    assert rag(*option, RAG_INDEX="elsewhere").line.startswith("rag: no index in elsewhere; ")
    assert not Path("nowhere").is_dir() or not list(Path("nowhere").glob("versions"))


# --rollback


def test_going_back_names_the_version_that_serves_now_and_lists_them(rag: Rag, versions: list[str]) -> None:
    one, two, three = versions
    result = rag("--rollback")
    assert (result.status, result.err) == (0, f"{two} is the current version again.\n")
    assert listed(result.out) == [three, f"*{two}", one]
    assert current() == two
    assert rag("--rollback").err == f"{one} is the current version again.\n"
    assert rag("--rollback").line == (
        f"rag: {one} has no version before it; rag index --list --index index shows what there is"
    )
    assert current() == one


def test_going_back_to_a_named_version(rag: Rag, versions: list[str]) -> None:
    one, _, three = versions
    for arguments in (("--rollback", one), (three, "--rollback")):
        wanted = next(argument for argument in arguments if argument != "--rollback")
        result = rag(*arguments)
        assert (result.status, result.err) == (0, f"{wanted} is the current version again.\n")
        assert current() == wanted


@pytest.mark.parametrize(
    "wrong", ["nothing", "20200101T000000000Z-00000000", "..", ".", "", "/etc", "../versions", "seeds"]
)
def test_a_version_that_is_not_there_is_one_line_that_says_where_to_look(
    wrong: str, rag: Rag, versions: list[str]
) -> None:
    line = rag("--rollback", wrong).line
    assert line.startswith("rag: there is no version ")
    assert line.endswith("; rag index --list --index index shows what there is")
    assert current() == versions[-1]


def test_the_current_version_is_said_to_be_current(rag: Rag, versions: list[str]) -> None:
    assert rag("--rollback", versions[-1]).line.startswith(
        f"rag: {versions[-1]} is the current version already; "
    )


def test_a_damaged_version_is_not_gone_back_to(rag: Rag, versions: list[str]) -> None:
    (Path("index/versions") / versions[1] / VECTORS).write_bytes(b"")
    line = rag("--rollback").line
    assert re.match(rf"rag: index/versions/{versions[1]}/{VECTORS} changed since it was written: ", line)
    assert current() == versions[-1]


def test_the_folder_of_documents_need_not_be_there_to_go_back(rag: Rag, versions: list[str]) -> None:
    assert not Path("seeds").exists()
    assert rag("--rollback", RAG_SEEDS="/nowhere", RAG_ENCODER="no/such-model").status == 0
    assert current() == versions[1]


# --prune


@pytest.mark.parametrize(("keep", "kept"), [(1, 1), (2, 2), (3, 3), (50, 3)])
def test_pruning_keeps_the_newest_and_tells_how_many_went(
    keep: int, kept: int, rag: Rag, versions: list[str]
) -> None:
    result = rag("--prune", str(keep))
    assert result.status == 0
    assert result.err == f"Deleted {3 - kept} versions.\n"
    left = versions[::-1][:kept]
    assert listed(result.out) == [f"*{left[0]}", *left[1:]]
    assert sorted(path.name for path in Path("index/versions").iterdir()) == sorted(left)


def test_pruning_keeps_the_version_that_serves_however_old(rag: Rag, versions: list[str]) -> None:
    rag("--rollback", versions[0])
    result = rag("--prune", "1")
    assert listed(result.out) == [f"*{versions[0]}"]


@pytest.mark.parametrize("wrong", ["0", "-1", "two", "1.5", ""])
def test_a_number_that_cannot_be_kept_is_refused(wrong: str, rag: Rag, versions: list[str]) -> None:
    result = rag("--prune", wrong)
    assert (result.status, result.out) == (2, "")
    assert "'--prune'" in result.err
    assert "Traceback" not in result.err
    assert sorted(path.name for path in Path("index/versions").iterdir()) == versions


# What does not go together


@pytest.mark.parametrize(
    "arguments",
    [
        ("--list", "--rollback"),
        ("--list", "--prune", "1"),
        ("--rollback", "--prune", "1"),
        ("--list", "--rollback", "--prune", "1"),
        ("--list", "seeds"),
        ("seeds", "--list"),
        ("--prune", "1", "seeds"),
        ("--list", "--rebuild"),
        ("--rollback", "--rebuild"),
        ("--prune", "1", "--strict"),
        ("--list", "--encoder", "bundled"),
        ("--rollback", "--engine", "auto"),
        ("--rollback", "{id}", "--max-tokens", "64"),
        ("--list", "--max-file-bytes", "1"),
    ],
)
def test_what_does_not_go_together_is_refused_and_nothing_is_done(
    arguments: tuple[str, ...], rag: Rag, versions: list[str]
) -> None:
    result = rag(*(argument.format(id=versions[0]) for argument in arguments))
    assert result.line == (
        "rag: options: --list, --rollback and --prune each stand alone, with no other option but --index"
    )
    assert current() == versions[-1]
    assert sorted(path.name for path in Path("index/versions").iterdir()) == versions


def test_settings_that_are_about_building_do_not_hinder(rag: Rag, versions: list[str]) -> None:
    Path("rag.yaml").write_text("strict: true\nmax_tokens: 64\nencoder: bundled\n")
    assert rag("--list", RAG_STRICT="true", RAG_MAX_FILE_BYTES="5").status == 0
    assert rag("--rollback", RAG_STRICT="true").status == 0
    assert current() == versions[1]


def test_several_versions_cannot_be_gone_back_to_at_once(rag: Rag, versions: list[str]) -> None:
    result = rag("--rollback", versions[0], versions[1])
    assert (result.status, result.out) == (2, "")
    assert current() == versions[-1]


@pytest.mark.parametrize("option", [["--rollback"], ["--prune", "1"], []])
def test_a_folder_that_is_held_is_left_alone_and_the_holder_named(
    option: list[str], rag: Rag, versions: list[str], write_seed: WriteSeed
) -> None:
    write_seed("page", "Sip water.")
    with holding(Layout(Path("index")), "building"):
        line = rag(*option).line
        assert rag("--list").status == 0
    assert re.fullmatch(
        rf"rag: index is held by process {os.getpid()} on \S+ \(building since \S+\); "
        "wait until it has finished, or stop it, and run the command again",
        line,
    )
    assert current() == versions[-1]


@pytest.mark.parametrize("option", [["--list"], ["--rollback"], ["--prune", "1"]])
def test_an_index_folder_that_is_a_file_is_one_line(option: list[str], rag: Rag) -> None:
    Path("file").write_text("x")
    assert rag(*option, "--index", "file").line.startswith("rag: ")


@pytest.mark.parametrize("option", [["--list"], ["--rollback"], ["--prune", "1"]])
def test_a_current_that_cannot_be_read_is_one_line_that_says_what_mends_it(
    option: list[str], rag: Rag, versions: list[str]
) -> None:
    Path("index/current").unlink()
    Path("index/current").mkdir()
    line = rag(*option).line
    assert "index/current cannot be read" in line
    assert "Remove it" in line
    assert sorted(path.name for path in Path("index/versions").iterdir()) == versions


# The report of a build


def test_a_build_tells_how_many_texts_it_encoded_and_which_documents_differ(
    rag: Rag, write_seed: WriteSeed, tmp_path: Path
) -> None:
    for name in ("edited", "licensed", "moved", "removed", "same"):
        write_seed(name, f"Sip water, {name}.")
    first = rag("--max-tokens", "128")
    assert first.status == 0
    (line,) = first.told
    assert re.fullmatch(rf"Published {current()}: 5 documents, 5 chunks \(5 encoded\), [\d,.]+ s\.", line), (
        line
    )

    write_seed("edited", "Sip tea.")
    write_seed("licensed", "Sip water, licensed.", license="cc_by")
    (tmp_path / "seeds" / "moved.md").rename(tmp_path / "seeds" / "elsewhere.md")
    (tmp_path / "seeds" / "removed.md").unlink()
    write_seed("added", "Sip milk.")
    second = rag("--max-tokens", "128")
    published, changes = second.told
    assert f"Published {current()}: 5 documents, 5 chunks (2 encoded), " in published
    assert changes == (
        "Against the version before: 1 new: added; 1 removed: removed; 1 renamed: elsewhere (was moved); "
        "1 edited: edited; 1 with other front matter: licensed."
    )
    assert rag("--max-tokens", "128").err == f"Nothing changed; the index stays {current()}.\n"


def test_a_change_of_front_matter_alone_encodes_nothing(rag: Rag, write_seed: WriteSeed) -> None:
    for number in range(5):
        write_seed(f"page-{number}", f"Sip water {number} times.")
    rag()
    for number in range(5):
        write_seed(f"page-{number}", f"Sip water {number} times.", lastReviewed="2026-01-31")
    published, changes = rag().told
    assert "5 documents, 5 chunks (0 encoded), " in published
    assert changes == (
        "Against the version before: 5 with other front matter: page-0, page-1, page-2 and 2 more."
    )


def test_other_settings_over_the_same_documents_are_no_change_of_a_document(
    rag: Rag, write_seed: WriteSeed
) -> None:
    write_seed("page", "Sip water.")
    rag()
    lines = rag("--max-tokens", "64").told
    assert lines[1:] == ["Against the version before: the same documents."]
    assert "(0 encoded)" in lines[0]


def test_a_build_over_a_damaged_version_says_what_was_wrong_and_encodes_all(
    rag: Rag, write_seed: WriteSeed
) -> None:
    write_seed("page", "Sip water.")
    rag()
    damaged = current()
    (Path("index/versions") / damaged / VECTORS).write_bytes(b"")
    reason, published = rag().told
    assert re.match(
        rf"everything was made anew: index/versions/{damaged}/{VECTORS} changed since it was written: ",
        reason,
    )
    assert "build anew" not in reason
    assert "1 documents, 1 chunks (1 encoded)" in published
    assert current() != damaged


def test_a_rebuild_encodes_all_of_it(rag: Rag, write_seed: WriteSeed) -> None:
    write_seed("page", "Sip water.")
    rag()
    (published,) = rag("--rebuild").told
    assert "(1 encoded)" in published


def test_a_build_after_going_back_compares_with_what_serves(
    rag: Rag, write_seed: WriteSeed, tmp_path: Path
) -> None:
    write_seed("page", "Sip water.")
    rag()
    write_seed("mistake", "Sip poison.")
    rag()
    assert rag("--rollback").status == 0
    shutil.rmtree(tmp_path / "seeds")
    write_seed("page", "Sip water.")
    write_seed("right", "Sip tea.")
    assert rag().told[1] == "Against the version before: 1 new: right."
    assert len(listed(rag("--list").out)) == 3
