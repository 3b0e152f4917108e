"""Options of `rag evaluate` that are more than one word."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag.errors import InvalidRequest
from rag.evaluate.measures import DEFAULT_MEASURES, cutoff_of

_FLOOR = re.compile(r"(?P<measure>[^=]+)=(?P<value>[01]|[01]?\.[0-9]+)")


def parse_measures(text: str | None) -> tuple[str, ...]:
    """'nDCG@10, RR@10' as names, the usual ones for None. Raises `InvalidRequest`."""
    if text is None:
        return DEFAULT_MEASURES
    names = tuple(re.split(r"[\s,]+", text.strip(" ,")))
    for name in names:
        cutoff_of(name)
    return names


def parse_floors(texts: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """'nDCG@10=.70' as a measure and the least mean that will do. Raises `InvalidRequest`."""
    floors = []
    for text in texts:
        match = _FLOOR.fullmatch(text)
        if match is None:
            raise InvalidRequest("floor", f"'{text}' is not a measure with a number, as nDCG@10=.70")
        cutoff_of(match["measure"])
        floors.append((match["measure"], float(match["value"])))
    return tuple(floors)
