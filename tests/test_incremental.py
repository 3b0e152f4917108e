"""An index built upon the one before is the index that is built from nothing, and costs only the change."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from keyword_encoder import WORDS, KeywordEncoder, count_words
from little_index import page
from whole_index import (
    Recording,
    check_as_from_nothing,
    check_slices,
    chunks_of,
    embedded,
    files_of,
    write_pages,
)

from rag.corpus import pipeline
from rag.corpus.chunker import chunks_key
from rag.corpus.reader import find_files, read_document
from rag.encoders.base import Encoder
from rag.errors import EmptyCorpus
from rag.index import building
from rag.index.builder import build_index
from rag.index.local import lexical_writer
from rag.index.local.finished import lexical_rows, query
from rag.index.local.keys import bucket_of
from rag.index.local.layout import CHUNKS, Layout
from rag.index.local.lexical_writer import LexicalRow
from rag.index.local.local_index import LocalIndex
from rag.index.plan import BuildOptions, BuildReport, Changes

REBUILD = BuildOptions(rebuild=True)
OTHER_WORDS = (*WORDS[:-1], "clinic")
BROKEN = "---\ntitle: [never closed\n---\n\nLung.\n"
STANDING = (
    "## About this page\n\nThis standing text of the publisher is on every page that you may read here."
)


# -- The law, on any sequence of changes --

NAMES = ("a", "b", "c", "care/a", "care/b", "care/deep/c", "zz")
PARTS = (
    "Call the doctor about a fever of 38.5 °C, or about any pain. See [the clinic](../clinic.html).",
    "## Nausea\n\nNausea passes. " + "Sleep well, eat little, drink often. " * 6,
    "## Hair\n\n- hair falls out\n- hair grows again\n\n| lung | breast |\n|---|---|\n| pain | fever |",
    "## Nausea\n\nNausea passes. " + "Sleep well, eat little, drink often. " * 6,
    "### Tests\n\nThe doctor’s tests — e.g. of the lung — take a day. 😀",
    "![](picture.png)",
    STANDING,
)
FRONT = {
    "title": ("Fever", "Fever - NCI", "Hair loss", "A much longer title about the lung"),
    "source": ("NCI", "ACS"),
    "url": ("https://example.org/one", "https://example.org/two/"),
    "license": ("public_domain", "cc_by"),
    "lastReviewed": ("2025-01-31", "2026-02-28"),
    "status": ("active", "withdrawn"),
    "note": ("short", "a longer note that moves all that stands below it"),
}


@dataclass(frozen=True, slots=True)
class Page:
    """A document to be: lines of its front matter, which may be broken, and parts of its body."""

    front: tuple[tuple[str, str], ...] = (("title", "Fever"),)
    parts: tuple[str, ...] = (PARTS[0], STANDING)
    broken: bool = False

    def text(self) -> str:
        head = "\n".join(f"{key}: {value}" for key, value in self.front) or "note: none"
        closing = "never: [closed\n" if self.broken else ""
        return f"---\n{head}\n{closing}---\n\n" + "\n\n".join(self.parts) + "\n"


Pages = dict[str, Page]
Change = Callable[[Pages], object]


def _changed(name: str, change: Callable[[Page], Page]) -> Change:
    """Change a page that is there; nothing happens to one that is not."""

    def apply(pages: Pages) -> None:
        if name in pages:
            pages[name] = change(pages[name])

    return apply


def _with_line(line: tuple[str, str]) -> Callable[[Page], Page]:
    return lambda one: replace(one, front=tuple((dict(one.front) | dict([line])).items()))


def _without_line(key: str) -> Callable[[Page], Page]:
    return lambda one: replace(one, front=tuple(line for line in one.front if line[0] != key))


def _moved(names: tuple[str, str]) -> Change:
    """Rename the first to the second; where there is a second already they change places."""

    def apply(pages: Pages) -> None:
        one, other = names
        first, second = pages.pop(one, None), pages.pop(other, None)
        pages.update({name: page for name, page in ((other, first), (one, second)) if page})

    return apply


def _copied(names: tuple[str, str]) -> Change:
    def apply(pages: Pages) -> None:
        if names[0] in pages:
            pages[names[1]] = pages[names[0]]

    return apply


_names = st.sampled_from(NAMES)
_parts = st.sampled_from(PARTS)
_bodies = st.lists(_parts, min_size=1, max_size=4).map(tuple)
_lines = st.sampled_from([(key, value) for key, values in FRONT.items() for value in values])
_pages = st.builds(
    lambda lines, parts: Page(tuple(dict(lines).items()), parts), st.lists(_lines, max_size=4), _bodies
)
_edits: st.SearchStrategy[Callable[[Page], Page]] = st.one_of(
    _bodies.map(lambda parts: lambda one: replace(one, parts=parts)),
    _parts.map(lambda part: lambda one: replace(one, parts=(*one.parts, part))),
    st.just(lambda one: replace(one, parts=one.parts[:-1])),
    _lines.map(_with_line),
    _lines.map(_with_line),
    st.sampled_from(list(FRONT)).map(_without_line),
    st.just(lambda one: replace(one, broken=not one.broken)),
)
_changes: st.SearchStrategy[Change] = st.one_of(
    st.tuples(_names, _pages).map(lambda new: lambda pages: pages.update([new])),
    st.builds(_changed, _names, _edits),
    st.builds(_changed, _names, _edits),
    st.tuples(_names, _names).map(_moved),
    st.tuples(_names, _names).map(_copied),
    _names.map(lambda name: lambda pages: pages.pop(name, None)),
    _lines.map(lambda line: lambda pages: pages.update((n, _with_line(line)(p)) for n, p in pages.items())),
)


@dataclass(frozen=True, slots=True)
class Round:
    """Some changes and the settings of the build that follows on them."""

    changes: list[Change]
    max_tokens: int
    words: tuple[str, ...]


_rounds = st.builds(
    Round,
    st.lists(_changes, min_size=1, max_size=4),
    st.sampled_from([48] * 7 + [32]),
    st.sampled_from([WORDS] * 7 + [OTHER_WORDS]),
)


def _write(seeds: Path, pages: Mapping[str, Page]) -> None:
    shutil.rmtree(seeds, ignore_errors=True)
    seeds.mkdir()
    write_pages(seeds, {name: one.text() for name, one in pages.items()})


def _current(root: Path) -> Path | None:
    layout = Layout(root)
    return layout.current_version() if layout.current_id() else None


@settings(
    deadline=None,
    max_examples=int(os.environ.get("LAW_EXAMPLES", "10")),
    # Every step builds two indexes, so what fails is shown as it was drawn.
    phases=(Phase.explicit, Phase.generate),
    derandomize="LAW_EXAMPLES" not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    first=st.dictionaries(_names, _pages, min_size=5, max_size=6),
    rounds=st.lists(_rounds, min_size=2, max_size=4),
    worth_buckets=st.sampled_from([1, 8, 14, 8192]),
)
def test_any_sequence_of_changes_gives_what_a_build_from_nothing_gives(
    tmp_path_factory: pytest.TempPathFactory, first: Pages, rounds: list[Round], worth_buckets: int
) -> None:
    """With few chunks in four parts, with more in one part, and with a number that crosses the border."""
    folder = tmp_path_factory.mktemp("law")
    seeds, root, fresh = folder / "seeds", folder / "index", folder / "fresh"
    pages = dict(first)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lexical_writer, "_WORTH_BUCKETS", worth_buckets)
        for one in [Round([], 48, WORDS), *rounds]:
            for change in one.changes:
                change(pages)
            _write(seeds, pages)
            _check_round(seeds, root, fresh, one)
            shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(folder)


def _check_round(seeds: Path, root: Path, fresh: Path, settings_of: Round) -> None:
    """Build incrementally; compare the result with a build from nothing and the work with the change."""
    encoder, options = Recording(settings_of.words), BuildOptions(max_tokens=settings_of.max_tokens)
    before = _current(root)
    try:
        report = build_index(seeds, root, encoder, options=options)
    except EmptyCorpus as error:
        with pytest.raises(EmptyCorpus, match=f"^{re.escape(str(error))}$"):
            build_index(seeds, fresh, KeywordEncoder(settings_of.words), options=options)
        assert _current(root) == before
        return
    check_as_from_nothing(seeds, root, fresh, KeywordEncoder(settings_of.words), options)
    check_slices(root)
    known = _known_texts(before, encoder)
    assert Counter(encoder.encoded) == Counter(set(embedded(report.folder)) - known)
    assert report.encoded == len(encoder.encoded)
    assert not Layout(root).unfinished.exists()


def _known_texts(version: Path | None, encoder: Encoder) -> set[str]:
    """The texts whose vectors by this encoder a version holds."""
    if version is None:
        return set()
    manifest = json.loads((version / "manifest.json").read_text(encoding="utf-8"))
    return set(embedded(version)) if manifest["encoder"]["fingerprint"] == encoder.fingerprint else set()


def test_real_vectors_are_those_of_a_build_from_nothing(
    tmp_path: Path, seeds_folder: Path, bundled: Encoder
) -> None:
    seeds, root = tmp_path / "seeds", tmp_path / "index"
    names = ("side-effects/hair-loss", "side-effects/fatigue", "living/herbal-supplements-withdrawn")
    texts = {name: (seeds_folder / f"{name}.md").read_text(encoding="utf-8") for name in names}
    write_pages(seeds, texts)
    build_index(seeds, root, bundled)
    hair, _, herbs = texts.values()
    (seeds / "side-effects/fatigue.md").rename(seeds / "tired.md")
    lines = herbs.splitlines(keepends=True)
    write_pages(
        seeds,
        {
            names[0]: hair + "\n## Eyebrows\n\nEyebrows may fall out as well.\n\nThey grow again.\n",
            names[2]: "".join([lines[0], "added: a line of front matter\n", *lines[1:]]),
            "new": page("Mouth sores heal within two weeks of the last treatment.", title="Sores"),
        },
    )
    report = build_index(seeds, root, bundled)
    assert 1 < report.encoded < 5, "the new page and the edited end of another"
    check_as_from_nothing(seeds, root, tmp_path / "fresh", bundled)
    check_slices(root)


# -- Named cases --


@dataclass(frozen=True, slots=True)
class Place:
    """Documents and their index."""

    seeds: Path
    root: Path

    def write(self, **pages: str) -> None:
        """Write documents; '__' in a name stands for '/'."""
        write_pages(self.seeds, {name.replace("__", "/"): text for name, text in pages.items()})

    def rename(self, old: str, new: str) -> None:
        target = self.seeds / f"{new}.md"
        target.parent.mkdir(parents=True, exist_ok=True)
        (self.seeds / f"{old}.md").rename(target)

    def remove(self, name: str) -> None:
        (self.seeds / f"{name}.md").unlink()

    def build(
        self, encoder: KeywordEncoder | None = None, options: BuildOptions | None = None
    ) -> BuildReport:
        """Build, and check that the result is that of a build from nothing."""
        encoder = encoder or Recording()
        report = build_index(self.seeds, self.root, encoder, options=options)
        fresh = self.root.parent / f"fresh-{report.manifest.index_id}"
        plain = KeywordEncoder(encoder._words)
        plain.fingerprint = encoder.fingerprint
        check_as_from_nothing(self.seeds, self.root, fresh, plain, options)
        check_slices(self.root)
        return report


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Four pages, built."""
    place = Place(tmp_path / "seeds", tmp_path / "index")
    place.write(
        a=page("Fever.\n\n## Nausea\n\nNausea passes.", title="A", license="public_domain"),
        b=page("Pain.\n\n## Sleep\n\nSleep well.", title="B", lastReviewed="2025-01-01"),
        care__c=page("Hair.\n\n## Doctor\n\nAsk the doctor.", title="C", url="https://example.org/c"),
        d=page("Lung.", title="D"),
    )
    place.build()
    return place


def _chunks(place: Place) -> dict[str, tuple[int, str, str]]:
    """Of every chunk its start, its context and its links."""
    return {
        one.chunk.chunk_id: (
            one.chunk.start,
            one.chunk.context,
            " ".join(link.url for link in one.chunk.links),
        )
        for one in chunks_of(place.root)
    }


def _suffixes(chunk_ids: Iterable[str], doc_id: str) -> list[str]:
    """The ids of a document's chunks without its own."""
    return [one.removeprefix(doc_id) for one in chunk_ids if one.startswith(f"{doc_id}#")]


def test_a_change_of_every_front_matter_encodes_nothing_and_cuts_nothing(place: Place) -> None:
    before = _chunks(place)
    for path in place.seeds.rglob("*.md"):
        added = "license: cc_by\nstatus: archived\nreviewFrequency: yearly\n"
        text = path.read_text(encoding="utf-8").replace("license: public_domain\n", "")
        path.write_text(text.replace("title:", added + "title:"), encoding="utf-8")
    encoder = Recording()
    report = place.build(encoder)
    assert encoder.encoded == []
    assert set(encoder.counted) <= {""}, "a chunker is made, and is given nothing"
    assert report.encoded == 0
    assert report.changes == Changes(redescribed=("a", "b", "care/c", "d"))
    after = _chunks(place)
    assert list(after) == list(before)
    longer = len("license: cc_by\nstatus: archived\nreviewFrequency: yearly\n")
    for chunk_id, (start, *content) in before.items():
        shorter = len("license: public_domain\n") if chunk_id.startswith("a#") else 0
        assert after[chunk_id] == (start + longer - shorter, *content)
    assert {one.metadata.license for one in chunks_of(place.root)} == {"cc_by"}


def test_a_front_matter_of_other_length_in_bytes_than_in_characters_moves_by_characters(place: Place) -> None:
    place.write(d=page("Lung.", title="D", note="é – 😀 ’"))
    encoder = Recording()
    assert place.build(encoder).changes == Changes(redescribed=("d",))
    assert encoder.encoded == []


def test_an_untouched_page_is_not_even_read(place: Place) -> None:
    place.write(d=page("Lung and breast.", title="D"))
    encoder = Recording()
    place.build(encoder)
    assert not [text for text in encoder.counted if "Fever" in text or "Nausea" in text]
    assert [text for text in encoder.counted if "breast" in text]


def test_nothing_of_a_removed_page_is_left(place: Place) -> None:
    place.write(secret__xylophone=page("Quokka wombat.\n\n## Zyzzyva\n\nPlatypus.", title="Echidna"))
    there = place.build()
    place.remove("secret/xylophone")
    gone = place.build()
    assert gone.changes == Changes(removed=("secret/xylophone",))
    for word in ("xylophone", "quokka", "wombat", "zyzzyva", "platypus", "echidna"):
        assert _holding(there, word), "it can be seen where it is"
        assert _holding(gone, word) == []


def test_nothing_of_what_a_page_has_lost_is_left(place: Place) -> None:
    place.write(d=page("Lung.\n\nQuokka.\n\n## Zyzzyva\n\nPlatypus.", title="Echidna"))
    there = place.build()
    place.write(d=page("Lung.", title="D"))
    gone = place.build()
    assert gone.changes == Changes(edited=("d",))
    for word in ("quokka", "zyzzyva", "platypus", "echidna"):
        assert _holding(there, word)
        assert _holding(gone, word) == []


def _holding(report: BuildReport, word: str) -> list[str]:
    """The files of a version that hold a word; the words of the lexical index are no plain bytes."""
    manifest = (report.folder / "manifest.json").read_bytes()
    contents = files_of(report.folder) | {"manifest.json": manifest}
    found = [name for name, content in contents.items() if word.encode() in content.lower()]
    index = LocalIndex.open_version(report.folder)
    stem = index.stems(word)[0]
    index.close()
    return found + [one for one in index.vocabulary() if one == stem]


def test_a_renamed_page_keeps_its_vectors_and_the_numbers_of_its_chunks(place: Place) -> None:
    before = _chunks(place)
    place.rename("a", "deep/er/elsewhere")
    encoder = Recording()
    report = place.build(encoder)
    assert report.changes == Changes(renamed={"deep/er/elsewhere": "a"})
    assert (encoder.encoded, report.encoded) == ([], 0)
    assert set(encoder.counted) <= {""}
    after = _chunks(place)
    assert _suffixes(after, "a") == []
    assert _suffixes(after, "deep/er/elsewhere") == _suffixes(before, "a") != []


def test_a_renamed_page_with_other_front_matter_is_renamed_all_the_same(place: Place) -> None:
    place.rename("a", "e")
    place.write(e=page("Fever.\n\n## Nausea\n\nNausea passes.", title="A", license="cc_by"))
    encoder = Recording()
    assert place.build(encoder).changes == Changes(renamed={"e": "a"})
    assert encoder.encoded == []


def test_a_page_without_a_title_is_cut_again_when_its_name_was_the_title(place: Place) -> None:
    place.write(nameless="---\nlanguage: en\n---\n\nBreast.\n")
    place.build()
    place.rename("nameless", "named")
    encoder = Recording()
    report = place.build(encoder)
    assert encoder.encoded == ["named\nBreast."]
    assert report.changes == Changes(renamed={"named": "nameless"})


def test_two_pages_that_change_names_are_two_edited_ones(place: Place) -> None:
    place.rename("a", "spare")
    place.rename("b", "a")
    place.rename("spare", "b")
    encoder = Recording()
    assert place.build(encoder).changes == Changes(edited=("a", "b"))
    assert encoder.encoded == [], "their texts are known, wherever they stand"


def test_one_changed_paragraph_is_the_only_one_that_is_encoded(place: Place) -> None:
    before = _chunks(place)
    place.write(a=page("Fever.\n\n## Nausea\n\nNausea stays.", title="A", license="public_domain"))
    encoder = Recording()
    report = place.build(encoder)
    assert encoder.encoded == ["A\nNausea\nNausea stays."]
    assert report.encoded == 1
    assert report.changes == Changes(edited=("a",))
    gone, new = set(before) - set(_chunks(place)), set(_chunks(place)) - set(before)
    assert [one.rpartition("-")[0] for one in (*gone, *new)] == ["a#nausea", "a#nausea"]


def test_a_text_that_comes_again_elsewhere_is_not_encoded_again(place: Place) -> None:
    place.write(copy=page("Fever.\n\n## New\n\nBreast.\n\n## New\n\nBreast.", title="A"))
    encoder = Recording()
    place.build(encoder)
    assert encoder.encoded == ["A\nNew\nBreast."]


def test_every_kind_of_change_is_told_by_its_name(place: Place) -> None:
    place.write(
        new=page("Something new.", title="New"),
        b=page("Pain.\n\n## Sleep\n\nSleep well.", title="B", lastReviewed="2026-01-01"),
        d=page("Lung and breast.", title="D"),
    )
    place.rename("care/c", "care/e")
    place.remove("a")
    report = place.build()
    assert report.changes == Changes(
        new=("new",), removed=("a",), edited=("d",), redescribed=("b",), renamed={"care/e": "care/c"}
    )


def test_a_page_that_can_no_longer_be_read_is_removed_and_comes_back_as_new(place: Place) -> None:
    whole = (place.seeds / "d.md").read_text(encoding="utf-8")
    place.write(d=BROKEN)
    broken = place.build()
    assert broken.changes == Changes(removed=("d",))
    assert [problem.path.name for problem in broken.problems] == ["d.md"]
    place.write(d=whole)
    assert place.build().changes == Changes(new=("d",))


@pytest.mark.parametrize("meanwhile", [page("Breast.", title="D"), BROKEN], ids=["edited", "broken"])
def test_a_page_that_changes_while_it_is_read_and_back_again_is_built_as_it_is(
    place: Place, meanwhile: str
) -> None:
    """Digests are taken first and files are read later; a version must not vouch for what it has not read."""
    whole = page("Lung and sleep.", title="D")
    place.write(d=whole)

    def change(_stage: str, done: int, _total: int) -> None:
        if not done:
            place.write(d=meanwhile)

    build_index(place.seeds, place.root, KeywordEncoder(), on_progress=change)
    place.write(d=whole)
    place.build()
    assert "Lung and sleep." in [one.chunk.text for one in chunks_of(place.root)]


def test_the_first_version_has_nothing_to_compare_with(tmp_path: Path) -> None:
    place = Place(tmp_path / "seeds", tmp_path / "index")
    place.write(a=page("Fever."))
    report = place.build()
    assert (report.changes, report.not_reused, report.encoded) == (None, None, 1)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"url": "https://example.org/x/"}, {"url": "https://example.org/y/"}),
        ({"url": "https://example.org/x/"}, {}),
        ({}, {"url": "https://example.org/y/"}),
        ({"title": "Lung - NCI"}, {"title": "Breast - NCI"}),
        ({"title": "Lung - NCI"}, {"title": "Lung - NCI", "source": "NCI"}),
        ({"title": "Lung - NCI", "source": "NCI"}, {"title": "Lung - NCI", "source": "ACS"}),
    ],
    ids=["url", "url gone", "url new", "title", "source shortens title", "source no longer shortens title"],
)
def test_a_line_that_decides_links_or_contexts_is_not_taken_for_a_mere_note(
    place: Place, before: dict[str, str], after: dict[str, str]
) -> None:
    body = "See [the clinic](clinic.html).\n\n## Sleep\n\nSleep and [rest](../rest)."
    place.write(x=page(body, **before))
    place.build()
    told = _chunks(place)
    place.write(x=page(body, **after))
    report = place.build()
    assert report.changes == Changes(edited=("x",))
    assert _suffixes(_chunks(place), "x") == _suffixes(told, "x")
    assert [v[1:] for k, v in _chunks(place).items() if k.startswith("x#")] != [
        v[1:] for k, v in told.items() if k.startswith("x#")
    ]


def test_an_encoder_of_another_fingerprint_takes_no_vector_over(place: Place) -> None:
    place.write(d=page("Lung and clinic.", title="D"))
    encoder = Recording(OTHER_WORDS)
    report = place.build(encoder)
    assert encoder.dim == KeywordEncoder().dim
    assert sorted(encoder.encoded) == sorted(embedded(report.folder))
    assert report.not_reused is None, "a wish is no fault"
    assert report.changes == Changes(edited=("d",))


@pytest.mark.parametrize("max_tokens", [12, 30])
def test_another_budget_cuts_every_page_anew(place: Place, max_tokens: int) -> None:
    place.write(d=page("Lung and breast, breast and lung. " * 6, title="D"))
    place.build()
    encoder = Recording()
    report = place.build(encoder, BuildOptions(max_tokens=max_tokens))
    assert [text for text in encoder.counted if "Fever" in text]
    assert report.changes == Changes()
    assert 0 < report.encoded == len(encoder.encoded)
    assert all("breast" in text for text in encoder.encoded), "a text that is cut as before is known"


@pytest.mark.parametrize("name", ["manifest.json", CHUNKS, "vectors.faiss", "lexical/meta.json"])
def test_nothing_is_taken_from_a_damaged_version_and_the_report_says_why(place: Place, name: str) -> None:
    place.write(d=page("Lung and breast.", title="D"))
    damaged = Layout(place.root).current_version() / name
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(bytes(content))
    encoder = Recording()
    report = place.build(encoder)
    assert report.not_reused is not None
    assert str(damaged) in report.not_reused
    assert report.changes is None
    assert sorted(encoder.encoded) == sorted(embedded(report.folder))
    assert place.build().unchanged


def test_nothing_is_taken_from_a_version_when_the_encoder_has_drifted(place: Place) -> None:
    place.write(d=page("Lung and clinic.", title="D"))
    drifted = Recording(("clinic", *WORDS[1:]))
    drifted.fingerprint = KeywordEncoder().fingerprint
    report = place.build(drifted)
    assert report.not_reused is not None
    assert "sentinel" in report.not_reused
    assert sorted(drifted.encoded) == sorted(embedded(report.folder))


def test_a_rebuild_takes_nothing_over(place: Place) -> None:
    encoder = Recording()
    report = place.build(encoder, REBUILD)
    assert not report.unchanged
    assert (report.changes, report.not_reused) == (None, None)
    assert sorted(encoder.encoded) == sorted(embedded(report.folder))
    assert [text for text in encoder.counted if "Fever" in text]


def test_standing_text_is_weighed_anew_on_pages_that_are_taken_over(place: Place) -> None:
    """Five pages make a text a standing one; its share is counted over all pages, read again or not."""
    pages = {f"s{number}": page(f"Fever {number}.\n\n{STANDING}", title="S") for number in range(5)}
    place.write(**pages)
    place.build()
    assert _shares(place) == {f"s{number}": 1.0 for number in range(5)}
    place.write(s4=page("Fever 4.", title="S"))
    place.build()
    assert _shares(place) == {}
    place.write(s4=pages["s4"])
    place.build()
    assert _shares(place) == {f"s{number}": 1.0 for number in range(5)}


def _shares(place: Place) -> dict[str, float]:
    """How much of a document's chunk stands in many documents, where any of it does."""
    found = query(
        Layout(place.root).current_version() / CHUNKS,
        "SELECT doc_id, share FROM repetition JOIN chunks USING (row) JOIN documents USING (doc)",
    )
    return dict(found)


def test_several_processes_leave_uncut_what_one_leaves_uncut(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "_WORTH_PROCESSES", 2)
    files, _ = find_files(place.seeds)
    keys = [chunks_key(read_document(file)) for file in files]
    known = {"a": keys[0], "b": keys[2], "d": keys[3]}
    alone, together = (
        list(pipeline.chunk_files(files, count_words, max_tokens=64, workers=workers, known=known))
        for workers in (1, 2)
    )
    assert together == alone
    assert [isinstance(one, pipeline.KnownDocument) for one in together] == [True, False, False, True]


# -- The lexical index in parts --


@pytest.fixture
def parted(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Sixteen chunks, from where on an index has four parts."""
    monkeypatch.setattr(lexical_writer, "_WORTH_BUCKETS", 16)
    place.write(**{f"p{number}": page(f"Fever {number}.", title=f"P{number}") for number in range(9)})
    return place


def _segments(report: BuildReport) -> list[dict[str, Any]]:
    meta = json.loads((report.folder / "lexical/meta.json").read_text(encoding="utf-8"))
    segments: list[dict[str, Any]] = meta["segments"]
    return segments


def test_an_index_that_grows_and_shrinks_over_the_border_has_four_parts_only_above_it(parted: Place) -> None:
    assert len(_segments(parted.build())) == 4
    parted.remove("d")
    below = parted.build()
    assert below.manifest.counts["chunks"] == 15
    assert len(_segments(below)) == 1
    parted.write(d=page("Lung again.", title="D"))
    assert len(_segments(parted.build())) == 4


def test_a_changed_page_leaves_the_other_parts_as_they_are(parted: Place) -> None:
    before = parted.build()
    parted.write(p4=page("Fever and more 4.", title="P4"))
    after = parted.build()
    assert len([one for one in _segments(after) if one in _segments(before)]) == 3
    old, new = files_of(before.folder), files_of(after.folder)
    same = {name.rpartition(".")[0] for name in new if old.get(name) == new[name]}
    assert len([stem for stem in same if stem.startswith("lexical/")]) == 3


def test_only_the_part_of_a_changed_page_is_written_again(
    parted: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    parted.build()
    written: list[str] = []

    def recording(path: Path, doc_ids: Sequence[str]) -> Iterable[LexicalRow]:
        written.extend(doc_ids)
        return lexical_rows(path, doc_ids)

    monkeypatch.setattr(building, "lexical_rows", recording)
    parted.write(p4=page("Fever and more 4.", title="P4"))
    build_index(parted.seeds, parted.root, KeywordEncoder())
    bucket = bucket_of("p4", 4)
    ids = ["a", "b", "care/c", "d", *(f"p{number}" for number in range(9))]
    assert written == [one for one in ids if bucket_of(one, 4) == bucket]
    parted.write(p4=page("Fever and more 4.", title="P4", license="cc_by"))
    written.clear()
    build_index(parted.seeds, parted.root, KeywordEncoder())
    assert written == []


def test_a_change_of_front_matter_alone_leaves_all_parts_as_they_are(parted: Place) -> None:
    before = parted.build()
    parted.write(p4=page("Fever 4.", title="P4", license="cc_by"))
    assert _segments(parted.build()) == _segments(before)
