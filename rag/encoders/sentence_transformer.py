"""Any sentence-transformers model on torch: the reference, the way for unusual models and for GPUs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from rag.encoders.base import Recipe, Vectors, unit_rows
from rag.encoders.source import ModelSource
from rag.encoders.tokens import TokenCounter, plain_definition
from rag.errors import EncoderUnusable

PRECISION = "float32"
_BATCH = 32
_UNLIMITED = 8192
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")


class SentenceTransformerEncoder:
    """A model loaded by sentence-transformers, with its query and document prompts honoured."""

    engine = "torch"

    def __init__(self, source: ModelSource, *, device: str | None = None) -> None:
        self._model = load_model(source, device=device)
        self.name = source.name
        self.recipe = recipe_of(self._model, weights=source.weights_sha256, precision=PRECISION)
        self.fingerprint = self.recipe.fingerprint
        self.max_tokens = self.recipe.max_tokens
        self.dim = int(self._model.get_embedding_dimension() or 0)
        self.count_tokens = TokenCounter(tokenizer_definition(self._model), self.recipe.document_prompt)

    @property
    def model(self) -> Any:
        """The sentence-transformers model itself."""
        return self._model

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """See `Encoder`."""
        return self._encode(self._model.encode_query, texts, self.recipe.query_prompt)

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """See `Encoder`."""
        return self._encode(self._model.encode_document, texts, self.recipe.document_prompt)

    def _encode(self, encode: Any, texts: Sequence[str], prompt: str) -> Vectors:
        if not texts:
            return np.empty((0, self.dim), dtype=np.float32)
        vectors = encode(
            list(texts), prompt=prompt, batch_size=_BATCH, convert_to_numpy=True, show_progress_bar=False
        )
        return unit_rows(vectors)


def load_model(source: ModelSource, *, device: str | None = None) -> Any:
    """Load the model in `source`. Raises `EncoderUnusable` with the library's own words."""
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    # The library's own bars and notes would stand between ours.
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        return SentenceTransformer(str(source.folder), device=device, local_files_only=True)
    except Exception as error:  # the library raises whatever its layers raise
        raise EncoderUnusable(
            f"the model '{source.name}' in {source.folder} cannot be loaded: {error}"
        ) from error


def recipe_of(model: Any, *, weights: str, precision: str) -> Recipe:
    """What decides the vectors of a loaded model."""
    prompts: dict[str, str] = model.prompts or {}
    # The library puts an empty 'document' prompt before a 'passage' prompt that the model does have.
    document = next((prompts[key] for key in _DOCUMENT_PROMPTS if prompts.get(key)), "")
    limit = model.max_seq_length
    return Recipe(
        weights=weights,
        tokenizer=hashlib.sha256(tokenizer_definition(model).encode()).hexdigest(),
        pooling=_pipeline(model),
        query_prompt=prompts.get("query", ""),
        document_prompt=document,
        max_tokens=int(limit) if limit and limit < _UNLIMITED else _UNLIMITED,
        precision=precision,
    )


def tokenizer_definition(model: Any) -> str:
    """The content of the model's tokenizer.json, without what each call sets anew."""
    tokenizer = model.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not hasattr(backend, "to_str"):
        raise EncoderUnusable(f"the tokenizer {type(tokenizer).__name__} has no tokenizer.json form")
    return plain_definition(backend.to_str())


def _pipeline(model: Any) -> str:
    """The modules behind the transformer with their settings, as text."""
    modules = list(model)[1:]
    described = [
        f"{type(module).__name__} {json.dumps(module.get_config_dict(), sort_keys=True)}"
        for module in modules
    ]
    return "; ".join(described) or type(model[0]).__name__
