"""The words of a question that a search can use."""

from __future__ import annotations

import re

from rag.index.words import joined

_WORD = re.compile(r"[^\W_]+")

# Words that say how a question is put and not what it is about. Letters that an apostrophe cuts off
# ("don't", "I've") are among them.
_FUNCTION_WORDS = """
a about after all also am an and any anyone anything are as at be because been before being but by can could
d did didn do does doesn doing don during for from get gets getting give given gives go goes going got had
has have having he her here hers him his how i if im in into is isn it its just know let like ll m make
makes may me might mine my need no not of off on once one only or other our ours out over please re s said
same say says she should so some someone something still such t take tell than that the their them then
there these they thing things this those to too up us use ve very want was wasn way we well were what when
where whether which while who whom whose why will with without won would wouldn yes you your yours
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())


def words(text: str) -> list[str]:
    """Runs of letters and digits in lower case, as the lexical index cuts them."""
    return _WORD.findall(joined(text).lower())


def content_words(text: str) -> list[str]:
    """The words without function words, each once; all of them where nothing else would be left."""
    found = list(dict.fromkeys(words(text)))
    return [word for word in found if word not in FUNCTION_WORDS] or found
