"""A ranking, and how its hits are picked from scored candidates: copies folded, no section too often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rag.encoders.base import Vectors
from rag.index.backend import Term, Traits
from rag.index.filters import NO_FILTERS, Filters
from rag.search.features import Features
from rag.search.fusion import Scores

# So many passages of one section come before those of others; the rest follow behind.
MAX_PER_SECTION = 3
# So many hits are foremost.
FOREMOST = 5
# What is taken off the scores of those behind, so that scores still fall with the rank: more than any two
# fused scores can differ.
BEHIND = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedHit:
    """A chunk in a ranking. `score` orders and means nothing else.

    `dense` is its inner product with the question and `lexical` its BM25 score, None where that search
    did not bring it up. `also_in` are other documents with the same content, `missing` the names in the
    question (a cancer, a drug, a topic) that the chunk, its headings and its title do not mention.
    """

    chunk_id: str
    score: float
    dense: float | None = None
    lexical: float | None = None
    also_in: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ranking:
    """Hits in order, best first, and the milliseconds that finding them took, stage by stage.

    `names` are the cancers, drugs and topics by name that the question was read to be about, those of
    an earlier turn included (`leaned`); `corrections` maps its misspelled words to the words searched
    besides, and `unknown` are its words that neither the index nor the language has. `filters` are those
    that were applied, `terms` is what was searched by words, `vector` [dim] what was searched by meaning.
    `foremost` are the first hits whatever number was asked for: what a ranking is judged by must not
    depend on that number.
    """

    hits: tuple[RankedHit, ...]
    timings_ms: dict[str, float]
    names: tuple[str, ...] = ()
    corrections: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    leaned: bool = False
    filters: Filters = NO_FILTERS
    terms: tuple[Term, ...] = ()
    vector: Vectors | None = None
    foremost: tuple[RankedHit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """What the searches brought up, as parallel columns [n].

    `lexical` is 0 where the lexical search did not bring a chunk up. `missing` [names, n] tells which of
    the names in the question a chunk does not mention.
    """

    chunk_ids: Sequence[str]
    dense: Scores | None
    lexical: Scores | None
    traits: Traits
    missing: npt.NDArray[np.bool_]

    def ordered(self, scores: Scores) -> list[int]:
        """The places of the candidates by (−score, chunk_id)."""
        keys = list(zip((-scores).tolist(), self.chunk_ids, strict=True))
        return sorted(range(len(keys)), key=keys.__getitem__)


def pick(candidates: Candidates, scores: Scores, features: Features) -> Iterator[tuple[int, float]]:
    """Yield the places of the candidates in the order of the ranking, each with its score.

    Of chunks with the same content only the first comes; what a section has too many of comes last. A
    copy under a title that the question names does not fold into one under another title.
    """
    seen: set[tuple[int, bytes]] = set()
    sections: Counter[int] = Counter()
    surplus: list[int] = []
    contents, section_of = candidates.traits.contents.tolist(), candidates.traits.sections.tolist()
    for at in candidates.ordered(scores):
        content = (contents[at], candidates.missing[:, at].tobytes())
        if features.copies and content in seen:
            continue
        seen.add(content)
        sections[section_of[at]] += 1
        if features.diversity and sections[section_of[at]] > MAX_PER_SECTION:
            surplus.append(at)
        else:
            yield at, float(scores[at])
    yield from ((at, float(scores[at]) - BEHIND) for at in surplus)


def distinct(candidates: Candidates, features: Features) -> int:
    """How many hits `pick` yields at the least."""
    contents = candidates.traits.contents
    return len(set(contents.tolist())) if features.copies else len(contents)
