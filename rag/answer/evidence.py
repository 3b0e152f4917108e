"""What speaks for and against a ranking answering its question: a few numbers, whatever the number of hits
that was asked for.

The numbers mean the same on a large index and a small one, so that a calibration can be carried over.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
import numpy.typing as npt

from rag.answer.intents import instruction_signs, is_in_first_person, own_record_signs
from rag.index.backend import Backend, StoredChunk
from rag.search.english import english_words
from rag.search.ranking import Ranking
from rag.search.words import content_words

# A word that a million words of everyday English have so many times tells little of what is asked.
_EVERYDAY = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One question's evidence.

    `nearest`: the greatest inner product among the foremost hits. `matched`: the logarithm of their best
    BM25 score, in words as rare as can be. `unmentioned`: how telling the most telling word of the
    question is that none of them mentions, 0 to 1. `corpus`: the logarithm of the number of chunks, since
    among more of them a near one means less. `unknown`: 1 where the question has a word that nobody
    knows, such as a made-up drug. `length`: the logarithm of the number of words that count.
    `own_records`, `instruction`: signs, 0 to 2, that it is after something else. `first_person`: 1 or 0.
    """

    nearest: float
    matched: float
    unmentioned: float
    corpus: float
    unknown: float
    length: float
    own_records: float
    instruction: float
    first_person: float

    def vector(self) -> npt.NDArray[np.float64]:
        """The numbers in the order of `EVIDENCE_NAMES`."""
        return np.array(astuple(self), dtype=np.float64)


EVIDENCE_NAMES = tuple(field.name for field in fields(Evidence))


class EvidenceReader:
    """Reads the evidence of rankings over one index. Safe to use from several threads."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        # The inverse document frequency of BM25 for a word of no chunk.
        self._rarest = math.log(1 + (backend.info.chunks + 0.5) / 0.5)
        self._usage = english_words()

    def read(self, question: str, ranking: Ranking, foremost: Sequence[StoredChunk]) -> Evidence:
        """The evidence of a ranking; `foremost` are its foremost hits as they are stored."""
        words = content_words(question)
        best = max((hit.lexical or 0.0 for hit in ranking.foremost), default=0.0)
        return Evidence(
            nearest=max((hit.dense or 0.0 for hit in ranking.foremost), default=0.0),
            matched=math.log1p(best / self._rarest),
            unmentioned=self._unmentioned(words, ranking, foremost),
            corpus=math.log1p(self._backend.info.chunks),
            unknown=float(bool(ranking.unknown)),
            length=math.log1p(len(words)),
            own_records=own_record_signs(question),
            instruction=instruction_signs(question),
            first_person=float(is_in_first_person(question)),
        )

    def _unmentioned(self, words: Sequence[str], ranking: Ranking, foremost: Sequence[StoredChunk]) -> float:
        mentioned = {stem for stored in foremost for stem in self._backend.stems(stored.chunk.embedded_text)}
        return max((self._telling(word, ranking, mentioned) for word in words), default=0.0)

    def _telling(self, word: str, ranking: Ranking, mentioned: Collection[str]) -> float:
        """How telling a word is that is not mentioned, 0 for one that is."""
        stems = self._backend.stems(word)[:1]
        meant = self._backend.stems(ranking.corrections.get(word, ""))
        if not stems or any(stem in mentioned for stem in (*stems, *meant)):
            return 0.0
        return 1 / (1 + math.log1p(self._usage.get(word, 0.0) / _EVERYDAY))
