"""Calibrations whose probability a person can work out."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rag.answer.confidence import Calibration, Meaning, Weight
from rag.answer.evidence import EVIDENCE_NAMES
from rag.encoders.base import Encoder


def calibration(
    encoder: Encoder,
    probability: float = 0.5,
    *,
    weights: Mapping[str, float] | None = None,
    meaning: Mapping[int, float] | None = None,
) -> Calibration:
    """Give `probability` to every question, but for weights of the evidence and of axes of the vector."""
    given, axes = weights or {}, meaning or {}
    return Calibration(
        made_at="2026-01-01T00:00:00+00:00",
        encoder=encoder.name,
        encoder_fingerprint=encoder.fingerprint,
        evidence={name: Weight(mean=0, scale=1, weight=given.get(name, 0)) for name in EVIDENCE_NAMES},
        meaning=Meaning(
            weights=[axes.get(axis, 0.0) for axis in range(encoder.dim)],
            intercept=0,
            share=Weight(mean=0, scale=1, weight=1),
        ),
        intercept=math.log(probability / (1 - probability)),
        fitted_on={},
        measured={},
    )
