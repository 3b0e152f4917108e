"""Which encoder to use: the fast engine where it can stand in for the model, torch where it cannot."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from rag.encoders.base import Encoder
from rag.encoders.conversion import conversion_folder, convert
from rag.encoders.ctranslate import CTranslateEncoder
from rag.encoders.source import find_model
from rag.errors import ConversionRefused

Engine = Literal["auto", "ctranslate2", "torch"]

_log = logging.getLogger(__name__)


def load_encoder(
    name: str, *, cache: Path | str, engine: Engine = "auto", threads: int | None = None
) -> Encoder:
    """Load the encoder called `name`.

    `cache` keeps conversions for the fast engine; with one at hand, torch is not imported. `auto`
    falls back to torch when the model cannot be converted, `ctranslate2` raises `ConversionRefused`.
    """
    cache, source = Path(cache), find_model(name)
    if engine != "torch":
        folder = conversion_folder(cache, source)
        if folder.is_dir():
            return CTranslateEncoder(folder, name=name, threads=threads)

    from rag.encoders.sentence_transformer import SentenceTransformerEncoder

    reference = SentenceTransformerEncoder(source)
    if engine == "torch":
        return reference
    try:
        folder = convert(source, reference, cache)
        return CTranslateEncoder(folder, name=name, threads=threads)
    except ConversionRefused as refusal:
        if engine == "ctranslate2":
            raise
        _log.warning("the encoder '%s' runs on torch: %s", name, refusal)
        return reference
