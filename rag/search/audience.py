"""Pages about children: a person who asks is taken for a grown-up unless the question says otherwise.

Such pages are lowered, never left out.
"""

from __future__ import annotations

import re
from functools import lru_cache

_REMEMBERED_TITLES = 65_536

_ABOUT_CHILDREN = re.compile(
    r"\b(child(ren|hood)?|p(a)?ediatric\w*|adolescents?|teen(s|agers?)?|infants?|young people)\b",
    re.IGNORECASE,
)
_ASKS_ABOUT_A_CHILD = re.compile(
    r"\b(child\w*|kid(s|dos?|do)?|sons?|daughters?|bab(y|ies)|toddlers?|newborns?|infants?|p(a)?ediatric\w*|"
    r"adolescen\w*|teen\w*|boys?|girls?|grand(child\w*|kids?|sons?|daughters?)|niece|nephew|"
    r"months?[- ]old|little (one|brother|sister))\b|"
    # An age in years, from twenty on only that of a grown-up.
    r"(?<![2-9]\d)(?<!\d\d\d)[- ]years?[- ]old\b|(?<![2-9]\d)(?<![2-9]\d )(?<![^\W\d])y/?o\b",
    re.IGNORECASE,
)


@lru_cache(_REMEMBERED_TITLES)
def is_about_children(title: str) -> bool:
    """Whether a page is about children or teenagers, by its title."""
    return bool(_ABOUT_CHILDREN.search(title))


def asks_about_a_child(question: str) -> bool:
    """Whether a question may be about a child or a teenager."""
    return bool(_ASKS_ABOUT_A_CHILD.search(question))
