"""Measures of rankings, computed by ir_measures (the extra `evaluate`), named as the field names them.

nDCG gains 2^grade − 1 (Burges et al., ICML 2005). The population of every mean is the judged queries
that have a relevant text: one without results counts as zero, one without a relevant text is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rag.errors import InvalidRequest
from rag.evaluate.lines import MAX_RELEVANCE
from rag.evaluate.trec import Qrels, Run, ranked

DEFAULT_MEASURES = ("nDCG@10", "RR@10", "Success@1", "Success@5", "P@5", "R@10", "AP")
MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "nDCG": "graded gain of the ranking over that of the best one",
        "RR": "1 / rank of the first relevant text",
        "Success": "whether there is a relevant text",
        "P": "share of the results that are relevant",
        "R": "share of the relevant texts that are found",
        "AP": "precision averaged over the relevant texts",
        "Rprec": "precision at the number of relevant texts",
        "Judged": "share of the results that are judged",
    }
)
_NEED_A_CUTOFF = frozenset({"Success", "P", "R", "Judged"})
_TAKE_NO_CUTOFF = frozenset({"Rprec"})
_NAME = re.compile(r"(?P<name>[A-Za-z]+)(?:@(?P<cutoff>[1-9][0-9]{0,5}))?")
_GAINS = {grade: 2**grade - 1 for grade in range(MAX_RELEVANCE + 1)}


def cutoff_of(name: str) -> int | None:
    """How many results a measure looks at: 10 for 'nDCG@10', None when it looks at all.

    Raises `InvalidRequest` for a name that is no measure.
    """
    match = _NAME.fullmatch(name)
    if match is None or match["name"] not in MEANINGS:
        known = ", ".join(MEANINGS)
        raise InvalidRequest("measures", f"there is no '{name}'; known are {known}, with a cutoff as nDCG@10")
    if match["name"] in _NEED_A_CUTOFF and not match["cutoff"]:
        raise InvalidRequest("measures", f"'{name}' needs a cutoff from 1, for example {name}@5")
    if match["name"] in _TAKE_NO_CUTOFF and match["cutoff"]:
        raise InvalidRequest("measures", f"'{name}' has a cutoff of its own; write {match['name']}")
    return int(match["cutoff"]) if match["cutoff"] else None


def check_measures(names: Sequence[str]) -> None:
    """Raise `InvalidRequest` unless every name is a measure, none comes twice and ir_measures is here."""
    if not names:
        raise InvalidRequest("measures", "none is named; name at least one, for example nDCG@10")
    for name in names:
        cutoff_of(name)
    if len(set(names)) < len(names):
        raise InvalidRequest("measures", f"one comes twice in {', '.join(names)}")
    _ir_measures()


def calculate(names: Sequence[str], qrels: Qrels, run: Run) -> dict[str, dict[str, float]]:
    """Measure to query_id to value, over the queries of `qrels` that have a relevant text.

    Ties in `run` are broken by id. Queries of `run` that are not judged are not looked at. Raises
    `InvalidRequest`.
    """
    check_measures(names)
    judged = {
        query_id: {doc_id: _grade(relevance) for doc_id, relevance in row.items()}
        for query_id, row in qrels.items()
        if any(relevance > 0 for relevance in row.values())
    }
    strict = {query_id: _without_ties(run[query_id]) for query_id in judged if run.get(query_id)}
    measures = {_measure(name): name for name in names}
    values: dict[str, dict[str, float]] = {name: {} for name in names}
    if judged:
        for metric in _provider().iter_calc(list(measures), judged, strict):
            values[measures[metric.measure]][metric.query_id] = float(metric.value)
    return values


def mean(values: Iterable[float]) -> float:
    """The arithmetic mean. Raises `InvalidRequest` when there is nothing to average."""
    listed = list(values)
    if not listed:
        raise InvalidRequest("questions", "none has a relevant text, so there is nothing to average")
    return sum(listed) / len(listed)


def _grade(relevance: int) -> int:
    # trec_eval reserves room for every grade up to the largest, so a wild one would exhaust the memory.
    if relevance > MAX_RELEVANCE:
        raise InvalidRequest("relevance", f"is {relevance}; grades go up to {MAX_RELEVANCE}")
    return max(0, relevance)


def _without_ties(scores: Mapping[str, float]) -> dict[str, float]:
    """Scores that count down. trec_eval would break ties by id the other way round."""
    return {doc_id: float(len(scores) - place) for place, doc_id in enumerate(ranked(scores))}


def _measure(name: str) -> Any:
    cutoff = cutoff_of(name)
    measure = getattr(_ir_measures(), name.partition("@")[0])
    if measure.NAME == "nDCG":
        # Its own exponential form runs a Perl script with five digits; the gains say the same exactly.
        measure = measure(gains=_GAINS)
    return measure @ cutoff if cutoff else measure


def _provider() -> Any:
    """The ways to compute that run inside this process."""
    ir_measures = _ir_measures()
    names = ("pytrec_eval", "judged", "msmarco")
    return ir_measures.providers.FallbackProvider([ir_measures.providers.registry[name] for name in names])


def _ir_measures() -> Any:
    try:
        import ir_measures
    except ImportError:
        raise InvalidRequest(
            "measures", "need the package ir_measures; install it with: pip install 'citewell[evaluate]'"
        ) from None
    return ir_measures
