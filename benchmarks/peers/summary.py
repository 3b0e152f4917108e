"""From rounds to figures: medians, and ratios to Citewell of the same round."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

REFERENCE = "citewell_1"

# A figure of one round; None where the round has none.
Figure = Callable[[Mapping[str, Any]], float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The median over rounds, and the median of the ratios to Citewell, round by round.

    `ratio` is None where no round has both. `lowest` and `highest` are those of the rounds.
    """

    median: float
    ratio: float | None
    lowest: float
    highest: float


def first_answer(measured: Mapping[str, Any]) -> float | None:
    """Seconds from the start of the process to its first answer."""
    return _number(measured.get("first_answer"))


def memory(kind: str) -> Figure:
    """MB after load, `rss` or `pss`."""
    return lambda measured: _number(measured.get("memory", {}).get(kind))


def at_clients(clients: int, name: str) -> Figure:
    """A figure of the load by so many clients: `rate`, `p50`, `p95`, `p99`, `client_share`."""

    def figure(measured: Mapping[str, Any]) -> float | None:
        for met in measured.get("loads", ()):
            if met["clients"] == clients:
                return _number(met[name])
        return None

    return figure


def indexing_rate(measured: Mapping[str, Any]) -> float | None:
    """Passages a second, the model loaded."""
    return measured["passages"] / measured["seconds"] if "seconds" in measured else None


def whole_indexing_rate(measured: Mapping[str, Any]) -> float | None:
    """Passages a second of the whole process, its start and loading the model included."""
    return measured["passages"] / measured["process_seconds"] if "process_seconds" in measured else None


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def cell(
    rounds: Iterable[Mapping[str, Any]], reference: Iterable[Mapping[str, Any]], figure: Figure
) -> Cell | None:
    """The figure of these rounds beside that of the reference's rounds; None where there is none."""
    ours, theirs = _by_round(rounds, figure), _by_round(reference, figure)
    if not ours:
        return None
    ratios = [value / theirs[number] for number, value in ours.items() if theirs.get(number)]
    return Cell(
        median=statistics.median(ours.values()),
        ratio=statistics.median(ratios) if ratios else None,
        lowest=min(ours.values()),
        highest=max(ours.values()),
    )


def _by_round(rounds: Iterable[Mapping[str, Any]], figure: Figure) -> dict[int, float]:
    found = {int(measured["round"]): figure(measured) for measured in rounds}
    return {number: value for number, value in found.items() if value is not None}


def failures(rounds: Iterable[Mapping[str, Any]]) -> int:
    """How many requests were not answered with 200, in all rounds."""
    return sum(
        count
        for measured in rounds
        for met in measured.get("loads", ())
        for status, count in met["statuses"].items()
        if int(status) != 200  # JSON knows no numbers as keys
    )
