"""Texts whose vectors are kept with a version, to tell whether an encoder still is the one that built it.

A fingerprint covers the files of a model; this covers what comes out of them.
"""

from __future__ import annotations

import numpy as np

from rag.encoders.base import Encoder
from rag.index.local.manifest import SENTINELS, Manifest

# Processors round int8 products a little differently; another model lies far below.
_LOWEST_COSINE = 0.99
_LENGTH_TOLERANCE = 0.01


def encode_sentinels(encoder: Encoder) -> dict[str, list[float]]:
    """The vectors of the sentinel texts, as a manifest keeps them."""
    vectors = encoder.encode_documents(SENTINELS).tolist()
    return dict(zip(SENTINELS, vectors, strict=True))


def differing(manifest: Manifest, encoder: Encoder) -> str | None:
    """Say how `encoder` differs from the one that built the version; None when it does not."""
    texts = list(manifest.sentinels)
    if not texts:
        return "its manifest holds no sentinel vectors"
    made = encoder.encode_documents(texts)
    for text, vector, kept in zip(texts, made, manifest.sentinels.values(), strict=True):
        if len(kept) != len(vector):
            return (
                f"the encoder '{encoder.name}' makes vectors of {len(vector)} numbers, expected {len(kept)}"
            )
        length = float(np.linalg.norm(vector))
        if not abs(length - 1) <= _LENGTH_TOLERANCE:
            return f"the encoder '{encoder.name}' makes vectors of length {length:.3f}, expected 1"
        cosine = float(np.dot(vector, np.array(kept, dtype=np.float32)))
        if not cosine >= _LOWEST_COSINE:
            return (
                f"the encoder '{encoder.name}' gives another vector for the sentinel text '{text}' than when "
                f"the version was built: cosine {cosine:.3f}, expected at least {_LOWEST_COSINE}"
            )
    return None
