"""What takes part in a ranking; each part can be left out, so that its worth can be measured."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """The parts of a search. All are on by default; at least one of `dense` and `lexical` must be.

    `convex` fuses the two by a convex combination of scores; without it, by reciprocal ranks.
    `synonyms` and `spelling` widen the lexical query. `entities` lowers passages that do not mention
    the cancer, drug or topic named in the question, `audience` pages written for professionals or about
    children where the question does not ask for them, `boilerplate` lists of references and what many
    documents repeat. `copies` folds chunks of the same content into one, `diversity` limits how many
    passages of one section come before those of others.
    """

    dense: bool = True
    lexical: bool = True
    convex: bool = True
    synonyms: bool = True
    spelling: bool = True
    entities: bool = True
    audience: bool = True
    boilerplate: bool = True
    copies: bool = True
    diversity: bool = True

    def __post_init__(self) -> None:
        if not (self.dense or self.lexical):
            raise ValueError("a ranking needs the dense or the lexical search")

    def without(self, name: str) -> Features:
        """These features with the one of this name off."""
        return replace(self, **{name: False})


FEATURE_NAMES = tuple(field.name for field in fields(Features))
