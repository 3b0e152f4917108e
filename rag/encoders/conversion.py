"""From a loaded model to a CTranslate2 int8 folder that runs without torch, or the reason why not."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from rag.encoders.ctranslate import DESCRIPTION, TOKENIZER, CTranslateEncoder, Description
from rag.encoders.source import ModelSource, sha256_of
from rag.errors import ConversionRefused, IndexNotWritable

if TYPE_CHECKING:
    from rag.encoders.sentence_transformer import SentenceTransformerEncoder

PRECISION = "ctranslate2-int8"
MIN_COSINE = 0.98
_CONVERTING = ".converting-"

_FAMILY = frozenset({"bert", "distilbert", "roberta", "xlm-roberta", "camembert"})
_POOLINGS = frozenset({"mean", "cls"})
_PROBES = (
    "What should I do about a fever during chemotherapy?",
    "Nausea and vomiting are common side effects of some cancer treatments. Eat small meals through the day.",
    "Stage II",
    "The 5-year relative survival rate was 28.6%.",
)


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
        if target.is_dir():
            return target  # another process has made it meanwhile
        _write(folder, source, reference, pooling)
        _compare(CTranslateEncoder(folder), reference)
        folder.rename(target)
    return target


@contextmanager
def _workshop(cache: Path) -> Iterator[Path]:
    """A folder below `cache` to write a conversion in; nothing of it is left when that fails.

    One process at a time has one, so what lies there from others was left by a process that was killed.
    """
    with ExitStack() as cleanup:
        try:
            cache.mkdir(parents=True, exist_ok=True)
            cleanup.enter_context(FileLock(cache / ".lock", mode=0o644))
            for left in cache.glob(f"{_CONVERTING}*"):
                shutil.rmtree(left, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(prefix=_CONVERTING, dir=cache))
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
    (folder / TOKENIZER).write_text(reference.count_tokens.definition, encoding="utf-8")
    description = Description(
        name=source.name,
        dim=reference.dim,
        pooling=pooling,
        recipe=replace(reference.recipe, precision=PRECISION),
        sha256={file.name: sha256_of(file) for file in sorted(folder.iterdir())},
    )
    (folder / DESCRIPTION).write_text(json.dumps(asdict(description), indent=2), encoding="utf-8")


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
