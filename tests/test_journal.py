"""What a build has encoded outlives it, batch by batch; what is damaged is encoded again, never believed."""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from keyword_encoder import WORDS, KeywordEncoder
from little_index import page
from whole_index import Recording, check_as_from_nothing, embedded, write_pages

from rag.encoders.base import Vectors
from rag.index import building
from rag.index.builder import build_index
from rag.index.local.faiss_vectors import Codes, code_size
from rag.index.local.journal import Journal, forget
from rag.index.local.layout import Layout
from rag.index.local.manifest import SENTINELS
from rag.index.plan import BuildReport

KEY_BYTES = 16
HEAD_BYTES = 8


class Batch(NamedTuple):
    """Keys and codes as a build notes them."""

    keys: list[bytes]
    codes: Codes

    @property
    def size(self) -> int:
        """Its number of bytes in the file."""
        return HEAD_BYTES + len(self.keys) * KEY_BYTES + self.codes.nbytes


def batch(seed: int, count: int) -> Batch:
    """A batch of keys and codes that are no other batch's."""
    random = np.random.default_rng(seed)
    keys = [hashlib.blake2b(f"{seed} {at}".encode(), digest_size=KEY_BYTES).digest() for at in range(count)]
    width = code_size(KeywordEncoder().dim)
    return Batch(keys, random.integers(0, 256, (count, width), dtype=np.uint8))


BATCHES = (batch(1, 1), batch(2, 2), batch(3, 2))
ANOTHER = batch(4, 3)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def file(layout: Layout) -> Path:
    """A journal of three batches."""
    note(layout, *BATCHES)
    return _file(layout)


def _file(layout: Layout) -> Path:
    (file,) = layout.unfinished.iterdir()
    return file


def note(layout: Layout, *batches: Batch, encoder: KeywordEncoder | None = None) -> None:
    with closing(Journal.open(layout, encoder or KeywordEncoder())) as journal:
        for one in batches:
            journal.append(one.keys, one.codes)


def known(layout: Layout, encoder: KeywordEncoder | None = None) -> dict[bytes, bytes]:
    """All that the journal knows, as (key, code)."""
    with closing(Journal.open(layout, encoder or KeywordEncoder())) as journal:
        codes = journal.known.codes
        return {key: codes[row].tobytes() for key, row in journal.known.rows.items()}


def content(*batches: Batch) -> dict[bytes, bytes]:
    return {key: code.tobytes() for one in batches for key, code in zip(one.keys, one.codes, strict=True)}


def _ends(file: Path) -> list[int]:
    """Where in the file its head and each of its batches end."""
    ends = [file.stat().st_size - sum(one.size for one in BATCHES)]
    for one in BATCHES:
        ends.append(ends[-1] + one.size)
    return ends


def test_a_new_journal_knows_nothing(layout: Layout) -> None:
    with closing(Journal.open(layout, KeywordEncoder())) as journal:
        assert journal.known.rows == {}
        assert journal.known.find([b"k" * KEY_BYTES]).tolist() == [-1]


def test_what_was_noted_is_known_to_the_next(layout: Layout, file: Path) -> None:
    assert file.stat().st_size == _ends(file)[-1]
    with closing(Journal.open(layout, KeywordEncoder())) as journal:
        keys = [*BATCHES[2].keys, b"k" * KEY_BYTES, *BATCHES[0].keys]
        rows = journal.known.find(keys)
    assert rows[2] == -1
    np.testing.assert_array_equal(journal.known.codes[rows[:2]], BATCHES[2].codes)
    np.testing.assert_array_equal(journal.known.codes[rows[3:]], BATCHES[0].codes)
    assert known(layout) == content(*BATCHES)


def test_a_batch_can_be_read_as_soon_as_it_is_noted(layout: Layout) -> None:
    """A process that is killed closes nothing."""
    with closing(Journal.open(layout, KeywordEncoder())) as journal:
        journal.append(*ANOTHER)
        assert known(layout) == content(ANOTHER)


def test_opening_it_changes_nothing(layout: Layout, file: Path) -> None:
    before = file.read_bytes()
    known(layout)
    assert file.read_bytes() == before


def test_wherever_it_is_cut_off_the_whole_batches_before_stay_and_it_goes_on(
    layout: Layout, file: Path
) -> None:
    whole = file.read_bytes()
    ends = _ends(file)
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        left = BATCHES[: sum(length >= end for end in ends[1:])]
        note(layout, ANOTHER)
        assert known(layout) == content(*left, ANOTHER), length


@pytest.mark.parametrize("tail", [bytes(1), bytes(7), bytes(8), bytes(4096), b"\xff" * 100])
def test_a_lost_page_behind_the_last_batch_hides_nothing_that_follows(
    layout: Layout, file: Path, tail: bytes
) -> None:
    file.write_bytes(file.read_bytes() + tail)
    note(layout, ANOTHER)
    assert known(layout) == content(*BATCHES, ANOTHER)


def test_a_lost_page_in_the_middle_costs_what_follows_and_is_never_believed(
    layout: Layout, file: Path
) -> None:
    whole, ends = file.read_bytes(), _ends(file)
    file.write_bytes(whole[: ends[1]] + bytes(ends[2] - ends[1]) + whole[ends[2] :])
    found = known(layout)
    assert found.items() <= content(*BATCHES).items()
    assert found.items() >= content(BATCHES[0]).items()


def test_any_flipped_bit_costs_its_batch_and_the_later_ones_and_gives_no_wrong_code(
    layout: Layout, file: Path
) -> None:
    whole, ends = file.read_bytes(), _ends(file)
    for bit in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        left = BATCHES[: sum(bit // 8 >= end for end in ends[1:])]
        note(layout, ANOTHER)
        assert known(layout) == content(*left, ANOTHER), bit


def test_a_batch_that_claims_to_be_huge_is_not_read(layout: Layout, file: Path) -> None:
    file.write_bytes(file.read_bytes() + struct.pack("<II", 0xFFFF_FFFF, 0) + bytes(1000))
    assert known(layout) == content(*BATCHES)


OTHER = KeywordEncoder((*WORDS[:-1], "clinic"))
DRIFTED = KeywordEncoder(("clinic", *WORDS[1:]))
DRIFTED.fingerprint = KeywordEncoder().fingerprint


@pytest.mark.parametrize("other", [OTHER, DRIFTED], ids=["another fingerprint", "other sentinels"])
def test_another_encoder_begins_anew(layout: Layout, file: Path, other: KeywordEncoder) -> None:
    head = _ends(file)[0]
    assert other.dim == KeywordEncoder().dim
    with closing(Journal.open(layout, other)) as journal:
        assert journal.known.rows == {}
        assert file.stat().st_size == head, "nothing of the first encoder is left"
        journal.append(*ANOTHER)
    assert known(layout, other) == content(ANOTHER)
    assert known(layout) == {}


def test_a_forgotten_journal_is_gone_and_may_be_forgotten_again(layout: Layout, file: Path) -> None:
    forget(layout)
    assert not file.exists()
    assert list(layout.root.iterdir()) == []
    forget(layout)


# -- Builds that were interrupted --

AT_ONCE = 3
Build = Callable[[KeywordEncoder], BuildReport]


class Interrupted(Recording):
    """Is stopped when it is asked for one batch more than it may encode; sentinels are no batch."""

    def __init__(self, *, after: int, words: Sequence[str] = WORDS) -> None:
        super().__init__(words)
        self._left = after

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        if list(texts) != list(SENTINELS):
            if not self._left:
                raise KeyboardInterrupt
            self._left -= 1
        return super().encode_documents(texts)


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    """Four pages of 14 texts, two of which are the same."""
    seeds = tmp_path / "seeds"
    same = "## Sleep\n\nSleep well."
    pages = {
        name: page(f"Fever of {name}.\n\n## Pain\n\nPain of {name}.\n\n{same}", title=title)
        for name, title in {"a": "One", "b": "Two", "c": "Two", "d": "Three"}.items()
    }
    write_pages(seeds, pages | {"e": page("## Hair\n\nHair.\n\n## Lung\n\nLung.", title="Four")})
    return seeds


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def build(seeds: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Build three texts at a time."""
    monkeypatch.setattr(building, "AT_ONCE", AT_ONCE)
    return lambda encoder: build_index(seeds, root, encoder)


def _interrupt(build: Build, after: int) -> list[str]:
    """A build that is stopped after so many batches; returns what they were made of."""
    encoder = Interrupted(after=after)
    with pytest.raises(KeyboardInterrupt):
        build(encoder)
    assert len(encoder.encoded) == after * AT_ONCE
    return encoder.encoded


def _finish(build: Build, seeds: Path, root: Path, tmp_path: Path) -> list[str]:
    """Build to the end and compare; returns what was encoded."""
    encoder = Recording()
    report = build(encoder)
    assert report.encoded == len(encoder.encoded)
    assert not Layout(root).unfinished.exists()
    check_as_from_nothing(seeds, root, tmp_path / "fresh", KeywordEncoder())
    return encoder.encoded


def _texts(root: Path) -> list[str]:
    return embedded(Layout(root).current_version())


def test_a_text_that_stands_in_several_places_is_encoded_once(
    build: Build, seeds: Path, root: Path, tmp_path: Path
) -> None:
    encoded = _finish(build, seeds, root, tmp_path)
    assert (len(_texts(root)), len(encoded)) == (14, 13)
    assert Counter(_texts(root)) - Counter(encoded) == Counter(["Two\nSleep\nSleep well."])


@pytest.mark.parametrize("after", range(5))
def test_a_build_goes_on_from_the_batches_that_were_finished(
    build: Build, seeds: Path, root: Path, tmp_path: Path, after: int
) -> None:
    first = _interrupt(build, after)
    assert Layout(root).current_id() is None
    rest = _finish(build, seeds, root, tmp_path)
    assert Counter(first + rest) == Counter(set(_texts(root)))


def test_a_build_that_is_stopped_again_and_again_comes_to_its_end(
    build: Build, seeds: Path, root: Path, tmp_path: Path
) -> None:
    encoded = [text for after in (1, 0, 2, 1) for text in _interrupt(build, after)]
    encoded += _finish(build, seeds, root, tmp_path)
    assert Counter(encoded) == Counter(set(_texts(root)))


@pytest.mark.parametrize("after", [1, 3, 4])
def test_what_changed_since_a_build_was_stopped_is_all_that_is_added(
    build: Build, seeds: Path, root: Path, tmp_path: Path, after: int
) -> None:
    first = _interrupt(build, after)
    (seeds / "a.md").unlink()
    write_pages(
        seeds,
        {
            "new": page("Breast.", title="Five"),
            "b": page("Fever of b, again.\n\n## Pain\n\nPain of b.", title="Two", license="cc_by"),
        },
    )
    rest = _finish(build, seeds, root, tmp_path)
    assert Counter(rest) == Counter(set(_texts(root)) - set(first))
    assert any("of a." in text for text in first)
    assert not any("of a." in text for text in _texts(root))


def test_a_stopped_build_upon_an_older_version_goes_on_from_both(
    build: Build, seeds: Path, root: Path, tmp_path: Path
) -> None:
    old = _finish(build, seeds, root, tmp_path / "old")
    before = Layout(root).current_id()
    parts = "\n\n".join(f"## Part {at}\n\nBreast {at}." for at in range(5))
    write_pages(seeds, {"f": page(parts, title="Six"), "e": page("Hair.", title="Four")})
    first = _interrupt(build, 1)
    assert Layout(root).current_id() == before
    rest = _finish(build, seeds, root, tmp_path / "new")
    assert set(first).isdisjoint(old)
    assert Counter(first + rest) == Counter(set(_texts(root)) - set(old))


def test_when_the_change_of_a_stopped_build_is_taken_back_nothing_of_it_is_kept(
    build: Build, seeds: Path, root: Path
) -> None:
    before = build(KeywordEncoder()).manifest
    write_pages(seeds, {"f": page("\n\n".join(f"## {at}\n\nHair {at}." for at in range(5)))})
    _interrupt(build, 1)
    assert Layout(root).unfinished.exists()
    (seeds / "f.md").unlink()
    report = build(KeywordEncoder())
    assert (report.unchanged, report.manifest) == (True, before)
    assert not Layout(root).unfinished.exists()


def test_a_damaged_journal_costs_work_and_nothing_else(
    build: Build, seeds: Path, root: Path, tmp_path: Path
) -> None:
    first = _interrupt(build, 3)
    file = _file(Layout(root))
    damaged = bytearray(file.read_bytes())
    size = HEAD_BYTES + AT_ONCE * (KEY_BYTES + code_size(KeywordEncoder().dim))
    damaged[-size - 1] ^= 0x40
    file.write_bytes(damaged)
    rest = _finish(build, seeds, root, tmp_path)
    assert Counter(first[:AT_ONCE] + rest) == Counter(set(_texts(root)))


def test_what_another_encoder_left_is_not_taken_and_its_own_batches_are(
    build: Build, seeds: Path, root: Path, tmp_path: Path
) -> None:
    build(KeywordEncoder(OTHER._words))
    (seeds / "e.md").unlink()
    with pytest.raises(KeyboardInterrupt):
        build(Interrupted(after=3, words=OTHER._words[::-1]))
    first = _interrupt(build, 2)
    rest = _finish(build, seeds, root, tmp_path)
    assert Counter(first + rest) == Counter(set(_texts(root)))
