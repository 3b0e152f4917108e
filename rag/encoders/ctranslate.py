"""The fast engine: a BERT-family model converted once to CTranslate2 int8, run without torch.

A conversion is a folder that stands on its own: model, tokenizer and recipe, each with its checksum.
It is refused when its vectors stray from those of the model it was made from.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer

from rag.encoders.base import Recipe, Vectors, unit_rows
from rag.encoders.source import ModelSource, sha256_of
from rag.encoders.tokens import TokenCounter
from rag.errors import ArtefactCorrupt, ConversionRefused, IndexNotWritable

if TYPE_CHECKING:
    from rag.encoders.sentence_transformer import SentenceTransformerEncoder

PRECISION = "ctranslate2-int8"
MIN_COSINE = 0.98

_DESCRIPTION = "encoder.json"
_MODEL = "model.bin"
_TOKENIZER = "tokenizer.json"
_FAMILY = frozenset({"bert", "distilbert", "roberta", "xlm-roberta", "camembert"})
_POOLINGS = frozenset({"mean", "cls"})
# Small batches stay in the processor's cache: on two cores 2 to 4 passages a batch encode 1.5 to 2.5
# times as many a second as 32 do (benchmarks/README.md).
_BATCH_TOKENS = 512
_PROBES = (
    "What should I do about a fever during chemotherapy?",
    "Nausea and vomiting are common side effects of some cancer treatments. Eat small meals through the day.",
    "Stage II",
    "The 5-year relative survival rate was 28.6%.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Description:
    """What a conversion says of itself; `sha256` maps the name of each file to its digest."""

    name: str
    dim: int
    pooling: str
    recipe: Recipe
    sha256: dict[str, str]


class CTranslateEncoder:
    """A converted model. Safe to call from several threads; each batch runs on one core."""

    engine = "ctranslate2"

    def __init__(self, folder: Path, *, name: str | None = None, threads: int | None = None) -> None:
        import ctranslate2

        description = _verified(folder)
        self.name = name or description.name
        self.recipe = description.recipe
        self.fingerprint = self.recipe.fingerprint
        self.max_tokens = self.recipe.max_tokens
        self.dim = description.dim
        self._cls = description.pooling == "cls"
        definition = (folder / _TOKENIZER).read_text(encoding="utf-8")
        self.count_tokens = TokenCounter(definition, self.recipe.document_prompt)
        self._tokenizer = Tokenizer.from_str(definition)
        self._tokenizer.enable_truncation(self.max_tokens)
        self._threads = threads or available_cores()
        self._model = ctranslate2.Encoder(
            str(folder), compute_type="int8", inter_threads=self._threads, intra_threads=1
        )

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """See `Encoder`."""
        return self._encode([self.recipe.query_prompt + text for text in texts])

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """See `Encoder`."""
        return self._encode([self.recipe.document_prompt + text for text in texts])

    def _encode(self, texts: Sequence[str]) -> Vectors:
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]
        result = np.empty((len(ids), self.dim), dtype=np.float32)
        batches = _batches([len(row) for row in ids])

        def fill(batch: Sequence[int]) -> None:
            result[batch] = self._forward([ids[row] for row in batch])

        if len(batches) < 2:
            for batch in batches:
                fill(batch)
        else:
            with ThreadPoolExecutor(self._threads) as pool:
                list(pool.map(fill, batches))
        return result

    def _forward(self, ids: Sequence[list[int]]) -> Vectors:
        states = np.asarray(self._model.forward_batch(ids).last_hidden_state, dtype=np.float32)
        return unit_rows(states[:, 0] if self._cls else states.mean(axis=1))


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Rows of one length together, at most `_BATCH_TOKENS` tokens in a batch, longest first.

    So nothing is padded, and a text has one vector whatever its company: padding moves the last digit
    of a sum, and rounding to int8 makes a step of it (up to 0.01 in a component of a real passage).
    """
    batches: list[list[int]] = []
    rows = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    for length, group in groupby(rows, key=lambda row: lengths[row]):
        alike, size = list(group), max(1, _BATCH_TOKENS // max(1, length))
        batches += [alike[at : at + size] for at in range(0, len(alike), size)]
    return batches


def available_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def conversion_folder(cache: Path, source: ModelSource) -> Path:
    """Where the conversion of `source` is kept below `cache`."""
    return cache / f"{source.key[:16]}-int8"


def convert(source: ModelSource, reference: SentenceTransformerEncoder, cache: Path) -> Path:
    """Convert a loaded model below `cache` and return the folder.

    Raises `ConversionRefused` when the architecture is not of the BERT family or the converted
    model's vectors have a cosine below `MIN_COSINE` to the reference, and `IndexNotWritable` when it
    cannot be kept.
    """
    pooling = _supported_pooling(reference)
    target = conversion_folder(cache, source)
    with _workshop(cache) as folder:
        _write(folder, source, reference, pooling)
        _compare(CTranslateEncoder(folder), reference)
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
    return target


@contextmanager
def _workshop(cache: Path) -> Iterator[Path]:
    """A folder below `cache` to write a conversion in; nothing of it is left when that fails."""
    with ExitStack() as cleanup:
        try:
            cache.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=".converting-", dir=cache))
            cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
            yield folder
        except OSError as error:
            raise IndexNotWritable(
                f"the converted encoder cannot be kept in {cache}: {error.strerror or error}"
            ) from error


def _supported_pooling(reference: SentenceTransformerEncoder) -> str:
    modules = {type(module).__name__: module for module in reference.model}
    kind = getattr(getattr(reference.model[0], "auto_model", None), "config", None)
    family = getattr(kind, "model_type", "none")
    if family not in _FAMILY or set(modules) - {"Transformer", "Pooling", "Normalize"}:
        raise ConversionRefused(f"a model of type '{family}' ({', '.join(modules)}) runs on torch")
    pooling = getattr(modules.get("Pooling"), "pooling_mode", None)
    if pooling not in _POOLINGS:
        raise ConversionRefused(f"the pooling '{pooling}' runs on torch")
    prompts = reference.recipe.query_prompt + reference.recipe.document_prompt
    if prompts and not modules["Pooling"].include_prompt:
        raise ConversionRefused("a pooling that leaves out the prompt runs on torch")
    return str(pooling)


def _write(folder: Path, source: ModelSource, reference: SentenceTransformerEncoder, pooling: str) -> None:
    from ctranslate2.converters import TransformersConverter

    try:
        converter = TransformersConverter(str(_transformer_folder(source)))
        converter.load_model = _with_absolute_positions
        converter.convert(str(folder), quantization="int8", force=True)
    except Exception as error:  # the converter raises whatever its layers raise
        if isinstance(error, OSError) and error.errno is not None:
            raise  # a full disk is no fault of the model
        raise ConversionRefused(f"CTranslate2 cannot convert it: {error}") from error
    (folder / _TOKENIZER).write_text(reference.count_tokens.definition, encoding="utf-8")
    description = _Description(
        name=source.name,
        dim=reference.dim,
        pooling=pooling,
        recipe=replace(reference.recipe, precision=PRECISION),
        sha256={file.name: sha256_of(file) for file in sorted(folder.iterdir())},
    )
    (folder / _DESCRIPTION).write_text(json.dumps(asdict(description), indent=2), encoding="utf-8")


def _with_absolute_positions(model_class: Any, *args: Any, **options: Any) -> Any:
    """Load a model for the converter, which insists on being told how positions are encoded.

    transformers 5 knows one way only, so the configurations that it writes no longer say.
    """
    model = model_class.from_pretrained(*args, **options)
    if getattr(model.config, "position_embedding_type", None) is None:
        model.config.position_embedding_type = "absolute"
    return model


def _transformer_folder(source: ModelSource) -> Path:
    modules = source.folder / "modules.json"
    if not modules.is_file():
        return source.folder
    first = json.loads(modules.read_text(encoding="utf-8"))[0]
    return source.folder / str(first.get("path", ""))


def _compare(converted: CTranslateEncoder, reference: SentenceTransformerEncoder) -> None:
    ours, theirs = (
        np.concatenate([encoder.encode_queries(_PROBES), encoder.encode_documents(_PROBES)])
        for encoder in (converted, reference)
    )
    lowest = float((ours * theirs).sum(axis=1).min())
    if not lowest >= MIN_COSINE:
        raise ConversionRefused(
            f"the converted vectors have a cosine of {lowest:.3f} to the model's own, "
            f"expected at least {MIN_COSINE}"
        )


def _verified(folder: Path) -> _Description:
    """The description of a conversion whose files are all as they were written."""
    try:
        content: Any = json.loads((folder / _DESCRIPTION).read_text(encoding="utf-8"))
        description = _Description(**content | {"recipe": Recipe(**content["recipe"])})
        digests = description.sha256
        names = sorted({*digests, _MODEL, _TOKENIZER})
        changed = [name for name in names if sha256_of(folder / name) != digests.get(name)]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ArtefactCorrupt(
            f"the converted encoder {folder} cannot be read ({error}); delete that folder and run: rag index"
        ) from None
    if changed:
        raise ArtefactCorrupt(
            f"{', '.join(changed)} in {folder} changed since it was written; delete that folder and "
            "run: rag index"
        )
    return description
