"""Vectors in any number are found again: all of them compared, or candidates by short codes first."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import faiss
import numpy as np
import pytest
from conftest import WriteSeed
from hypothesis import given, settings
from hypothesis import strategies as st
from keyword_encoder import KeywordEncoder
from sealing import bless

from rag import progress
from rag.encoders.base import Vectors, unit_rows
from rag.errors import ArtefactCorrupt, CountMismatch
from rag.index.builder import build_index
from rag.index.building import Stage
from rag.index.local import faiss_vectors, vector_plan
from rag.index.local.faiss_vectors import FaissVectors, Rows, encoded
from rag.index.local.layout import SHORT_CODES, VECTORS, Layout
from rag.index.local.local_index import LocalIndex
from rag.index.local.short_codes import ShortCodes
from rag.index.local.vector_plan import EXACT_SHARE, EXACT_UP_TO, ONE_LIST_UP_TO, VectorPlan
from rag.index.plan import BuildOptions, BuildReport

ROWS, DIM = 24_000, 32
ONE_LIST = VectorPlan(kind="codes", lists=1, probes=1)
MANY_LISTS = VectorPlan(kind="codes", lists=12, probes=6)


CENTRES = unit_rows(np.random.default_rng(0).normal(size=(60, DIM)))
GROUPS = np.random.default_rng(1).integers(60, size=ROWS)


def crowded(groups: Rows, seed: int) -> Vectors:
    """Rows around the centres of groups, as passages lie around subjects."""
    return unit_rows(CENTRES[groups] + 0.1 * np.random.default_rng(seed).normal(size=(len(groups), DIM)))


def shortened(vectors: FaissVectors, plan: VectorPlan) -> ShortCodes:
    return ShortCodes.of(len(vectors), vectors.dim, vectors.vectors, plan, lambda _done, _total: None)


@pytest.fixture(autouse=True)
def _few_rows_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A narrow filter is compared exactly; here even one of 24,000 rows leaves enough for short codes."""
    monkeypatch.setattr(faiss_vectors, "EXACT_UP_TO", 0)


@pytest.fixture(scope="module")
def exact() -> FaissVectors:
    return FaissVectors.of(encoded(crowded(GROUPS, seed=1)), DIM)


@pytest.fixture(scope="module", params=[ONE_LIST, MANY_LISTS], ids=["one list", "many lists"])
def short(request: pytest.FixtureRequest, exact: FaissVectors) -> FaissVectors:
    return exact.found_by(shortened(exact, request.param))


QUERIES = crowded(np.arange(40), seed=2)


def shared(one: Rows, other: Rows) -> float:
    return len(set(one.tolist()) & set(other.tolist())) / len(one)


def test_short_codes_lose_next_to_nothing_of_what_exact_search_finds(
    exact: FaissVectors, short: FaissVectors
) -> None:
    """Of the ten nearest and of the two hundred that a ranking starts from."""
    for k, least in ((10, 0.99), (200, 0.98)):
        found = [shared(exact.search(query, k)[0], short.search(query, k)[0]) for query in QUERIES]
        assert np.mean(found) >= least


def test_the_scores_of_what_short_codes_find_are_exact(exact: FaissVectors, short: FaissVectors) -> None:
    for query in QUERIES:
        rows, scores = short.search(query, 50)
        assert (np.diff(scores) <= 0).all()
        np.testing.assert_allclose(scores, exact.similarities(query, rows), atol=1e-6)


def test_short_codes_are_what_finds_the_rows(exact: FaissVectors) -> None:
    """Otherwise the tests beside this one compare exact search with itself."""
    poor = exact.found_by(shortened(exact, VectorPlan(kind="codes", lists=400, probes=1)))
    assert np.mean([shared(exact.search(q, 10)[0], poor.search(q, 10)[0]) for q in QUERIES]) < 0.9


@pytest.mark.parametrize("share", [1.0, 0.9, 0.5, 1 / EXACT_SHARE, 0.05, 0.001])
def test_a_filter_keeps_what_exact_search_finds_under_it(
    exact: FaissVectors, short: FaissVectors, share: float
) -> None:
    allowed = np.random.default_rng(3).random(ROWS) < share
    found = []
    for query in QUERIES:
        expected, rows = exact.search(query, 10, allowed)[0], short.search(query, 10, allowed)[0]
        assert len(rows) == len(expected) == 10
        assert allowed[rows].all()
        found.append(shared(expected, rows))
    assert np.mean(found) >= 0.99


def test_a_filter_that_forbids_what_is_near_the_question_finds_as_much_of_the_rest(
    exact: FaissVectors, short: FaissVectors
) -> None:
    """The lists nearest to the question then hold next to nothing that is allowed."""
    found = []
    for query in QUERIES:
        farthest = np.argsort(CENTRES @ query)[:20]
        allowed = np.isin(GROUPS, farthest)
        expected, rows = exact.search(query, 10, allowed)[0], short.search(query, 10, allowed)[0]
        assert allowed[rows].all()
        found.append(shared(expected, rows))
    assert np.mean(found) >= 0.95


def test_masks_that_come_and_go_are_not_taken_for_each_other(exact: FaissVectors) -> None:
    """A new one may lie where an old one lay."""
    codes = shortened(exact, MANY_LISTS)
    for share in np.linspace(0, 1, 30):
        allowed = np.arange(ROWS) < share * ROWS
        counted = codes._held(allowed)
        assert counted.sum() == allowed.sum()
        assert codes._held(allowed) is counted
        del allowed
    assert len(codes._counted) == 0


@settings(max_examples=25, deadline=None)
@given(k=st.integers(0, 2 * ROWS), allowed=st.none() | st.integers(0, ROWS))
def test_as_many_rows_come_back_as_there_are(k: int, allowed: int | None) -> None:
    vectors = _EVERY_SIZE()
    mask = None if allowed is None else np.arange(ROWS) >= ROWS - allowed
    rows, scores = vectors.search(QUERIES[0], k, mask)
    assert len(rows) == len(scores) == len(set(rows.tolist())) == min(k, ROWS if mask is None else mask.sum())
    assert mask is None or mask[rows].all()


def _every_size() -> Callable[[], FaissVectors]:
    made: list[FaissVectors] = []

    def get() -> FaissVectors:
        if not made:
            vectors = FaissVectors.of(encoded(crowded(GROUPS, seed=1)), DIM)
            made.append(vectors.found_by(shortened(vectors, MANY_LISTS)))
        return made[0]

    return get


_EVERY_SIZE = _every_size()


def test_a_search_whose_lists_hold_too_little_looks_at_all_rows(exact: FaissVectors) -> None:
    thin = exact.found_by(shortened(exact, VectorPlan(kind="codes", lists=2_000, probes=1)))
    rows, scores = thin.search(QUERIES[0], 300)
    expected_rows, expected_scores = exact.search(QUERIES[0], 300)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_array_equal(scores, expected_scores)


@pytest.mark.parametrize("plan", [ONE_LIST, MANY_LISTS])
def test_the_same_vectors_give_the_same_short_codes(
    exact: FaissVectors, plan: VectorPlan, tmp_path: Path
) -> None:
    for name in ("one", "other"):
        shortened(exact, plan).write(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_short_codes_read_again_find_the_same(exact: FaissVectors, tmp_path: Path) -> None:
    codes = shortened(exact, MANY_LISTS)
    codes.write(tmp_path / SHORT_CODES)
    exact.write(tmp_path / VECTORS)
    again = FaissVectors.read(tmp_path / VECTORS).found_by(
        ShortCodes.read(tmp_path / SHORT_CODES, MANY_LISTS)
    )
    before = exact.found_by(codes)
    for query in QUERIES:
        np.testing.assert_array_equal(again.search(query, 30)[0], before.search(query, 30)[0])


@pytest.mark.parametrize("dim", [1, 3, 7, 64])
def test_vectors_of_any_length_have_short_codes(dim: int) -> None:
    vectors = FaissVectors.of(encoded(unit_rows(np.random.default_rng(1).normal(size=(5_000, dim)))), dim)
    assert len(shortened(vectors, ONE_LIST)) == 5_000


def test_progress_runs_from_nothing_to_all_rows(exact: FaissVectors) -> None:
    told: list[tuple[int, int]] = []
    ShortCodes.of(ROWS, DIM, exact.vectors, ONE_LIST, lambda done, total: told.append((done, total)))
    assert (told[0], told[-1]) == ((0, ROWS), (ROWS, ROWS))


def test_every_stage_of_a_build_can_be_shown() -> None:
    assert set(progress._LABELS) == set(get_args(Stage))


# What is on the disk


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_vectors_are_mapped_and_not_copied_into_each_process(tmp_path: Path) -> None:
    vectors = FaissVectors.of(encoded(np.tile(crowded(GROUPS, seed=1), (3, 1))), DIM)
    vectors.write(tmp_path / VECTORS)
    opened = FaissVectors.read(tmp_path / VECTORS)
    opened.search(QUERIES[0], 10)
    _, _, mapped = Path("/proc/self/smaps").read_text(encoding="utf-8").partition(str(tmp_path / VECTORS))
    sizes = dict(line.split(":") for line in mapped.splitlines()[1:20] if line.endswith("kB"))
    assert int(sizes["Rss"].split()[0]) * 1024 >= 0.9 * 3 * ROWS * DIM * 2
    assert sizes["Anonymous"].split() == ["0", "kB"]


@pytest.mark.parametrize("content", [b"", b"nonsense" * 700])
def test_what_holds_no_short_codes_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / SHORT_CODES).write_bytes(content)
    with pytest.raises(ArtefactCorrupt, match=r"vectors\.codes holds no short codes .*rag index --rebuild"):
        ShortCodes.read(tmp_path / SHORT_CODES, ONE_LIST)


def test_an_index_of_another_kind_or_number_of_lists_is_refused(exact: FaissVectors, tmp_path: Path) -> None:
    exact.write(tmp_path / "flat")
    shortened(exact, MANY_LISTS).write(tmp_path / "lists")
    for name in ("flat", "lists"):
        with pytest.raises(ArtefactCorrupt, match="it is no index of 1 lists"):
            ShortCodes.read(tmp_path / name, ONE_LIST)


# The plan


def test_the_plan_follows_from_the_number_of_vectors_alone() -> None:
    assert VectorPlan.of(EXACT_UP_TO) == VectorPlan(kind="exact", lists=0, probes=0)
    assert VectorPlan.of(EXACT_UP_TO + 1) == VectorPlan.of(ONE_LIST_UP_TO) == ONE_LIST
    assert VectorPlan.of(300_000) == VectorPlan(kind="codes", lists=150, probes=50)
    assert VectorPlan.of(1_000_000) == VectorPlan(kind="codes", lists=500, probes=63)


@given(rows=st.integers(0, 10**8))
def test_a_manifest_keeps_every_plan(rows: int) -> None:
    plan = VectorPlan.of(rows)
    assert VectorPlan.recorded(plan.content()) == plan


def test_a_manifest_that_says_nothing_means_exact_search() -> None:
    assert VectorPlan.recorded({}) == VectorPlan.of(1)


@pytest.mark.parametrize(
    "content",
    [
        {"kind": "graph"},
        {"kind": "codes"},
        {"kind": "codes", "lists": 2, "probes": 3},
        {"kind": "codes", "lists": 2, "probes": 0},
        {"kind": "codes", "lists": "2", "probes": "1"},
        {"text": None},
    ],
)
def test_a_plan_of_an_unknown_kind_is_refused(content: dict[str, object]) -> None:
    with pytest.raises(TypeError):
        VectorPlan.recorded(content)


# A whole version


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    return tmp_path / "seeds"


@pytest.fixture
def build(seeds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., BuildReport]:
    """Build an index for whose size short codes are meant."""
    monkeypatch.setattr(vector_plan, "EXACT_UP_TO", 17)

    def build(*, rebuild: bool = False) -> BuildReport:
        return build_index(seeds, tmp_path / "index", KeywordEncoder(), options=BuildOptions(rebuild=rebuild))

    return build


def test_a_large_index_says_how_it_is_searched_and_answers(
    build: Callable[..., BuildReport], write_seed: WriteSeed, tmp_path: Path
) -> None:
    for at in range(20):
        write_seed(f"d{at}", f"Fever {at}.")
    report = build()
    assert report.manifest.vectors == {"kind": "codes", "lists": 1, "probes": 1}
    assert SHORT_CODES in report.manifest.artefacts
    assert "arranging" in report.seconds
    index = LocalIndex.open(tmp_path / "index")
    assert len(index.search(KeywordEncoder().encode_queries(["fever"])[0], 30)) == 20
    index.close()


def test_an_incremental_build_has_the_short_codes_of_one_from_nothing(
    build: Callable[..., BuildReport], write_seed: WriteSeed
) -> None:
    for at in range(20):
        write_seed(f"d{at}", f"Fever {at}.")
    build()
    write_seed("d1", "Nausea.")
    changed = build()
    assert changed.encoded == 1
    codes = (changed.folder / SHORT_CODES).read_bytes()
    assert (build(rebuild=True).folder / SHORT_CODES).read_bytes() == codes


@pytest.mark.parametrize("damage", ["missing", "changed", "other"])
def test_damaged_short_codes_are_refused(
    build: Callable[..., BuildReport], write_seed: WriteSeed, tmp_path: Path, damage: str
) -> None:
    for at in range(20):
        write_seed(f"d{at}", f"Fever {at}.")
    path = build().folder / SHORT_CODES
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    if damage == "other":
        bless(path.parent, SHORT_CODES)
    said = {
        "missing": "is missing",
        "changed": "changed since it was written",
        "other": "holds no short codes",
    }
    with pytest.raises(ArtefactCorrupt, match=f"vectors.codes {said[damage]}"):
        LocalIndex.open(tmp_path / "index")


def test_short_codes_of_other_vectors_are_refused(
    build: Callable[..., BuildReport], write_seed: WriteSeed, tmp_path: Path
) -> None:
    for at in range(20):
        write_seed(f"d{at}", f"Fever {at}.")
    folder = build().folder
    others = FaissVectors.of(FaissVectors.read(folder / VECTORS).codes()[1:], KeywordEncoder().dim)
    shortened(others, ONE_LIST).write(folder / SHORT_CODES)
    bless(folder, SHORT_CODES)
    said = rf"holds codes of 19 vectors of {others.dim} components, expected 20 of {others.dim}; build anew"
    with pytest.raises(CountMismatch, match=said):
        LocalIndex.open(tmp_path / "index")


def test_an_index_that_grew_too_small_for_short_codes_drops_them(
    build: Callable[..., BuildReport], write_seed: WriteSeed, seeds: Path, tmp_path: Path
) -> None:
    for at in range(20):
        write_seed(f"d{at}", f"Fever {at}.")
    build()
    for at in range(4):
        (seeds / f"d{at}.md").unlink()
    report = build()
    assert report.manifest.vectors["kind"] == "exact"
    assert not (report.folder / SHORT_CODES).exists()
    assert Layout(tmp_path / "index").current_id() == report.manifest.index_id


def test_short_codes_take_an_eighth_of_the_vectors(exact: FaissVectors, tmp_path: Path) -> None:
    exact.write(tmp_path / VECTORS)
    shortened(exact, ONE_LIST).write(tmp_path / SHORT_CODES)
    # The row number of every code comes on top.
    codes = (tmp_path / SHORT_CODES).stat().st_size - 8 * ROWS
    assert codes < (tmp_path / VECTORS).stat().st_size / 8 * 1.1
    assert isinstance(faiss.read_index(str(tmp_path / SHORT_CODES)), faiss.IndexIVFPQFastScan)
