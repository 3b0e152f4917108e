"""Softly lowers what seldom answers: each reason takes something off a score, and none hides a chunk.

The amounts are on the scale of the fused score, where 1 is a perfect match; docs/quality.md has what
each of them is worth.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rag.corpus.policy import is_professional
from rag.index.backend import Traits
from rag.index.filters import Filters
from rag.search.audience import asks_about_a_child, is_about_children
from rag.search.features import Features

_BIBLIOGRAPHY = 0.08
_BOILERPLATE = 0.025
_OTHER_AUDIENCE = 0.06
_MISSING_NAMES = 0.06

Amounts = npt.NDArray[np.float32]


def demotions(
    question: str,
    traits: Traits,
    missing: npt.NDArray[np.bool_],
    filters: Filters,
    features: Features,
) -> Amounts:
    """What to take off the scores of `traits`' chunks [n].

    `missing` [names, n] tells which of the names in the question a chunk does not mention.
    """
    amounts = np.zeros(len(traits.doc_ids), dtype=np.float32)
    if features.boilerplate:
        amounts += _BIBLIOGRAPHY * traits.bibliography + _BOILERPLATE * traits.repeated
    if features.audience:
        amounts += _OTHER_AUDIENCE * _for_others(question, traits, filters)
    if features.entities and len(missing):
        amounts += _MISSING_NAMES * missing.mean(axis=0)
    return amounts


def _for_others(question: str, traits: Traits, filters: Filters) -> Amounts:
    """How many of the two reasons there are [n] that a page is not written for the person who asks."""
    reasons = np.zeros(len(traits.doc_ids), dtype=np.float32)
    # Who wants pages for professionals alone gets them as they are.
    if not filters.audience or not all(map(is_professional, filters.audience)):
        reasons += traits.professional
    if not asks_about_a_child(question):
        reasons += _about_children(traits.titles)
    return reasons


def _about_children(titles: Sequence[str]) -> npt.NDArray[np.bool_]:
    return np.fromiter(map(is_about_children, titles), np.bool_, len(titles))
