"""The fast engine: a BERT-family model converted once to CTranslate2 int8, run without torch.

A conversion is a folder that stands on its own: model, tokenizer and recipe, each with its checksum.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from rag.encoders.base import Recipe, Vectors, available_cores, unit_rows
from rag.encoders.source import sha256_of
from rag.encoders.tokens import TokenCounter
from rag.errors import ArtefactCorrupt

DESCRIPTION = "encoder.json"
MODEL = "model.bin"
TOKENIZER = "tokenizer.json"

# Small batches stay in the processor's cache and run about twice as fast as large ones (docs/decisions.md).
_BATCH_TOKENS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
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
        definition = (folder / TOKENIZER).read_text(encoding="utf-8")
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


def _verified(folder: Path) -> Description:
    """The description of a conversion whose files are all as they were written."""
    try:
        content: Any = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        description = Description(**content | {"recipe": Recipe(**content["recipe"])})
        digests = description.sha256
        names = sorted({*digests, MODEL, TOKENIZER})
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
