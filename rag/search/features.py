"""What takes part in a ranking; each part can be left out, so that its worth can be measured."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """The parts of a search. All are on by default; at least one of `dense` and `lexical` must be.

    `synonyms` and `spelling` widen the lexical query; `entities` lowers passages about another cancer
    or drug than the question's; `boilerplate` lowers what is repeated across documents; `copies`
    collapses exact and near-exact copies; `diversity` limits how many passages one section gives.
    """

    dense: bool = True
    lexical: bool = True
    synonyms: bool = True
    spelling: bool = True
    entities: bool = True
    boilerplate: bool = True
    copies: bool = True
    diversity: bool = True

    def without(self, name: str) -> Features:
        """These features with the one of this name off."""
        return replace(self, **{name: False})


FEATURE_NAMES = tuple(field.name for field in fields(Features))
