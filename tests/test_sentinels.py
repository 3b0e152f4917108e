"""A fingerprint says which files a model has; the sentinels say whether the same vectors come out of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import WriteSeed
from keyword_encoder import WORDS, KeywordEncoder
from sealing import edit_manifest

from rag.encoders.base import Encoder, Vectors
from rag.errors import EncoderMismatch, SentinelMismatch
from rag.index.builder import build_index
from rag.index.local.local_index import LocalIndex
from rag.index.local.manifest import SENTINELS
from rag.index.opening import open_index
from rag.index.plan import BuildOptions, BuildReport

Build = Callable[[Encoder], BuildReport]
Change = Callable[[Vectors], Vectors]


class Altered(KeywordEncoder):
    """Says that it is the encoder it was made of, and makes other vectors."""

    def __init__(self, change: Change, words: Sequence[str] = WORDS) -> None:
        super().__init__(words)
        self.fingerprint = KeywordEncoder().fingerprint
        self._change = change

    def _encode(self, texts: Sequence[str]) -> Vectors:
        return self._change(super()._encode(texts)).astype(np.float32)


def with_words(words: Sequence[str]) -> Altered:
    """Its axes stand for these words."""
    return Altered(lambda rows: rows, words)


def turned(cosine: float) -> Altered:
    """Every vector is turned by the angle of this cosine."""

    def turn(rows: Vectors) -> Vectors:
        aside = np.eye(rows.shape[1])[rows.argmin(axis=1)]  # a text without a word has a 0 on its axis
        turned: Vectors = cosine * rows + np.sqrt(1 - cosine**2) * aside
        return turned

    return Altered(turn)


@pytest.fixture
def build(tmp_path: Path, write_seed: WriteSeed) -> Build:
    """Build the same two documents with an encoder."""
    write_seed("fever", "Fever.\n\n## More\n\nPain and fever.")
    write_seed("nausea", "Nausea.")
    return lambda encoder: build_index(tmp_path / "seeds", tmp_path / "index", encoder)


@pytest.fixture
def root(tmp_path: Path, build: Build) -> Path:
    """An index of the unaltered encoder."""
    build(KeywordEncoder())
    return tmp_path / "index"


def _refusal(root: Path, encoder: Encoder) -> str:
    with pytest.raises(SentinelMismatch) as caught:
        open_index(root, encoder=encoder)
    message = str(caught.value)
    index_id = (root / "current").read_text(encoding="utf-8").strip()
    assert message.startswith(f"the index {index_id} does not fit its encoder: ")
    assert message.endswith(f"; build anew with: rag index --rebuild --index {root}")
    return message


@pytest.mark.parametrize(
    ("words", "text", "cosine"),
    [
        # fever and doctor have changed places with sleep and nausea
        (WORDS[::-1], "Call your doctor if you have a fever of 100.5 °F or higher.", "0.000"),
        # of fever and doctor one is known: 1 / √2
        (
            [*WORDS[:6], "clinic", WORDS[7]],
            "Call your doctor if you have a fever of 100.5 °F or higher.",
            "0.707",
        ),
        (
            [*WORDS[:4], "clinic", *WORDS[5:]],
            "Tarlatamab-dlle is approved to treat small cell lung cancer.",
            "0.000",
        ),
        # (1, 0) has become (1, 1) / √2
        ([*WORDS[:7], "chemotherapy"], "What are the side effects of chemotherapy?", "0.000"),
    ],
)
def test_an_encoder_of_the_same_fingerprint_and_width_is_told_by_its_vectors(
    root: Path, words: Sequence[str], text: str, cosine: str
) -> None:
    """The text, what was found and what was expected are named."""
    encoder = with_words(words)
    kept = KeywordEncoder()
    assert (encoder.fingerprint, encoder.dim, encoder.name) == (kept.fingerprint, kept.dim, kept.name)
    message = _refusal(root, encoder)
    assert "the encoder 'keywords' gives another vector" in message
    assert f"'{text}'" in message
    assert f"cosine {cosine}, expected at least 0.99" in message


def test_another_width_is_told_before_any_cosine(root: Path) -> None:
    message = _refusal(root, with_words([*WORDS, "clinic"]))
    assert "the encoder 'keywords' makes vectors of 10 numbers, expected 9" in message


def test_another_fingerprint_is_told_before_any_sentinel(root: Path) -> None:
    encoder = with_words(WORDS[::-1])
    encoder.fingerprint = KeywordEncoder(WORDS[::-1]).fingerprint
    with pytest.raises(EncoderMismatch):
        open_index(root, encoder=encoder)


@pytest.mark.parametrize("cosine", [0.999999, 0.9999, 0.995])
def test_vectors_that_are_rounded_a_little_otherwise_are_taken(
    root: Path, build: Build, cosine: float
) -> None:
    """By a search and by a build: another processor is no other model."""
    encoder = turned(cosine)
    vector, other = KeywordEncoder().encode_queries(["fever"])[0], encoder.encode_queries(["fever"])[0]
    assert float(vector @ other) == pytest.approx(cosine, abs=1e-6)
    opened = open_index(root, encoder=encoder)
    assert opened.backend.search(other, 1)[0].chunk_id.startswith("fever#")
    opened.backend.close()
    assert build(encoder).unchanged


@pytest.mark.parametrize("cosine", [0.985, 0.5, 0.0, -1.0])
def test_vectors_that_point_elsewhere_are_refused(root: Path, build: Build, cosine: float) -> None:
    assert f"cosine {cosine:.3f}, expected at least 0.99" in _refusal(root, turned(cosine))
    assert not build(turned(cosine)).unchanged


@pytest.mark.parametrize("factor", [0.0, 0.5, 2.0, 100.0, np.nan, np.inf])
@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_vectors_of_another_length_are_refused(root: Path, factor: float) -> None:
    """Scores are products, so a vector twice as long makes every score twice as high."""
    _refusal(root, Altered(lambda rows: rows * factor))


def test_what_comes_with_the_service_is_checked_as_well(root: Path) -> None:
    with pytest.raises(SentinelMismatch):
        open_index(root, at_hand=with_words(WORDS[::-1]))


def test_a_version_without_sentinels_is_not_trusted(root: Path, build: Build) -> None:
    (version,) = (root / "versions").iterdir()
    edit_manifest(version, lambda content: content.update(sentinels={}))
    assert "its manifest holds no sentinel vectors" in _refusal(root, KeywordEncoder())
    assert build(KeywordEncoder()).not_reused == "its manifest holds no sentinel vectors"
    open_index(root, encoder=KeywordEncoder()).backend.close()


def test_a_rebuild_makes_all_vectors_anew(root: Path, tmp_path: Path) -> None:
    encoder = with_words(WORDS[::-1])
    _refusal(root, encoder)
    options = BuildOptions(rebuild=True)
    report = build_index(tmp_path / "seeds", root, encoder, options=options)
    assert report.encoded == report.manifest.counts["chunks"] == 3
    _check_mended(root, encoder)


def test_a_build_by_itself_makes_all_vectors_anew_although_no_file_changed(root: Path, build: Build) -> None:
    encoder = with_words(WORDS[::-1])
    report = build(encoder)
    assert not report.unchanged
    assert report.not_reused is not None
    assert f"'{SENTINELS[1]}'" in report.not_reused
    assert report.changes is None
    assert report.encoded == report.manifest.counts["chunks"] == 3
    assert build(encoder).unchanged
    _check_mended(root, encoder)


def _check_mended(root: Path, encoder: Encoder) -> None:
    """It opens with this encoder, finds by its vectors, and refuses the one before."""
    opened = open_index(root, encoder=encoder)
    for word, doc_id in (("fever", "fever"), ("nausea", "nausea")):
        (hit,) = opened.backend.search(encoder.encode_queries([word])[0], 1)
        assert hit.chunk_id.partition("#")[0] == doc_id
        assert hit.score == pytest.approx(1, abs=1e-3)
    opened.backend.close()
    _refusal(root, KeywordEncoder())


def test_vectors_that_a_killed_build_left_are_not_taken_from_an_encoder_that_has_changed(
    tmp_path: Path, write_seed: WriteSeed
) -> None:
    """Although its fingerprint is the same."""
    write_seed("long", "\n\n".join(f"## Part {at}\n\nFever." for at in range(600)))
    encoders = [_Stopping(one) for one in (KeywordEncoder(), with_words(WORDS[::-1]))]
    for encoder in encoders:
        with pytest.raises(KeyboardInterrupt):
            build_index(tmp_path / "seeds", tmp_path / "index", encoder)
    assert [encoder.encoded for encoder in encoders] == [512, 512]
    again = _Stopping(with_words(WORDS[::-1]), after=600)
    report = build_index(tmp_path / "seeds", tmp_path / "index", again)
    assert report.encoded == again.encoded == 600 - 512
    index = LocalIndex.open(tmp_path / "index")
    hits = index.search(again.encode_queries(["fever"])[0], 600)
    index.close()
    assert {round(hit.score, 2) for hit in hits} == {1.0}


class _Stopping(KeywordEncoder):
    """Makes the vectors of another encoder until it has made some, then stops as Ctrl-C would."""

    def __init__(self, encoder: KeywordEncoder, *, after: int = 512) -> None:
        super().__init__()
        self._encoder, self._after = encoder, after
        self.encoded = 0

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return self._encoder.encode_queries(texts)

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        if tuple(texts) != SENTINELS:
            if self.encoded + len(texts) > self._after:
                raise KeyboardInterrupt
            self.encoded += len(texts)
        return self._encoder.encode_documents(texts)


def test_the_sentinels_hold_digits_and_signs_beyond_ascii() -> None:
    """Letters, digits and what tokenizers trip over; none is a text of another."""
    assert len(set(SENTINELS)) == len(SENTINELS) >= 3
    assert any(not text.isascii() for text in SENTINELS)
    assert any(sign.isdigit() for text in SENTINELS for sign in text)
