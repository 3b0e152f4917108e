"""What each part of a search is worth: the same questions with parts left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rag.evaluate.comparison import Comparison, compare
from rag.evaluate.evaluate import DEFAULT_DEPTH, Evaluation, Searcher, evaluate
from rag.evaluate.measures import DEFAULT_MEASURES
from rag.evaluate.questions import Question
from rag.search.features import FEATURE_NAMES, Features

ALL = "all features"
DECIDING = "nDCG@10"

MakeRetriever = Callable[[Features], Searcher]
# System, questions done, questions in all.
OnSystem = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """One system of an ablation; `comparison` is to all features, None for that system itself."""

    name: str
    features: Features
    evaluation: Evaluation
    comparison: Comparison | None


def systems() -> dict[str, Features]:
    """Name to features: all, each list alone, both fused with nothing else, and each feature off."""
    return {
        ALL: Features(),
        "dense only": _only("dense"),
        "lexical only": _only("lexical"),
        "dense + lexical": _only("dense", "lexical", "convex"),
        "dense + lexical by ranks": _only("dense", "lexical"),
        **{f"without {name}": Features().without(name) for name in FEATURE_NAMES},
    }


def ablate(
    make_retriever: MakeRetriever,
    questions: Sequence[Question],
    *,
    depth: int = DEFAULT_DEPTH,
    measures: Sequence[str] = DEFAULT_MEASURES,
    measure: str = DECIDING,
    chosen: Mapping[str, Features] | None = None,
    on_system: OnSystem | None = None,
) -> tuple[Ablation, ...]:
    """Evaluate all features and then every system of `chosen` (`systems()` when None).

    Differences and p values are of `measure`, system minus all features. Raises what `evaluate` does.
    """
    wanted = dict.fromkeys([*measures, measure])

    def measured(name: str, features: Features) -> Evaluation:
        watch = None if on_system is None else _named(on_system, name)
        retriever = make_retriever(features)
        return evaluate(retriever, questions, depth=depth, measures=tuple(wanted), on_progress=watch)

    full = measured(ALL, Features())
    rows = [Ablation(name=ALL, features=Features(), evaluation=full, comparison=None)]
    for name, features in (systems() if chosen is None else chosen).items():
        if name == ALL:
            continue
        found = measured(name, features)
        comparison = compare(found, full, measure=measure)
        rows.append(Ablation(name=name, features=features, evaluation=found, comparison=comparison))
    return tuple(rows)


def _only(*names: str) -> Features:
    return Features(**{name: name in names for name in FEATURE_NAMES})


def _named(on_system: OnSystem, name: str) -> Callable[[int, int], None]:
    return lambda done, total: on_system(name, done, total)
